//! Values from text: the forms that are taken, and no others, so that a column means the same to whoever reads it.

use jiff::civil;

/// A whole number: an optional sign and digits, within 64 bits.
pub fn integer(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let (negative, digits) = match bytes.first()? {
        b'-' => (true, &bytes[1..]),
        b'+' => (false, &bytes[1..]),
        _ => (false, bytes),
    };
    if digits.is_empty() || digits.len() > 19 {
        // More digits may still be zeros in front.
        return if digits.is_empty() { None } else { text.parse().ok() };
    }
    let mut value: u64 = 0;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // Nineteen digits fit.
        value = value * 10 + u64::from(digit);
    }
    if negative { 0_i64.checked_sub_unsigned(value) } else { i64::try_from(value).ok() }
}

/// A number, with point and exponent; `nan` and `inf` too, in any case.
pub fn number(text: &str) -> Option<f64> {
    // Most numbers are whole and short, and are read without the general parser; so few digits are exact.
    if text.len() <= 15
        && let Some(value) = integer(text)
        && (value != 0 || !text.starts_with('-'))
    {
        return Some(value as f64);
    }
    text.parse().ok()
}

/// `true` and `false`, in lower case, capitalised or in capitals.
pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

fn digits(bytes: &[u8]) -> Option<i32> {
    bytes.iter().try_fold(0_i32, |value, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit <= 9).then(|| value * 10 + i32::from(digit))
    })
}

/// `2013-01-31` as days since 1970-01-01.
pub fn date(text: &str) -> Option<i32> {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let (year, month, day) = (digits(&bytes[..4])?, digits(&bytes[5..7])?, digits(&bytes[8..])?);
    let month_days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        1..=12 => 31,
        _ => return None,
    };
    (1..=month_days).contains(&day).then(|| days(year, month, day))
}

/// Days since 1970-01-01 of a day of the Gregorian calendar (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn days(year: i32, month: i32, day: i32) -> i32 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// `2013-01-31T05:00:00`, with a space for the `T`, a fraction, and `Z` or an offset such as `-05:00`, as microseconds since
/// 1970-01-01T00:00:00Z. Without offset it counts as UTC. Digits beyond microseconds are cut off.
pub fn timestamp(text: &str) -> Option<i64> {
    const DAY: i64 = 86_400;
    let bytes = text.as_bytes();
    if bytes.len() < 19 || !matches!(bytes[10], b'T' | b' ') || bytes[13] != b':' || bytes[16] != b':' {
        return None;
    }
    let days = i64::from(date(text.get(..10)?)?);
    let (hour, minute, second) = (digits(&bytes[11..13])?, digits(&bytes[14..16])?, digits(&bytes[17..19])?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut rest = &bytes[19..];
    let mut micros = 0;
    if let Some(fraction) = rest.strip_prefix(b".") {
        let count = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            return None;
        }
        for place in 0..6 {
            micros =
                micros * 10 + fraction.get(place).filter(|_| place < count).map_or(0, |byte| i64::from(byte - b'0'));
        }
        rest = &fraction[count..];
    }
    let offset = match rest {
        b"" | b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), hours @ ..] => {
            let (hours, minutes) = match hours {
                [a, b, b':', c, d] | [a, b, c, d] => (digits(&[*a, *b])?, digits(&[*c, *d])?),
                [a, b] => (digits(&[*a, *b])?, 0),
                _ => return None,
            };
            if hours > 23 || minutes > 59 {
                return None;
            }
            let seconds = i64::from(hours * 3600 + minutes * 60);
            if *sign == b'-' { -seconds } else { seconds }
        }
        _ => return None,
    };
    let seconds = days * DAY + i64::from(hour * 3600 + minute * 60 + second) - offset;
    Some(seconds * 1_000_000 + micros)
}

pub(crate) fn show_date(days: i32) -> String {
    let epoch = civil::date(1970, 1, 1);
    let shown = epoch.checked_add(jiff::Span::new().days(i64::from(days).clamp(-7_000_000, 7_000_000)));
    shown.map_or_else(|_| format!("day {days}"), |date| date.to_string())
}

pub(crate) fn show_timestamp(micros: i64) -> String {
    jiff::Timestamp::from_microsecond(micros).map_or_else(|_| format!("{micros} µs"), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn forms_are_strict() {
        for text in ["", "-", "+", "1.0", "1e3", " 1", "1 ", "9223372036854775808", "0x1", "१"] {
            assert_eq!(integer(text), None, "{text:?}");
        }
        assert_eq!(integer("-9223372036854775808"), Some(i64::MIN));
        assert_eq!(integer("00000000000000000000007"), Some(7));
        assert_eq!(number("-0").map(f64::is_sign_negative), Some(true));
        assert_eq!((number("1e3"), number("inf"), number("")), (Some(1000.0), Some(f64::INFINITY), None));
        assert_eq!((boolean("True"), boolean("1")), (Some(true), None));
        for text in ["2013-02-29", "2013-13-01", "2013-1-1", "2013/01/01", "20130101", "2013-00-10", "2013-01-00"] {
            assert_eq!(date(text), None, "{text:?}");
        }
        for text in [
            "2013-01-01",
            "2013-01-01T24:00:00",
            "2013-01-01T05:00",
            "2013-01-01 05:00:00.",
            "2013-01-01 05:00:00 UTC",
            "2013-01-01T05:00:00+5",
            "2013-01-01T05:00:00é",
        ] {
            assert_eq!(timestamp(text), None, "{text:?}");
        }
        assert_eq!(timestamp("1970-01-01 00:00:01.5"), Some(1_500_000));
        assert_eq!(timestamp("1969-12-31T19:00:00-05:00"), Some(0));
        assert_eq!(timestamp("1970-01-01T00:00:00.123456789Z"), Some(123_456));
    }

    proptest! {
        #[test]
        fn numbers_are_those_of_the_standard_library(text in "[+-]?[0-9]{0,20}(\\.[0-9]{0,5})?(e[0-9]{1,2})?") {
            prop_assert_eq!(integer(&text), text.parse::<i64>().ok());
            prop_assert_eq!(number(&text).map(f64::to_bits), text.parse::<f64>().ok().map(f64::to_bits));
        }

        #[test]
        fn times_are_those_of_the_calendar(micros in -62_135_596_800_000_000_i64..253_402_207_200_000_000) {
            prop_assert_eq!(timestamp(&show_timestamp(micros)), Some(micros));
            let days = (micros / 86_400_000_000) as i32;
            prop_assert_eq!(date(&show_date(days)), Some(days));
        }

        #[test]
        fn nothing_panics(text in "\\PC*") {
            let _ = (integer(&text), number(&text), boolean(&text), date(&text), timestamp(&text));
        }
    }
}
