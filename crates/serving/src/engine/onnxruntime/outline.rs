//! What the library does not tell of a model: which inputs have a shape, and which classes `ZipMap` names.

use std::collections::{HashMap, HashSet};

use crate::engine::tabular::proto::{Attribute, CLASSICAL, Node, ValueInfo};
use crate::engine::tabular::wire::Reader;

/// Beside the library's description of a model.
#[derive(Debug, Default)]
pub(super) struct Outline<'a> {
    /// Inputs of unknown rank.
    pub(super) shapeless: HashSet<&'a str>,
    /// Classes of each output of `ZipMap`, in the order of its columns.
    pub(super) classes: HashMap<&'a str, Vec<String>>,
}

impl<'a> Outline<'a> {
    /// Reads a model.
    ///
    /// # Errors
    /// A sentence about what is broken.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let mut outline = Self::default();
        let mut fields = Reader::new(bytes);
        while let Some((number, value)) = fields.next()? {
            // A graph may come in pieces, which readers of Protocol Buffers put together.
            if number == 7 {
                outline.graph(value.bytes()?)?;
            }
        }
        Ok(outline)
    }

    fn graph(&mut self, bytes: &'a [u8]) -> Result<(), String> {
        let mut fields = Reader::new(bytes);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => self.node(&Node::read(value.bytes()?)?)?,
                11 => {
                    let info = ValueInfo::read(value.bytes()?)?;
                    if info.shape.is_none() {
                        self.shapeless.insert(info.name);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn node(&mut self, node: &Node<'a>) -> Result<(), String> {
        if (node.operator, node.domain) != ("ZipMap", CLASSICAL) {
            return Ok(());
        }
        let mut classes = Vec::new();
        for &(name, bytes) in &node.attributes {
            match (name, Attribute::read(bytes)?) {
                ("classlabels_strings", Attribute::Texts(texts)) => {
                    classes.extend(texts.iter().map(|text| String::from_utf8_lossy(text).into_owned()));
                }
                ("classlabels_int64s", Attribute::Ints(numbers)) => {
                    classes.extend(numbers.iter().map(ToString::to_string));
                }
                _ => {}
            }
        }
        if let Some(output) = node.outputs.first() {
            self.classes.insert(output, classes);
        }
        Ok(())
    }
}
