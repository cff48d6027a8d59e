//! The attributes of a node, by name and type.

use std::collections::HashMap;

use bytes::Bytes;

use super::proto::{Attribute, Node};
use crate::tensor::{Data, Tensor};

/// What the builder of an operator is given.
#[derive(Debug)]
pub(super) struct Attributes<'a> {
    all: HashMap<&'a str, Attribute<'a>>,
    /// Version of the set of operators.
    pub(super) version: i64,
    /// How many inputs the node has.
    pub(super) inputs: usize,
    /// Whether double precision can reach the node, so that an operator prepares for it.
    pub(super) doubles: bool,
}

/// What is wrong with a node.
pub(super) type Fault<T> = Result<T, String>;

impl<'a> Attributes<'a> {
    pub(super) fn read(node: &Node<'a>, version: i64, doubles: bool) -> Fault<Self> {
        let mut all = HashMap::with_capacity(node.attributes.len());
        for (name, bytes) in &node.attributes {
            all.insert(*name, Attribute::read(bytes)?);
        }
        Ok(Self { all, version, inputs: node.inputs.len(), doubles })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.all.contains_key(name)
    }

    pub(super) fn int(&self, name: &str, default: i64) -> Fault<i64> {
        match self.all.get(name) {
            None => Ok(default),
            Some(Attribute::Int(value)) => Ok(*value),
            Some(_) => Err(format!("attribute {name} must be an integer")),
        }
    }

    pub(super) fn float(&self, name: &str, default: f32) -> Fault<f32> {
        match self.all.get(name) {
            None => Ok(default),
            Some(Attribute::Float(value)) => Ok(*value),
            Some(_) => Err(format!("attribute {name} must be a float")),
        }
    }

    pub(super) fn text(&self, name: &str, default: &'static str) -> Fault<&str> {
        match self.all.get(name) {
            None => Ok(default),
            Some(Attribute::Text(value)) => {
                std::str::from_utf8(value).map_err(|_| format!("attribute {name} must be UTF-8"))
            }
            Some(_) => Err(format!("attribute {name} must be a string")),
        }
    }

    /// A list of integers; empty when it is not given.
    pub(super) fn ints(&self, name: &str) -> Fault<&[i64]> {
        match self.all.get(name) {
            None => Ok(&[]),
            Some(Attribute::Ints(values)) => Ok(values),
            Some(_) => Err(format!("attribute {name} must be a list of integers")),
        }
    }

    /// A list of floats; empty when it is not given.
    pub(super) fn floats(&self, name: &str) -> Fault<&[f32]> {
        match self.all.get(name) {
            None => Ok(&[]),
            Some(Attribute::Floats(values)) => Ok(values),
            Some(_) => Err(format!("attribute {name} must be a list of floats")),
        }
    }

    /// A list of strings; empty when it is not given.
    pub(super) fn texts(&self, name: &str) -> Fault<Vec<Bytes>> {
        match self.all.get(name) {
            None => Ok(Vec::new()),
            Some(Attribute::Texts(values)) => Ok(values.iter().map(|value| Bytes::copy_from_slice(value)).collect()),
            Some(_) => Err(format!("attribute {name} must be a list of strings")),
        }
    }

    pub(super) fn tensor(&self, name: &str) -> Fault<Option<&Tensor>> {
        match self.all.get(name) {
            None => Ok(None),
            Some(Attribute::Tensor(tensor)) => Ok(Some(tensor)),
            Some(_) => Err(format!("attribute {name} must be a tensor")),
        }
    }

    /// Floats as a list, or as the tensor of `NAME_as_tensor`; in double precision, which holds both exactly.
    pub(super) fn numbers(&self, name: &str) -> Fault<Vec<f64>> {
        match self.tensor(&format!("{name}_as_tensor"))?.map(Tensor::data) {
            None => Ok(self.floats(name)?.iter().copied().map(f64::from).collect()),
            Some(Data::F64(values)) => Ok(values.clone()),
            Some(Data::F32(values)) => Ok(values.iter().copied().map(f64::from).collect()),
            Some(_) => Err(format!("attribute {name}_as_tensor must be of floating point")),
        }
    }
}
