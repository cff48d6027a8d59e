//! The name of one prediction, which says when and by which revision of a deployment it was made.
//!
//! 32 characters of Crockford's base32 in lower case: 48 bits of time in milliseconds, 48 bits of revision, 64 random bits.
//! So identifiers sort by time as text; lineage survives even where the record of the prediction was lost; and nobody who
//! saw one can name another, while a label still needs the right to be given. The way back is strict: there is exactly one
//! text for each identifier.

use std::fmt;
use std::str::FromStr;

use mcplane_core::Timestamp;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const LENGTH: usize = 32;
const LARGEST: u64 = (1 << 48) - 1;

/// A prediction's identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PredictionId {
    /// Time and the upper 16 bits of the revision; kept as two words so that comparing is cheap.
    high: u128,
    low: u32,
}

impl PredictionId {
    /// How many bytes the binary form has.
    pub const BYTES: usize = 20;

    /// A new identifier; `random` must come from a generator that can't be predicted. Times before 1970 count as 1970; a
    /// time or revision of more than 48 bits counts as the largest.
    pub fn new(at: Timestamp, revision: u64, random: u64) -> Self {
        let at = u64::try_from(at).unwrap_or(0).min(LARGEST);
        let head = u128::from(at) << 80 | u128::from(revision.min(LARGEST)) << 32;
        Self { high: head | u128::from(random >> 32), low: random as u32 }
    }

    /// A new identifier with random bits of the thread's generator, which is cryptographic.
    pub fn generate(at: Timestamp, revision: u64) -> Self {
        Self::new(at, revision, rand::random())
    }

    /// When it was made, in milliseconds since 1970.
    pub fn at(self) -> Timestamp {
        (self.high >> 80) as i64
    }

    /// The revision of the deployment that made it.
    pub fn revision(self) -> u64 {
        (self.high >> 32) as u64 & LARGEST
    }

    /// The binary form, which sorts as the text does.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..16].copy_from_slice(&self.high.to_be_bytes());
        bytes[16..].copy_from_slice(&self.low.to_be_bytes());
        bytes
    }

    /// The way back from [`PredictionId::to_bytes`].
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        let fold = |bytes: &[u8]| bytes.iter().fold(0u128, |sum, byte| sum << 8 | u128::from(*byte));
        Self { high: fold(&bytes[..16]), low: fold(&bytes[16..]) as u32 }
    }
}

impl fmt::Display for PredictionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0u8; LENGTH];
        // 160 bits are 32 digits of 5: 25 from the upper 125, one across, six from the lower 30.
        for (at, digit) in text.iter_mut().enumerate() {
            let from_top = (at + 1) * 5;
            let value = match from_top {
                1..=128 => self.high >> (128 - from_top),
                129..=132 => self.high << (from_top - 128) | u128::from(self.low >> (160 - from_top)),
                _ => u128::from(self.low >> (160 - from_top)),
            };
            *digit = ALPHABET[(value & 31) as usize];
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

/// Why a text is no identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAPredictionId;

impl fmt::Display for NotAPredictionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a prediction's id has {LENGTH} characters of 0-9 and a-z without i, l, o and u; send it as it was given"
        )
    }
}

impl std::error::Error for NotAPredictionId {}

impl FromStr for PredictionId {
    type Err = NotAPredictionId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != LENGTH {
            return Err(NotAPredictionId);
        }
        let mut bytes = [0u8; Self::BYTES];
        let (mut held, mut bits, mut at) = (0u16, 0, 0);
        for character in text.bytes() {
            let digit = ALPHABET.iter().position(|known| *known == character).ok_or(NotAPredictionId)?;
            held = held << 5 | digit as u16;
            bits += 5;
            if bits >= 8 {
                bits -= 8;
                bytes[at] = (held >> bits) as u8;
                held &= (1 << bits) - 1;
                at += 1;
            }
        }
        Ok(Self::from_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn there_and_back(at in 0i64..1 << 48, revision in 0u64..1 << 48, random: u64) {
            let id = PredictionId::new(at, revision, random);
            prop_assert_eq!((id.at(), id.revision()), (at, revision));
            prop_assert_eq!(id.to_string().parse(), Ok(id));
            prop_assert_eq!(PredictionId::from_bytes(id.to_bytes()), id);
        }

        #[test]
        fn text_sorts_by_time(a in 0i64..1 << 48, b in 0i64..1 << 48, r: u64, s: u64) {
            let (first, second) = (PredictionId::new(a, r, s), PredictionId::new(b, s, r));
            prop_assert_eq!(first.to_string().cmp(&second.to_string()), first.cmp(&second));
            prop_assert!(a == b || (a < b) == (first < second));
        }

        #[test]
        fn nothing_else_is_one(text in ".{0,40}") {
            if let Ok(id) = text.parse::<PredictionId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }

    #[test]
    fn one_text_each() {
        let id = PredictionId::new(1_700_000_000_000, 42, u64::MAX);
        assert_eq!(id.to_string(), "065wzsb80000000000nfzzzzzzzzzzzz");
        for wrong in [String::new(), id.to_string().to_uppercase(), format!("{id} "), "i".repeat(32), "é".repeat(16)] {
            assert_eq!(wrong.parse::<PredictionId>(), Err(NotAPredictionId), "{wrong}");
        }
        assert_eq!(PredictionId::new(-5, u64::MAX, 0).at(), 0);
    }
}
