//! Thrift's compact protocol, walked before others decode it.
//!
//! Decoders reserve memory for as many elements as a list claims to have. A walk costs little and finds claims that the bytes
//! can't hold, so that nothing is reserved for a lie. The protocol: Apache Thrift, `thrift-compact-protocol.md`.

/// Levels of structures in structures. Parquet's own reach about six.
const DEEPEST: u8 = 24;

/// Why bytes are not what the protocol says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// They end before the structure does.
    Truncated,
    /// They claim what can't be.
    Impossible,
}

/// A place in bytes.
#[derive(Debug, Clone)]
pub(super) struct Walk<'b> {
    bytes: &'b [u8],
    at: usize,
}

/// What a field holds, as far as anybody here wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    /// The value is in the type.
    Flag,
    Byte,
    /// 16, 32 and 64 bits: all written the same way.
    Number,
    Double,
    Binary,
    List,
    Map,
    Struct,
}

impl Type {
    fn of(code: u8) -> Result<Self, Broken> {
        Ok(match code {
            1 | 2 => Self::Flag,
            3 => Self::Byte,
            4..=6 => Self::Number,
            7 => Self::Double,
            8 => Self::Binary,
            9 | 10 => Self::List,
            11 => Self::Map,
            12 => Self::Struct,
            _ => return Err(Broken::Impossible),
        })
    }
}

/// Is shown a number or a structure, with its field's id and whether it is a structure; says whether it walked it itself.
pub(super) type Visit<'v, 'b> = &'v mut dyn FnMut(&mut Walk<'b>, i64, bool) -> Result<bool, Broken>;

impl<'b> Walk<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes that were passed.
    pub(super) fn passed(&self) -> usize {
        self.at
    }

    fn byte(&mut self) -> Result<u8, Broken> {
        let byte = *self.bytes.get(self.at).ok_or(Broken::Truncated)?;
        self.at += 1;
        Ok(byte)
    }

    fn skip(&mut self, count: u64) -> Result<(), Broken> {
        let left = (self.bytes.len() - self.at) as u64;
        if count > left {
            return Err(Broken::Truncated);
        }
        // No more than what is left of a slice.
        self.at += count as usize;
        Ok(())
    }

    fn varint(&mut self) -> Result<u64, Broken> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Broken::Impossible)
    }

    fn number(&mut self) -> Result<i64, Broken> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// Walks a structure.
    pub(super) fn structure(&mut self) -> Result<(), Broken> {
        self.fields(&mut |_, _, _| Ok(false), 0)
    }

    /// Walks a structure and shows its fields.
    pub(super) fn visit(&mut self, visit: Visit<'_, 'b>) -> Result<(), Broken> {
        self.fields(visit, 0)
    }

    /// The number at hand, when a visitor wants it.
    pub(super) fn value(&mut self) -> Result<i64, Broken> {
        self.number()
    }

    fn fields(&mut self, visit: Visit<'_, 'b>, depth: u8) -> Result<(), Broken> {
        if depth > DEEPEST {
            return Err(Broken::Impossible);
        }
        let mut id = 0;
        loop {
            let header = self.byte()?;
            if header == 0 {
                return Ok(());
            }
            id = match header >> 4 {
                0 => self.number()?,
                delta => id + i64::from(delta),
            };
            let kind = Type::of(header & 0x0f)?;
            if matches!(kind, Type::Number | Type::Struct) && visit(self, id, kind == Type::Struct)? {
                continue;
            }
            self.pass(kind, depth)?;
        }
    }

    fn pass(&mut self, kind: Type, depth: u8) -> Result<(), Broken> {
        match kind {
            Type::Flag => Ok(()),
            Type::Byte => self.skip(1),
            Type::Number => self.varint().map(drop),
            Type::Double => self.skip(8),
            Type::Binary => {
                let length = self.varint()?;
                self.skip(length)
            }
            Type::List => {
                let header = self.byte()?;
                let count = if header >> 4 == 15 { self.varint()? } else { u64::from(header >> 4) };
                // Some writers give an empty list no type.
                if count > 0 { self.elements(Type::of(header & 0x0f)?, count, depth) } else { Ok(()) }
            }
            Type::Map => {
                let count = self.varint()?;
                if count == 0 {
                    return Ok(());
                }
                let types = self.byte()?;
                let (key, value) = (Type::of(types >> 4)?, Type::of(types & 0x0f)?);
                self.claim(count)?;
                for _ in 0..count {
                    self.element(key, depth)?;
                    self.element(value, depth)?;
                }
                Ok(())
            }
            Type::Struct => self.fields(&mut |_, _, _| Ok(false), depth + 1),
        }
    }

    /// Every element has a byte at least.
    fn claim(&self, count: u64) -> Result<(), Broken> {
        if count > (self.bytes.len() - self.at) as u64 { Err(Broken::Impossible) } else { Ok(()) }
    }

    fn elements(&mut self, kind: Type, count: u64, depth: u8) -> Result<(), Broken> {
        self.claim(count)?;
        (0..count).try_for_each(|_| self.element(kind, depth))
    }

    fn element(&mut self, kind: Type, depth: u8) -> Result<(), Broken> {
        if depth > DEEPEST {
            return Err(Broken::Impossible);
        }
        match kind {
            Type::Flag => self.skip(1),
            other => self.pass(other, depth + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lists_that_lie_are_found() {
        // Field 1, a list of structures that claims to have 2^31 - 1.
        let lie = [0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07, 0x00];
        assert_eq!(Walk::new(&lie).structure(), Err(Broken::Impossible));
        let honest = [0x19, 0x2c, 0x00, 0x15, 0x04, 0x00, 0x00];
        let mut walk = Walk::new(&honest);
        assert_eq!((walk.structure(), walk.passed()), (Ok(()), honest.len()));
        assert_eq!(Walk::new(&honest[..5]).structure(), Err(Broken::Truncated));
        assert_eq!(Walk::new(&[0x1c; 100]).structure(), Err(Broken::Impossible), "too deep");
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut walk = Walk::new(&bytes);
            let _ = walk.structure();
            prop_assert!(walk.passed() <= bytes.len());
        }
    }
}
