//! W3C trace context (<https://www.w3.org/TR/trace-context/>) and the older `X-Trace-ID`.

use std::fmt;

/// A trace id: 16 bytes, not all zero, written as 32 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(u128);

impl TraceId {
    /// A new random id.
    pub fn random() -> Self {
        loop {
            let id = rand::random::<u128>();
            if id != 0 {
                return Self(id);
            }
        }
    }

    /// From the headers of a request: a valid `traceparent` wins, then an `X-Trace-ID` of 32 hex digits or a UUID,
    /// then a new random id.
    pub fn from_headers(traceparent: Option<&str>, x_trace_id: Option<&str>) -> Self {
        traceparent
            .and_then(Self::from_traceparent)
            .or_else(|| x_trace_id.and_then(Self::from_loose_hex))
            .unwrap_or_else(Self::random)
    }

    /// The trace id of `00-<trace-id>-<parent-id>-<flags>`. A later version is read as far as version 00 goes;
    /// version `ff`, zero ids and anything malformed give `None`.
    pub fn from_traceparent(header: &str) -> Option<Self> {
        let bytes = header.trim().as_bytes();
        if bytes.len() < 55 || [bytes[2], bytes[35], bytes[52]] != [b'-'; 3] {
            return None;
        }
        let version = lower_hex(&bytes[0..2])?;
        let known_length = if version == 0 { bytes.len() == 55 } else { bytes.len() == 55 || bytes[55] == b'-' };
        if version == 0xff || !known_length {
            return None;
        }
        let parent = lower_hex(&bytes[36..52])?;
        lower_hex(&bytes[53..55])?;
        let trace = lower_hex(&bytes[3..35])?;
        (trace != 0 && parent != 0).then_some(Self(trace))
    }

    fn from_loose_hex(text: &str) -> Option<Self> {
        let digits: String = text.trim().chars().filter(|c| *c != '-').collect::<String>().to_ascii_lowercase();
        if digits.len() != 32 {
            return None;
        }
        lower_hex(digits.as_bytes()).filter(|id| *id != 0).map(Self)
    }
}

fn lower_hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0u128, |value, digit| {
        let nibble = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some((value << 4) | u128::from(nibble))
    })
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn traceparent_wins_over_x_trace_id() {
        let parent = format!("00-{ID}-00f067aa0ba902b7-01");
        assert_eq!(TraceId::from_headers(Some(&parent), Some(&"1".repeat(32))).to_string(), ID);
        assert_eq!(TraceId::from_headers(Some("junk"), Some(ID)).to_string(), ID);
        assert_eq!(TraceId::from_headers(None, Some("4BF92F35-77b3-4da6-a3ce-929d0e0e4736")).to_string(), ID);
    }

    #[test]
    fn malformed_parents_are_refused() {
        for bad in [
            format!("ff-{ID}-00f067aa0ba902b7-01"),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{ID}-{}-01", "0".repeat(16)),
            format!("00-{ID}-00f067aa0ba902b7-01-extra"),
            format!("00-{}-00f067aa0ba902b7-01", ID.to_uppercase()),
            "ä".repeat(40),
        ] {
            assert_eq!(TraceId::from_traceparent(&bad), None, "{bad}");
        }
        assert!(TraceId::from_traceparent(&format!("01-{ID}-00f067aa0ba902b7-01-extra")).is_some());
    }
}
