//! The pass: every expectation of a contract, over one table, at once.
//!
//! Memory is that of a batch, of the examples, and of what uniqueness needs ([`unique`]), which is bounded.

mod column;
mod plan;
mod rows;
mod tally;
pub(super) mod unique;
mod value;

use column::ColumnState;
pub use plan::Plan;
use plan::type_name;
use rows::{CompareState, KeyState};
use tally::Tally;
use unique::Unique;
pub(super) use value::seed;

use super::report::{Example, Violation};
use super::spec::{Expectation, Severity};
use crate::columns::{Facts, Fault, Table};

/// How much a pass may use, and tell.
#[derive(Debug, Clone)]
pub struct Options {
    /// Rows that are shown of those that broke an expectation.
    pub examples: usize,
    /// Bytes of memory for finding repetitions, all together.
    pub memory: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { examples: 5, memory: 64 << 20 }
    }
}

/// What a pass found.
#[derive(Debug, Clone)]
pub struct Found {
    /// The file.
    pub facts: Facts,
    /// What was broken, in the contract's order.
    pub violations: Vec<Violation>,
    /// How many things were expected.
    pub expectations: usize,
}

/// Checks a table.
///
/// # Errors
/// When it can't be read to its end.
pub fn check(plan: &Plan, mut table: Table<'_>, options: &Options) -> Result<Found, Fault> {
    let places: Vec<Option<usize>> = plan.columns.iter().map(|column| table.position(&column.name)).collect();
    let usable: Vec<Option<usize>> = plan
        .columns
        .iter()
        .zip(&places)
        .map(|(column, place)| place.filter(|place| value::fits(table.declared()[*place], column.kind)))
        .collect();
    let wanted: Vec<usize> = usable.iter().flatten().copied().collect();
    table.select(&wanted);

    let (most, seed) = (options.examples, seed());
    let finders = plan.columns.iter().filter(|column| column.unique).count() + plan.keys.len();
    let unique = || Unique::new(options.memory / finders.max(1), seed);
    let state = |(column, place): (_, &Option<usize>)| {
        let column: &plan::ColumnPlan = column;
        ColumnState::new(column, *place, most, column.unique.then(unique))
    };
    let mut columns: Vec<ColumnState<'_>> = plan.columns.iter().zip(&usable).map(state).collect();
    let mut keys: Vec<KeyState<'_>> = plan.keys.iter().map(|key| KeyState::new(key, &usable, unique())).collect();
    let mut compare: Vec<CompareState<'_>> = plan.compare.iter().map(|rule| CompareState::new(rule, &usable)).collect();
    while let Some(batch) = table.next_batch()? {
        for column in &mut columns {
            column.take(&batch)?;
        }
        for key in &mut keys {
            key.take(plan, &batch, most, seed)?;
        }
        for rule in &mut compare {
            rule.take(plan, &batch, most);
        }
    }
    let (names, declared) = (table.names().to_vec(), table.declared().to_vec());
    let facts = table.finish()?;

    let mut report = Gathering { rows: facts.rows, violations: vec![] };
    report.shape(plan, &names);
    for (state, place) in columns.into_iter().zip(&places) {
        let column = state.plan;
        match (state.place, place) {
            (None, None) if column.optional => {}
            (None, None) => report.whole_column(column, Expectation::Columns, "it is missing"),
            (None, Some(place)) => {
                let found = format!("the file declares it {:?}, expected {}", declared[*place], type_name(column.kind));
                report.whole_column(column, Expectation::Type, &found);
            }
            (Some(_), _) => report.column(column, state.finish()?),
        }
    }
    for state in keys {
        let (key, tally) = state.finish(most)?;
        report.add(Some(&key.names), Expectation::Unique, plan.severity, "no row twice by these columns", tally);
    }
    for CompareState { rule, tally, .. } in compare {
        report.add(None, Expectation::Compare, rule.severity, &rule.words, tally);
    }
    Ok(Found { facts, violations: report.violations, expectations: plan.expectations() })
}

/// Violations that are being gathered.
struct Gathering {
    rows: u64,
    violations: Vec<Violation>,
}

impl Gathering {
    /// Rows and columns of the table as a whole.
    fn shape(&mut self, plan: &Plan, names: &[String]) {
        let tally = |rows| Tally { rows, first: vec![] };
        if let Some(wanted) = plan.rows {
            let (min, max) = (wanted.min.unwrap_or(0), wanted.max.unwrap_or(u64::MAX));
            let words = match (wanted.min, wanted.max) {
                (Some(min), Some(max)) => format!("{min} to {max} rows, found {}", self.rows),
                (Some(min), None) => format!("{min} rows or more, found {}", self.rows),
                (_, max) => format!("{} rows or less, found {}", max.unwrap_or(u64::MAX), self.rows),
            };
            let off = min.saturating_sub(self.rows).max(self.rows.saturating_sub(max));
            self.add(None, Expectation::Rows, plan.severity, &words, tally(off));
        }
        if plan.deny_others {
            let known: std::collections::HashSet<&str> = plan.columns.iter().map(|column| &*column.name).collect();
            for name in names.iter().filter(|name| !known.contains(name.as_str())) {
                let words = "no column that the contract does not name";
                self.add(Some(name), Expectation::Columns, plan.severity, words, tally(self.rows.max(1)));
            }
        }
    }

    fn whole_column(&mut self, column: &plan::ColumnPlan, which: Expectation, found: &str) {
        if let Some((_, severity, words)) = column.expects.iter().find(|(known, ..)| *known == which) {
            let tally = Tally { rows: self.rows.max(1), first: vec![] };
            self.add(Some(&column.name), which, *severity, &format!("{words}: {found}"), tally);
        }
    }

    fn column(&mut self, column: &plan::ColumnPlan, tallies: Vec<(Expectation, Tally)>) {
        for (which, tally) in tallies {
            let Some((_, severity, words)) = column.expects.iter().find(|(known, ..)| *known == which) else {
                continue;
            };
            if which == Expectation::Nulls
                && column.nulls.is_some_and(|fraction| tally.rows as f64 <= fraction * self.rows as f64)
            {
                continue;
            }
            self.add(Some(&column.name), which, *severity, words, tally);
        }
    }

    fn add(&mut self, column: Option<&str>, expectation: Expectation, severity: Severity, words: &str, tally: Tally) {
        if tally.rows > 0 {
            let Tally { rows, first } = tally;
            let first: Vec<Example> = first;
            let column = column.map(str::to_owned);
            self.violations.push(Violation { column, expectation, severity, expected: words.to_owned(), rows, first });
        }
    }
}

#[cfg(test)]
mod tests;
