//! Builds the value of a document from the parser's events.

use std::borrow::Cow;
use std::collections::HashMap;

use granit_parser::{Event, ScalarStyle, Tag};
use serde_json::map::Entry;
use serde_json::{Map, Value};

use super::super::MAX_DEPTH;
use super::super::decoded::{Decoded, Step, report};
use super::scalar;

/// Why an event can't be taken.
pub(super) type Reason = Cow<'static, str>;

/// The open collections of a document, and what came of those before it.
pub(super) struct Tree {
    /// The value of the one document that has content.
    document: Option<Value>,
    root: Value,
    open: Vec<Collection>,
    /// Values that aliases may stand for, by the number of the anchor.
    anchors: HashMap<usize, Value>,
    duplicates: Vec<String>,
    /// How many more bytes and values aliases may bring.
    budget: usize,
}

struct Collection {
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Value>),
    Object { entries: Map<String, Value>, key: Key, merged: Vec<Value> },
}

/// What the next value in an object is.
enum Key {
    /// A key itself.
    Due,
    /// The value of this key.
    Of(String),
    /// The value of `<<`.
    Merge,
}

impl Tree {
    pub(super) fn new(budget: usize) -> Self {
        Self {
            document: None,
            root: Value::Null,
            open: Vec::new(),
            anchors: HashMap::new(),
            duplicates: Vec::new(),
            budget,
        }
    }

    /// The value of the document; nothing if all documents are empty.
    pub(super) fn finish(self) -> Option<Decoded> {
        Some(Decoded { value: self.document?, duplicates: self.duplicates })
    }

    pub(super) fn event(&mut self, event: Event<'_>) -> Result<(), Reason> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                if style == ScalarStyle::Plain && tag.is_none() && text == "<<" && self.merge() {
                    return Ok(());
                }
                let value = scalar::resolve(&text, style, tag.as_deref())?;
                self.define(anchor, &value)?;
                self.place(value)
            }
            Event::Alias(anchor) => {
                let value = self.anchors.get(&anchor).ok_or("an alias stands within its own anchor")?;
                let (size, height) = measure(value);
                let value = value.clone();
                self.spend(size)?;
                if self.open.len() + height > MAX_DEPTH {
                    return Err(too_deep());
                }
                self.place(value)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.begin(anchor, tag.as_deref(), "seq", Content::List(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                let content = Content::Object { entries: Map::new(), key: Key::Due, merged: Vec::new() };
                self.begin(anchor, tag.as_deref(), "map", content)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Collection { anchor, content }) = self.open.pop() else { return Ok(()) };
                let value = content.close();
                self.define(anchor, &value)?;
                self.place(value)
            }
            Event::DocumentEnd => {
                self.anchors.clear();
                match std::mem::take(&mut self.root) {
                    Value::Null => Ok(()),
                    _ if self.document.is_some() => Err("a second document".into()),
                    value => {
                        self.document = Some(value);
                        Ok(())
                    }
                }
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, anchor: usize, tag: Option<&Tag>, natural: &str, content: Content) -> Result<(), Reason> {
        if tag.is_some_and(|tag| tag.core_suffix() != Some(natural)) {
            return Err("a tag is not supported".into());
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep());
        }
        self.open.push(Collection { anchor, content });
        Ok(())
    }

    /// Takes `<<` as a key; false where it is a value.
    fn merge(&mut self) -> bool {
        match self.open.last_mut() {
            Some(Collection { content: Content::Object { key: key @ Key::Due, .. }, .. }) => {
                *key = Key::Merge;
                true
            }
            _ => false,
        }
    }

    fn place(&mut self, value: Value) -> Result<(), Reason> {
        let Some(collection) = self.open.last_mut() else {
            self.root = value;
            return Ok(());
        };
        match &mut collection.content {
            Content::List(items) => items.push(value),
            Content::Object { entries, key, merged } => match std::mem::replace(key, Key::Due) {
                Key::Due => *key = Key::Of(scalar::key(value)?),
                Key::Merge => match value {
                    Value::Object(_) => merged.push(value),
                    Value::Array(items) if items.iter().all(Value::is_object) => merged.extend(items),
                    _ => return Err("a merge key holds something else than objects".into()),
                },
                Key::Of(name) => match entries.entry(name) {
                    Entry::Vacant(entry) => {
                        entry.insert(value);
                    }
                    Entry::Occupied(mut entry) => {
                        entry.insert(value);
                        let name = entry.key().clone();
                        self.repeated(&name);
                    }
                },
            },
        }
        Ok(())
    }

    #[cold]
    fn repeated(&mut self, name: &str) {
        let above = self.open.len().saturating_sub(1);
        let path = self.open.iter().take(above).map(|collection| match &collection.content {
            Content::List(items) => Step::Index(items.len()),
            Content::Object { key: Key::Of(key), .. } => Step::Key(key),
            Content::Object { .. } => Step::Key("<<"),
        });
        report(&mut self.duplicates, path.chain([Step::Key(name)]));
    }

    /// Keeps what an anchor stands for.
    fn define(&mut self, anchor: usize, value: &Value) -> Result<(), Reason> {
        if anchor != 0 {
            self.spend(measure(value).0)?;
            self.anchors.insert(anchor, value.clone());
        }
        Ok(())
    }

    fn spend(&mut self, size: usize) -> Result<(), Reason> {
        self.budget = self.budget.checked_sub(size).ok_or("aliases expand the document too far")?;
        Ok(())
    }
}

impl Content {
    fn close(self) -> Value {
        match self {
            Self::List(items) => Value::Array(items),
            Self::Object { mut entries, merged, .. } => {
                // The object's own keys come first, then those of the first object merged.
                for object in merged {
                    let Value::Object(object) = object else { continue };
                    for (key, value) in object {
                        entries.entry(key).or_insert(value);
                    }
                }
                Value::Object(entries)
            }
        }
    }
}

pub(super) fn too_deep() -> Reason {
    format!("more than {MAX_DEPTH} levels of nesting").into()
}

/// Bytes and values in a value, and its levels. Values are no deeper than [`MAX_DEPTH`].
fn measure(value: &Value) -> (usize, usize) {
    let sum = |(size, height): (usize, usize), (more, inner): (usize, usize)| (size + more, height.max(inner));
    let (size, height) = match value {
        Value::String(text) => return (1 + text.len(), 0),
        Value::Array(items) => items.iter().map(measure).fold((1, 0), sum),
        Value::Object(entries) => {
            let sizes = entries.iter().map(|(key, value)| {
                let (size, height) = measure(value);
                (1 + key.len() + size, height)
            });
            sizes.fold((1, 0), sum)
        }
        _ => return (1, 0),
    };
    (size, height + 1)
}
