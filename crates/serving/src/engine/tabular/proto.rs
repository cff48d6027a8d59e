//! The messages of ONNX that the engine reads.
//!
//! <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>

use std::collections::HashMap;

use bytes::Bytes;

use super::wire::{Broken, Reader, chunks};
use crate::tensor::{Data, Datatype, Tensor};

/// A model with its graph.
#[derive(Debug, Default)]
pub(super) struct Model<'a> {
    /// Version of each set of operators; the standard one is named `ai.onnx` here.
    pub(super) opsets: HashMap<&'a str, i64>,
    pub(super) graph: Option<Graph<'a>>,
    pub(super) functions: usize,
}

#[derive(Debug, Default)]
pub(super) struct Graph<'a> {
    pub(super) nodes: Vec<Node<'a>>,
    pub(super) initializers: Vec<(&'a str, Tensor)>,
    pub(super) inputs: Vec<ValueInfo<'a>>,
    pub(super) outputs: Vec<ValueInfo<'a>>,
}

#[derive(Debug, Default)]
pub(in crate::engine) struct Node<'a> {
    pub(super) inputs: Vec<&'a str>,
    pub(in crate::engine) outputs: Vec<&'a str>,
    pub(super) name: &'a str,
    pub(in crate::engine) operator: &'a str,
    pub(in crate::engine) domain: &'a str,
    /// Name and message of each attribute.
    pub(in crate::engine) attributes: Vec<(&'a str, &'a [u8])>,
}

/// Name and type of an input or output of the graph; no type when it is not a tensor.
#[derive(Debug, Default)]
pub(in crate::engine) struct ValueInfo<'a> {
    pub(in crate::engine) name: &'a str,
    pub(super) datatype: Option<Datatype>,
    /// `None` when the rank is unknown.
    pub(in crate::engine) shape: Option<Vec<Option<usize>>>,
}

pub(super) const STANDARD: &str = "ai.onnx";
pub(in crate::engine) const CLASSICAL: &str = "ai.onnx.ml";

/// More of anything than a graph may have: an empty message takes two bytes in a file, and much more in memory.
const MOST_NODES: usize = 1 << 16;
/// More inputs, outputs or attributes than a node may have.
const MOST_PER_NODE: usize = 1 << 12;

fn push<T>(all: &mut Vec<T>, one: T, most: usize) -> Result<(), Broken> {
    if all.len() == most {
        return Err("it has more nodes, or a node has more inputs, than the engine takes");
    }
    all.push(one);
    Ok(())
}

/// The name of a set of operators; the standard one may go without.
pub(super) fn domain(name: &str) -> &str {
    if name.is_empty() { STANDARD } else { name }
}

impl<'a> Model<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let mut model = Self::default();
        let mut fields = Reader::new(bytes);
        while let Some((number, value)) = fields.next()? {
            match number {
                7 => model.graph = Some(Graph::read(value.bytes()?)?),
                8 => {
                    let (mut name, mut version) = ("", 0);
                    let mut fields = Reader::new(value.bytes()?);
                    while let Some((number, value)) = fields.next()? {
                        match number {
                            1 => name = value.text()?,
                            2 => version = value.int()?,
                            _ => {}
                        }
                    }
                    model.opsets.insert(domain(name), version);
                }
                25 => model.functions += 1,
                _ => {}
            }
        }
        Ok(model)
    }
}

impl<'a> Graph<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let mut graph = Self::default();
        let mut fields = Reader::new(bytes);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => push(&mut graph.nodes, Node::read(value.bytes()?)?, MOST_NODES)?,
                5 => push(&mut graph.initializers, tensor(value.bytes()?)?, MOST_NODES)?,
                11 => push(&mut graph.inputs, ValueInfo::read(value.bytes()?)?, MOST_PER_NODE)?,
                12 => push(&mut graph.outputs, ValueInfo::read(value.bytes()?)?, MOST_PER_NODE)?,
                15 => return Err("sparse initializers are not supported".to_owned()),
                _ => {}
            }
        }
        Ok(graph)
    }
}

impl<'a> Node<'a> {
    pub(in crate::engine) fn read(bytes: &'a [u8]) -> Result<Self, Broken> {
        let mut node = Self::default();
        let mut fields = Reader::new(bytes);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => push(&mut node.inputs, value.text()?, MOST_PER_NODE)?,
                2 => push(&mut node.outputs, value.text()?, MOST_PER_NODE)?,
                3 => node.name = value.text()?,
                4 => node.operator = value.text()?,
                5 => {
                    let bytes = value.bytes()?;
                    push(&mut node.attributes, (text_field(bytes, 1)?, bytes), MOST_PER_NODE)?;
                }
                7 => node.domain = value.text()?,
                _ => {}
            }
        }
        Ok(node)
    }

    /// How messages call the node: not all have names.
    pub(super) fn label(&self) -> &'a str {
        if self.name.is_empty() { self.outputs.first().copied().unwrap_or_default() } else { self.name }
    }
}

