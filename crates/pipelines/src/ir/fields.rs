//! Reads a JSON document of protocol buffers' making, with the path of each value for messages.
//!
//! Names come in camelCase (protojson) or snake_case (proto names); unknown fields are ignored, as newer SDKs add some.

use mcplane_core::{Error, Result};
use serde_json::{Map, Value};

/// A value and where it is.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    pub(super) value: &'a Value,
    parent: Option<&'a Node<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root(&'a str),
    Field(&'a str),
    Key(&'a str),
    Index(usize),
}

static NULL: Value = Value::Null;

impl<'a> Node<'a> {
    /// The document, by the name that messages give it.
    pub(super) fn root(name: &'a str, value: &'a Value) -> Self {
        Self { value, parent: None, step: Step::Root(name) }
    }

    /// An error about this value: `components.comp-a.dag: reason`.
    pub(super) fn error(&self, reason: impl AsRef<str>) -> Error {
        Error::bad_request(format!("{}: {}", self.path(), reason.as_ref()))
    }

    fn path(&self) -> String {
        let mut steps = Vec::new();
        let mut at = Some(self);
        while let Some(node) = at {
            steps.push(node.step);
            at = node.parent;
        }
        let mut path = String::new();
        for step in steps.into_iter().rev() {
            match step {
                Step::Root(name) => path.push_str(name),
                Step::Field(name) => {
                    path.push('.');
                    path.push_str(name);
                }
                Step::Key(key) => {
                    path.push_str("['");
                    path.extend(key.chars().take(100));
                    path.push_str("']");
                }
                Step::Index(index) => path.push_str(&format!("[{index}]")),
            }
        }
        path
    }

    pub(super) fn is_null(&self) -> bool {
        self.value.is_null()
    }

    /// A field by its camelCase name; null when missing.
    pub(super) fn field(&'a self, camel: &'a str) -> Result<Node<'a>> {
        let value = match self.object()? {
            Some(object) => object.get(camel).or_else(|| object.get(&snake(camel))).unwrap_or(&NULL),
            None => &NULL,
        };
        Ok(Node { value, parent: Some(self), step: Step::Field(camel) })
    }

    /// The object here; none when missing.
    pub(super) fn object(&self) -> Result<Option<&'a Map<String, Value>>> {
        match self.value {
            Value::Null => Ok(None),
            Value::Object(object) => Ok(Some(object)),
            _ => Err(self.error("expected an object")),
        }
    }

    /// The entries of the map here; none when missing.
    pub(super) fn entries(&'a self) -> Result<impl Iterator<Item = (&'a String, Node<'a>)>> {
        let entries = self.object()?.into_iter().flatten();
        Ok(entries.map(move |(key, value)| (key, Node { value, parent: Some(self), step: Step::Key(key) })))
    }

    /// The items of the list here; none when missing.
    pub(super) fn items(&'a self) -> Result<impl Iterator<Item = Node<'a>>> {
        let items = match self.value {
            Value::Null => &[][..],
            Value::Array(items) => items.as_slice(),
            _ => return Err(self.error("expected a list")),
        };
        let nodes = items.iter().enumerate();
        Ok(nodes.map(move |(index, value)| Node { value, parent: Some(self), step: Step::Index(index) }))
    }

    /// The text here; none when missing or empty, which protocol buffers do not tell apart.
    pub(super) fn text(&self) -> Result<Option<&'a str>> {
        match self.value {
            Value::Null => Ok(None),
            Value::String(text) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
            _ => Err(self.error("expected a string")),
        }
    }

    /// The text here, which must not be empty.
    pub(super) fn required(&self) -> Result<&'a str> {
        self.text()?.ok_or_else(|| self.error("must be given"))
    }

    /// A text, or the text of a number: quantities come as either.
    pub(super) fn scalar(&self) -> Result<String> {
        match self.value {
            Value::Number(number) => Ok(crate::values::text(&Value::Number(number.clone())).into_owned()),
            _ => Ok(self.text()?.unwrap_or_default().to_owned()),
        }
    }

    pub(super) fn flag(&self) -> Result<bool> {
        match self.value {
            Value::Null => Ok(false),
            Value::Bool(flag) => Ok(*flag),
            _ => Err(self.error("expected true or false")),
        }
    }

    /// A whole number that fits; protojson writes those of 64 bits as text.
    pub(super) fn count(&self) -> Result<Option<u32>> {
        let number = match self.value {
            Value::Null => return Ok(None),
            Value::Number(number) => number.as_f64().filter(|number| number.fract() == 0.0),
            Value::String(text) => text.parse().ok().map(|number: u32| f64::from(number)),
            _ => None,
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to fit")]
        let count = number.filter(|number| (0.0..=f64::from(u32::MAX)).contains(number)).map(|number| number as u32);
        count.map(Some).ok_or_else(|| self.error("expected a whole number of 32 bits that is not negative"))
    }

    pub(super) fn number(&self) -> Result<Option<f64>> {
        match self.value {
            Value::Null => Ok(None),
            Value::Number(number) => Ok(number.as_f64()),
            _ => Err(self.error("expected a number")),
        }
    }
}

/// `pipelineInfo` as `pipeline_info`.
fn snake(camel: &str) -> String {
    let mut snake = String::with_capacity(camel.len() + 4);
    for letter in camel.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}
