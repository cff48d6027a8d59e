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

    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).unwrap();
        [&[number << 3 | 2, length][..], content].concat()
    }

    #[test]
    fn weights_elsewhere_are_found_wherever_they_are() {
        let here = [14 << 3, 0];
        let there = [14 << 3, 1];
        for (tensor, expected) in [(&here[..], true), (&there, false), (&field(13, b"x"), false)] {
            let initializer = field(7, &field(5, tensor));
            assert_eq!(refuse(&initializer).is_ok(), expected);
            let constant = field(7, &field(1, &field(5, &field(5, tensor))));
            assert_eq!(refuse(&constant).is_ok(), expected);
            let branch = field(7, &field(1, &field(5, &field(6, &field(5, tensor)))));
            assert_eq!(refuse(&branch).is_ok(), expected);
        }
        let mut nested = field(5, &here);
        for _ in 0..30 {
            nested = field(1, &field(5, &field(6, &nested)));
            if nested.len() > 100 {
                break;
            }
        }
        assert!(refuse(&field(7, &nested)).is_ok());
        assert!(refuse(b"\xff\xff").unwrap_err().contains("ends in the middle"));
    }
}