impl<'a> ValueInfo<'a> {
    pub(in crate::engine) fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let mut info = Self { name: text_field(bytes, 1)?, ..Self::default() };
        let Some(kind) = message_field(bytes, 2)? else { return Ok(info) };
        let Some(tensor) = message_field(kind, 1)? else { return Ok(info) };
        let mut fields = Reader::new(tensor);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => info.datatype = Some(datatype(value.int()?)?),
                2 => info.shape = Some(shape(value.bytes()?)?),
                _ => {}
            }
        }
        Ok(info)
    }
}

fn shape(bytes: &[u8]) -> Result<Vec<Option<usize>>, Broken> {
    let mut shape = Vec::new();
    let mut fields = Reader::new(bytes);
    while let Some((number, value)) = fields.next()? {
        if number != 1 {
            continue;
        }
        let mut length = None;
        let mut dimension = Reader::new(value.bytes()?);
        while let Some((number, value)) = dimension.next()? {
            // A length that is not positive is how some converters write "any".
            if number == 1 {
                length = usize::try_from(value.int()?).ok().filter(|&length| length > 0);
            }
        }
        shape.push(length);
    }
    Ok(shape)
}

fn text_field(bytes: &[u8], wanted: u64) -> Result<&str, Broken> {
    let mut text = "";
    let mut fields = Reader::new(bytes);
    while let Some((number, value)) = fields.next()? {
        if number == wanted {
            text = value.text()?;
        }
    }
    Ok(text)
}

fn message_field(bytes: &[u8], wanted: u64) -> Result<Option<&[u8]>, Broken> {
    let mut message = None;
    let mut fields = Reader::new(bytes);
    while let Some((number, value)) = fields.next()? {
        if number == wanted {
            message = Some(value.bytes()?);
        }
    }
    Ok(message)
}

/// The datatype that ONNX gives a number (`TensorProto.DataType`).
pub(super) fn datatype(number: i64) -> Result<Datatype, String> {
    Ok(match number {
        1 => Datatype::Fp32,
        2 => Datatype::Uint8,
        3 => Datatype::Int8,
        4 => Datatype::Uint16,
        5 => Datatype::Int16,
        6 => Datatype::Int32,
        7 => Datatype::Int64,
        8 => Datatype::Bytes,
        9 => Datatype::Bool,
        10 => Datatype::Fp16,
        11 => Datatype::Fp64,
        12 => Datatype::Uint32,
        13 => Datatype::Uint64,
        16 => Datatype::Bf16,
        other => return Err(format!("element type {other} is not supported")),
    })
}

/// Name and value of a `TensorProto`.
pub(super) fn tensor(bytes: &[u8]) -> Result<(&str, Tensor), String> {
    let (mut name, mut kind, mut dims, mut raw) = ("", 0, Vec::new(), None);
    let (mut floats, mut doubles, mut ints, mut strings) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut fields = Reader::new(bytes);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => value.ints(&mut dims)?,
            2 => kind = value.int()?,
            4 => value.floats(&mut floats)?,
            5 | 7 | 11 => value.ints(&mut ints)?,
            6 => strings.push(Bytes::copy_from_slice(value.bytes()?)),
            8 => name = value.text()?,
            9 => raw = Some(value.bytes()?),
            10 => value.doubles(&mut doubles)?,
            14 if value.int()? != 0 => {
                return Err(format!("tensor {name:?} lies in another file, which is not supported"));
            }
            _ => {}
        }
    }
    let datatype = datatype(kind)?;
    let data = match raw {
        Some(raw) => from_raw(datatype, raw)?,
        None => match datatype {
            Datatype::Fp32 => Data::F32(floats),
            Datatype::Fp64 => Data::F64(doubles),
            Datatype::Bytes => Data::Bytes(strings),
            other => {
                from_ints(other, &ints).ok_or_else(|| format!("tensor {name:?} has a number outside of {other}"))?
            }
        },
    };
    let shape = dims.into_iter().map(usize::try_from).collect::<Result<_, _>>();
    let shape = shape.map_err(|_| format!("tensor {name:?} has a negative length"))?;
    let tensor = Tensor::new(shape, data).map_err(|message| format!("tensor {name:?}: {message}"))?;
    Ok((name, tensor))
}

