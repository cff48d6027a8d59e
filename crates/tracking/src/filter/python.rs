//! Texts the way Python writes and reads them, because messages and page tokens of the protocol carry them.

use std::fmt::Write as _;

use serde_json::Value;

/// `repr` of a `str`.
pub(crate) fn repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if c == quote => {
                out.push('\\');
                out.push(c);
            }
            _ if printable(c) => out.push(c),
            _ => drop(match u32::from(c) {
                n @ 0..=0xff => write!(out, "\\x{n:02x}"),
                n @ 0x100..=0xffff => write!(out, "\\u{n:04x}"),
                n => write!(out, "\\U{n:08x}"),
            }),
        }
    }
    out.push(quote);
    out
}

/// Rust escapes in `Debug` what Python escapes in `repr`; a combining mark only at the start of a text.
fn printable(c: char) -> bool {
    if c.is_control() {
        return false;
    }
    let mut buffer = String::from("x");
    buffer.push(c);
    !buffer.escape_debug().skip(1).take(3).eq("\\u{".chars())
}

/// `repr` of `bytes`.
pub(super) fn repr_bytes(bytes: &[u8]) -> String {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') { b'"' } else { b'\'' };
    let mut out = format!("b{}", char::from(quote));
    for &byte in bytes {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            _ if byte == quote => {
                out.push('\\');
                out.push(char::from(byte));
            }
            b' '..=b'~' => out.push(char::from(byte)),
            _ => drop(write!(out, "\\x{byte:02x}")),
        }
    }
    out.push(char::from(quote));
    out
}

/// `repr` of a list of `str`.
pub(crate) fn repr_list<S: AsRef<str>>(items: &[S]) -> String {
    let items: Vec<_> = items.iter().map(|item| repr(item.as_ref())).collect();
    format!("[{}]", items.join(", "))
}

/// `repr` of a set of `str`. Python's own order changes with every start of a server; this one is the order given.
pub(super) fn repr_set(items: &[&str]) -> String {
    let items: Vec<_> = items.iter().map(|item| repr(item)).collect();
    format!("{{{}}}", items.join(", "))
}

/// `repr` of a tuple of `str`.
pub(super) fn repr_tuple(items: &[&str]) -> String {
    let items: Vec<_> = items.iter().map(|item| repr(item)).collect();
    format!("({})", items.join(", "))
}

/// `repr` of what `json.loads` returns. Not for deeply nested values: `serde_json` bounds the depth when it reads.
pub(super) fn repr_json(value: &Value) -> String {
    match value {
        Value::Null => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Number(n) if n.is_f64() => repr_float(n.as_f64().unwrap_or_default()),
        Value::Number(n) => n.to_string(),
        Value::String(text) => repr(text),
        Value::Array(items) => format!("[{}]", items.iter().map(repr_json).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let entries: Vec<_> =
                map.iter().map(|(key, value)| format!("{}: {}", repr(key), repr_json(value))).collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

/// `repr` of a `float`.
pub(crate) fn repr_float(number: f64) -> String {
    if number.is_nan() {
        return "nan".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if number != 0.0 && !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    format!("{number:?}")
}

/// `json.dumps` of a `str`.
pub(super) fn json_text(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            _ => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
    out
}

/// `str.isspace`, which is also `\s`.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// `\w`.
pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// `int(text)`: the canonical decimal digits, of any length.
pub(super) fn int(text: &str) -> Option<String> {
    let text = text.trim_matches(is_space);
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = plain_digits(digits)?;
    let digits = match digits.trim_start_matches('0') {
        "" => return Some("0".into()),
        digits => digits,
    };
    Some(if negative { format!("-{digits}") } else { digits.into() })
}

/// Digits, in which single underscores may stand between two digits.
fn plain_digits(text: &str) -> Option<String> {
    let parts: Vec<_> = text.split('_').collect();
    parts.iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit())).then(|| parts.concat())
}

/// `float(text)`.
pub(super) fn float(text: &str) -> Option<f64> {
    let text = text.trim_matches(is_space);
    if !text.contains('_') {
        return text.parse().ok();
    }
    let bytes = text.as_bytes();
    let between_digits = |(at, byte): (usize, &u8)| {
        let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
        *byte != b'_' || (digit(at.checked_sub(1)) && digit(at.checked_add(1)))
    };
    bytes.iter().enumerate().all(between_digits).then(|| text.replace('_', "").parse().ok()).flatten()
}

/// `base64.b64decode(text)`, which ignores what is not of the alphabet and stops behind the padding.
pub(super) fn base64_decode(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut filled, mut pads) = (Vec::with_capacity(text.len() * 3 / 4), 0_u32, 0_u8, 0_u8);
    for byte in text.bytes() {
        let sextet = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                pads = pads.saturating_add(1);
                if filled >= 2 && filled.saturating_add(pads) >= 4 {
                    return Some(bytes);
                }
                continue;
            }
            128.. => return None,
            _ => continue,
        };
        pads = 0;
        bits = (bits << 6 | u32::from(sextet)) & 0xff_ffff;
        filled = (filled + 1) % 4;
        match filled {
            2 => bytes.push((bits >> 4 & 0xff) as u8),
            3 => bytes.push((bits >> 2 & 0xff) as u8),
            0 => bytes.push((bits & 0xff) as u8),
            _ => {}
        }
    }
    (filled == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_are_quoted_as_python_quotes_them() {
        assert_eq!(repr("it's"), r#""it's""#);
        assert_eq!(repr(r#"it's "x""#), r#"'it\'s "x"'"#);
        assert_eq!(repr("a\n\u{1}\u{a0}\u{200b}é\u{1f600}\u{e0001}"), "'a\\n\\x01\\xa0\\u200bé\u{1f600}\\U000e0001'");
        assert_eq!(repr_bytes(b"\xff'a\n"), r#"b"\xff'a\n""#);
        assert_eq!(repr_json(&json!({"a": [1, 1.5, null, true, "x"]})), "{'a': [1, 1.5, None, True, 'x']}");
        assert_eq!(json_text("é\u{1f600}\"\n"), r#""\u00e9\ud83d\ude00\"\n""#);
    }

    #[test]
    fn numbers_read_and_write_as_in_python() {
        for (number, text) in [
            (1.0, "1.0"),
            (0.0, "0.0"),
            (1e-5, "1e-05"),
            (1e16, "1e+16"),
            (1e15, "1000000000000000.0"),
            (0.0001, "0.0001"),
            (1.5e300, "1.5e+300"),
        ] {
            assert_eq!(repr_float(number), text);
        }
        assert_eq!(int(" -007 ").as_deref(), Some("-7"));
        assert_eq!(int("1_000").as_deref(), Some("1000"));
        assert_eq!(int("1__0"), None);
        assert_eq!(int("1.5"), None);
        assert_eq!(float("1_0.5"), Some(10.5));
        assert_eq!(float("_1"), None);
        assert_eq!(float("-.5"), Some(-0.5));
    }

    #[test]
    fn base64_is_read_leniently() {
        assert_eq!(base64_decode("YQ=="), Some(b"a".to_vec()));
        assert_eq!(base64_decode("Y Q\n=="), Some(b"a".to_vec()));
        assert_eq!(base64_decode("YQ==YQ=="), Some(b"a".to_vec()));
        assert_eq!(base64_decode("YQ"), None);
        assert_eq!(base64_decode("é"), None);
        assert_eq!(base64_decode("==YWJj"), Some(b"abc".to_vec()));
    }
}
