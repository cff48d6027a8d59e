//! The wire format: tags, varints and lengths.

use std::fmt;

/// How a field is laid out, from the low bits of its tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    Varint,
    Fixed64,
    Bytes,
    Fixed32,
}

/// Why a message can't be read, and in which field.
#[derive(Debug)]
pub(super) struct Fault {
    /// From the innermost field outwards.
    path: Vec<String>,
    reason: String,
}

impl Fault {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self { path: Vec::new(), reason: reason.into() }
    }

    /// The same fault, seen from the message around `field`.
    pub(super) fn within(mut self, field: impl Into<String>) -> Self {
        self.path.push(field.into());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            let path: Vec<&str> = self.path.iter().rev().map(String::as_str).collect();
            write!(f, "{}: ", path.join("."))?;
        }
        f.write_str(&self.reason)
    }
}

/// What is left of a message.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// Number and layout of the next field; nothing at the end of the message.
    pub(super) fn tag(&mut self) -> Result<Option<(u32, Wire)>, Fault> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.raw_varint()?;
        let number = u32::try_from(key >> 3).ok().filter(|number| (1..1 << 29).contains(number));
        let number = number.ok_or_else(|| Fault::new("a field number is out of range"))?;
        let wire = match key & 7 {
            0 => Wire::Varint,
            1 => Wire::Fixed64,
            2 => Wire::Bytes,
            5 => Wire::Fixed32,
            other => return Err(Fault::new(format!("field {number} has the unsupported wire type {other}"))),
        };
        Ok(Some((number, wire)))
    }

    /// The value of a varint field.
    pub(super) fn varint(&mut self, wire: Wire) -> Result<u64, Fault> {
        match wire {
            Wire::Varint => self.raw_varint(),
            other => Err(Fault::new(format!("a number is due, but the wire has {}", other.words()))),
        }
    }

    /// The value of a field with a length.
    pub(super) fn bytes(&mut self, wire: Wire) -> Result<&'a [u8], Fault> {
        if wire != Wire::Bytes {
            return Err(Fault::new(format!("bytes are due, but the wire has {}", wire.words())));
        }
        let length = self.raw_varint()?;
        let length = usize::try_from(length).ok().filter(|length| *length <= self.rest.len());
        self.take(length.ok_or_else(|| Fault::new("a length exceeds the message"))?)
    }

    /// The value of a string field.
    pub(super) fn text(&mut self, wire: Wire) -> Result<&'a str, Fault> {
        std::str::from_utf8(self.bytes(wire)?).map_err(|_| Fault::new("a string is not valid UTF-8"))
    }

    /// Passes over the value of a field that nobody knows.
    pub(super) fn skip(&mut self, wire: Wire) -> Result<(), Fault> {
        match wire {
            Wire::Varint => self.raw_varint().map(drop),
            Wire::Bytes => self.bytes(wire).map(drop),
            Wire::Fixed64 => self.take(8).map(drop),
            Wire::Fixed32 => self.take(4).map(drop),
        }
    }

    /// A number without a tag, as in packed lists.
    pub(super) fn raw_varint(&mut self) -> Result<u64, Fault> {
        let mut value = 0_u64;
        for (index, byte) in self.rest.iter().copied().enumerate().take(10) {
            if index == 9 && byte > 1 {
                return Err(Fault::new("a number is longer than 64 bits"));
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(Fault::new("the message ends within a number"))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) =
            self.rest.split_at_checked(length).ok_or_else(|| Fault::new("the message ends within a field"))?;
        self.rest = rest;
        Ok(taken)
    }
}

impl Wire {
    fn words(self) -> &'static str {
        match self {
            Self::Varint => "a number",
            Self::Bytes => "bytes",
            Self::Fixed32 => "32 fixed bits",
            Self::Fixed64 => "64 fixed bits",
        }
    }
}
