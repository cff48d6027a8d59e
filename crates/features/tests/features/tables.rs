//! Small tables, written short.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Field, Schema};
use mcplane_features::join::{Joined, ViewFacts};
use mcplane_features::tables::{Memory, Table};

pub(crate) fn batch(columns: &[(&str, ArrayRef)]) -> RecordBatch {
    let fields: Vec<Field> =
        columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
    let columns = columns.iter().map(|(_, column)| Arc::clone(column)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// A table in batches of at most `rows`.
pub(crate) fn memory(name: &str, whole: &RecordBatch, rows: usize) -> Arc<dyn Table> {
    let starts = (0..whole.num_rows()).step_by(rows.max(1));
    let batches = starts.map(|start| whole.slice(start, rows.max(1).min(whole.num_rows() - start))).collect();
    Arc::new(Memory::new(name, whole.schema(), batches).unwrap())
}

pub(crate) fn micros(times: Vec<Option<i64>>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(times))
}

pub(crate) fn numbers(numbers: Vec<Option<i64>>) -> ArrayRef {
    Arc::new(Int64Array::from(numbers))
}

pub(crate) fn texts(texts: Vec<Option<&str>>) -> ArrayRef {
    Arc::new(StringArray::from(texts))
}

pub(crate) fn facts(entities: &[&str], features: &[&str]) -> ViewFacts {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    ViewFacts {
        view: "view".to_owned(),
        entities: owned(entities),
        timestamp_column: "at".to_owned(),
        created_timestamp_column: None,
        ttl: None,
        features: owned(features),
        spec_digest: String::new(),
    }
}

/// All rows of a result, as text.
pub(crate) fn rows(joined: Joined) -> Vec<String> {
    let options = arrow::util::display::FormatOptions::default().with_null("-");
    let mut rows = Vec::new();
    for batch in joined {
        let batch = batch.unwrap();
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| arrow::util::display::ArrayFormatter::try_new(column.as_ref(), &options).unwrap())
            .collect();
        for row in 0..batch.num_rows() {
            rows.push(columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join(" "));
        }
    }
    rows
}
