//! Breadth first from a node, level by level: a fixed number of queries a level, however many nodes it has.

use std::collections::HashSet;

use mcplane_core::Result;
use mcplane_db::Snapshot;

use super::graph::{Direction, Edge, EdgeKind};
use super::{Node, derived, reported};

/// Nodes of an answer at most.
pub(super) const MOST_NODES: usize = 1000;
/// Edges that one query gives at most.
pub(super) const MOST_EDGES: usize = 4 * MOST_NODES;

/// One of the two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Up,
    Down,
}

impl Way {
    /// The end of an edge at which it arrives.
    fn end(self, edge: &Edge) -> &Node {
        match self {
            Self::Up => &edge.from,
            Self::Down => &edge.to,
        }
    }
}

impl Direction {
    fn ways(self) -> &'static [Way] {
        match self {
            Self::Upstream => &[Way::Up],
            Self::Downstream => &[Way::Down],
            Self::Both => &[Way::Up, Way::Down],
        }
    }
}

/// What a walk found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) nodes: Vec<Node>,
    pub(super) edges: Vec<Edge>,
    pub(super) truncated: bool,
    known: HashSet<Node>,
    drawn: HashSet<(Node, Node, EdgeKind)>,
}

impl Found {
    /// Takes a node in; tells whether there is room for it.
    fn take(&mut self, node: &Node) -> bool {
        if self.known.contains(node) {
            return true;
        }
        if self.nodes.len() == MOST_NODES {
            self.truncated = true;
            return false;
        }
        self.known.insert(node.clone());
        self.nodes.push(node.clone());
        true
    }
}

/// Walks from a node for `depth` levels.
pub(super) async fn walk(
    view: &mut Snapshot,
    namespace: &str,
    start: &Node,
    direction: Direction,
    depth: u32,
) -> Result<Found> {
    let mut found = Found::default();
    found.take(start);
    for way in direction.ways() {
        let mut level = vec![start.clone()];
        let mut visited = HashSet::from([start.clone()]);
        for _ in 0..depth {
            if level.is_empty() {
                break;
            }
            let mut edges = derived::edges(view, namespace, &level, *way, &mut found.truncated).await?;
            edges.extend(reported::edges(view, namespace, &level, *way, &mut found.truncated).await?);
            level.clear();
            for edge in edges {
                let end = way.end(&edge);
                if !found.take(end) {
                    continue;
                }
                if visited.insert(end.clone()) {
                    level.push(end.clone());
                }
                // Others may tell again what is known here, without what it was for.
                if found.drawn.insert((edge.from.clone(), edge.to.clone(), edge.kind)) {
                    found.edges.push(edge);
                }
            }
        }
    }
    Ok(found)
}
