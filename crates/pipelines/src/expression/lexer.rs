//! Tokens of an expression.

/// A token and the byte at which it begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) at: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Name(String),
    Text(String),
    Integer(i64),
    Float(f64),
    /// Punctuation and operators.
    Sign(&'static str),
}

/// Longer signs stand before their prefixes.
const SIGNS: [&str; 17] = ["==", "!=", "<=", ">=", "&&", "||", "<", ">", "!", "(", ")", "[", "]", ".", ",", "-", "+"];

pub(super) fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        if first.is_ascii_whitespace() {
            at += 1;
            continue;
        }
        let rest = &text[at..];
        let (kind, length) = match first {
            'a'..='z' | 'A'..='Z' | '_' => {
                let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
                let name = &rest[..end.unwrap_or(rest.len())];
                (Kind::Name(name.to_owned()), name.len())
            }
            '\'' | '"' => quoted(rest, first).map_err(|reason| format!("{reason} at byte {at}"))?,
            '0'..='9' => number(rest).ok_or_else(|| format!("a number can't be read at byte {at}"))?,
            _ => match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
                Some(sign) => (Kind::Sign(sign), sign.len()),
                None => return Err(format!("{first:?} is not expected at byte {at}")),
            },
        };
        tokens.push(Token { kind, at });
        at += length;
    }
    Ok(tokens)
}

fn number(text: &str) -> Option<(Kind, usize)> {
    let mut end = 0;
    let bytes = text.as_bytes();
    let mut float = false;
    while let Some(byte) = bytes.get(end) {
        match byte {
            b'0'..=b'9' => {}
            b'.' if bytes.get(end + 1).is_some_and(u8::is_ascii_digit) => float = true,
            b'e' | b'E' => float = true,
            b'-' | b'+' if matches!(bytes[end - 1], b'e' | b'E') => {}
            _ => break,
        }
        end += 1;
    }
    let digits = &text[..end];
    let kind = if float { Kind::Float(digits.parse().ok()?) } else { Kind::Integer(digits.parse().ok()?) };
    Some((kind, end))
}

/// A string literal with CEL's escapes.
fn quoted(text: &str, quote: char) -> Result<(Kind, usize), String> {
    let mut value = String::new();
    let mut letters = text.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        if letter == quote {
            return Ok((Kind::Text(value), at + letter.len_utf8()));
        }
        if letter != '\\' {
            value.push(letter);
            continue;
        }
        let escaped = match letters.next().map(|(_, letter)| letter) {
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('a') => '\u{7}',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('v') => '\u{b}',
            Some(letter @ ('\\' | '\'' | '"' | '`' | '?')) => letter,
            Some(radix @ ('x' | 'u')) => {
                let digits: String = letters.by_ref().take(if radix == 'x' { 2 } else { 4 }).map(|(_, d)| d).collect();
                let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                code.ok_or("an escape in a literal can't be read")?
            }
            _ => {
                return Err(
                    "a backslash in a literal begins no escape: kfp does not escape literals in conditions".into()
                );
            }
        };
        value.push(escaped);
    }
    Err("a literal is not closed: kfp does not escape quotes in conditions".to_owned())
}
