//! Tensors: what requests carry, engines compute and answers hold.
//!
//! Invariant: a [`Tensor`] holds exactly as many elements as its shape says; [`Tensor::new`] is the only way in.

mod half;
mod types;

pub use half::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};
pub use types::Datatype;

use bytes::Bytes;

/// More elements than any tensor may have, in a request or within a model.
pub const MAX_ELEMENTS: usize = 1 << 27;
/// More dimensions than any tensor may have.
pub const MAX_RANK: usize = 8;

/// Elements in row-major order, by type.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the variants are named as the datatypes that they hold")]
pub enum Data {
    Bool(Vec<bool>),
    U8(Vec<u8>),
    U16(Vec<u16>),
    U32(Vec<u32>),
    U64(Vec<u64>),
    I8(Vec<i8>),
    I16(Vec<i16>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    /// The bits of IEEE 754 half precision.
    F16(Vec<u16>),
    /// The bits of brain floating point: the upper half of single precision.
    Bf16(Vec<u16>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    Bytes(Vec<Bytes>),
}

/// Runs an expression for whatever vector some data holds.
macro_rules! each {
    ($data:expr, $values:ident => $body:expr) => {
        match $data {
            $crate::tensor::Data::Bool($values) => $body,
            $crate::tensor::Data::U8($values) => $body,
            $crate::tensor::Data::U16($values) => $body,
            $crate::tensor::Data::U32($values) => $body,
            $crate::tensor::Data::U64($values) => $body,
            $crate::tensor::Data::I8($values) => $body,
            $crate::tensor::Data::I16($values) => $body,
            $crate::tensor::Data::I32($values) => $body,
            $crate::tensor::Data::I64($values) => $body,
            $crate::tensor::Data::F16($values) => $body,
            $crate::tensor::Data::Bf16($values) => $body,
            $crate::tensor::Data::F32($values) => $body,
            $crate::tensor::Data::F64($values) => $body,
            $crate::tensor::Data::Bytes($values) => $body,
        }
    };
}

/// Runs an expression for whatever vector some data holds, and wraps the vector that it makes in the same variant.
macro_rules! map {
    ($data:expr, $values:ident => $body:expr) => {
        match $data {
            $crate::tensor::Data::Bool($values) => $crate::tensor::Data::Bool($body),
            $crate::tensor::Data::U8($values) => $crate::tensor::Data::U8($body),
            $crate::tensor::Data::U16($values) => $crate::tensor::Data::U16($body),
            $crate::tensor::Data::U32($values) => $crate::tensor::Data::U32($body),
            $crate::tensor::Data::U64($values) => $crate::tensor::Data::U64($body),
            $crate::tensor::Data::I8($values) => $crate::tensor::Data::I8($body),
            $crate::tensor::Data::I16($values) => $crate::tensor::Data::I16($body),
            $crate::tensor::Data::I32($values) => $crate::tensor::Data::I32($body),
            $crate::tensor::Data::I64($values) => $crate::tensor::Data::I64($body),
            $crate::tensor::Data::F16($values) => $crate::tensor::Data::F16($body),
            $crate::tensor::Data::Bf16($values) => $crate::tensor::Data::Bf16($body),
            $crate::tensor::Data::F32($values) => $crate::tensor::Data::F32($body),
            $crate::tensor::Data::F64($values) => $crate::tensor::Data::F64($body),
            $crate::tensor::Data::Bytes($values) => $crate::tensor::Data::Bytes($body),
        }
    };
}

impl Data {
    /// Nothing of a type, with room.
    pub fn with_capacity(datatype: Datatype, room: usize) -> Self {
        match datatype {
            Datatype::Bool => Self::Bool(Vec::with_capacity(room)),
            Datatype::Uint8 => Self::U8(Vec::with_capacity(room)),
            Datatype::Uint16 => Self::U16(Vec::with_capacity(room)),
            Datatype::Uint32 => Self::U32(Vec::with_capacity(room)),
            Datatype::Uint64 => Self::U64(Vec::with_capacity(room)),
            Datatype::Int8 => Self::I8(Vec::with_capacity(room)),
            Datatype::Int16 => Self::I16(Vec::with_capacity(room)),
            Datatype::Int32 => Self::I32(Vec::with_capacity(room)),
            Datatype::Int64 => Self::I64(Vec::with_capacity(room)),
            Datatype::Fp16 => Self::F16(Vec::with_capacity(room)),
            Datatype::Bf16 => Self::Bf16(Vec::with_capacity(room)),
            Datatype::Fp32 => Self::F32(Vec::with_capacity(room)),
            Datatype::Fp64 => Self::F64(Vec::with_capacity(room)),
            Datatype::Bytes => Self::Bytes(Vec::with_capacity(room)),
        }
    }

    /// `count` elements of zero, `false` or nothing.
    pub fn zeros(datatype: Datatype, count: usize) -> Self {
        map!(Self::with_capacity(datatype, 0), values => {
            let mut values = values;
            values.resize_with(count, Default::default);
            values
        })
    }

    /// How many elements.
    pub fn len(&self) -> usize {
        each!(self, values => values.len())
    }

    /// No element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the elements are.
    pub fn datatype(&self) -> Datatype {
        match self {
            Self::Bool(_) => Datatype::Bool,
            Self::U8(_) => Datatype::Uint8,
            Self::U16(_) => Datatype::Uint16,
            Self::U32(_) => Datatype::Uint32,
            Self::U64(_) => Datatype::Uint64,
            Self::I8(_) => Datatype::Int8,
            Self::I16(_) => Datatype::Int16,
            Self::I32(_) => Datatype::Int32,
            Self::I64(_) => Datatype::Int64,
            Self::F16(_) => Datatype::Fp16,
            Self::Bf16(_) => Datatype::Bf16,
            Self::F32(_) => Datatype::Fp32,
            Self::F64(_) => Datatype::Fp64,
            Self::Bytes(_) => Datatype::Bytes,
        }
    }

    /// The elements at some places, each of which must exist.
    #[expect(clippy::clone_on_copy, reason = "strings are cloned by the same expression")]
    pub(crate) fn pick(&self, places: impl Iterator<Item = usize>) -> Self {
        map!(self, values => places.map(|place| values[place].clone()).collect())
    }

    /// Appends part of other elements of the same type; `false`, and nothing done, for another type.
    pub(crate) fn append(&mut self, other: &Self, range: std::ops::Range<usize>) -> bool {
        macro_rules! same {
            ($($variant:ident)*) => {
                match (self, other) {
                    $((Self::$variant(all), Self::$variant(more)) => all.extend_from_slice(&more[range]),)*
                    _ => return false,
                }
            };
        }
        same!(Bool U8 U16 U32 U64 I8 I16 I32 I64 F16 Bf16 F32 F64 Bytes);
        true
    }

    /// Memory of the elements in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Bytes(values) => values.iter().map(|value| size_of::<Bytes>() + value.len()).sum(),
            other => other.len() * other.datatype().size().unwrap_or_default(),
        }
    }
}

