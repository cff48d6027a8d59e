//! Columns of a batch by name.

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::DataType;
use mcplane_core::{Error, Result};

use super::times::Unit;
use crate::tables::{Table, fault};

/// The type of a table's column.
pub(super) fn kind<'t>(table: &'t dyn Table, name: &str) -> Result<&'t DataType> {
    let field = table.schema().field_with_name(name);
    let known = || table.schema().fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>().join(", ");
    let missing = |_| Error::bad_request(format!("{}: there is no column {name:?}; it has {}", table.name(), known()));
    field.map(|field| field.data_type()).map_err(missing)
}

pub(super) fn column<'b>(batch: &'b RecordBatch, name: &str) -> Result<&'b ArrayRef> {
    batch.column_by_name(name).ok_or_else(|| Error::internal(format!("a column {name:?} was not read")))
}

pub(super) fn times(table: &dyn Table, batch: &RecordBatch, name: &str, unit: Unit) -> Result<Int64Array> {
    let wrong = |error| fault(table.name(), format!("column {name:?}: {error}"));
    unit.numbers(column(batch, name)?).map_err(wrong)
}
