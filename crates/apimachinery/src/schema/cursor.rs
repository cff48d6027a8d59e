//! A place in a schema, for code that walks a value and its schema side by side.

use super::Schema;
use super::node::{Node, NodeId, PatchMeta, Types};

/// A place in a [`Schema`].
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a> {
    schema: &'a Schema,
    id: NodeId,
}

/// What a strategic merge patch does with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchStrategy {
    /// Nothing is declared: objects merge, lists are replaced.
    Default,
    /// Lists merge, element by element.
    Merge,
    /// The patch takes the place of what was there.
    Replace,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(schema: &'a Schema, id: NodeId) -> Self {
        Self { schema, id }
    }

    /// The schema of a field, or of the values when this is a map.
    pub fn field(self, name: &str) -> Option<Self> {
        match self.schema.property(self.node(), name) {
            Some(id) => Some(Self::new(self.schema, id)),
            None => self.values(),
        }
    }

    /// The schema of a list's elements.
    pub fn items(self) -> Option<Self> {
        self.lookup(|node| node.items).map(|id| Self::new(self.schema, id))
    }

    /// The schema of a map's values.
    pub fn values(self) -> Option<Self> {
        self.lookup(|node| node.values).map(|id| Self::new(self.schema, id))
    }

    /// Whether values here are objects.
    pub fn is_object(self) -> bool {
        self.lookup(|node| node.types.contains(Types::OBJECT).then_some(())).is_some()
    }

    /// `x-kubernetes-patch-strategy`.
    pub fn strategy(self) -> PatchStrategy {
        match self.patch() {
            Some(PatchMeta { merge: true, .. }) => PatchStrategy::Merge,
            Some(PatchMeta { replace: true, .. }) => PatchStrategy::Replace,
            _ => PatchStrategy::Default,
        }
    }

    /// `x-kubernetes-patch-merge-key`.
    pub fn merge_key(self) -> Option<&'a str> {
        self.patch()?.merge_key.map(|name| self.schema.name(name))
    }

    /// `x-kubernetes-validations` as JSON text: CEL rules that nothing here evaluates.
    pub fn validations(self) -> Option<&'a str> {
        self.lookup(|node| node.rules.as_ref()?.validations).map(|name| self.schema.name(name))
    }

    fn patch(self) -> Option<PatchMeta> {
        self.lookup(|node| node.patch)
    }

    fn node(self) -> &'a Node {
        self.schema.node(self.id)
    }

    /// The first answer of this node and those that it includes.
    fn lookup<T>(self, get: impl Fn(&Node) -> Option<T>) -> Option<T> {
        let mut node = self.node();
        loop {
            if let Some(found) = get(node) {
                return Some(found);
            }
            node = self.schema.node(node.base?);
        }
    }
}
