//! Clauses of an order: a field, then perhaps `ASC` or `DESC`.

use mcplane_core::Result;

use super::clause::{attribute, bad, key, split};
use super::lexer::{Kind, Node};
use super::statement::{self, Parsed};
use super::{MAX_LENGTH, MAX_ORDERS, python};

pub(super) fn check_count(count: usize) -> Result<()> {
    if count > MAX_ORDERS {
        return bad(format!("`order_by` contains {count} clauses; at most {MAX_ORDERS} are allowed."));
    }
    Ok(())
}

/// The name of the field, without the space around it, and whether the order is ascending.
pub(super) fn clause(order_by: &str) -> Result<(String, bool)> {
    let unparsed = || bad(format!("Invalid order_by clause '{order_by}'. Could not be parsed."));
    if order_by.len() > MAX_LENGTH {
        return bad(format!("A clause of `order_by` is longer than {MAX_LENGTH} bytes."));
    }
    let nodes = match statement::parse(order_by) {
        Ok(Parsed::One(nodes)) => nodes,
        Ok(_) => return unparsed(),
        Err(_) => return bad(format!("Error on parsing order_by clause '{order_by}'")),
    };
    let Some(text) = field_text(&nodes) else { return unparsed() };
    let Some(words) = shell_words(&text.replace('`', "\"")) else { return unparsed() };
    let (name, ascending) = match words.as_slice() {
        [name, direction] => match direction.to_lowercase().as_str() {
            "asc" => (name.as_str(), true),
            "desc" => (name.as_str(), false),
            _ => return bad(format!("Invalid ordering key in order_by clause '{order_by}'.")),
        },
        [] | [_] => (text.as_str(), true),
        _ => return unparsed(),
    };
    Ok((name.trim_matches(python::is_space).into(), ascending))
}

/// An identifier; or the word `timestamp`, which is reserved and therefore none.
fn field_text(nodes: &[Node<'_>]) -> Option<String> {
    let is_timestamp = |node: &Node<'_>| node.is(Kind::Builtin, "timestamp");
    match nodes {
        [only] if only.kind == Kind::Identifier || is_timestamp(only) => Some(only.text.into()),
        [first, between @ .., last]
            if is_timestamp(first) && between.iter().all(|node| node.kind.is_space()) && last.kind == Kind::Order =>
        {
            Some(format!("timestamp {}", last.text))
        }
        _ => None,
    }
}

/// Words as a shell splits them, without expansion or comments. `None` if a quote or an escape is left open.
fn shell_words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        end if end == c => break,
                        '\\' if c == '"' => match chars.next()? {
                            escaped @ ('"' | '\\') => word.push(escaped),
                            other => word.extend(['\\', other]),
                        },
                        inside => word.push(inside),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(chars.next()?),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

/// The types of field that the columns of experiments and of the registry may be named with.
const ENTITIES: [&str; 3] = ["attribute", "tag", "tags"];

/// Whether the entity type is a tag; no entity type is an attribute.
pub(super) fn is_tag(entity: Option<&str>) -> Result<bool> {
    match entity {
        None | Some("attribute") => Ok(false),
        Some("tag" | "tags") => Ok(true),
        Some(other) => {
            let valid = python::repr_tuple(&ENTITIES);
            bad(format!("Invalid entity type '{other}'. Valid entity types are {valid}"))
        }
    }
}

/// A column, or the key of a tag.
pub(super) enum Column<'t> {
    Attribute(&'static str),
    Tag(&'t str),
}

pub(super) fn column<'t>(identifier: &'t str, valid: &[&'static str]) -> Result<Column<'t>> {
    let (entity, name) = split(identifier);
    let is_tag = is_tag(entity)?;
    let name = key(name);
    if is_tag { Ok(Column::Tag(name)) } else { attribute(name, valid).map(Column::Attribute) }
}

/// The message about a field that was named before.
pub(super) fn duplicate<T>(order_by: &[String]) -> Result<T> {
    bad(format!("`order_by` contains duplicate fields: {}", python::repr_list(order_by)))
}

#[cfg(test)]
mod tests {
    use super::shell_words;

    #[test]
    fn words_split_as_in_a_shell() {
        for (text, words) in [
            (r#"a "b c" 'd "e'"#, vec!["a", "b c", r#"d "e"#]),
            (r#"a"b\"c\d"e\ f"#, vec![r#"ab"c\de f"#]),
            (r#" "" "#, vec![""]),
            ("", vec![]),
        ] {
            assert_eq!(shell_words(text).unwrap(), words, "{text}");
        }
        assert_eq!(shell_words("'a"), None);
        assert_eq!(shell_words("a\\"), None);
    }
}
