//! Words that SQL reserves. They can't be bare names, which is why the table matters to a client: `metrics.avg` is a
//! field, `avg` alone is not.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::lexer::Kind;

static WORDS: LazyLock<HashMap<&str, Kind>> = LazyLock::new(|| {
    let mut kind = Kind::Keyword;
    let mut words = HashMap::new();
    for line in include_str!("keywords.txt").lines() {
        match line {
            "# statement" => kind = Kind::Statement,
            "# control" => kind = Kind::Control,
            "# operator" => kind = Kind::Operator,
            "# name" => kind = Kind::Name,
            "# builtin" => kind = Kind::Builtin,
            "# keyword" => kind = Kind::Keyword,
            _ => words.extend(line.split_whitespace().map(|word| (word, kind))),
        }
    }
    words
});

/// Words that stay one token across the spaces between them; a longer phrase stands before its prefix.
const PHRASES: [(&[&str], Kind); 39] = [
    (&["LEFT", "OUTER", "JOIN"], Kind::Keyword),
    (&["RIGHT", "OUTER", "JOIN"], Kind::Keyword),
    (&["FULL", "OUTER", "JOIN"], Kind::Keyword),
    (&["LEFT", "JOIN"], Kind::Keyword),
    (&["RIGHT", "JOIN"], Kind::Keyword),
    (&["FULL", "JOIN"], Kind::Keyword),
    (&["INNER", "JOIN"], Kind::Keyword),
    (&["OUTER", "JOIN"], Kind::Keyword),
    (&["CROSS", "JOIN"], Kind::Keyword),
    (&["NATURAL", "JOIN"], Kind::Keyword),
    (&["JOIN"], Kind::Keyword),
    (&["END", "IF"], Kind::Keyword),
    (&["END", "LOOP"], Kind::Keyword),
    (&["END", "WHILE"], Kind::Keyword),
    (&["END", "FOR"], Kind::Keyword),
    (&["END", "CASE"], Kind::Keyword),
    (&["END"], Kind::Keyword),
    (&["IF", "NOT", "EXISTS"], Kind::Keyword),
    (&["IF", "EXISTS"], Kind::Keyword),
    (&["NOT", "NULL"], Kind::Keyword),
    (&["ASC", "NULLS", "FIRST"], Kind::Order),
    (&["ASC", "NULLS", "LAST"], Kind::Order),
    (&["DESC", "NULLS", "FIRST"], Kind::Order),
    (&["DESC", "NULLS", "LAST"], Kind::Order),
    (&["NULLS", "FIRST"], Kind::Order),
    (&["NULLS", "LAST"], Kind::Order),
    (&["ASC"], Kind::Order),
    (&["DESC"], Kind::Order),
    (&["UNION", "ALL"], Kind::Keyword),
    (&["CREATE", "OR", "REPLACE"], Kind::Statement),
    (&["CREATE"], Kind::Statement),
    (&["DOUBLE", "PRECISION"], Kind::Builtin),
    (&["GROUP", "BY"], Kind::Keyword),
    (&["ORDER", "BY"], Kind::Keyword),
    (&["PRIMARY", "KEY"], Kind::Keyword),
    (&["HANDLER", "FOR"], Kind::Keyword),
    (&["NOT", "LIKE"], Kind::Compare),
    (&["NOT", "ILIKE"], Kind::Compare),
    (&["NOT", "RLIKE"], Kind::Compare),
];

const COMPARING: [(&[&str], Kind); 7] = [
    (&["LIKE"], Kind::Compare),
    (&["ILIKE"], Kind::Compare),
    (&["RLIKE"], Kind::Compare),
    (&["NOT", "REGEXP", "BINARY"], Kind::Compare),
    (&["NOT", "REGEXP"], Kind::Compare),
    (&["REGEXP", "BINARY"], Kind::Compare),
    (&["REGEXP"], Kind::Compare),
];

/// Every phrase, in the order in which they are tried.
pub(super) fn phrases() -> impl Iterator<Item = &'static (&'static [&'static str], Kind)> {
    PHRASES.iter().chain(&COMPARING)
}

/// What kind of token a single word is.
pub(super) fn kind_of(word: &str) -> Kind {
    WORDS.get(word.to_uppercase().as_str()).copied().unwrap_or(Kind::Name)
}