/// A shape and its elements.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Data,
}

/// How many elements a shape has; `None` when it has more than [`MAX_ELEMENTS`] or too many dimensions.
pub fn elements(shape: &[usize]) -> Option<usize> {
    if shape.len() > MAX_RANK {
        return None;
    }
    // A zero anywhere makes an empty tensor, whatever the other lengths say.
    if shape.contains(&0) {
        return Some(0);
    }
    let count = shape.iter().try_fold(1_usize, |count, &length| count.checked_mul(length))?;
    (count <= MAX_ELEMENTS).then_some(count)
}

impl Tensor {
    /// A tensor.
    ///
    /// # Errors
    /// When the elements are not as many as the shape says, in a sentence.
    pub fn new(shape: Vec<usize>, data: Data) -> Result<Self, String> {
        match elements(&shape) {
            Some(count) if count == data.len() => Ok(Self { shape, data }),
            Some(count) => Err(format!("shape {shape:?} means {count} elements, but there are {}", data.len())),
            None => Err(format!(
                "shape {shape:?} is larger than the limit of {MAX_ELEMENTS} elements in {MAX_RANK} dimensions"
            )),
        }
    }

    /// Length of each dimension.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// What the elements are.
    pub fn datatype(&self) -> Datatype {
        self.data.datatype()
    }

    /// How many elements.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// No element.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Shape and elements.
    pub fn into_parts(self) -> (Vec<usize>, Data) {
        (self.shape, self.data)
    }

    /// Rows and columns as classical operators see them: one dimension is one row, further dimensions are columns.
    pub(crate) fn matrix(&self) -> (usize, usize) {
        match *self.shape.as_slice() {
            [] => (1, 1),
            [columns] => (1, columns),
            [rows, ref rest @ ..] => (rows, rest.iter().product()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_held_to_their_elements() {
        assert!(Tensor::new(vec![2, 2], Data::F32(vec![0.0; 4])).is_ok());
        assert!(Tensor::new(vec![2, 2], Data::F32(vec![0.0; 3])).unwrap_err().contains("means 4"));
        assert!(Tensor::new(vec![1_000_000, 1_000_000], Data::F32(vec![0.0])).unwrap_err().contains("limit"));
        assert!(Tensor::new(vec![usize::MAX, 2, usize::MAX], Data::F32(vec![])).is_err());
        assert!(Tensor::new(vec![usize::MAX, 0], Data::F32(vec![])).is_ok());
        assert_eq!(elements(&[1; 9]), None);
        assert_eq!(elements(&[]), Some(1));
    }
}
