//! Values without fields of their own, among them the messages that are scalars in JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;

use super::super::json;
use super::table::Kind;
use super::wire::{Fault, Reader, Wire};

/// Reads a value of `kind`; nothing where JSON would have null.
pub(super) fn read(kind: Kind, wire: Wire, reader: &mut Reader<'_>) -> Result<Option<Value>, Fault> {
    Ok(Some(match kind {
        Kind::String => reader.text(wire)?.into(),
        Kind::Bool | Kind::Int32 | Kind::Int64 => number(kind, reader.varint(wire)?)?,
        Kind::Bytes => STANDARD.encode(reader.bytes(wire)?).into(),
        Kind::Quantity => quantity(reader.bytes(wire)?)?.into(),
        Kind::Time | Kind::MicroTime => return time(kind, reader.bytes(wire)?),
        Kind::IntOrString => int_or_string(reader.bytes(wire)?)?,
        Kind::RawJson => return raw_json(reader.bytes(wire)?),
        Kind::Strings => strings(reader.bytes(wire)?)?,
        Kind::Message(_) => return Err(Fault::new("a message is no scalar")),
    }))
}

/// What Go has where the wire has nothing.
pub(super) fn zero(kind: Kind) -> Option<Value> {
    match kind {
        Kind::String | Kind::Bytes => Some("".into()),
        Kind::Bool => Some(false.into()),
        Kind::Int32 | Kind::Int64 | Kind::IntOrString => Some(0.into()),
        Kind::Quantity => Some("0".into()),
        Kind::Time | Kind::MicroTime | Kind::RawJson | Kind::Strings | Kind::Message(_) => None,
    }
}

/// A value of one of the kinds that are varints.
pub(super) fn number(kind: Kind, varint: u64) -> Result<Value, Fault> {
    let signed = varint.cast_signed();
    match kind {
        Kind::Bool => Ok((varint != 0).into()),
        Kind::Int64 => Ok(signed.into()),
        _ => match i32::try_from(signed) {
            Ok(number) => Ok(number.into()),
            Err(_) => Err(Fault::new(format!("{signed} does not fit into 32 bits"))),
        },
    }
}

fn quantity(message: &[u8]) -> Result<&str, Fault> {
    let mut text = "";
    let mut reader = Reader::new(message);
    while let Some((field, wire)) = reader.tag()? {
        match field {
            1 => text = reader.text(wire)?,
            _ => reader.skip(wire)?,
        }
    }
    Ok(if text.is_empty() { "0" } else { text })
}

/// Kubernetes writes its zero time as an empty message, and JSON null.
fn time(kind: Kind, message: &[u8]) -> Result<Option<Value>, Fault> {
    const YEARS: std::ops::Range<i64> = -62_167_219_200..253_402_300_800;
    const ZERO: i64 = -62_135_596_800;

    let (mut seconds, mut nanos) = (0, 0);
    let mut reader = Reader::new(message);
    while let Some((field, wire)) = reader.tag()? {
        match field {
            1 => seconds = reader.varint(wire)?.cast_signed(),
            2 => nanos = reader.varint(wire)?.cast_signed(),
            _ => reader.skip(wire)?,
        }
    }
    if message.is_empty() || (seconds, nanos) == (ZERO, 0) {
        return Ok(None);
    }
    let out_of_range = || Fault::new("a time is out of range");
    if !YEARS.contains(&seconds) || !(0..1_000_000_000).contains(&nanos) {
        return Err(out_of_range());
    }
    let time = Timestamp::from_second(seconds).map_err(|_| out_of_range())?;
    Ok(Some(match kind {
        Kind::MicroTime => format!("{}.{:06}Z", time.strftime("%Y-%m-%dT%H:%M:%S"), nanos / 1000).into(),
        _ => time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into(),
    }))
}

fn int_or_string(message: &[u8]) -> Result<Value, Fault> {
    let (mut is_string, mut int, mut string) = (false, Value::from(0), "");
    let mut reader = Reader::new(message);
    while let Some((field, wire)) = reader.tag()? {
        match field {
            1 => is_string = reader.varint(wire)? != 0,
            2 => int = number(Kind::Int32, reader.varint(wire)?)?,
            3 => string = reader.text(wire)?,
            _ => reader.skip(wire)?,
        }
    }
    Ok(if is_string { string.into() } else { int })
}

fn raw_json(message: &[u8]) -> Result<Option<Value>, Fault> {
    let mut raw: &[u8] = &[];
    let mut reader = Reader::new(message);
    while let Some((field, wire)) = reader.tag()? {
        match field {
            1 => raw = reader.bytes(wire)?,
            _ => reader.skip(wire)?,
        }
    }
    if raw.is_empty() {
        return Ok(None);
    }
    json::decode(raw).map(|decoded| Some(decoded.value)).map_err(|_| Fault::new("the bytes are not valid JSON"))
}

fn strings(message: &[u8]) -> Result<Value, Fault> {
    let mut items = Vec::new();
    let mut reader = Reader::new(message);
    while let Some((field, wire)) = reader.tag()? {
        match field {
            1 => items.push(reader.text(wire)?.into()),
            _ => reader.skip(wire)?,
        }
    }
    Ok(Value::Array(items))
}
