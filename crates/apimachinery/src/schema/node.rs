//! The compiled form: an arena of nodes that name each other by index.

use std::num::NonZeroU32;

use regex::Regex;
use serde_json::Value;

use super::format::Format;

/// Index of a node. Never 0, so that an optional one is as small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NodeId(NonZeroU32);

impl NodeId {
    pub(super) fn new(index: usize) -> Option<Self> {
        u32::try_from(index).ok().and_then(|i| i.checked_add(1)).and_then(NonZeroU32::new).map(Self)
    }

    pub(super) fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// A slice of the schema's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) start: u32,
    pub(super) len: u32,
}

impl Name {
    pub(super) fn of(self, names: &str) -> &str {
        let start = self.start as usize;
        names.get(start..start + self.len as usize).unwrap_or_default()
    }

    pub(super) fn bytes_of(self, names: &str) -> &[u8] {
        let start = self.start as usize;
        names.as_bytes().get(start..start + self.len as usize).unwrap_or_default()
    }
}

/// One property of an object.
#[derive(Debug)]
pub(super) struct Property {
    pub(super) name: Name,
    pub(super) schema: NodeId,
}

/// A subschema.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// JSON types that a value may have; none means any.
    pub(super) types: Types,
    pub(super) format: Format,
    /// `null` is a value of its own.
    pub(super) nullable: bool,
    /// Fields that are not named are kept.
    pub(super) preserve: bool,
    /// From a built-in kind; see the module's table.
    pub(super) typed: bool,
    /// A schema that this one includes: the target of a `$ref`.
    pub(super) base: Option<NodeId>,
    /// Elements of a list.
    pub(super) items: Option<NodeId>,
    /// Values of a map (`additionalProperties`).
    pub(super) values: Option<NodeId>,
    /// Sorted by name.
    pub(super) properties: Box<[Property]>,
    pub(super) rules: Option<Box<Rules>>,
    pub(super) patch: Option<PatchMeta>,
    pub(super) default: Option<Box<Value>>,
}

impl Node {
    /// Whether fields that are neither properties nor map values are errors.
    pub(super) fn closed(&self) -> bool {
        !self.preserve && self.types.contains(Types::OBJECT) && !(self.typed && self.properties.is_empty())
    }

    /// Whether a null here stands for "not given".
    pub(super) fn null_is_absent(&self) -> bool {
        !self.nullable && (!self.types.is_empty() || self.base.is_some())
    }
}

/// Rules that few nodes have.
#[derive(Debug, Default)]
pub(super) struct Rules {
    pub(super) required: Box<[Name]>,
    pub(super) allowed: Box<[Value]>,
    pub(super) pattern: Option<Regex>,
    pub(super) minimum: Option<Limit>,
    pub(super) maximum: Option<Limit>,
    pub(super) multiple_of: Option<f64>,
    pub(super) length: Bounds,
    pub(super) items: Bounds,
    pub(super) properties: Bounds,
    /// No element occurs twice: `uniqueItems`, or a list that is a set.
    pub(super) unique: bool,
    /// The fields that tell the elements of a list apart, when that is checked.
    pub(super) map_keys: Box<[Name]>,
    pub(super) all_of: Box<[NodeId]>,
    pub(super) any_of: Box<[NodeId]>,
    pub(super) one_of: Box<[NodeId]>,
    pub(super) not: Option<NodeId>,
    /// `x-kubernetes-validations` as JSON text.
    pub(super) validations: Option<Name>,
}

/// A bound of a number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    pub(super) value: f64,
    pub(super) exclusive: bool,
}

/// Bounds of a count.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) min: Option<u64>,
    pub(super) max: Option<u64>,
}

/// How a strategic merge patch treats a field.
#[derive(Debug, Clone, Copy)]
pub(super) struct PatchMeta {
    pub(super) merge: bool,
    pub(super) replace: bool,
    pub(super) merge_key: Option<Name>,
}

/// A set of JSON types.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Types(u8);

impl Types {
    pub(super) const OBJECT: Self = Self(1);
    pub(super) const ARRAY: Self = Self(2);
    pub(super) const STRING: Self = Self(4);
    pub(super) const INTEGER: Self = Self(8);
    pub(super) const NUMBER: Self = Self(16);
    pub(super) const BOOLEAN: Self = Self(32);
    pub(super) const NULL: Self = Self(64);
    const NAMED: [(Self, &'static str); 7] = [
        (Self::OBJECT, "object"),
        (Self::ARRAY, "array"),
        (Self::INTEGER, "integer"),
        (Self::STRING, "string"),
        (Self::NUMBER, "number"),
        (Self::BOOLEAN, "boolean"),
        (Self::NULL, "null"),
    ];

    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::NAMED.iter().find(|(_, n)| *n == name).map(|(t, _)| *t)
    }

    /// The type of a value. A number is an integer when it has no fraction part.
    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::NULL,
            Value::Bool(_) => Self::BOOLEAN,
            Value::Number(n) if n.is_f64() => Self::NUMBER,
            Value::Number(_) => Self::INTEGER,
            Value::String(_) => Self::STRING,
            Value::Array(_) => Self::ARRAY,
            Value::Object(_) => Self::OBJECT,
        }
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn contains(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// `integer,string`.
    pub(super) fn names(self) -> String {
        let names: Vec<&str> = Self::NAMED.iter().filter(|(t, _)| self.contains(*t)).map(|(_, n)| *n).collect();
        names.join(",")
    }
}
