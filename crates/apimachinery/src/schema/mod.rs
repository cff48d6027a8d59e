//! Structural schemas: what an object of a kind may look like.
//!
//! A [`Schema`] is compiled once from OpenAPI v3 (built-in kinds, [`builtin`]) or from the `openAPIV3Schema` of a
//! custom resource ([`Schema::from_crd`]) into an arena of small nodes; equal subschemas are stored once. The two
//! sources differ where Kubernetes differs:
//!
//! | | built-in kind | custom resource |
//! | --- | --- | --- |
//! | `null` | the zero value: fine for a field, even a required one | absent, unless `nullable` |
//! | `""` for an enum | the zero value, left to the kind's own defaults | an error |
//! | duplicates in a `set` or `map` list | allowed (only server-side apply minds) | an error |
//! | zero defaults (`""`, `0`, `{}`) | artefacts of the generator, ignored | applied |
//! | object without properties | free-form | every field is unknown |
//!
//! The rules inside `oneOf`, `anyOf`, `allOf` and `not` only judge values; which fields exist is said outside them.
//! CEL rules (`x-kubernetes-validations`) are kept ([`Cursor::validations`]) and not evaluated.

mod check;
mod compile;
mod cursor;
mod default;
mod format;
mod node;
mod path;
mod prune;
mod rules;
mod vendored;

pub use check::Report;
pub use compile::CompileError;
pub use cursor::{Cursor, PatchStrategy};
pub use vendored::{builtin, openapi_components};

use mcplane_core::error::FieldError;
use node::{Name, Node, NodeId};
use serde_json::Value;

/// Values nested deeper than this are refused; it is also what the JSON parser takes.
pub const MAX_DEPTH: usize = 128;

/// Calls of a walk that may be open at once: each level of a value may pass a reference and some combinators.
const MAX_WALK: usize = 3 * MAX_DEPTH;

/// Errors and unknown fields listed per object; an object with more is wrong enough.
pub const MAX_ERRORS: usize = 100;

/// A compiled schema. Cheap to share, never changed.
#[derive(Debug)]
pub struct Schema {
    nodes: Box<[Node]>,
    /// Every name and pattern, one after the other; see [`Name`].
    names: Box<str>,
    root: NodeId,
}

impl Schema {
    /// Every broken rule, in Kubernetes' wording.
    ///
    /// Apply defaults first: a required field with a default, or one that the kind fills in, is otherwise missed.
    pub fn validate(&self, value: &Value) -> Vec<FieldError> {
        check::check(self, value, true, false).errors
    }

    /// Fields that the schema does not know, as strict decoding words them: `unknown field "spec.foo"`.
    pub fn unknown_fields(&self, value: &Value) -> Vec<String> {
        check::check(self, value, false, true).unknown
    }

    /// [`Schema::validate`] and [`Schema::unknown_fields`] in one walk.
    pub fn check(&self, value: &Value) -> Report {
        check::check(self, value, true, true)
    }

    /// Drops the fields that the schema does not know.
    pub fn prune(&self, value: &mut Value) {
        prune::prune(self, self.root, value, 0);
    }

    /// Fills absent fields with their defaults and drops nulls that mean "absent".
    pub fn apply_defaults(&self, value: &mut Value) {
        default::apply(self, self.root, value, 0);
    }

    /// The schema of the whole object.
    pub fn root(&self) -> Cursor<'_> {
        Cursor::new(self, self.root)
    }

    /// The schema at a path of field names; `*` steps into the items of a list or the values of a map.
    pub fn at(&self, path: &[&str]) -> Option<Cursor<'_>> {
        path.iter().try_fold(self.root(), |at, step| match *step {
            "*" => at.items().or_else(|| at.values()),
            name => at.field(name),
        })
    }

    fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    fn name(&self, name: Name) -> &str {
        name.of(&self.names)
    }

    /// The schema of a property that `node` itself or what it includes declares.
    fn property(&self, node: &Node, name: &str) -> Option<NodeId> {
        let mut node = node;
        loop {
            // Bytes sort as strings do, and comparing them needs no check of character boundaries.
            let found = node.properties.binary_search_by(|p| p.name.bytes_of(&self.names).cmp(name.as_bytes()));
            match (found, node.base) {
                (Ok(i), _) => return Some(node.properties[i].schema),
                (Err(_), Some(base)) => node = self.node(base),
                (Err(_), None) => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests;
