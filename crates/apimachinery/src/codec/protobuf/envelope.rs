//! The envelope: `k8s\0` and a `runtime.Unknown`.

use mcplane_core::Error;

use super::super::PROTOBUF;
use super::wire::{Fault, Reader};

const MAGIC: &[u8] = b"k8s\0";

/// `runtime.Unknown`: a typed but unparsed message.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Envelope<'a> {
    pub(super) api_version: &'a str,
    pub(super) kind: &'a str,
    pub(super) raw: &'a [u8],
}

pub(super) fn open(body: &[u8]) -> Result<Envelope<'_>, Error> {
    let message = body.strip_prefix(MAGIC).ok_or_else(|| {
        Error::bad_request("the request body is not Kubernetes protobuf: it does not begin with `k8s\\0`")
    })?;
    let (envelope, encoding, content_type) =
        read(message).map_err(|fault| Error::bad_request(format!("the protobuf envelope is not valid: {fault}")))?;
    if !encoding.is_empty() {
        return Err(Error::bad_request("the protobuf envelope holds encoded content, which is not supported"));
    }
    if !content_type.is_empty() && content_type != PROTOBUF {
        return Err(Error::bad_request("the protobuf envelope holds something else than protobuf"));
    }
    Ok(envelope)
}

/// The envelope, `contentEncoding` and `contentType`.
fn read(message: &[u8]) -> Result<(Envelope<'_>, &str, &str), Fault> {
    let mut envelope = Envelope::default();
    let (mut encoding, mut content_type) = ("", "");
    let mut reader = Reader::new(message);
    while let Some((number, wire)) = reader.tag()? {
        match number {
            1 => read_type_meta(reader.bytes(wire)?, &mut envelope).map_err(|fault| fault.within("typeMeta"))?,
            2 => envelope.raw = reader.bytes(wire)?,
            3 => encoding = reader.text(wire)?,
            4 => content_type = reader.text(wire)?,
            _ => reader.skip(wire)?,
        }
    }
    Ok((envelope, encoding, content_type))
}

fn read_type_meta<'a>(message: &'a [u8], envelope: &mut Envelope<'a>) -> Result<(), Fault> {
    let mut reader = Reader::new(message);
    while let Some((number, wire)) = reader.tag()? {
        match number {
            1 => envelope.api_version = reader.text(wire)?,
            2 => envelope.kind = reader.text(wire)?,
            _ => reader.skip(wire)?,
        }
    }
    Ok(())
}
