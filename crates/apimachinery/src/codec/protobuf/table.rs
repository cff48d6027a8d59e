//! What messages look like: `messages.txt`, parsed at first use.

use std::collections::HashMap;
use std::sync::LazyLock;

use mcplane_core::Error;

/// Every message, with references resolved to positions.
pub(super) struct Table {
    kinds: Vec<(&'static str, &'static str, MessageId)>,
    messages: Vec<Message>,
}

/// Position of a message in its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MessageId(usize);

pub(super) struct Message {
    /// In the order of their numbers.
    pub(super) fields: Vec<Field>,
}

pub(super) struct Field {
    pub(super) number: u32,
    /// As in JSON.
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) kind: Kind,
}

/// How often a field occurs, and when it is in the JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A Go value with `omitempty`.
    Optional,
    /// A Go value without `omitempty`.
    Always,
    /// A Go pointer.
    Pointer,
    /// A Go struct whose fields belong to the struct around it.
    Inline,
    List,
    /// Keys are strings.
    Map,
}

/// Type of a field, of an element of a list or of a value in a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    String,
    Bool,
    Int32,
    Int64,
    Bytes,
    Quantity,
    /// RFC 3339 to the second.
    Time,
    /// RFC 3339 to the microsecond.
    MicroTime,
    IntOrString,
    /// JSON text in bytes (`FieldsV1`).
    RawJson,
    /// A list of strings in a message of its own (`ExtraValue`).
    Strings,
    Message(MessageId),
}

static TABLE: LazyLock<Result<Table, String>> = LazyLock::new(|| Table::parse(include_str!("messages.txt")));

pub(super) fn table() -> Result<&'static Table, Error> {
    TABLE.as_ref().map_err(|reason| Error::internal(reason.as_str()))
}

impl Table {
    /// The message of a kind. Options (`*`) belong to every API version.
    pub(super) fn message_of(&self, api_version: &str, kind: &str) -> Option<MessageId> {
        let named =
            |(version, name, _): &&(&str, &str, _)| *name == kind && (*version == "*" || *version == api_version);
        self.kinds.iter().find(named).map(|(.., message)| *message)
    }

    pub(super) fn fields(&self, message: MessageId) -> &[Field] {
        self.messages.get(message.0).map_or(&[], |message| &message.fields)
    }

    #[cfg(test)]
    pub(super) fn kinds(&self) -> impl Iterator<Item = (&'static str, &'static str, MessageId)> {
        self.kinds.iter().copied()
    }

    fn parse(text: &'static str) -> Result<Self, String> {
        let lines = || text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let headings = lines().filter(|line| !line.starts_with(' ') && !line.starts_with("kind "));
        let ids: HashMap<&str, MessageId> =
            headings.enumerate().map(|(index, name)| (name, MessageId(index))).collect();

        let mut kinds = Vec::new();
        let mut messages: Vec<Message> = Vec::new();
        for line in lines() {
            if let Some(kind) = line.strip_prefix("kind ") {
                let [api_version, kind, message] = words(kind).ok_or_else(|| line.to_owned())?;
                kinds.push((api_version, kind, *ids.get(message).ok_or_else(|| line.to_owned())?));
            } else if line.starts_with(' ') {
                let message = messages.last_mut().ok_or_else(|| line.to_owned())?;
                for field in line.trim().trim_end_matches(';').split(';') {
                    message.fields.push(Field::parse(field, &ids).ok_or_else(|| line.to_owned())?);
                }
            } else {
                messages.push(Message { fields: Vec::new() });
            }
        }
        Ok(Self { kinds, messages })
    }
}

impl Field {
    fn parse(text: &'static str, ids: &HashMap<&str, MessageId>) -> Option<Self> {
        let [number, name, kind] = words(text)?;
        let within = |open, close| kind.strip_prefix(open)?.strip_suffix(close);
        let (shape, kind) = match (kind.strip_prefix('*'), kind.strip_suffix('!'), within('[', ']'), within('{', '}')) {
            (Some(kind), ..) => (Shape::Pointer, kind),
            (_, Some(kind), ..) => (Shape::Always, kind),
            (_, _, Some(kind), _) => (Shape::List, kind),
            (.., Some(kind)) => (Shape::Map, kind),
            _ if name == "..." => (Shape::Inline, kind),
            _ => (Shape::Optional, kind),
        };
        let kind = match kind {
            "string" => Kind::String,
            "bool" => Kind::Bool,
            "int32" => Kind::Int32,
            "int64" => Kind::Int64,
            "bytes" => Kind::Bytes,
            "Quantity" => Kind::Quantity,
            "Time" => Kind::Time,
            "MicroTime" => Kind::MicroTime,
            "IntOrString" => Kind::IntOrString,
            "RawJson" => Kind::RawJson,
            "Strings" => Kind::Strings,
            message => Kind::Message(*ids.get(message)?),
        };
        Some(Self { number: number.parse().ok()?, name, shape, kind })
    }
}

fn words<const N: usize>(text: &'static str) -> Option<[&'static str; N]> {
    text.split_whitespace().collect::<Vec<_>>().try_into().ok()
}
