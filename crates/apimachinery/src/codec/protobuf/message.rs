//! Messages with fields, which are objects in JSON.

use serde_json::{Map, Value};

use super::super::MAX_DEPTH;
use super::table::{Field, Kind, MessageId, Shape, Table};
use super::wire::{Fault, Reader, Wire};
use super::{MAX_VALUES, scalar};

/// Reads the fields of `message` from `raw` into `object`.
pub(super) fn read(
    table: &Table,
    message: MessageId,
    raw: &[u8],
    object: &mut Map<String, Value>,
) -> Result<(), Fault> {
    Decoder { table, values_left: MAX_VALUES }.message(message, raw, MAX_DEPTH - 1, object)
}

struct Decoder<'t> {
    table: &'t Table,
    values_left: usize,
}

impl Decoder<'_> {
    /// Merges the fields in `raw` into `object`: on the wire a message may come in several parts.
    fn message(
        &mut self,
        message: MessageId,
        raw: &[u8],
        depth: usize,
        object: &mut Map<String, Value>,
    ) -> Result<(), Fault> {
        let depth =
            depth.checked_sub(1).ok_or_else(|| Fault::new(format!("more than {MAX_DEPTH} levels of nesting")))?;
        let fields = self.table.fields(message);
        let mut reader = Reader::new(raw);
        while let Some((number, wire)) = reader.tag()? {
            match fields.binary_search_by_key(&number, |field| field.number) {
                Ok(index) => self.field(&fields[index], wire, &mut reader, depth, object)?,
                Err(_) => reader.skip(wire)?,
            }
        }
        self.fill(message, object)
    }

    fn field(
        &mut self,
        field: &Field,
        wire: Wire,
        reader: &mut Reader<'_>,
        depth: usize,
        object: &mut Map<String, Value>,
    ) -> Result<(), Fault> {
        let name = field.name;
        match (field.shape, field.kind) {
            (Shape::Inline, Kind::Message(message)) => self.message(message, reader.bytes(wire)?, depth, object),
            (Shape::List, _) => {
                let list = object.entry(name).or_insert_with(|| Value::Array(Vec::new()));
                let Value::Array(items) = list else { return Ok(()) };
                let within = items.len();
                self.items(field.kind, wire, reader, depth, items)
                    .map_err(|fault| fault.within(format!("{name}[{within}]")))
            }
            (Shape::Map, _) => {
                let map = object.entry(name).or_insert_with(|| Value::Object(Map::new()));
                let Value::Object(entries) = map else { return Ok(()) };
                let entry = reader.bytes(wire).and_then(|entry| self.entry(field.kind, entry, depth, entries));
                entry.map_err(|fault| fault.within(name))
            }
            (_, Kind::Message(message)) => {
                self.spend()?;
                let value = object.entry(name).or_insert_with(|| Value::Object(Map::new()));
                let Value::Object(inner) = value else { return Ok(()) };
                let read = reader.bytes(wire).and_then(|raw| self.message(message, raw, depth, inner));
                read.map_err(|fault| fault.within(name))
            }
            (shape, kind) => {
                let value = self.scalar(kind, wire, reader).map_err(|fault| fault.within(name))?;
                match value.filter(|value| shape != Shape::Optional || !is_empty(kind, value)) {
                    Some(value) => object.insert(name.to_owned(), value),
                    None => object.remove(name),
                };
                Ok(())
            }
        }
    }

    /// One more item, or several numbers in one packed field.
    fn items(
        &mut self,
        kind: Kind,
        wire: Wire,
        reader: &mut Reader<'_>,
        depth: usize,
        items: &mut Vec<Value>,
    ) -> Result<(), Fault> {
        match kind {
            Kind::Int32 | Kind::Int64 | Kind::Bool if wire == Wire::Bytes => {
                let mut packed = Reader::new(reader.bytes(wire)?);
                while !packed.is_at_end() {
                    self.spend()?;
                    items.push(scalar::number(kind, packed.raw_varint()?)?);
                }
            }
            _ => items.push(self.value(kind, wire, reader, depth)?),
        }
        Ok(())
    }

    /// A map is a list of entries, each a message of key and value.
    fn entry(&mut self, kind: Kind, entry: &[u8], depth: usize, entries: &mut Map<String, Value>) -> Result<(), Fault> {
        let (mut key, mut value) = ("", None);
        let mut reader = Reader::new(entry);
        while let Some((number, wire)) = reader.tag()? {
            match number {
                1 => key = reader.text(wire)?,
                2 => value = Some(self.value(kind, wire, &mut reader, depth)?),
                _ => reader.skip(wire)?,
            }
        }
        self.spend()?;
        entries.insert(key.to_owned(), value.or_else(|| scalar::zero(kind)).unwrap_or_default());
        Ok(())
    }

    /// An item of a list or a value in a map.
    fn value(&mut self, kind: Kind, wire: Wire, reader: &mut Reader<'_>, depth: usize) -> Result<Value, Fault> {
        let Kind::Message(message) = kind else {
            return Ok(self.scalar(kind, wire, reader)?.unwrap_or_default());
        };
        self.spend()?;
        let mut object = Map::new();
        self.message(message, reader.bytes(wire)?, depth, &mut object)?;
        Ok(Value::Object(object))
    }

    fn scalar(&mut self, kind: Kind, wire: Wire, reader: &mut Reader<'_>) -> Result<Option<Value>, Fault> {
        self.spend()?;
        scalar::read(kind, wire, reader)
    }

    /// Adds what Go's JSON has of fields that the wire has not: values without `omitempty`, and structs.
    fn fill(&mut self, message: MessageId, object: &mut Map<String, Value>) -> Result<(), Fault> {
        for field in self.table.fields(message) {
            match (field.shape, field.kind) {
                (Shape::Inline, Kind::Message(message)) => self.fill(message, object)?,
                (Shape::Optional, Kind::Message(message)) if !object.contains_key(field.name) => {
                    self.spend()?;
                    let mut inner = Map::new();
                    self.fill(message, &mut inner)?;
                    object.insert(field.name.to_owned(), Value::Object(inner));
                }
                (Shape::Always, kind) | (Shape::Optional, kind @ (Kind::Quantity | Kind::IntOrString)) => {
                    if let Some(zero) = scalar::zero(kind).filter(|_| !object.contains_key(field.name)) {
                        self.spend()?;
                        object.insert(field.name.to_owned(), zero);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn spend(&mut self) -> Result<(), Fault> {
        let left = self.values_left.checked_sub(1);
        self.values_left = left.ok_or_else(|| Fault::new(format!("more than {MAX_VALUES} values")))?;
        Ok(())
    }
}

/// Whether `omitempty` leaves the value out. It never leaves out Go structs, such as quantities.
fn is_empty(kind: Kind, value: &Value) -> bool {
    !matches!(kind, Kind::Quantity | Kind::IntOrString) && scalar::zero(kind).as_ref() == Some(value)
}
