//! Text to tokens, by the rules of the tokenizer that MLflow clients have come to rely on. Rules are tried in order at
//! each position; the first that fits wins. Every character ends up in exactly one token.

use std::collections::HashMap;

use super::keywords;
use super::python::{is_space, is_word};

/// Kinds of tokens, then kinds of groups of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Whitespace,
    Newline,
    Comment,
    Assignment,
    Punctuation,
    Wildcard,
    Name,
    Placeholder,
    /// Name of a type, for example `timestamp`.
    Builtin,
    Command,
    Keyword,
    /// Keyword that starts a statement.
    Statement,
    /// Keyword about rights.
    Control,
    /// `ASC`, `DESC` and what may follow.
    Order,
    Hexadecimal,
    Float,
    Integer,
    /// Text in single quotes.
    Single,
    /// Text in double quotes.
    Symbol,
    Compare,
    Operator,
    /// Text between dollar tags.
    Literal,
    Error,
    // Groups.
    Identifier,
    Comparison,
    Parenthesis,
    Brackets,
    Case,
    Block,
    Function,
    Where,
    Operation,
    TypedLiteral,
    Assign,
    Comments,
    List,
}

impl Kind {
    pub(super) fn is_space(self) -> bool {
        matches!(self, Self::Whitespace | Self::Newline)
    }

    pub(super) fn is_keyword(self) -> bool {
        matches!(self, Self::Keyword | Self::Statement | Self::Control | Self::Order)
    }

    pub(super) fn is_number(self) -> bool {
        matches!(self, Self::Hexadecimal | Self::Float | Self::Integer)
    }
}

/// A token, or a group of them.
#[derive(Debug)]
pub(super) struct Node<'a> {
    pub kind: Kind,
    pub text: &'a str,
    /// Where `text` starts in the whole.
    pub start: usize,
    /// Empty for a token.
    pub nodes: Vec<Node<'a>>,
    /// Levels of groups below, this one included; 0 for a token.
    pub depth: u8,
}

impl Node<'_> {
    pub(super) fn is(&self, kind: Kind, text: &str) -> bool {
        self.kind == kind && self.text == text
    }

    /// Keywords are compared without case.
    pub(super) fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Keyword && self.text.eq_ignore_ascii_case(word)
    }

    pub(super) fn is_group(&self) -> bool {
        self.depth > 0
    }
}

/// The tokens of `source`, or `None` if they are more than `limit`.
pub(super) fn tokens(source: &str, limit: usize) -> Option<Vec<Node<'_>>> {
    let lexer = Lexer::new(source);
    let (mut tokens, mut start) = (Vec::new(), 0);
    while start < source.len() {
        if tokens.len() == limit {
            return None;
        }
        let (kind, end) = lexer.token(start);
        tokens.push(Node { kind, text: &source[start..end], start, nodes: Vec::new(), depth: 0 });
        start = end;
    }
    Some(tokens)
}

struct Lexer<'a> {
    source: &'a str,
    /// Where the last `*/` starts: an opener behind it is never closed.
    last_comment_end: Option<usize>,
    /// Where the last occurrence of each dollar tag starts.
    last_dollar_tags: HashMap<&'a str, usize>,
}

type Token = Option<(Kind, usize)>;

impl<'a> Lexer<'a> {
    fn new(source: &'a str) -> Self {
        let mut lexer = Self { source, last_comment_end: source.rfind("*/"), last_dollar_tags: HashMap::new() };
        for (at, _) in source.match_indices('$') {
            if let Some(tag) = lexer.dollar_tag(at) {
                lexer.last_dollar_tags.insert(tag, at);
            }
        }
        lexer
    }

