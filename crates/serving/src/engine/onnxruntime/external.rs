//! Models whose weights lie in other files.
//!
//! A version of the registry is one file here, so there are none; and the library would look for them in the folder
//! that the server was started in, on behalf of whoever made the model.

use crate::engine::tabular::wire::{Broken, Reader};

/// Graphs within graphs: more than any model has, and few enough for the stack.
const DEEPEST: usize = 64;

/// The messages of ONNX on the way to a tensor, each with the fields that lead on.
///
/// <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>
#[derive(Debug, Clone, Copy)]
enum Message {
    Model,
    Function,
    Graph,
    Node,
    Attribute,
    SparseTensor,
    Tensor,
}

impl Message {
    fn field(self, number: u64) -> Option<Self> {
        Some(match (self, number) {
            (Self::Model, 7) | (Self::Attribute, 6 | 11) => Self::Graph,
            (Self::Model, 25) => Self::Function,
            (Self::Graph, 1) | (Self::Function, 7) => Self::Node,
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) | (Self::SparseTensor, 1 | 2) => Self::Tensor,
            (Self::Graph, 15) | (Self::Attribute, 22 | 23) => Self::SparseTensor,
            (Self::Node, 5) | (Self::Function, 11) => Self::Attribute,
            _ => return None,
        })
    }
}

/// Refuses a model that refers to other files.
///
/// # Errors
/// A sentence that says so, or what is broken.
pub(super) fn refuse(bytes: &[u8]) -> Result<(), String> {
    if walk(Message::Model, bytes, DEEPEST)? {
        return Err("weights of it lie in another file, which is not supported: save it as one file".to_owned());
    }
    Ok(())
}

/// Whether a tensor lies in another file (`data_location` or `external_data` is set).
fn walk(message: Message, bytes: &[u8], depth: usize) -> Result<bool, Broken> {
    let Some(depth) = depth.checked_sub(1) else { return Err("it is nested too deeply") };
    let mut fields = Reader::new(bytes);
    while let Some((number, value)) = fields.next()? {
        let found = match (message, number) {
            (Message::Tensor, 13) => true,
            (Message::Tensor, 14) => value.int()? != 0,
            _ => match message.field(number) {
                Some(within) => walk(within, value.bytes()?, depth)?,
                None => false,
            },
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn varint(mut value: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while value > 127 {
            bytes.push(0x80 | (value & 127) as u8);
            value >>= 7;
        }
        bytes.push(value as u8);
        bytes
    }

    /// A message within messages, by the numbers of their fields from the outside in.
    fn nested(path: &[usize], content: &[u8]) -> Vec<u8> {
        let within =
            |content: Vec<u8>, number: &usize| [varint(number << 3 | 2), varint(content.len()), content].concat();
        path.iter().rev().fold(content.to_vec(), within)
    }

    #[test]
    fn weights_elsewhere_are_found_wherever_they_are() {
        let (here, there, told) = ([14 << 3, 0], [14 << 3, 1], [13 << 3 | 2, 0]);
        // Initializers; an attribute's tensor, tensors, graph, graphs; what is sparse; functions and their attributes.
        let paths: [&[usize]; 10] = [
            &[7, 5],
            &[7, 1, 5, 5],
            &[7, 1, 5, 10],
            &[7, 1, 5, 6, 5],
            &[7, 1, 5, 11, 5],
            &[7, 15, 1],
            &[7, 15, 2],
            &[7, 1, 5, 22, 1],
            &[7, 1, 5, 23, 2],
            &[25, 7, 5, 5],
        ];
        for path in paths.into_iter().chain([&[25, 11, 5][..]]) {
            assert_eq!(refuse(&nested(path, &here)), Ok(()), "{path:?}");
            assert!(refuse(&nested(path, &there)).unwrap_err().contains("another file"), "{path:?}");
            assert!(refuse(&nested(path, &told)).unwrap_err().contains("another file"), "{path:?}");
        }
    }

    #[test]
    fn what_can_not_be_followed_is_refused() {
        let deep = |graphs: usize| [&[7][..], &[1, 5, 6].repeat(graphs), &[5]].concat();
        assert_eq!(refuse(&nested(&deep(20), &[])), Ok(()));
        assert!(refuse(&nested(&deep(30), &[])).unwrap_err().contains("too deeply"));
        assert!(refuse(b"\xff\xff").unwrap_err().contains("ends in the middle"));
        // 7 in 32 bits, and not in 64.
        assert!(refuse(&[0xba, 0x80, 0x80, 0x80, 0x10, 0]).unwrap_err().contains("a number that ONNX does not use"));
    }
}
