//! The formats of strings and numbers that are checked. Others are, as in Kubernetes, only documentation.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::{Number, Value};

use crate::quantity::Quantity;

/// A known `format`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    #[default]
    None,
    Int32,
    Int64,
    Float,
    Byte,
    Date,
    DateTime,
    Ipv4,
    Ipv6,
    Cidr,
    Uuid,
    /// Not from a schema's `format` but from the component's name.
    Quantity,
}

impl Format {
    pub(super) fn parse(name: &str) -> Self {
        match name {
            "int32" => Self::Int32,
            "int64" => Self::Int64,
            "float" => Self::Float,
            "byte" => Self::Byte,
            "date" => Self::Date,
            "date-time" | "datetime" => Self::DateTime,
            "ipv4" => Self::Ipv4,
            "ipv6" => Self::Ipv6,
            "cidr" => Self::Cidr,
            "uuid" => Self::Uuid,
            _ => Self::None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Float => "float",
            Self::Byte => "byte",
            Self::Date => "date",
            Self::DateTime => "date-time",
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Cidr => "cidr",
            Self::Uuid => "uuid",
            Self::Quantity => "quantity",
        }
    }

    /// Whether values are not to be quoted: what is encoded is mostly somebody's secret.
    pub(super) fn is_confidential(self) -> bool {
        self == Self::Byte
    }

    /// Whether a value of the right JSON type has the format.
    pub(super) fn accepts(self, value: &Value) -> bool {
        match value {
            Value::String(text) => self.accepts_text(text),
            Value::Number(number) => self.accepts_number(number),
            _ => true,
        }
    }

    fn accepts_number(self, number: &Number) -> bool {
        match self {
            Self::Int32 => number.as_f64().is_some_and(|n| f64::from(i32::MIN) <= n && n <= f64::from(i32::MAX)),
            Self::Int64 => !number.is_u64() || number.is_i64(),
            Self::Float => number.as_f64().is_some_and(|n| n.abs() <= f64::from(f32::MAX)),
            Self::Quantity => number.to_string().parse::<Quantity>().is_ok(),
            _ => true,
        }
    }

    fn accepts_text(self, text: &str) -> bool {
        match self {
            Self::Byte => is_base64(text.as_bytes()),
            Self::Date => is_date(text.as_bytes()),
            Self::DateTime => is_date_time(text.as_bytes()),
            Self::Ipv4 => text.parse::<Ipv4Addr>().is_ok(),
            Self::Ipv6 => text.parse::<Ipv6Addr>().is_ok(),
            Self::Cidr => is_cidr(text),
            Self::Uuid => is_uuid(text),
            Self::Quantity => text.parse::<Quantity>().is_ok(),
            _ => true,
        }
    }
}

/// Standard alphabet with padding; line ends are skipped, as Go's decoder does.
fn is_base64(text: &[u8]) -> bool {
    let mut digits = 0usize;
    let mut padding = 0usize;
    for byte in text {
        match byte {
            b'\r' | b'\n' => {}
            b'=' => padding += 1,
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' if padding == 0 => digits += 1,
            _ => return false,
        }
    }
    padding <= 2 && (digits + padding).is_multiple_of(4) && (padding == 0 || digits % 4 >= 2)
}

fn number_at(text: &[u8], start: usize, len: usize) -> Option<u32> {
    let digits = text.get(start..start + len)?;
    digits.iter().try_fold(0, |n, d| d.is_ascii_digit().then(|| n * 10 + u32::from(d - b'0')))
}

fn is_date(text: &[u8]) -> bool {
    let (Some(year), Some(month), Some(day)) = (number_at(text, 0, 4), number_at(text, 5, 2), number_at(text, 8, 2))
    else {
        return false;
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return false,
    };
    text.len() == 10 && text[4] == b'-' && text[7] == b'-' && (1..=days).contains(&day)
}