    fn rest(&self, at: usize) -> &'a str {
        self.source.get(at..).unwrap_or_default()
    }

    fn char_at(&self, at: usize) -> Option<char> {
        self.rest(at).chars().next()
    }

    fn char_before(&self, at: usize) -> Option<char> {
        self.source.get(..at)?.chars().next_back()
    }

    /// End of the longest run of `of` that starts at `at`.
    fn run(&self, at: usize, of: impl Fn(char) -> bool) -> usize {
        self.rest(at).find(|c| !of(c)).map_or(self.source.len(), |length| at + length)
    }

    fn token(&self, at: usize) -> (Kind, usize) {
        self.delimited(at)
            .or_else(|| self.comment(at))
            .or_else(|| self.space(at))
            .or_else(|| self.colon(at))
            .or_else(|| self.quoted_name(at))
            .or_else(|| self.placeholder(at))
            .or_else(|| self.never_a_function(at))
            .or_else(|| self.name(at))
            .or_else(|| self.number(at))
            .or_else(|| self.quoted(at, '\'', Kind::Single))
            .or_else(|| self.quoted(at, '"', Kind::Symbol))
            .or_else(|| self.bracketed_name(at))
            .or_else(|| self.phrase(at))
            .or_else(|| self.word(at))
            .or_else(|| self.operator(at))
            .unwrap_or_else(|| (Kind::Error, at + self.char_at(at).map_or(1, char::len_utf8)))
    }

    /// `/* comment */` and `$tag$ text $tag$`, both only if closed.
    fn delimited(&self, at: usize) -> Token {
        let rest = self.rest(at);
        if rest.starts_with("/*") {
            let inner = at + if rest.starts_with("/*+") { 3 } else { 2 };
            return (self.last_comment_end? >= inner)
                .then(|| self.rest(inner).find("*/"))
                .flatten()
                .map(|length| (Kind::Comment, inner + length + 2));
        }
        let tag = self.dollar_tag(at)?;
        if self.char_before(at).is_some_and(|c| is_word(c) || c == '"' || c == '$') {
            return None;
        }
        let inner = at + tag.len();
        (*self.last_dollar_tags.get(tag)? >= inner)
            .then(|| self.rest(inner).find(tag))
            .flatten()
            .map(|length| (Kind::Literal, inner + length + tag.len()))
    }

    fn dollar_tag(&self, at: usize) -> Option<&'a str> {
        let inner = at + self.rest(at).starts_with('$').then_some(1)?;
        let named = self.char_at(inner).is_some_and(|c| is_letter(c) || c == '_');
        let end = if named { self.run(inner, is_word) } else { inner };
        self.rest(end).starts_with('$').then(|| &self.source[at..=end])
    }

    fn comment(&self, at: usize) -> Token {
        let rest = self.rest(at);
        if !rest.starts_with("--") && !rest.starts_with("# ") {
            return None;
        }
        let end = self.run(at, |c| c != '\r' && c != '\n');
        Some((Kind::Comment, self.newline(end).unwrap_or(end)))
    }

    fn newline(&self, at: usize) -> Option<usize> {
        let rest = self.rest(at);
        if rest.starts_with("\r\n") {
            return Some(at + 2);
        }
        rest.starts_with(['\r', '\n']).then_some(at + 1)
    }

    fn space(&self, at: usize) -> Token {
        self.newline(at)
            .map(|end| (Kind::Newline, end))
            .or_else(|| self.char_at(at).filter(|&c| is_space(c)).map(|c| (Kind::Whitespace, at + c.len_utf8())))
    }

    fn colon(&self, at: usize) -> Token {
        [(":=", Kind::Assignment), ("::", Kind::Punctuation), ("*", Kind::Wildcard)]
            .into_iter()
            .find(|(text, _)| self.rest(at).starts_with(text))
            .map(|(text, kind)| (kind, at + text.len()))
    }

    fn quoted_name(&self, at: usize) -> Token {
        self.quoted(at, '`', Kind::Name).or_else(|| self.quoted(at, '´', Kind::Name))
    }

    /// Text between two quotes. A doubled quote, and in strings one behind a backslash, belongs to the text; but if
    /// nothing closes it then, the first quote of the last such pair does.
    fn quoted(&self, at: usize, quote: char, kind: Kind) -> Token {
        let escapes = matches!(kind, Kind::Single | Kind::Symbol);
        let mut chars = self.rest(at).strip_prefix(quote)?.char_indices().peekable();
        let (inner, width) = (at + quote.len_utf8(), quote.len_utf8());
        let mut fallback = None;
        while let Some((offset, c)) = chars.next() {
            let next_is_quote = chars.peek().is_some_and(|&(_, next)| next == quote);
            if c == quote && !next_is_quote {
                return Some((kind, inner + offset + width));
            }
            if next_is_quote && (c == quote || (escapes && c == '\\')) {
                fallback = Some(inner + offset + if c == quote { 0 } else { 1 } + width);
                chars.next();
            }
        }
        fallback.map(|end| (kind, end))
    }

    fn placeholder(&self, at: usize) -> Token {
        let rest = self.rest(at);
        if rest.starts_with('?') {
            return Some((Kind::Placeholder, at + 1));
        }
        if rest.starts_with('%') {
            let named = rest.starts_with("%(").then(|| self.run(at + 2, is_word)).filter(|&end| end > at + 2);
            let end = named.filter(|&end| self.rest(end).starts_with(')')).map_or(at + 1, |end| end + 1);
            return self.rest(end).starts_with(['s', 'S']).then_some((Kind::Placeholder, end + 1));
        }
        let kind = match rest.chars().next()? {
            '$' | ':' if !self.char_before(at).is_some_and(is_word) => Kind::Placeholder,
            '\\' => Kind::Command,
            _ => return None,
        };
        let end = self.run(at + 1, is_word);
        (end > at + 1).then_some((kind, end))
    }

    fn never_a_function(&self, at: usize) -> Token {
        let end = self.run(at, is_word);
        ["CASE", "IN", "VALUES", "USING", "FROM", "AS"]
            .iter()
            .any(|word| self.source[at..end].eq_ignore_ascii_case(word))
            .then_some((Kind::Keyword, end))
    }

    /// `@name` and `#name`; any word, even a reserved one, before or behind a period or before a parenthesis.
    fn name(&self, at: usize) -> Token {
        for prefix in ["@", "##", "#"] {
            let Some(letter) = self.rest(at).strip_prefix(prefix).and_then(|rest| rest.chars().next()) else {
                continue;
            };
            let second = at + prefix.len() + letter.len_utf8();
            let end = self.run(second, is_word);
            if is_letter(letter) && end > second {
                return Some((Kind::Name, end));
            }
        }
        if !self.char_at(at).is_some_and(is_letter) {
            return None;
        }
        let end = self.run(at, is_word);
        let mut behind = self.rest(end).trim_start_matches(is_space).chars();
        let member = behind.next() == Some('.') && !behind.next().is_some_and(|c| c.is_ascii_digit());
        (member || self.char_before(at) == Some('.') || self.rest(end).starts_with('(')).then_some((Kind::Name, end))
    }

    fn number(&self, at: usize) -> Token {
        let first = if self.rest(at).starts_with('-') { at + 1 } else { at };
        let digits = |at| self.run(at, |c| c.is_ascii_digit());
        let whole = digits(first);
        if self.rest(first).get(..2).is_some_and(|prefix| prefix.eq_ignore_ascii_case("0x")) {
            let end = self.run(first + 2, |c| c.is_ascii_hexdigit());
            if end > first + 2 {
                return Some((Kind::Hexadecimal, end));
            }
        }
        let period = self.rest(whole).starts_with('.');
        let fraction = if period { digits(whole + 1) } else { whole };
        if whole > first && (!period || fraction > whole + 1) && self.rest(fraction).starts_with(['e', 'E']) {
            let exponent = fraction + 1 + usize::from(self.rest(fraction + 1).starts_with('-'));
            if digits(exponent) > exponent {
                return Some((Kind::Float, digits(exponent)));
            }
        }
        if period {
            // A letter behind a number takes the last digit with it.
            let shortest = whole + if whole > first { 1 } else { 2 };
            if let Some(end) = self.before_letter(fraction, shortest) {
                return Some((Kind::Float, end));
            }
        }
        self.before_letter(whole, first + 1).map(|end| (Kind::Integer, end))
    }

    /// `end`, or one less if a letter follows, but not below `least`.
    fn before_letter(&self, end: usize, least: usize) -> Option<usize> {
        let letter = self.char_at(end).is_some_and(|c| is_letter(c) || c == '_');
        let end = if letter { end.checked_sub(1)? } else { end };
        (end >= least).then_some(end)
    }

    fn bracketed_name(&self, at: usize) -> Token {
        if !self.rest(at).starts_with('[') || self.char_before(at).is_some_and(|c| is_word(c) || c == ']' || c == ')') {
            return None;
        }
        let end = self.run(at + 1, |c| c != '[' && c != ']');
        (end > at + 1 && self.rest(end).starts_with(']')).then_some((Kind::Name, end + 1))
    }

    fn phrase(&self, at: usize) -> Token {
        let first = &self.source[at..self.run(at, is_word)];
        keywords::phrases()
            .filter(|(words, _)| words.first().is_some_and(|word| first.eq_ignore_ascii_case(word)))
            .find_map(|(words, kind)| Some((*kind, self.words(at, words)?)))
    }

    fn words(&self, at: usize, words: &[&str]) -> Option<usize> {
        let mut end = at;
        for (index, word) in words.iter().enumerate() {
            let start = if index == 0 { end } else { self.run(end, is_space) };
            end = self.run(start, is_word);
            if !self.source[start..end].eq_ignore_ascii_case(word) {
                return None;
            }
        }
        Some(end)
    }

    fn word(&self, at: usize) -> Token {
        self.char_at(at).filter(|&c| is_word(c))?;
        let end = self.run(at, |c| is_word(c) || c == '$' || c == '#');
        Some((keywords::kind_of(&self.source[at..end]), end))
    }

    fn operator(&self, at: usize) -> Token {
        let rest = self.rest(at);
        if rest.starts_with([';', ':', '(', ')', '[', ']', ',', '.']) {
            return Some((Kind::Punctuation, at + 1));
        }
        for text in ["->>", "->", "#>>", "#>", "@>", "<@", "-", "#-"] {
            if rest.starts_with(text) {
                return Some((Kind::Operator, at + text.len()));
            }
        }
        for (kind, set) in [(Kind::Compare, "<>=~!"), (Kind::Operator, "+/@#%^&|-")] {
            let end = self.run(at, |c| set.contains(c));
            if end > at {
                return Some((kind, end));
            }
        }
        None
    }
}

/// `[A-ZÀ-Ü]` without case, as Python folds it.
fn is_letter(c: char) -> bool {
    match c {
        'À'..='Ü' | 'à'..='ö' | 'ø'..='ü' => true,
        '\u{130}' | '\u{131}' | '\u{17f}' | '\u{212a}' | '\u{212b}' => true,
        _ => c.is_ascii_alphabetic(),
    }
}
