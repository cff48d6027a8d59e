//! Text to the top-level pieces of one statement: comparisons, what stands between them, and what should not be there.

use super::MAX_TOKENS;
use super::grouping;
use super::lexer::{self, Kind, Node};

/// What a text contains.
pub(super) enum Parsed<'a> {
    /// Nothing but spaces.
    Nothing,
    One(Vec<Node<'a>>),
    /// Statements separated by semicolons.
    Many,
}

/// Why a text can't be parsed.
#[derive(Debug, Clone, Copy)]
pub(super) enum TooComplex {
    /// Groups are nested too deep.
    Depth,
    /// There are more than [`MAX_TOKENS`] tokens.
    Tokens,
}

pub(super) fn parse(source: &str) -> Result<Parsed<'_>, TooComplex> {
    let mut tokens = lexer::tokens(source, MAX_TOKENS).ok_or(TooComplex::Tokens)?;
    let (statements, first) = count(&tokens);
    tokens.truncate(first);
    match statements {
        0 => Ok(Parsed::Nothing),
        1 => grouping::group(source, tokens).map(Parsed::One),
        _ => Ok(Parsed::Many),
    }
}

/// How many statements there are, and how many tokens the first one has. A semicolon outside of parentheses, or the word `GO`, ends one, with the spaces and
/// the comment behind it on the same line.
fn count(tokens: &[Node<'_>]) -> (usize, usize) {
    let mut first = None;
    let (mut statements, mut pending, mut ended, mut level) = (0, false, false, 0_i64);
    for (index, token) in tokens.iter().enumerate() {
        let apart = ["/*", "--+", "# +"].iter().any(|start| token.text.starts_with(start));
        let trails = token.kind == Kind::Whitespace || (token.kind == Kind::Comment && !apart);
        if ended && !trails {
            statements += 1;
            first = first.or(Some(index));
            (pending, ended, level) = (false, false, 0);
        }
        pending |= !token.kind.is_space();
        if token.is(Kind::Punctuation, "(") {
            level += 1;
        } else if token.is(Kind::Punctuation, ")") {
            level -= 1;
        }
        ended |= (token.is(Kind::Punctuation, ";") && level <= 0) || token.is(Kind::Keyword, "GO");
    }
    (statements + usize::from(pending), first.unwrap_or(tokens.len()))
}

/// A comparison, or a piece that is none.
pub(super) enum Item<'n, 'a> {
    Piece(&'n Node<'a>),
    /// A comparison of words: `IN`, `IS NULL`, ...
    Words {
        left: &'n Node<'a>,
        op: &'n str,
        right: Option<&'n Node<'a>>,
    },
}

/// Whether a statement may compare the bare word `timestamp`, which SQL reserves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Timestamp {
    Reserved,
    Field,
}

/// The pieces of a statement without spaces, with the comparisons of words put together.
pub(super) fn items<'n, 'a>(nodes: &'n [Node<'a>], timestamp: Timestamp) -> Vec<Item<'n, 'a>> {
    let nodes: Vec<_> = nodes.iter().filter(|node| !node.kind.is_space()).collect();
    let mut items = Vec::with_capacity(nodes.len());
    let mut rest = nodes.as_slice();
    while let [first, tail @ ..] = rest {
        let [second, third, ..] = tail else {
            items.extend(rest.iter().map(|node| Item::Piece(node)));
            break;
        };
        rest = tail;
        if timestamp == Timestamp::Field && matches!((first.kind, first.text), (Kind::Builtin, "timestamp")) {
            rest = tail.get(2..).unwrap_or_default();
            let compares = second.kind == Kind::Compare && ["=", "!=", "<", "<=", ">", ">="].contains(&second.text);
            if compares && third.kind == Kind::Integer {
                items.push(Item::Words { left: first, op: second.text, right: Some(third) });
                continue;
            }
            // Named once more below, as clients see it.
            items.extend([first, second, third].map(|node| Item::Piece(node)));
        }
        if first.kind != Kind::Identifier {
            items.push(Item::Piece(first));
            continue;
        }
        let (words, taken) = match tail.get(2) {
            _ if second.is_word("IN") && third.kind == Kind::Parenthesis => (Some((second.text, Some(*third))), 2),
            _ if second.is_word("IS") && third.is_word("NULL") => (Some(("IS NULL", None)), 2),
            _ if second.is_word("IS") && third.is_word("NOT NULL") => (Some(("IS NOT NULL", None)), 2),
            None => (None, 2),
            Some(fourth) if second.is_word("NOT") && third.is_word("IN") && fourth.kind == Kind::Parenthesis => {
                (Some(("NOT IN", Some(*fourth))), 3)
            }
            Some(_) => (None, 3),
        };
        match words {
            Some((op, right)) => items.push(Item::Words { left: first, op, right }),
            None => items.extend(rest_of(first, tail, taken)),
        }
        rest = tail.get(taken..).unwrap_or_default();
    }
    items
}

fn rest_of<'n, 'a>(first: &'n Node<'a>, tail: &[&'n Node<'a>], taken: usize) -> impl Iterator<Item = Item<'n, 'a>> {
    std::iter::once(Item::Piece(first)).chain(tail.iter().take(taken).map(|node| Item::Piece(node)).collect::<Vec<_>>())
}
