//! The encoding of Protocol Buffers, as far as reading ONNX needs it: nothing is copied, nothing is recursive, and what
//! is read is never larger than the bytes that say so.
//!
//! <https://protobuf.dev/programming-guides/encoding/>

/// A field's value.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) enum Value<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    Bytes(&'a [u8]),
    Fixed32([u8; 4]),
}

/// Reads the fields of one message.
#[derive(Debug, Clone)]
pub(in crate::engine) struct Reader<'a>(&'a [u8]);

/// Why bytes are no message.
pub(in crate::engine) type Broken = &'static str;

const BAD_KEY: Broken = "a field has a number that ONNX does not use";
const TRUNCATED: Broken = "it ends in the middle of a field";

impl<'a> Reader<'a> {
    pub(in crate::engine) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn varint(&mut self) -> Result<u64, Broken> {
        let mut value = 0_u64;
        for place in 0..10 {
            let (&byte, rest) = self.0.split_first().ok_or(TRUNCATED)?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("a number has more than ten bytes")
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let (&taken, rest) = self.0.split_first_chunk::<N>().ok_or(TRUNCATED)?;
        self.0 = rest;
        Ok(taken)
    }

    /// The next field's number and value; `None` at the end.
    pub(in crate::engine) fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, Broken> {
        if self.0.is_empty() {
            return Ok(None);
        }
        // Other readers keep 32 bits of it: a field that they see and this one does not would go unchecked.
        let key = u32::try_from(self.varint()?).map_err(|_| BAD_KEY)?;
        if key >> 3 == 0 {
            return Err(BAD_KEY);
        }
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(self.take()?),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| TRUNCATED)?;
                let (taken, rest) = self.0.split_at_checked(length).ok_or(TRUNCATED)?;
                self.0 = rest;
                Value::Bytes(taken)
            }
            5 => Value::Fixed32(self.take()?),
            _ => return Err("a field has a wire type that ONNX does not use"),
        };
        Ok(Some((u64::from(key >> 3), value)))
    }
}

const WRONG_TYPE: Broken = "a field has the wrong wire type";

impl<'a> Value<'a> {
    pub(in crate::engine) fn int(self) -> Result<i64, Broken> {
        match self {
            Self::Varint(value) => Ok(value as i64),
            _ => Err(WRONG_TYPE),
        }
    }

    pub(super) fn float(self) -> Result<f32, Broken> {
        match self {
            Self::Fixed32(bytes) => Ok(f32::from_le_bytes(bytes)),
            _ => Err(WRONG_TYPE),
        }
    }

    pub(in crate::engine) fn bytes(self) -> Result<&'a [u8], Broken> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(WRONG_TYPE),
        }
    }

    pub(super) fn text(self) -> Result<&'a str, Broken> {
        std::str::from_utf8(self.bytes()?).map_err(|_| "a name is not UTF-8")
    }

    /// Appends a repeated number, packed or not.
    pub(super) fn ints(self, all: &mut Vec<i64>) -> Result<(), Broken> {
        match self {
            Self::Varint(value) => all.push(value as i64),
            Self::Bytes(packed) => {
                let mut reader = Reader(packed);
                while !reader.0.is_empty() {
                    all.push(reader.varint()? as i64);
                }
            }
            _ => return Err(WRONG_TYPE),
        }
        Ok(())
    }

    /// Appends repeated single precision, packed or not.
    pub(super) fn floats(self, all: &mut Vec<f32>) -> Result<(), Broken> {
        match self {
            Self::Fixed32(bytes) => all.push(f32::from_le_bytes(bytes)),
            Self::Bytes(packed) => all.extend(chunks(packed)?.map(f32::from_le_bytes)),
            _ => return Err(WRONG_TYPE),
        }
        Ok(())
    }

    /// Appends repeated double precision, packed or not.
    pub(super) fn doubles(self, all: &mut Vec<f64>) -> Result<(), Broken> {
        match self {
            Self::Fixed64(bytes) => all.push(f64::from_le_bytes(bytes)),
            Self::Bytes(packed) => all.extend(chunks(packed)?.map(f64::from_le_bytes)),
            _ => return Err(WRONG_TYPE),
        }
        Ok(())
    }
}

/// Bytes as arrays of one length.
pub(super) fn chunks<const N: usize>(bytes: &[u8]) -> Result<impl Iterator<Item = [u8; N]>, Broken> {
    let (chunks, rest) = bytes.as_chunks::<N>();
    if rest.is_empty() { Ok(chunks.iter().copied()) } else { Err("packed numbers end in the middle of one") }
}
