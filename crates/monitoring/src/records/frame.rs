//! Bytes of a record. Pure.
//!
//! A segment begins with [`MAGIC`] and the time of its making (i64, milliseconds). A frame is the length of its content
//! (u32), the CRC-32 of the content (u32) and the content: kind (u8), identifier (20 bytes), time (i64), body. Integers
//! are little-endian.

use mcplane_core::Timestamp;

use crate::PredictionId;

/// First bytes of a segment; the digit is the version of the format.
pub(super) const MAGIC: &[u8; 8] = b"mcplrec1";
/// Bytes before the first frame.
pub(super) const HEADER: usize = 16;
/// No body has more bytes.
pub const LARGEST_BODY: usize = 1 << 20;

const PREFIX: usize = 8;
const FIXED: usize = 1 + PredictionId::BYTES + 8;

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What was asked and answered.
    Prediction,
    /// What was true.
    Label,
}

/// One record; the body is the caller's, usually JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What it is.
    pub kind: Kind,
    /// Of which prediction.
    pub id: PredictionId,
    /// When it came.
    pub at: Timestamp,
    /// Its content.
    pub body: Vec<u8>,
}

impl Record {
    /// Appends the frame.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&((FIXED + self.body.len()) as u32).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.push(match self.kind {
            Kind::Prediction => 1,
            Kind::Label => 2,
        });
        out.extend_from_slice(&self.id.to_bytes());
        out.extend_from_slice(&self.at.to_le_bytes());
        out.extend_from_slice(&self.body);
        let sum = crc32fast::hash(&out[start + PREFIX..]);
        out[start + 4..start + PREFIX].copy_from_slice(&sum.to_le_bytes());
    }

    /// How many bytes the frame has.
    pub(super) fn size(&self) -> usize {
        PREFIX + FIXED + self.body.len()
    }
}

/// What stands at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// A whole frame, of so many bytes.
    Record(Record, usize),
    /// Nothing.
    End,
    /// No frame, or not all of one.
    Torn,
}

/// Reads the frame at the beginning of `bytes`.
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    if bytes.is_empty() {
        return Parsed::End;
    }
    read(bytes).map_or(Parsed::Torn, |(record, size)| Parsed::Record(record, size))
}

fn read(bytes: &[u8]) -> Option<(Record, usize)> {
    let length = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
    if !(FIXED..=FIXED + LARGEST_BODY).contains(&length) {
        return None;
    }
    let sum = u32::from_le_bytes(*bytes.get(4..)?.first_chunk()?);
    let content = bytes.get(PREFIX..PREFIX + length)?;
    if crc32fast::hash(content) != sum {
        return None;
    }
    let kind = match content[0] {
        1 => Kind::Prediction,
        2 => Kind::Label,
        _ => return None,
    };
    let id = PredictionId::from_bytes(*content.get(1..)?.first_chunk()?);
    let at = Timestamp::from_le_bytes(*content.get(1 + PredictionId::BYTES..)?.first_chunk()?);
    Some((Record { kind, id, at, body: content[FIXED..].to_vec() }, PREFIX + length))
}

/// The header of a segment made at `now`.
pub(super) fn header(now: Timestamp) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(MAGIC);
    header[8..].copy_from_slice(&now.to_le_bytes());
    header
}

/// When a segment with these first bytes was made.
pub(super) fn made_at(header: &[u8; HEADER]) -> Option<Timestamp> {
    let (magic, time) = header.split_first_chunk::<8>()?;
    (magic == MAGIC).then(|| time.first_chunk().map(|bytes| Timestamp::from_le_bytes(*bytes)))?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn there_and_back(label: bool, at: i64, random: u64, body in prop::collection::vec(any::<u8>(), 0..200)) {
            let kind = if label { Kind::Label } else { Kind::Prediction };
            let record = Record { kind, id: PredictionId::new(5, 6, random), at, body };
            let mut bytes = Vec::new();
            record.write(&mut bytes);
            prop_assert_eq!(bytes.len(), record.size());
            for cut in 1..bytes.len() {
                prop_assert_eq!(parse(&bytes[..cut]), Parsed::Torn);
            }
            let flip = random as usize % bytes.len();
            let mut broken = bytes.clone();
            broken[flip] ^= 1 << (random % 8);
            prop_assert_eq!(parse(&broken), Parsed::Torn);
            bytes.extend_from_slice(b"more");
            prop_assert_eq!(parse(&bytes), Parsed::Record(record, bytes.len() - 4));
        }

        #[test]
        fn any_bytes_are_something(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let parsed = parse(&bytes);
            prop_assert!(bytes.is_empty() == (parsed == Parsed::End));
        }
    }
}
