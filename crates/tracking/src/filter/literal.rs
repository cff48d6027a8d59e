//! The list of an `IN`, which clients write as a Python tuple of strings: `('a', "b")`.

use mcplane_core::Result;

use super::clause::bad;
use super::python;

/// The texts of the list in parentheses.
pub(super) fn texts(source: &str) -> Result<Vec<String>> {
    let mut reader = Reader { rest: source };
    let literal = reader.group().filter(|_| {
        reader.space();
        reader.rest.is_empty()
    });
    let items = match literal {
        None => {
            return bad(
                "While parsing a list in the query, expected a non-empty list of string values, but got ill-formed list.",
            );
        }
        Some(Literal::Tuple(items)) => items,
        Some(item) => vec![item],
    };
    if items.is_empty() {
        return bad(
            "While parsing a list in the query, expected a non-empty list of string values, but got empty list",
        );
    }
    let all: String = repr(&items);
    let text = |item| match item {
        Literal::Text(text) => Some(text),
        _ => None,
    };
    match items.into_iter().map(text).collect() {
        Some(texts) => Ok(texts),
        None => bad(format!(
            "While parsing a list in the query, expected string value, punctuation, or whitespace, but got different \
             type in list: {all}"
        )),
    }
}

enum Literal {
    Text(String),
    /// A number or a constant, as Python would show it.
    Other(String),
    Tuple(Vec<Literal>),
}

fn repr(items: &[Literal]) -> String {
    let shown: Vec<_> = items
        .iter()
        .map(|item| match item {
            Literal::Text(text) => python::repr(text),
            Literal::Other(text) => text.clone(),
            Literal::Tuple(items) => repr(items),
        })
        .collect();
    let comma = if shown.len() == 1 { "," } else { "" };
    format!("({}{comma})", shown.join(", "))
}

/// Parentheses nest no deeper than the grouping of the whole filter allows, and so does this.
struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn space(&mut self) {
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r', '\u{c}']);
            let Some(comment) = self.rest.strip_prefix('#') else { return };
            self.rest = comment.find('\n').and_then(|end| comment.get(end..)).unwrap_or_default();
        }
    }

    fn take(&mut self, token: &str) -> bool {
        self.space();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// A tuple, or one item in parentheses.
    fn group(&mut self) -> Option<Literal> {
        if !self.take("(") {
            return None;
        }
        let mut items = Vec::new();
        let mut commas = 0;
        loop {
            if self.take(")") {
                break;
            }
            if items.len() > commas {
                return None;
            }
            items.push(self.item()?);
            commas += usize::from(self.take(","));
        }
        if items.len() == 1 && commas == 0 { items.pop() } else { Some(Literal::Tuple(items)) }
    }

    fn item(&mut self) -> Option<Literal> {
        self.space();
        if self.rest.starts_with('(') {
            return self.group();
        }
        let mut texts = None;
        while let Some(text) = self.text()? {
            texts.get_or_insert_with(String::new).push_str(&text);
            self.space();
        }
        match texts {
            Some(text) => Some(Literal::Text(text)),
            None => self.other().map(Literal::Other),
        }
    }

    /// A number, or one of the constants.
    fn other(&mut self) -> Option<String> {
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '-' | '_'));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        if matches!(word, "None" | "True" | "False") {
            return Some(word.into());
        }
        let digits = word.strip_prefix('-').unwrap_or(word);
        if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            return None;
        }
        let whole = digits.bytes().all(|b| b.is_ascii_digit() || b == b'_');
        if whole && digits.starts_with('0') && !digits.trim_matches(['0', '_']).is_empty() {
            return None;
        }
        if whole { python::int(word) } else { python::float(word).map(python::repr_float) }
    }

    /// The next string, `Some(None)` if what follows is none.
    fn text(&mut self) -> Option<Option<String>> {
        let unprefixed = self.rest.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        let prefix = &self.rest[..self.rest.len() - unprefixed.len()];
        let raw = match prefix {
            "" | "u" | "U" => false,
            "r" | "R" => true,
            _ => return Some(None),
        };
        let Some(quote) = unprefixed.chars().next().filter(|c| matches!(c, '\'' | '"')) else { return Some(None) };
        let triple = [quote; 3].iter().collect::<String>();
        if let Some(inner) = unprefixed.strip_prefix(&triple) {
            return self.body(inner, &triple, raw).map(Some);
        }
        self.body(&unprefixed[1..], &triple[..1], raw).map(Some)
    }

    fn body(&mut self, inner: &'a str, end: &str, raw: bool) -> Option<String> {
        let mut out = String::new();
        let mut chars = inner.chars();
        loop {
            if let Some(rest) = chars.as_str().strip_prefix(end) {
                self.rest = rest;
                return Some(out);
            }
            match chars.next()? {
                '\n' | '\r' if end.len() == 1 => return None,
                '\\' if raw => {
                    out.push('\\');
                    out.push(chars.next()?);
                }
                '\\' => escape(&mut chars, &mut out)?,
                c => out.push(c),
            }
        }
    }
}

fn escape(chars: &mut std::str::Chars<'_>, out: &mut String) -> Option<()> {
    let escaped = chars.next()?;
    let length = match escaped {
        '\n' => return Some(()),
        '\\' | '\'' | '"' => {
            out.push(escaped);
            return Some(());
        }
        'x' => 2,
        'u' => 4,
        'U' => 8,
        'N' => return None,
        '0'..='7' => {
            let octal: String = chars.as_str().chars().take(2).take_while(|c| ('0'..='7').contains(c)).collect();
            chars.by_ref().take(octal.len()).for_each(drop);
            out.push(char::from_u32(u32::from_str_radix(&format!("{escaped}{octal}"), 8).ok()?)?);
            return Some(());
        }
        _ => {
            match "abfnrtv".find(escaped).and_then(|at| "\u{7}\u{8}\u{c}\n\r\t\u{b}".chars().nth(at)) {
                Some(control) => out.push(control),
                None => out.extend(['\\', escaped]),
            }
            return Some(());
        }
    };
    let digits = chars.as_str().get(..length).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
    out.push(char::from_u32(u32::from_str_radix(digits, 16).ok()?)?);
    *chars = chars.as_str().get(length..)?.chars();
    Some(())
}
