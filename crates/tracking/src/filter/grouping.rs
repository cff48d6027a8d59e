//! Tokens to groups: passes over the list of tokens, each of which joins what belongs together. The passes and their
//! order decide which pieces a message about an invalid clause names.
//!
//! Groups nest at most [`DEPTH`] deep (parentheses one level less), so recursion over them is bounded; each pass is linear.

use std::mem;

use super::lexer::{Kind, Node};
use super::statement::TooComplex;

/// Deepest nesting of groups.
const DEPTH: u8 = 101;

type Nodes<'a> = Result<Vec<Node<'a>>, TooComplex>;
type Test = fn(&Node<'_>) -> bool;
type TestNext = fn(Option<&Node<'_>>) -> bool;

/// Every pass over the tokens of one statement.
pub(super) fn group<'a>(source: &'a str, nodes: Vec<Node<'a>>) -> Nodes<'a> {
    let source = Source(source);
    let mut nodes = source.comments(nodes)?;
    for (kind, open, close) in PAIRS {
        nodes = deep(nodes, false, &[kind], &|nodes, _| source.pairs(nodes, kind, open, close))?;
    }
    nodes = deep(nodes, false, &[Kind::Function], &|nodes, _| source.functions(nodes))?;
    nodes = deep(nodes, false, &[Kind::Where], &|nodes, delimited| source.wheres(nodes, delimited))?;
    nodes = deep(nodes, false, &[PERIOD.kind], &|nodes, delimited| source.join(nodes, delimited, &PERIOD))?;
    nodes = source.join(nodes, false, &ARRAY)?;
    nodes = deep(nodes, false, &[Kind::Identifier], &|nodes, _| source.identifiers(nodes))?;
    nodes = deep(nodes, false, &[Kind::Identifier], &|nodes, _| source.orders(nodes))?;
    for rule in [&TYPE_CAST, &TYPED_LITERAL, &OPERATION, &COMPARISON, &AS] {
        nodes = deep(nodes, false, &[rule.kind], &|nodes, delimited| source.join(nodes, delimited, rule))?;
    }
    nodes = deep(nodes, false, &[], &|nodes, _| source.aliases(nodes))?;
    nodes = deep(nodes, false, &[ASSIGN.kind], &|nodes, delimited| source.join(nodes, delimited, &ASSIGN))?;
    nodes = deep(nodes, false, &[], &|nodes, _| source.trailing_comments(nodes))?;
    deep(nodes, false, &[LIST.kind], &|nodes, delimited| source.join(nodes, delimited, &LIST))
}

/// Applies a pass to the lists inside of all groups but the kinds `skip`, innermost first, then to the list itself.
/// `delimited` lists keep their first and last node for themselves.
fn deep<'a>(
    mut nodes: Vec<Node<'a>>,
    delimited: bool,
    skip: &[Kind],
    pass: &dyn Fn(Vec<Node<'a>>, bool) -> Nodes<'a>,
) -> Nodes<'a> {
    for node in &mut nodes {
        if node.is_group() && !skip.contains(&node.kind) {
            let delimited = matches!(node.kind, Kind::Parenthesis | Kind::Brackets | Kind::Case | Kind::Block);
            node.nodes = deep(mem::take(&mut node.nodes), delimited, skip, pass)?;
            node.depth = depth_above(&node.nodes)?;
        }
    }
    pass(nodes, delimited)
}

fn depth_above(nodes: &[Node<'_>]) -> Result<u8, TooComplex> {
    let below = nodes.iter().map(|node| node.depth).max().unwrap_or_default();
    if below >= DEPTH { Err(TooComplex::Depth) } else { Ok(below + 1) }
}

/// Nodes that are enclosed by two tokens.
const PAIRS: [(Kind, Test, Test); 6] = [
    (Kind::Brackets, |n| n.is(Kind::Punctuation, "["), |n| n.is(Kind::Punctuation, "]")),
    (Kind::Parenthesis, |n| n.is(Kind::Punctuation, "("), |n| n.is(Kind::Punctuation, ")")),
    (Kind::Case, |n| n.is_word("CASE"), |n| n.is_word("END")),
    (Kind::Block, |n| n.is_word("IF"), |n| n.is_word("END IF")),
    (Kind::Block, |n| n.is_word("FOR") || n.is_word("FOREACH"), |n| n.is_word("END LOOP")),
    (Kind::Block, |n| n.is_word("BEGIN"), |n| n.is_word("END")),
];

/// How a token in the middle joins its neighbours.
struct Join {
    /// Kind of the group.
    kind: Kind,
    /// A left neighbour of that kind grows instead of being put into a new group.
    extend: bool,
    middle: Test,
    left: Test,
    right: TestNext,
    /// Whether the right neighbour becomes part of the group.
    take_right: TestNext,
    /// Whether the left neighbour does.
    take_left: bool,
}

fn is_any(_: &Node<'_>) -> bool {
    true
}

fn always(_: Option<&Node<'_>>) -> bool {
    true
}

const PERIOD: Join = Join {
    kind: Kind::Identifier,
    extend: true,
    middle: |n| n.is(Kind::Punctuation, ".") || n.is(Kind::Operator, "->") || n.is(Kind::Operator, "->>"),
    left: |n| matches!(n.kind, Kind::Brackets | Kind::Identifier | Kind::Name | Kind::Symbol),
    right: always,
    take_right: |n| {
        n.is_some_and(|n| {
            matches!(
                n.kind,
                Kind::Brackets | Kind::Function | Kind::Name | Kind::Symbol | Kind::Wildcard | Kind::Single
            )
        })
    },
    take_left: true,
};

const ARRAY: Join = Join {
    kind: Kind::Identifier,
    extend: true,
    middle: |n| n.kind == Kind::Brackets,
    left: |n| matches!(n.kind, Kind::Brackets | Kind::Identifier | Kind::Function | Kind::Name | Kind::Symbol),
    right: always,
    take_right: |_| false,
    take_left: true,
};

const TYPE_CAST: Join = Join {
    kind: Kind::Identifier,
    extend: true,
    middle: |n| n.is(Kind::Punctuation, "::"),
    left: is_any,
    right: |n| n.is_some(),
    take_right: always,
    take_left: true,
};

const TYPED_LITERAL: Join = Join {
    kind: Kind::TypedLiteral,
    extend: false,
    middle: |n| n.kind == Kind::Builtin || n.is_word("TIMESTAMP"),
    left: is_any,
    right: |n| n.is_some_and(|n| n.kind == Kind::Single),
    take_right: always,
    take_left: false,
};

const OPERATION: Join = Join {
    kind: Kind::Operation,
    extend: false,
    middle: |n| matches!(n.kind, Kind::Operator | Kind::Wildcard),
    left: is_operand,
    right: |n| n.is_some_and(is_operand),
    take_right: always,
    take_left: true,
};

const COMPARISON: Join = Join {
    kind: Kind::Comparison,
    extend: false,
    middle: |n| n.kind == Kind::Compare,
    left: is_comparable,
    right: |n| n.is_some_and(is_comparable),
    take_right: always,
    take_left: true,
};

const AS: Join = Join {
    kind: Kind::Identifier,
    extend: true,
    middle: |n| n.is_word("AS"),
    left: |n| n.text.eq_ignore_ascii_case("NULL") || !n.kind.is_keyword(),
    right: |n| n.is_some_and(|n| n.kind != Kind::Statement),
    take_right: always,
    take_left: true,
};

const ASSIGN: Join = Join {
    kind: Kind::Assign,
    extend: true,
    middle: |n| n.kind == Kind::Assignment,
    left: |n| n.kind != Kind::Keyword,
    right: |n| n.is_some_and(|n| n.kind != Kind::Keyword),
    take_right: always,
    take_left: true,
};

const LIST: Join = Join {
    kind: Kind::List,
    extend: true,
    middle: |n| n.is(Kind::Punctuation, ","),
    left: is_listable,
    right: |n| n.is_some_and(is_listable),
    take_right: always,
    take_left: true,
};

/// Numbers, texts and names.
fn is_atom(kind: Kind) -> bool {
    matches!(kind, Kind::Integer | Kind::Float | Kind::Single | Kind::Symbol | Kind::Name | Kind::Placeholder)
}

fn is_operand(node: &Node<'_>) -> bool {
    is_atom(node.kind)
        || matches!(
            node.kind,
            Kind::Brackets
                | Kind::Parenthesis
                | Kind::Function
                | Kind::Identifier
                | Kind::Operation
                | Kind::TypedLiteral
        )
        || ["CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP"].iter().any(|word| node.is_word(word))
}

fn is_comparable(node: &Node<'_>) -> bool {
    is_atom(node.kind)
        || matches!(
            node.kind,
            Kind::Parenthesis | Kind::Function | Kind::Identifier | Kind::Operation | Kind::TypedLiteral
        )
        || node.is_word("NULL")
}

fn is_listable(node: &Node<'_>) -> bool {
    is_atom(node.kind)
        || matches!(
            node.kind,
            Kind::Function
                | Kind::Case
                | Kind::Identifier
                | Kind::Comparison
                | Kind::List
                | Kind::Operation
                | Kind::Keyword
                | Kind::Wildcard
        )
}

/// The text of which every node is a part.
#[derive(Clone, Copy)]
struct Source<'a>(&'a str);

impl<'a> Source<'a> {
    /// A group of adjacent nodes. The first one is extended if it is of kind `extend`.
    fn group(self, kind: Kind, extend: Option<Kind>, nodes: Vec<Node<'a>>) -> Result<Node<'a>, TooComplex> {
        let start = nodes.first().map_or(0, |node| node.start);
        let end = nodes.last().map_or(start, |node| node.start + node.text.len());
        let text = &self.0[start..end];
        let extends = nodes.first().is_some_and(|node| node.is_group() && Some(node.kind) == extend);
        let mut nodes = nodes;
        let kind = if extends { extend.unwrap_or(kind) } else { kind };
        if extends {
            let mut rest = nodes.into_iter();
            nodes = rest.next().map(|first| first.nodes).unwrap_or_default();
            nodes.extend(rest);
        }
        let depth = depth_above(&nodes)?;
        if kind == Kind::Parenthesis && depth == DEPTH {
            return Err(TooComplex::Depth);
        }
        Ok(Node { kind, text, start, nodes, depth })
    }

    fn comments(self, nodes: Vec<Node<'a>>) -> Nodes<'a> {
        let mut out = Vec::with_capacity(nodes.len());
        let mut run: Vec<Node<'a>> = Vec::new();
        for node in nodes {
            let continues = node.kind == Kind::Comment || (!run.is_empty() && node.kind == Kind::Newline);
            if continues {
                run.push(node);
                continue;
            }
            if !run.is_empty() {
                out.push(self.group(Kind::Comments, None, mem::take(&mut run))?);
            }
            out.push(node);
        }
        // What ends the text stays as it is.
        out.append(&mut run);
        Ok(out)
    }

    fn pairs(self, nodes: Vec<Node<'a>>, kind: Kind, open: Test, close: Test) -> Nodes<'a> {
        let mut out: Vec<Node<'a>> = Vec::with_capacity(nodes.len());
        let mut opened = Vec::new();
        for node in nodes {
            let closes = close(&node);
            if open(&node) {
                opened.push(out.len());
            }
            out.push(node);
            if let Some(from) = closes.then(|| opened.pop()).flatten() {
                let inside = out.split_off(from);
                out.push(self.group(kind, None, inside)?);
            }
        }
        Ok(out)
    }

    fn functions(self, nodes: Vec<Node<'a>>) -> Nodes<'a> {
        self.with_next(
            nodes,
            |node| matches!(node.kind, Kind::Name | Kind::Placeholder | Kind::Builtin),
            |next| next.kind == Kind::Parenthesis,
            Kind::Function,
            None,
        )
    }

    fn aliases(self, nodes: Vec<Node<'a>>) -> Nodes<'a> {
        let can_have_alias = |node: &Node<'_>| {
            node.kind.is_number()
                || matches!(
                    node.kind,
                    Kind::Parenthesis
                        | Kind::Function
                        | Kind::Case
                        | Kind::Identifier
                        | Kind::Operation
                        | Kind::Comparison
                )
        };
        let is_alias = |next: &Node<'_>| next.kind == Kind::Identifier;
        self.with_next(nodes, can_have_alias, is_alias, Kind::Identifier, Some(Kind::Identifier))
    }

    /// Joins nodes with the next one that is no space.
    fn with_next(
        self,
        mut rest: Vec<Node<'a>>,
        this: impl Fn(&Node<'_>) -> bool,
        next: impl Fn(&Node<'_>) -> bool,
        kind: Kind,
        extend: Option<Kind>,
    ) -> Nodes<'a> {
        let mut out = Vec::with_capacity(rest.len());
        rest.reverse();
        while let Some(node) = rest.pop() {
            let joins = this(&node) && following(&rest).is_some_and(&next);
            if !joins {
                out.push(node);
                continue;
            }
            let mut inside = vec![node];
            take_following(&mut rest, &mut inside);
            out.push(self.group(kind, extend, inside)?);
        }
        Ok(out)
    }

    fn wheres(self, nodes: Vec<Node<'a>>, delimited: bool) -> Nodes<'a> {
        const ENDS: [&str; 10] = [
            "ORDER BY",
            "GROUP BY",
            "LIMIT",
            "UNION",
            "UNION ALL",
            "EXCEPT",
            "INTERSECT",
            "HAVING",
            "RETURNING",
            "INTO",
        ];
        let last = nodes.len().saturating_sub(1);
        let mut out = Vec::with_capacity(nodes.len());
        let mut clause: Vec<Node<'a>> = Vec::new();
        for (index, node) in nodes.into_iter().enumerate() {
            let ends = ENDS.iter().any(|word| node.is_word(word)) || (delimited && index == last);
            if ends && !clause.is_empty() {
                out.push(self.group(Kind::Where, None, mem::take(&mut clause))?);
            }
            if !clause.is_empty() || node.is_word("WHERE") {
                clause.push(node);
            } else {
                out.push(node);
            }
        }
        if !clause.is_empty() {
            out.push(self.group(Kind::Where, None, clause)?);
        }
        Ok(out)
    }

    fn identifiers(self, nodes: Vec<Node<'a>>) -> Nodes<'a> {
        let wrap = |node: Node<'a>| match node.kind {
            Kind::Name | Kind::Symbol => self.group(Kind::Identifier, None, vec![node]),
            _ => Ok(node),
        };
        nodes.into_iter().map(wrap).collect()
    }

    fn orders(self, nodes: Vec<Node<'a>>) -> Nodes<'a> {
        let mut out: Vec<Node<'a>> = Vec::with_capacity(nodes.len());
        for node in nodes {
            let orders = node.kind == Kind::Order;
            let previous = out.iter().rposition(|node| !node.kind.is_space()).filter(|_| orders);
            out.push(node);
            let sortable = |at: usize| out.get(at).is_some_and(|n| n.kind == Kind::Identifier || n.kind.is_number());
            if let Some(from) = previous.filter(|&at| sortable(at)) {
                let inside = out.split_off(from);
                out.push(self.group(Kind::Identifier, None, inside)?);
            }
        }
        Ok(out)
    }

    /// A comment belongs to the group before it.
    fn trailing_comments(self, nodes: Vec<Node<'a>>) -> Nodes<'a> {
        let mut out: Vec<Node<'a>> = Vec::with_capacity(nodes.len());
        for node in nodes {
            let comment = node.kind == Kind::Comments;
            let previous = out.iter().rposition(|node| !node.kind.is_space()).filter(|_| comment);
            out.push(node);
            if let Some(from) = previous.filter(|&at| out.get(at).is_some_and(Node::is_group)) {
                let inside = out.split_off(from);
                let extend = inside.first().map(|node| node.kind);
                out.push(self.group(Kind::Comments, extend, inside)?);
            }
        }
        Ok(out)
    }

    fn join(self, mut rest: Vec<Node<'a>>, delimited: bool, rule: &Join) -> Nodes<'a> {
        let mut out: Vec<Node<'a>> = Vec::with_capacity(rest.len());
        // Where the left neighbour is, and whether it fits.
        let mut left: Option<(usize, bool)> = None;
        rest.reverse();
        while let Some(node) = rest.pop() {
            if node.kind.is_space() {
                out.push(node);
                continue;
            }
            let right = following(&rest);
            let right_delimits =
                delimited && right.is_some_and(|_| rest.first().is_some_and(|last| is_same(last, right)));
            let joins = (rule.middle)(&node) && (rule.right)(right) && !right_delimits;
            let Some((from, _)) = left.filter(|&(_, fits)| joins && fits) else {
                let delimits = delimited && (out.is_empty() || rest.is_empty());
                left = Some((out.len(), !delimits && (rule.left)(&node)));
                out.push(node);
                continue;
            };
            let take_right = (rule.take_right)(right);
            let from = if rule.take_left { from } else { out.len() };
            // The group is as good a left neighbour as its last part.
            let right_fits = take_right.then(|| right.is_some_and(rule.left));
            let mut inside = out.split_off(from);
            inside.push(node);
            let mut chained = take_right;
            while chained {
                take_following(&mut rest, &mut inside);
                // What was taken may want a right neighbour itself.
                chained = inside.last().is_some_and(rule.middle) && (rule.right)(following(&rest));
            }
            let group = self.group(rule.kind, rule.extend.then_some(rule.kind), inside)?;
            left = Some((from, right_fits.unwrap_or_else(|| (rule.left)(&group))));
            out.push(group);
        }
        Ok(out)
    }
}

fn is_same(node: &Node<'_>, other: Option<&Node<'_>>) -> bool {
    other.is_some_and(|other| other.start == node.start)
}

/// The next node that is no space; `rest` is in reverse order.
fn following<'n, 'a>(rest: &'n [Node<'a>]) -> Option<&'n Node<'a>> {
    rest.iter().rev().find(|node| !node.kind.is_space())
}

/// Moves nodes from `rest`, which is in reverse order, up to and with the next one that is no space.
fn take_following<'a>(rest: &mut Vec<Node<'a>>, into: &mut Vec<Node<'a>>) {
    while let Some(node) = rest.pop() {
        let space = node.kind.is_space();
        into.push(node);
        if !space {
            return;
        }
    }
}
