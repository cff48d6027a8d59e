//! One entry of a segment.

/// Longest entry that a segment can hold; more without an end is damage.
pub(super) const LONGEST: usize = 32 << 10;

/// `2016-10-06T00:17:09.669794202Z stdout F message`, without the line's end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) time: &'a [u8],
    pub(super) stderr: bool,
    /// The line ends here.
    pub(super) whole: bool,
    pub(super) message: &'a [u8],
}

impl<'a> Entry<'a> {
    pub(super) fn parse(text: &'a [u8]) -> Option<Self> {
        let mut parts = text.splitn(4, |byte| *byte == b' ');
        let time = parts.next()?;
        let stderr = match parts.next()? {
            b"stdout" => false,
            b"stderr" => true,
            _ => return None,
        };
        let whole = match parts.next()? {
            b"F" => true,
            b"P" => false,
            _ => return None,
        };
        Some(Self { time, stderr, whole, message: parts.next()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read() {
        let entry = Entry::parse(b"T stderr P a b ").unwrap();
        assert_eq!(entry, Entry { time: b"T", stderr: true, whole: false, message: b"a b " });
        assert_eq!(Entry::parse(b"T stdout F ").unwrap().message, b"");
        for bad in [&b""[..], b"T", b"T stdout", b"T stdout F", b"T stdlog F x", b"T stdout X x"] {
            assert_eq!(Entry::parse(bad), None);
        }
    }
}
