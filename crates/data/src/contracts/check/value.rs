//! Cells as values of a column's type.

use std::cmp::Ordering;
use std::hash::BuildHasher;

use serde_json::Value as Json;

use crate::columns::{Cell, Declared, parse};
use crate::contracts::{ColumnType, Relation};

/// A value of the type that the contract gives its column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    Int(i64),
    Float(f64),
    Bool(bool),
    Text(&'a str),
    Date(i32),
    Time(i64),
}

/// The cell as a value; `None` for null.
///
/// # Errors
/// When it is none of the type.
#[inline]
pub(super) fn read(kind: ColumnType, cell: Cell<'_>) -> Result<Option<Value<'_>>, ()> {
    let float = |value: f64| if value.is_nan() { None } else { Some(Value::Float(value)) };
    match (kind, cell) {
        (_, Cell::Null) => Ok(None),
        (ColumnType::String, Cell::Text(text)) => Ok(Some(Value::Text(text))),
        (ColumnType::Integer, Cell::Text(text)) => parse::integer(text).map(|value| Some(Value::Int(value))).ok_or(()),
        (ColumnType::Integer, Cell::Int(value)) => Ok(Some(Value::Int(value))),
        (ColumnType::Number, Cell::Text(text)) => parse::number(text).map(float).ok_or(()),
        (ColumnType::Number, Cell::Float(value)) => Ok(float(value)),
        (ColumnType::Number, Cell::Int(value)) => Ok(Some(Value::Float(value as f64))),
        (ColumnType::Boolean, Cell::Text(text)) => parse::boolean(text).map(|value| Some(Value::Bool(value))).ok_or(()),
        (ColumnType::Boolean, Cell::Bool(value)) => Ok(Some(Value::Bool(value))),
        (ColumnType::Date, Cell::Text(text)) => parse::date(text).map(|value| Some(Value::Date(value))).ok_or(()),
        (ColumnType::Date, Cell::Date(value)) => Ok(Some(Value::Date(value))),
        (ColumnType::Timestamp, Cell::Text(text)) => {
            parse::timestamp(text).map(|value| Some(Value::Time(value))).ok_or(())
        }
        (ColumnType::Timestamp, Cell::Timestamp(value)) => Ok(Some(Value::Time(value))),
        _ => Err(()),
    }
}

/// Whether a column that the format declares so can hold values of the type.
pub(super) fn fits(declared: Declared, kind: ColumnType) -> bool {
    match declared {
        Declared::Text => true,
        Declared::Bool => kind == ColumnType::Boolean,
        Declared::Int => matches!(kind, ColumnType::Integer | ColumnType::Number),
        Declared::Float => kind == ColumnType::Number,
        Declared::String => kind == ColumnType::String,
        Declared::Date => kind == ColumnType::Date,
        Declared::Timestamp => kind == ColumnType::Timestamp,
        Declared::Bytes | Declared::Nested => false,
    }
}

/// A value in a contract.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Constant {
    Int(i64),
    Float(f64),
    Bool(bool),
    Text(Box<str>),
    Date(i32),
    Time(i64),
}

impl Constant {
    /// What a contract writes, as the column's type has it.
    pub(super) fn read(kind: ColumnType, json: &Json) -> Option<Self> {
        match kind {
            ColumnType::Integer => json.as_i64().map(Self::Int),
            ColumnType::Number => json.as_f64().map(Self::Float),
            ColumnType::Boolean => json.as_bool().map(Self::Bool),
            ColumnType::String => json.as_str().map(|text| Self::Text(text.into())),
            ColumnType::Date => json.as_str().and_then(parse::date).map(Self::Date),
            ColumnType::Timestamp => json.as_str().and_then(parse::timestamp).map(Self::Time),
        }
    }

    pub(super) fn value(&self) -> Value<'_> {
        match self {
            Self::Int(value) => Value::Int(*value),
            Self::Float(value) => Value::Float(*value),
            Self::Bool(value) => Value::Bool(*value),
            Self::Text(text) => Value::Text(text),
            Self::Date(value) => Value::Date(*value),
            Self::Time(value) => Value::Time(*value),
        }
    }
}

