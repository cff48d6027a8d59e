//! Entities as small numbers.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use arrow::array::{Array, ArrayRef, AsArray as _, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Int64Type};
use arrow::row::{RowConverter, SortField};
use foldhash::fast::FixedState;
use mcplane_core::{Error, Result};

use super::columns::{column, kind};
use crate::tables::{Table, fault};

/// No entity: a part of the key is null, or no event is of it.
pub(super) const NONE: u32 = u32::MAX;

/// The entities that events are of.
pub(super) struct Keys {
    kinds: Vec<DataType>,
    known: Known,
}

enum Known {
    /// One whole number is its own key.
    Number(HashMap<i64, u32, FixedState>),
    Rows(RowConverter, HashMap<Box<[u8]>, u32, FixedState>),
}

impl Keys {
    /// No entities yet, named by these columns of the events.
    pub(super) fn new(events: &dyn Table, columns: &[String]) -> Result<Self> {
        let kinds: Vec<DataType> = columns.iter().map(|name| canonical(events, name)).collect::<Result<_>>()?;
        let known = if kinds == [DataType::Int64] {
            Known::Number(HashMap::default())
        } else {
            let fields = kinds.iter().cloned().map(SortField::new).collect();
            Known::Rows(RowConverter::new(fields).map_err(Error::internal)?, HashMap::default())
        };
        Ok(Self { kinds, known })
    }

    pub(super) fn len(&self) -> usize {
        match &self.known {
            Known::Number(known) => known.len(),
            Known::Rows(_, known) => known.len(),
        }
    }

    /// Columns of a view name the same entities.
    pub(super) fn check(&self, view: &dyn Table, columns: &[String], events: &[String]) -> Result<()> {
        for ((column, of_events), kind) in columns.iter().zip(events).zip(&self.kinds) {
            let own = canonical(view, column)?;
            if own != *kind {
                return Err(fault(
                    view.name(),
                    format!(
                        "column {column:?} is {own}, and {of_events:?} of the events is {kind}: they can't be equal"
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Adds the number of each row's entity to `ids`; entities that are new get one.
    pub(super) fn intern(
        &mut self,
        table: &dyn Table,
        batch: &RecordBatch,
        names: &[String],
        ids: &mut Vec<u32>,
    ) -> Result<()> {
        let columns = canonical_columns(table, batch, names, &self.kinds)?;
        let next = |count: usize| u32::try_from(count).ok().filter(|id| *id != NONE).ok_or_else(too_many);
        match &mut self.known {
            Known::Number(known) => {
                for number in columns[0].as_primitive::<Int64Type>() {
                    let Some(number) = number else {
                        ids.push(NONE);
                        continue;
                    };
                    let count = known.len();
                    ids.push(match known.entry(number) {
                        Entry::Occupied(entry) => *entry.get(),
                        Entry::Vacant(entry) => *entry.insert(next(count)?),
                    });
                }
            }
            Known::Rows(converter, known) => {
                let rows = converter.convert_columns(&columns).map_err(Error::internal)?;
                for (at, row) in rows.iter().enumerate() {
                    if columns.iter().any(|column| column.is_null(at)) {
                        ids.push(NONE);
                        continue;
                    }
                    let id = match known.get(row.as_ref()) {
                        Some(id) => *id,
                        None => {
                            let id = next(known.len())?;
                            known.insert(row.as_ref().into(), id);
                            id
                        }
                    };
                    ids.push(id);
                }
            }
        }
        Ok(())
    }

    /// The numbers of a view's entities; [`NONE`] for those that no event is of.
    pub(super) fn find(&self, table: &dyn Table, batch: &RecordBatch, names: &[String]) -> Result<Vec<u32>> {
        let columns = canonical_columns(table, batch, names, &self.kinds)?;
        Ok(match &self.known {
            Known::Number(known) => {
                let number = |number: Option<i64>| number.and_then(|number| known.get(&number)).copied();
                columns[0].as_primitive::<Int64Type>().iter().map(|found| number(found).unwrap_or(NONE)).collect()
            }
            Known::Rows(converter, known) => {
                // Rows with a null are never interned, so they are not found either.
                let rows = converter.convert_columns(&columns).map_err(Error::internal)?;
                rows.iter().map(|row| known.get(row.as_ref()).copied().unwrap_or(NONE)).collect()
            }
        })
    }
}

fn too_many() -> Error {
    Error::bad_request("the events are of more than four billion entities")
}

/// The type in which keys of this column's type compare.
fn canonical(table: &dyn Table, name: &str) -> Result<DataType> {
    let of = |kind: &DataType| {
        Some(match kind {
            kind if kind.is_integer() => DataType::Int64,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
            DataType::Boolean => DataType::Boolean,
            DataType::Date32 => DataType::Date32,
            _ => return None,
        })
    };
    let found = kind(table, name)?;
    let inner = if let DataType::Dictionary(_, values) = found { values } else { found };
    of(inner).ok_or_else(|| {
        fault(
            table.name(),
            format!("column {name:?} is {found}: entities are named by integers, text, booleans or dates"),
        )
    })
}

fn canonical_columns(
    table: &dyn Table,
    batch: &RecordBatch,
    names: &[String],
    kinds: &[DataType],
) -> Result<Vec<ArrayRef>> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let read = |(name, kind): (&String, &DataType)| {
        let wrong = |error| fault(table.name(), format!("column {name:?}: {error}"));
        cast_with_options(column(batch, name)?, kind, &strict).map_err(wrong)
    };
    names.iter().zip(kinds).map(read).collect()
}
