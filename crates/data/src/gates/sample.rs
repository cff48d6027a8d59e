//! Held-out rows: what is true, and what one or two models say of it.

use std::collections::HashMap;

use serde_json::Value;

use super::spec::{Metric, Policy};
use crate::columns::{Cell, Fault, Table, parse};

/// Rows of a sample. All of them are in memory, some 50 bytes each.
const MOST_ROWS: usize = 5_000_000;

/// What is known of the rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Digest of the file.
    pub sha256: String,
    pub(super) truth: Outcomes,
    pub(super) challenger: Side,
    pub(super) champion: Option<Side>,
    /// The class of the positive label.
    pub(super) positive: u32,
}

/// What one model says.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Side {
    pub(super) predictions: Option<Outcomes>,
    pub(super) scores: Option<Vec<f64>>,
}

/// Classes, numbered in the order in which they were met, or numbers.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcomes {
    Classes(Vec<u32>),
    Numbers(Vec<f64>),
}

/// A label as the same thing however it is written: 1, 1.0 and true are one class.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Label {
    Number(u64),
    Text(Box<str>),
}

impl Label {
    fn number(value: f64) -> Self {
        // Both zeros are one number.
        Self::Number((value + 0.0).to_bits())
    }

    fn text(text: &str) -> Self {
        match (parse::number(text), parse::boolean(text)) {
            (Some(value), _) => Self::number(value),
            (None, Some(value)) => Self::number(f64::from(u8::from(value))),
            (None, None) => Self::Text(text.into()),
        }
    }

    fn of(cell: Cell<'_>) -> Option<Self> {
        Some(match cell {
            Cell::Null | Cell::Bytes(_) => return None,
            Cell::Bool(value) => Self::number(f64::from(u8::from(value))),
            Cell::Int(value) => Self::number(value as f64),
            Cell::Float(value) if value.is_nan() => return None,
            Cell::Float(value) => Self::number(value),
            Cell::Text(text) => Self::text(text),
            Cell::Date(_) | Cell::Timestamp(_) => Self::Text(cell.shown().into()),
        })
    }

    fn of_json(value: &Value) -> Self {
        match value {
            Value::Bool(value) => Self::number(f64::from(u8::from(*value))),
            Value::Number(number) => Self::number(number.as_f64().unwrap_or(f64::NAN)),
            Value::String(text) => Self::text(text),
            other => Self::Text(other.to_string().into()),
        }
    }
}

fn number(cell: Cell<'_>) -> Option<f64> {
    let value = match cell {
        Cell::Int(value) => value as f64,
        Cell::Float(value) => value,
        Cell::Bool(value) => f64::from(u8::from(value)),
        Cell::Text(text) => parse::number(text)?,
        _ => return None,
    };
    value.is_finite().then_some(value)
}

/// A column that is being read.
struct Reading {
    name: String,
    place: usize,
    /// Numbers are read instead of classes.
    numbers: bool,
    classes: Vec<u32>,
    values: Vec<f64>,
}

impl Sample {
    /// Reads the columns that a gate names.
    ///
    /// # Errors
    /// For a column that is not there, a cell without value, and too many rows. Columns of the serving model may be missing.
    pub fn read(mut table: Table<'_>, policy: &Policy) -> Result<Self, Fault> {
        let regression = policy.metrics().any(|metric| matches!(metric, Metric::Rmse | Metric::Mae));
        let of = &policy.columns;
        let wanted = [
            (Some(&of.label), regression, true),
            (of.prediction.as_ref(), regression, true),
            (of.score.as_ref(), true, true),
            (of.champion_prediction.as_ref(), regression, false),
            (of.champion_score.as_ref(), true, false),
        ];
        let mut columns: Vec<Option<Reading>> = Vec::with_capacity(wanted.len());
        for (name, numbers, required) in wanted {
            let place = name.and_then(|name| table.position(name));
            if let (Some(name), None, true) = (name, place, required) {
                return Err(Fault::new("the file has no such column, and the gate names it").column(name.as_str()));
            }
            let reading = |(name, place): (&String, usize)| Reading {
                name: name.clone(),
                place,
                numbers,
                classes: vec![],
                values: vec![],
            };
            columns.push(name.zip(place).map(reading));
        }
        let places: Vec<usize> = columns.iter().flatten().map(|column| column.place).collect();
        table.select(&places);
        let mut classes = HashMap::from([(Label::of_json(&policy.positive), 0)]);
        let mut rows = 0;
        while let Some(batch) = table.next_batch()? {
            rows += batch.rows;
            if rows > MOST_ROWS {
                return Err(Fault::new(format!("a gate takes at most {MOST_ROWS} rows: give it a sample of them")));
            }
            for column in columns.iter_mut().flatten() {
                column.take(&batch, &mut classes)?;
            }
        }
        let sha256 = table.finish()?.sha256;
        let mut columns = columns.into_iter();
        let mut next = || columns.next().flatten();
        let truth = next().ok_or_else(|| Fault::new("the gate names no label"))?.outcomes();
        let side = |prediction: Option<Reading>, score: Option<Reading>| Side {
            predictions: prediction.map(Reading::outcomes),
            scores: score.map(|column| column.values),
        };
        let (prediction, score, champion_prediction, champion_score) = (next(), next(), next(), next());
        let challenger = side(prediction, score);
        let champion = side(champion_prediction, champion_score);
        let champion = Some(champion).filter(|side| side.predictions.is_some() || side.scores.is_some());
        Ok(Self { sha256, truth, challenger, champion, positive: 0 })
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.truth.len()
    }
}

impl Outcomes {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Classes(classes) => classes.len(),
            Self::Numbers(numbers) => numbers.len(),
        }
    }
}

impl Reading {
    fn take(&mut self, batch: &crate::columns::Batch<'_>, classes: &mut HashMap<Label, u32>) -> Result<(), Fault> {
        let mut bad = None;
        batch.each(self.place, |row, cell| {
            let known = if self.numbers {
                number(cell).map(|value| self.values.push(value))
            } else {
                let next = classes.len() as u32;
                Label::of(cell).map(|label| self.classes.push(*classes.entry(label).or_insert(next)))
            };
            if known.is_none() && bad.is_none() {
                bad = Some((row, cell.shown()));
            }
        });
        match bad {
            None => Ok(()),
            Some((row, shown)) => {
                let kind = if self.numbers { "finite number" } else { "label" };
                let fault = Fault::new(format!("{shown:?} is no {kind}, and every row needs one"));
                Err(fault.column(self.name.as_str()).row(batch.first_row + row as u64))
            }
        }
    }

    fn outcomes(self) -> Outcomes {
        if self.numbers { Outcomes::Numbers(self.values) } else { Outcomes::Classes(self.classes) }
    }
}