impl Value<'_> {
    /// How it compares to one of the same type.
    #[inline]
    pub(super) fn order(&self, other: &Value<'_>) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Value::Int(b)) | (Self::Time(a), Value::Time(b)) => Some(a.cmp(b)),
            (Self::Float(a), Value::Float(b)) => a.partial_cmp(b),
            (Self::Date(a), Value::Date(b)) => Some(a.cmp(b)),
            (Self::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
            (Self::Text(a), Value::Text(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }

    /// The bytes that stand for the value among those of its type.
    #[inline]
    pub(super) fn with_bytes<T>(&self, then: impl FnOnce(&[u8]) -> T) -> T {
        match self {
            Self::Int(value) | Self::Time(value) => then(&value.to_le_bytes()),
            // Both zeros are one number.
            Self::Float(value) => then(&(value + 0.0).to_bits().to_le_bytes()),
            Self::Bool(value) => then(&[u8::from(*value)]),
            Self::Text(text) => then(text.as_bytes()),
            Self::Date(value) => then(&value.to_le_bytes()),
        }
    }

    /// What two columns are compared by.
    pub(super) fn scalar(&self) -> Option<Scalar> {
        match self {
            Self::Int(value) | Self::Time(value) => Some(Scalar::Int(*value)),
            Self::Date(value) => Some(Scalar::Int(i64::from(*value))),
            Self::Float(value) => Some(Scalar::Float(*value)),
            Self::Bool(_) | Self::Text(_) => None,
        }
    }
}

/// A number of either kind.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scalar {
    Int(i64),
    Float(f64),
}

impl Scalar {
    pub(super) fn holds(self, relation: Relation, other: Self) -> bool {
        let order = match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(&b)),
            (Self::Int(a), Self::Float(b)) => (a as f64).partial_cmp(&b),
            (Self::Float(a), Self::Int(b)) => a.partial_cmp(&(b as f64)),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(&b),
        };
        match relation {
            Relation::Less => order == Some(Ordering::Less),
            Relation::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
            Relation::Equal => order == Some(Ordering::Equal),
            Relation::NotEqual => order != Some(Ordering::Equal),
        }
    }

    pub(super) fn shown(self, kind: ColumnType) -> String {
        match (self, kind) {
            (Self::Int(value), ColumnType::Date) => Cell::Date(i32::try_from(value).unwrap_or_default()).shown(),
            (Self::Int(value), ColumnType::Timestamp) => Cell::Timestamp(value).shown(),
            (Self::Int(value), _) => value.to_string(),
            (Self::Float(value), _) => value.to_string(),
        }
    }
}

/// A set of values of one type.
#[derive(Debug, Clone)]
pub(super) struct Set {
    table: std::collections::HashSet<Box<[u8]>, foldhash::fast::RandomState>,
    /// A small set is found quicker by looking at each.
    few: Vec<Box<[u8]>>,
}

/// Members of a set that is looked through.
const FEW: usize = 4;

impl Set {
    pub(super) fn new(members: &[Constant]) -> Self {
        let bytes = members.iter().map(|member| member.value().with_bytes(|bytes| Box::<[u8]>::from(bytes)));
        if members.len() <= FEW {
            return Self { table: Default::default(), few: bytes.collect() };
        }
        Self { table: bytes.collect(), few: vec![] }
    }

    #[inline]
    pub(super) fn has(&self, value: &Value<'_>) -> bool {
        value.with_bytes(|bytes| {
            if self.table.is_empty() {
                self.few.iter().any(|member| **member == *bytes)
            } else {
                self.table.contains(bytes)
            }
        })
    }
}

/// A seed that nobody can know beforehand.
pub(in crate::contracts) fn seed() -> u64 {
    foldhash::fast::RandomState::default().hash_one(0_u8)
}