/// RFC 3339, without leap seconds.
fn is_date_time(text: &[u8]) -> bool {
    let Some((date, rest)) = text.split_at_checked(10) else {
        return false;
    };
    let clock = |text: &[u8], start: usize| {
        let hour = number_at(text, start, 2).is_some_and(|h| h < 24);
        let minute = number_at(text, start + 3, 2).is_some_and(|m| m < 60);
        hour && minute && text.get(start + 2) == Some(&b':')
    };
    let second = number_at(rest, 7, 2).is_some_and(|s| s < 60);
    if !is_date(date) || rest.first() != Some(&b'T') || !clock(rest, 1) || rest.get(6) != Some(&b':') || !second {
        return false;
    }
    let mut zone = &rest[9..];
    if let [b'.', fraction @ ..] = zone {
        let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 {
            return false;
        }
        zone = &fraction[digits..];
    }
    match zone {
        [b'Z'] => true,
        [b'+' | b'-', ..] => zone.len() == 6 && clock(zone, 1),
        _ => false,
    }
}

fn is_cidr(text: &str) -> bool {
    let Some((address, prefix)) = text.split_once('/') else {
        return false;
    };
    let prefix = if prefix.bytes().all(|b| b.is_ascii_digit()) { prefix.parse::<u8>().ok() } else { None };
    let most = match address.parse() {
        Ok(std::net::IpAddr::V4(_)) => 32,
        Ok(std::net::IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    prefix.is_some_and(|p| p <= most)
}

fn is_uuid(text: &str) -> bool {
    let hex = text.bytes().filter(u8::is_ascii_hexdigit).count();
    let dashes = text.bytes().filter(|b| *b == b'-').count();
    hex == 32 && hex + dashes == text.len() && dashes <= 4
}

#[cfg(test)]
mod tests {
    use super::Format;

    #[test]
    fn texts_are_told_apart() {
        let table: &[(Format, &[&str], &[&str])] = &[
            (
                Format::DateTime,
                &["2024-02-29T23:59:59Z", "2024-01-01T00:00:00.123456Z", "2024-01-01T00:00:00+02:00"],
                &[
                    "",
                    "2023-02-29T00:00:00Z",
                    "2024-01-01 00:00:00Z",
                    "2024-01-01T24:00:00Z",
                    "2024-01-01T00:00:00",
                    "2024-01-01T00:00:00.Z",
                    "2024-01-01T00:00:00+2:00",
                    "ä024-01-01T00:00:00Z",
                ],
            ),
            (Format::Byte, &["", "YQ==", "YWI=", "YWJj", "YW\nJj"], &["Y", "YQ=", "YQ===", "Y===", "Y!==", "Y=Q="]),
            (Format::Ipv4, &["10.0.0.1"], &["10.0.0", "::1"]),
            (Format::Ipv6, &["::1"], &["10.0.0.1"]),
            (Format::Cidr, &["10.0.0.0/8", "::/128"], &["10.0.0.0", "10.0.0.0/33", "10.0.0.0/+8"]),
            (Format::Uuid, &["f47ac10b-58cc-4372-a567-0e02b2c3d479"], &["f47ac10b"]),
            (Format::Date, &["2000-02-29"], &["1900-02-29", "2000-13-01", "2000-1-1"]),
            (Format::Quantity, &["100m", "1Gi", "1e3", "-5"], &["", "1 Gi", "lots"]),
        ];
        for (format, good, bad) in table {
            good.iter().for_each(|text| assert!(format.accepts(&(*text).into()), "{format:?} {text}"));
            bad.iter().for_each(|text| assert!(!format.accepts(&(*text).into()), "{format:?} {text}"));
        }
    }

    #[test]
    fn numbers_keep_to_their_width() {
        assert!(Format::Int32.accepts(&2_147_483_647.into()));
        assert!(!Format::Int32.accepts(&2_147_483_648_i64.into()));
        assert!(Format::Int64.accepts(&i64::MAX.into()));
        assert!(!Format::Int64.accepts(&u64::MAX.into()));
        assert!(Format::Quantity.accepts(&1.5.into()));
    }
}