fn from_ints(datatype: Datatype, ints: &[i64]) -> Option<Data> {
    fn narrow<T: TryFrom<i64>>(ints: &[i64]) -> Option<Vec<T>> {
        ints.iter().map(|&value| T::try_from(value).ok()).collect()
    }
    Some(match datatype {
        Datatype::Bool => Data::Bool(ints.iter().map(|&value| value != 0).collect()),
        Datatype::Uint8 => Data::U8(narrow(ints)?),
        Datatype::Uint16 => Data::U16(narrow(ints)?),
        Datatype::Uint32 => Data::U32(narrow(ints)?),
        Datatype::Uint64 => Data::U64(ints.iter().map(|&value| value as u64).collect()),
        Datatype::Int8 => Data::I8(narrow(ints)?),
        Datatype::Int16 => Data::I16(narrow(ints)?),
        Datatype::Int32 => Data::I32(narrow(ints)?),
        Datatype::Int64 => Data::I64(ints.to_vec()),
        Datatype::Fp16 => Data::F16(narrow(ints)?),
        Datatype::Bf16 => Data::Bf16(narrow(ints)?),
        Datatype::Fp32 | Datatype::Fp64 | Datatype::Bytes => return None,
    })
}

/// Elements in little-endian bytes.
pub(crate) fn from_raw(datatype: Datatype, raw: &[u8]) -> Result<Data, String> {
    Ok(match datatype {
        Datatype::Bool => Data::Bool(raw.iter().map(|&byte| byte != 0).collect()),
        Datatype::Uint8 => Data::U8(raw.to_vec()),
        Datatype::Uint16 => Data::U16(chunks(raw)?.map(u16::from_le_bytes).collect()),
        Datatype::Uint32 => Data::U32(chunks(raw)?.map(u32::from_le_bytes).collect()),
        Datatype::Uint64 => Data::U64(chunks(raw)?.map(u64::from_le_bytes).collect()),
        Datatype::Int8 => Data::I8(raw.iter().map(|&byte| byte.cast_signed()).collect()),
        Datatype::Int16 => Data::I16(chunks(raw)?.map(i16::from_le_bytes).collect()),
        Datatype::Int32 => Data::I32(chunks(raw)?.map(i32::from_le_bytes).collect()),
        Datatype::Int64 => Data::I64(chunks(raw)?.map(i64::from_le_bytes).collect()),
        Datatype::Fp16 => Data::F16(chunks(raw)?.map(u16::from_le_bytes).collect()),
        Datatype::Bf16 => Data::Bf16(chunks(raw)?.map(u16::from_le_bytes).collect()),
        Datatype::Fp32 => Data::F32(chunks(raw)?.map(f32::from_le_bytes).collect()),
        Datatype::Fp64 => Data::F64(chunks(raw)?.map(f64::from_le_bytes).collect()),
        Datatype::Bytes => return Err("strings have no raw form".to_owned()),
    })
}

/// An attribute's value.
#[derive(Debug)]
pub(in crate::engine) enum Attribute<'a> {
    Float(f32),
    Int(i64),
    Text(&'a [u8]),
    Tensor(Tensor),
    Floats(Vec<f32>),
    Ints(Vec<i64>),
    Texts(Vec<&'a [u8]>),
    /// A graph, or anything else that the engine does not know.
    Other,
}

impl<'a> Attribute<'a> {
    pub(in crate::engine) fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let (mut float, mut int, mut text, mut found) = (0.0, 0, &[][..], None);
        let (mut floats, mut ints, mut texts, mut kind) = (Vec::new(), Vec::new(), Vec::new(), 0);
        let mut fields = Reader::new(bytes);
        while let Some((number, value)) = fields.next()? {
            match number {
                2 => float = value.float()?,
                3 => int = value.int()?,
                4 => text = value.bytes()?,
                5 => found = Some(tensor(value.bytes()?)?.1),
                7 => value.floats(&mut floats)?,
                8 => value.ints(&mut ints)?,
                9 => texts.push(value.bytes()?),
                20 => kind = value.int()?,
                _ => {}
            }
        }
        Ok(match kind {
            1 => Self::Float(float),
            2 => Self::Int(int),
            3 => Self::Text(text),
            4 => Self::Tensor(found.ok_or("an attribute's tensor is missing")?),
            6 => Self::Floats(floats),
            7 => Self::Ints(ints),
            8 => Self::Texts(texts),
            _ => Self::Other,
        })
    }
}
