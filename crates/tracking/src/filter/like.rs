//! What `LIKE` and `ILIKE` mean, and how each database is asked for it.
//!
//! In a pattern `%` is any text and `_` any one character. There is no escape: a backslash is a backslash. The databases
//! differ: SQLite's `LIKE` ignores the case of ASCII letters, so case-sensitive matching needs `GLOB`; PostgreSQL's
//! takes the backslash for an escape, so it must be doubled.
//!
//! | | SQLite | PostgreSQL |
//! |---|---|---|
//! | `LIKE` | `col GLOB` [`to_glob`] | `col LIKE` [`to_postgres`] |
//! | `ILIKE` | `lower(col) LIKE lower(` the pattern `)` | `lower(col) LIKE lower(` [`to_postgres`] `)` |
//!
//! SQLite folds ASCII letters only.

/// How a pattern treats case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// `LIKE`: case matters.
    Sensitive,
    /// `ILIKE`: case does not matter.
    Insensitive,
}

/// The pattern of SQLite's `GLOB` that matches what `pattern` matches with case respected.
pub fn to_glob(pattern: &str) -> String {
    let mut glob = String::with_capacity(pattern.len());
    for c in pattern.chars() {
        match c {
            '%' => glob.push('*'),
            '_' => glob.push('?'),
            '*' | '?' | '[' => glob.extend(['[', c, ']']),
            c => glob.push(c),
        }
    }
    glob
}

/// The pattern of PostgreSQL's `LIKE` and `ILIKE` in which a backslash stands for itself.
pub fn to_postgres(pattern: &str) -> String {
    pattern.replace('\\', "\\\\")
}

/// Whether a text matches, for lists that are not in a database. Case is folded as SQLite does, for ASCII only.
pub fn matches(text: &str, pattern: &str, case: Case) -> bool {
    let fold = |text: &str| match case {
        Case::Sensitive => text.to_owned(),
        Case::Insensitive => text.to_ascii_lowercase(),
    };
    let (text, pattern): (Vec<char>, Vec<char>) = (fold(text).chars().collect(), fold(pattern).chars().collect());
    let (mut at, mut next) = (0, 0);
    // Where to go on when what follows the last `%` does not fit.
    let mut retry: Option<(usize, usize)> = None;
    while let Some(c) = text.get(at) {
        match pattern.get(next) {
            Some('%') => {
                retry = Some((at, next + 1));
                next += 1;
            }
            Some(p) if *p == '_' || p == c => {
                at += 1;
                next += 1;
            }
            _ => match retry {
                Some((from, behind)) => {
                    (at, next) = (from + 1, behind);
                    retry = Some((from + 1, behind));
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(next).all(|c| *c == '%')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_characters_of_one_language_are_plain_in_the_other() {
        for (pattern, glob) in
            [("%abc_", "*abc?"), ("50*", "50[*]"), ("a?b", "a[?]b"), ("[x]", "[[]x]"), ("^-]\\", "^-]\\"), ("", "")]
        {
            assert_eq!(to_glob(pattern), glob);
        }
        assert_eq!(to_postgres(r"a\%_"), r"a\\%_");
    }

    #[test]
    fn matching_is_that_of_the_database() {
        for line in include_str!("../../tests/fixtures/filter/like.jsonl").lines() {
            let case: serde_json::Value = serde_json::from_str(line).unwrap();
            let field = |name: &str| case[name].as_str().unwrap();
            let (text, pattern) = (field("text"), field("pattern"));
            assert_eq!(to_glob(pattern), field("glob"), "{line}");
            assert_eq!(matches(text, pattern, Case::Sensitive), case["like"].as_bool().unwrap(), "{line}");
            assert_eq!(matches(text, pattern, Case::Insensitive), case["ilike"].as_bool().unwrap(), "{line}");
        }
    }
}
