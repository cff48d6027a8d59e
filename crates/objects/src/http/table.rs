//! Tables: what `kubectl get` prints, made by the server because only it knows every kind.

use mcplane_core::Result;
use serde_json::{Value, json};

use super::represent::Include;
use crate::kind::{Column, RegisteredKind};
use crate::object::{self, ObjectExt as _};
use crate::storage::Stored;

/// The age column, which is the last of every kind without columns of its own.
pub const AGE: Column = Column {
    name: "Age",
    format: "date",
    priority: 0,
    cell: |object| object.meta("creationTimestamp").cloned().unwrap_or(Value::Null),
};

fn columns(kind: &RegisteredKind) -> &[Column] {
    if kind.columns.is_empty() { &[AGE] } else { kind.columns }
}

pub(super) fn row(kind: &RegisteredKind, api_version: &str, item: &Stored, include: Include) -> Result<Value> {
    let object = object::parse_as(api_version, kind.kind, &item.body)?;
    let cells = columns(kind).iter().map(|column| cell(column, &object));
    let name = kind.name_column.then(|| object.name().into());
    let cells: Vec<Value> = name.into_iter().chain(cells).collect();
    let mut row = json!({ "cells": cells });
    match include {
        Include::Nothing => {}
        Include::Metadata => {
            row["object"] = json!({
                "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"],
            });
        }
        Include::Object => row["object"] = object,
    }
    Ok(row)
}

/// Dates are shown as the time since then.
fn cell(column: &Column, object: &Value) -> Value {
    let value = (column.cell)(object);
    if column.format != "date" {
        return value;
    }
    match value.as_str().and_then(mcplane_core::clock::parse_rfc3339) {
        Some(then) => age((jiff::Timestamp::now().as_millisecond() - then) / 1000).into(),
        None => "<unknown>".into(),
    }
}

/// Seconds as kubectl writes ages: two units where that tells more, one where it does not.
pub fn age(seconds: i64) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    const YEAR: i64 = 365 * DAY;
    let two = |large: i64, large_unit: &str, small: i64, small_unit: &str| {
        let (whole, rest) = (seconds / large, seconds % large / small);
        if rest == 0 { format!("{whole}{large_unit}") } else { format!("{whole}{large_unit}{rest}{small_unit}") }
    };
    match seconds {
        s if s < 0 => "0s".to_owned(),
        s if s < 2 * MINUTE => format!("{s}s"),
        s if s < 10 * MINUTE => two(MINUTE, "m", 1, "s"),
        s if s < 3 * HOUR => format!("{}m", s / MINUTE),
        s if s < 8 * HOUR => two(HOUR, "h", MINUTE, "m"),
        s if s < 2 * DAY => format!("{}h", s / HOUR),
        s if s < 8 * DAY => two(DAY, "d", HOUR, "h"),
        s if s < 2 * YEAR => format!("{}d", s / DAY),
        s if s < 8 * YEAR => two(YEAR, "y", DAY, "d"),
        s => format!("{}y", s / YEAR),
    }
}

/// A whole table, of one row or none.
pub(super) fn render(kind: &RegisteredKind, metadata: &Value, row: Option<&Value>, with_columns: bool) -> String {
    let mut text = String::new();
    begin(&mut text, kind, metadata, with_columns);
    text.push_str(&row.map(Value::to_string).unwrap_or_default());
    text.push_str("]}");
    text
}

/// The text of a table up to its rows.
pub(super) fn begin(text: &mut String, kind: &RegisteredKind, metadata: &Value, with_columns: bool) {
    let name = json!({
        "name": "Name", "type": "string", "format": "name", "priority": 0,
        "description": "Name must be unique within a namespace.",
    });
    let others = columns(kind).iter().map(|column| {
        // Ages are sent as text that is ready to print.
        let kind = if column.format == "date" { "string" } else { column.format };
        json!({"name": column.name, "type": kind, "format": "", "priority": column.priority, "description": ""})
    });
    let columns: Vec<Value> =
        if with_columns { kind.name_column.then_some(name).into_iter().chain(others).collect() } else { vec![] };
    text.push_str(&format!(
        "{{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":{metadata},\
         \"columnDefinitions\":{},\"rows\":[",
        Value::from(columns)
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_as_kubectl_writes_them() {
        for (seconds, text) in [
            (-5, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (601, "10m"),
            (3 * 3600, "3h"),
            (3 * 3600 + 60, "3h1m"),
            (9 * 3600 + 60, "9h"),
            (49 * 3600, "2d1h"),
            (9 * 86_400, "9d"),
            (800 * 86_400, "2y70d"),
            (4000 * 86_400, "10y"),
        ] {
            assert_eq!(age(seconds), text);
        }
    }
}
