//! What scalars stand for.

use granit_parser::{ScalarStyle, Tag};
use serde_json::{Number, Value};

use super::tree::Reason;

/// The value of a scalar: tagged scalars are what the tag says, quoted ones are strings, plain ones what they look
/// like.
pub(super) fn resolve(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, Reason> {
    let Some(tag) = tag else {
        return if style == ScalarStyle::Plain { plain(text) } else { Ok(text.into()) };
    };
    let value = match tag.core_suffix() {
        Some("str") => return Ok(text.into()),
        Some("null" | "bool" | "int" | "float") => plain(text)?,
        _ if tag.parts() == ("", "!") || tag.parts() == ("!", "") => return Ok(text.into()),
        _ => return Err("a tag is not supported".into()),
    };
    let fits = match tag.core_suffix() {
        Some("null") => value.is_null(),
        Some("bool") => value.is_boolean(),
        Some("int") => value.is_i64() || value.is_u64(),
        _ => value.is_number(),
    };
    if fits { Ok(value) } else { Err("a scalar is not what its tag says".into()) }
}

/// The JSON key for a scalar that is a key in YAML.
pub(super) fn key(value: Value) -> Result<String, Reason> {
    match value {
        Value::String(text) => Ok(text),
        Value::Bool(value) => Ok(value.to_string()),
        // Integers that happen to be floats are written without fraction, as Go does.
        Value::Number(number) if number.is_f64() => Ok(number.as_f64().unwrap_or_default().to_string()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err("a key is neither a string nor a number nor a boolean".into())
        }
    }
}

fn plain(text: &str) -> Result<Value, Reason> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "true" | "True" | "TRUE" => return Ok(true.into()),
        "false" | "False" | "FALSE" => return Ok(false.into()),
        ".nan" | ".NaN" | ".NAN" => return Err("a number must be finite".into()),
        _ => {}
    }
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        Some(b'0'..=b'9' | b'.') => (false, text),
        _ => return Ok(text.into()),
    };
    if matches!(digits, ".inf" | ".Inf" | ".INF") {
        return Err("a number must be finite".into());
    }
    if let Some(number) = integer(negative, digits) {
        return Ok(Value::Number(number));
    }
    if !is_decimal(digits) {
        return Ok(text.into());
    }
    let number = text.parse().ok().and_then(Number::from_f64);
    number.map(Value::Number).ok_or_else(|| "a number must be finite".into())
}

/// Integers of 64 bits; larger ones are floats.
fn integer(negative: bool, digits: &str) -> Option<Number> {
    let radices = [("0x", 16), ("0o", 8), ("0b", 2), ("0", 8)];
    let prefixed = radices.iter().find_map(|(prefix, radix)| Some((digits.strip_prefix(prefix)?, *radix)));
    let (digits, radix) = prefixed.filter(|(rest, _)| !rest.is_empty()).unwrap_or((digits, 10));
    if !digits.starts_with(|digit: char| digit.is_digit(radix)) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if negative { 0_i64.checked_sub_unsigned(magnitude).map(Number::from) } else { Some(magnitude.into()) }
}

/// Digits, perhaps with a fraction and an exponent. A leading zero belongs to a fraction, not to `08`.
fn is_decimal(text: &str) -> bool {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    all_digits(whole)
        && all_digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && !(whole.len() > 1 && whole.starts_with('0') && whole.len() == text.len())
        && !exponent.is_empty()
        && all_digits(exponent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn plain_scalars_are_what_they_look_like() {
        for (text, expected) in [
            ("", json!(null)),
            ("~", json!(null)),
            ("True", json!(true)),
            ("yes", json!("yes")),
            ("0", json!(0)),
            ("-0", json!(0)),
            ("+7", json!(7)),
            ("0644", json!(420)),
            ("0o644", json!(420)),
            ("-0x1F", json!(-31)),
            ("0b101", json!(5)),
            ("08", json!("08")),
            ("0x", json!("0x")),
            ("0x+1", json!("0x+1")),
            ("--1", json!("--1")),
            ("1_000", json!("1_000")),
            ("18446744073709551615", json!(u64::MAX)),
            ("-9223372036854775808", json!(i64::MIN)),
            ("18446744073709551616", json!(18_446_744_073_709_551_616.0)),
            (".5", json!(0.5)),
            ("1.", json!(1.0)),
            ("0.25e-2", json!(0.0025)),
            ("1e3", json!(1000.0)),
            ("1e", json!("1e")),
            ("e1", json!("e1")),
            (".", json!(".")),
            ("-", json!("-")),
            ("1.2.3", json!("1.2.3")),
            ("2024-01-01", json!("2024-01-01")),
            ("100m", json!("100m")),
            ("infinity", json!("infinity")),
        ] {
            assert_eq!(resolve(text, ScalarStyle::Plain, None).unwrap(), expected, "{text}");
        }
        for text in [".nan", ".inf", "-.INF", "1e999"] {
            assert!(resolve(text, ScalarStyle::Plain, None).is_err(), "{text}");
        }
        assert_eq!(resolve("1", ScalarStyle::DoubleQuoted, None).unwrap(), json!("1"));
    }
}
