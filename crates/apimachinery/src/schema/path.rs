//! Where a walk is, as a list on the stack: it costs nothing until an error needs its text.

use std::fmt::Write;

/// A path from the root of the object.
#[derive(Clone, Copy)]
pub(super) enum Path<'a> {
    Root,
    Field(&'a Path<'a>, &'a str),
    /// A key of a map.
    Key(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl Path<'_> {
    /// As field errors write it: `spec.hard[requests.cpu]`.
    pub(super) fn field(&self) -> String {
        let mut text = String::new();
        self.write(&mut text, true);
        text
    }

    /// As strict decoding writes it: `spec.hard.requests.cpu`.
    pub(super) fn dotted(&self) -> String {
        let mut text = String::new();
        self.write(&mut text, false);
        text
    }

    fn write(&self, text: &mut String, brackets: bool) {
        let (parent, name) = match *self {
            Self::Root => return,
            Self::Index(parent, index) => {
                parent.write(text, brackets);
                // Writing to a String can't fail.
                let _ = write!(text, "[{index}]");
                return;
            }
            Self::Key(parent, key) if brackets => {
                parent.write(text, brackets);
                let _ = write!(text, "[{key}]");
                return;
            }
            Self::Field(parent, name) | Self::Key(parent, name) => (parent, name),
        };
        parent.write(text, brackets);
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(name);
    }
}
