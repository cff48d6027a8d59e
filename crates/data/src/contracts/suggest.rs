//! A contract from data: what one file shows, to be read and changed by people.
//!
//! Types, nulls, small sets and uniqueness are taken as meant. Bounds of numbers are what happened to occur, so they are soft;
//! dates and times get none, because tomorrow's are larger.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::check::unique::Unique;
use super::spec::{ColumnSpec, ColumnType, Expectation, Rows, Spec};
use crate::columns::{Cell, CsvFormat, Declared, Fault, FileKind, Table, parse};

/// Values of a set that looks like one, and rows that each of them has at least, on average.
const MOST_VALUES: usize = 20;
const ROWS_A_VALUE: u64 = 10;
/// Bytes of a value that may be a member of a set.
const LONGEST_MEMBER: usize = 64;
/// Bytes of memory for finding repetitions, all columns together.
const MEMORY: usize = 128 << 20;

/// The contract that the table keeps.
///
/// # Errors
/// When it can't be read to its end.
pub fn suggest(mut table: Table<'_>, csv: &CsvFormat) -> Result<Spec, Fault> {
    let count = table.names().len().max(1);
    let mut columns: Vec<Profile> = table
        .names()
        .iter()
        .zip(table.declared())
        .map(|(name, declared)| Profile::new(name, *declared, MEMORY / count))
        .collect();
    while let Some(batch) = table.next_batch()? {
        for (index, column) in columns.iter_mut().enumerate() {
            batch.each(index, |row, cell| column.take(batch.first_row + row as u64, cell));
        }
    }
    let kind = table.kind();
    let facts = table.finish()?;
    let columns = columns.into_iter().filter_map(|column| column.finish(facts.rows).transpose());
    Ok(Spec {
        csv: (kind == FileKind::Csv && *csv != CsvFormat::default()).then(|| csv.clone()),
        rows: Some(Rows { min: Some(1), max: None }),
        columns: columns.collect::<Result<_, _>>()?,
        ..Spec::default()
    })
}

/// What a column showed so far.
struct Profile {
    name: String,
    declared: Declared,
    /// Types that all values have had, most special first.
    may_be: Vec<ColumnType>,
    nulls: u64,
    bounds: Option<(f64, f64)>,
    whole: Option<(i64, i64)>,
    members: Option<BTreeSet<String>>,
    unique: Option<Unique>,
    fault: Option<Fault>,
}

impl Profile {
    fn new(name: &str, declared: Declared, memory: usize) -> Self {
        use ColumnType::{Boolean, Date, Integer, Number, String, Timestamp};
        let may_be = match declared {
            Declared::Text => vec![Boolean, Integer, Number, Date, Timestamp, String],
            Declared::Bool => vec![Boolean],
            Declared::Int => vec![Integer],
            Declared::Float => vec![Number],
            Declared::String => vec![String],
            Declared::Date => vec![Date],
            Declared::Timestamp => vec![Timestamp],
            Declared::Bytes | Declared::Nested => vec![],
        };
        Self {
            name: name.to_owned(),
            declared,
            may_be,
            nulls: 0,
            bounds: None,
            whole: None,
            members: Some(BTreeSet::new()),
            unique: Some(Unique::new(memory, super::check::seed())),
            fault: None,
        }
    }

    fn take(&mut self, row: u64, cell: Cell<'_>) {
        match cell {
            Cell::Null => self.nulls += 1,
            Cell::Text(text) => self.text(row, text),
            Cell::Int(value) => {
                self.number(value as f64, Some(value));
                self.identity(row, &value.to_le_bytes());
            }
            Cell::Float(value) if value.is_nan() => self.nulls += 1,
            Cell::Float(value) => self.number(value, None),
            Cell::Bool(_) | Cell::Date(_) | Cell::Timestamp(_) | Cell::Bytes(_) => {}
        }
    }

    fn text(&mut self, row: u64, text: &str) {
        if self.declared == Declared::Text {
            // What a type was refused once is not tried again, so few are.
            self.may_be.retain(|kind| match kind {
                ColumnType::Boolean => parse::boolean(text).is_some(),
                ColumnType::Integer => parse::integer(text).is_some(),
                ColumnType::Number => parse::number(text).is_some(),
                ColumnType::Date => parse::date(text).is_some(),
                ColumnType::Timestamp => parse::timestamp(text).is_some(),
                ColumnType::String => true,
            });
            if let Some(value) = self.may_be.contains(&ColumnType::Number).then(|| parse::number(text)).flatten() {
                if value.is_nan() {
                    self.nulls += 1;
                    return;
                }
                self.number(value, parse::integer(text));
            }
        }
        if let Some(members) = &mut self.members
            && !members.contains(text)
        {
            members.insert(text.to_owned());
            if members.len() > MOST_VALUES || text.len() > LONGEST_MEMBER {
                self.members = None;
            }
        }
        self.identity(row, text.as_bytes());
    }

    fn number(&mut self, value: f64, whole: Option<i64>) {
        let (low, high) = self.bounds.unwrap_or((value, value));
        self.bounds = Some((low.min(value), high.max(value)));
        if let Some(value) = whole {
            let (low, high) = self.whole.unwrap_or((value, value));
            self.whole = Some((low.min(value), high.max(value)));
        }
    }

    /// Looks for repetitions until there is one.
    fn identity(&mut self, row: u64, bytes: &[u8]) {
        let Some(unique) = &mut self.unique else { return };
        let hash = unique.hash(bytes);
        match unique.note(hash, row) {
            Ok(None) => {}
            Ok(Some(_)) => self.unique = None,
            Err(fault) => self.fault = Some(fault),
        }
    }

    /// The column's part of the contract; `None` for one that no contract can speak of.
    fn finish(mut self, rows: u64) -> Result<Option<ColumnSpec>, Fault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let present = rows - self.nulls;
        let kind = match self.may_be.first() {
            // Nothing was refused because there was nothing.
            Some(_) if present == 0 && self.declared == Declared::Text => ColumnType::String,
            Some(kind) => *kind,
            None => return Ok(None),
        };
        let mut column = ColumnSpec::new(self.name, kind);
        if self.nulls > 0 {
            column.nullable = true;
            // Twice as many, in whole per cent.
            column.max_null_fraction = Some((self.nulls as f64 / rows as f64 * 200.0).ceil().min(100.0) / 100.0);
        }
        let bounds = match kind {
            ColumnType::Integer => self.whole.map(|(low, high)| (Json::from(low), Json::from(high))),
            ColumnType::Number => self
                .bounds
                .filter(|(low, high)| low.is_finite() && high.is_finite())
                .map(|(low, high)| (Json::from(low), Json::from(high))),
            _ => None,
        };
        if let Some((low, high)) = bounds {
            (column.min, column.max) = (Some(low), Some(high));
            column.soft.push(Expectation::Range);
        }
        if let Some(members) = self.members.take()
            && kind == ColumnType::String
            && !members.is_empty()
            && present >= members.len() as u64 * ROWS_A_VALUE
        {
            column.values = Some(members.into_iter().map(Json::from).collect());
        }
        if let Some(unique) = self.unique
            && matches!(kind, ColumnType::Integer | ColumnType::String)
            && present > 1
        {
            let mut repeated = false;
            unique.finish(|_, _| repeated = true)?;
            column.unique = !repeated;
        }
        Ok(Some(column))
    }
}
