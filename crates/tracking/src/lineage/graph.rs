//! What a query answers.

use std::str::FromStr;

use mcplane_core::{Error, Result};
use serde::Serialize;
use serde_json::{Map, Value};

use super::Node;

/// Which way to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To what it was made from.
    Upstream,
    /// To what was made from it.
    Downstream,
    /// Each way by itself: ancestors and descendants, but not, say, what else was made from an ancestor.
    Both,
}

impl FromStr for Direction {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "upstream" => Ok(Self::Upstream),
            "downstream" => Ok(Self::Downstream),
            "" | "both" => Ok(Self::Both),
            _ => Err(Error::bad_request("direction must be upstream, downstream or both")),
        }
    }
}

/// What one node has to do with the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EdgeKind {
    /// The target, a run or a job, read the source.
    Input = 0,
    /// The source, a run or a job, made the target.
    Output = 1,
    /// The target is an execution of the source.
    Execution = 2,
    /// The target is a version registered from the source.
    Registration = 3,
    /// The target is a copy of the source.
    Copy = 4,
    /// The target is what the source, a place, held at some time.
    Content = 5,
    /// The source, a run, found out whether the target, some data, is as it should be.
    Check = 6,
}

impl EdgeKind {
    const ALL: [Self; 7] =
        [Self::Input, Self::Output, Self::Execution, Self::Registration, Self::Copy, Self::Content, Self::Check];

    pub(super) fn from_number(number: i64) -> Result<Self> {
        let kind = Self::ALL.into_iter().find(|kind| *kind as i64 == number);
        kind.ok_or_else(|| Error::internal("an edge of an unknown kind"))
    }
}

/// That a node comes from another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Edge {
    /// What was there first.
    pub from: Node,
    /// What came of it.
    pub to: Node,
    /// How.
    pub kind: EdgeKind,
    /// What a dataset was used for, such as `training`; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub context: String,
}

impl Edge {
    pub(super) fn new(from: Node, to: Node, kind: EdgeKind) -> Self {
        Self { from, to, kind, context: String::new() }
    }
}

/// A node, and what is known of it.
#[derive(Debug, Clone, Serialize)]
pub struct Described {
    /// The node.
    #[serde(rename = "id")]
    pub node: Node,
    /// Its kind, as ids begin with it.
    pub kind: &'static str,
    /// For people; empty if nothing is known of it here, as for a model of another server.
    pub name: String,
    /// What is known of it, by kind.
    pub facets: Map<String, Value>,
}

/// Some nodes and how they hang together.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Graph {
    /// In the order of their distance.
    pub nodes: Vec<Described>,
    /// In the order in which they were found.
    pub edges: Vec<Edge>,
    /// There is more than an answer holds.
    pub truncated: bool,
}
