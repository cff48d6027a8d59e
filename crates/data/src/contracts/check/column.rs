//! One column's expectations, cell by cell.

use super::plan::ColumnPlan;
use super::tally::Tally;
use super::unique::Unique;
use super::value::{Value, read};
use crate::columns::{Batch, Cell, Fault};
use crate::contracts::spec::Expectation;

/// What is known of a column so far.
#[derive(Debug)]
pub(super) struct ColumnState<'p> {
    pub(super) plan: &'p ColumnPlan,
    /// Its place in the file; `None` if it is not there, or is of another type altogether.
    pub(super) place: Option<usize>,
    pub(super) examples: usize,
    pub(super) kind: Tally,
    pub(super) nulls: Tally,
    range: Tally,
    values: Tally,
    repeats: Tally,
    pattern: Tally,
    length: Tally,
    unique: Option<Unique>,
    fault: Option<Fault>,
}

impl<'p> ColumnState<'p> {
    pub(super) fn new(plan: &'p ColumnPlan, place: Option<usize>, examples: usize, unique: Option<Unique>) -> Self {
        let none = Tally::default;
        Self {
            plan,
            place,
            examples,
            kind: none(),
            nulls: none(),
            range: none(),
            values: none(),
            repeats: none(),
            pattern: none(),
            length: none(),
            unique,
            fault: None,
        }
    }

    pub(super) fn take(&mut self, batch: &Batch<'_>) -> Result<(), Fault> {
        let Some(place) = self.place else { return Ok(()) };
        batch.each(place, |row, cell| self.cell(batch.first_row + row as u64, cell));
        self.fault.take().map_or(Ok(()), |fault| Err(fault.column(self.plan.name.as_str())))
    }

    #[inline]
    fn cell(&mut self, row: u64, cell: Cell<'_>) {
        let (plan, most) = (self.plan, self.examples);
        let shown = || (!plan.sensitive).then(|| cell.shown());
        let value = match read(plan.kind, cell) {
            Ok(Some(value)) => value,
            Ok(None) => return self.nulls.note(most, row, || None),
            Err(()) => return self.kind.note(most, row, shown),
        };
        if outside(plan, &value) {
            self.range.note(most, row, shown);
        }
        if plan.values.as_ref().is_some_and(|set| !set.has(&value)) {
            self.values.note(most, row, shown);
        }
        if let Value::Text(text) = value {
            if let Some((least, longest)) = plan.length {
                // Characters are no more than bytes, and a fourth of them at least.
                let bytes = text.len() as u64;
                let fits = bytes <= longest && bytes / 4 >= least || {
                    let count = text.chars().count() as u64;
                    (least..=longest).contains(&count)
                };
                if !fits {
                    self.length.note(most, row, shown);
                }
            }
            if plan.pattern.as_ref().is_some_and(|pattern| !pattern.is_match(text)) {
                self.pattern.note(most, row, shown);
            }
        }
        if let Some(unique) = &mut self.unique {
            let hash = value.with_bytes(|bytes| unique.hash(bytes));
            match unique.note(hash, row) {
                Ok(None) => {}
                Ok(Some(first)) => self.repeats.repeat(most, row, first, shown()),
                Err(fault) => self.fault = Some(fault),
            }
        }
    }

    /// What each expectation came to.
    pub(super) fn finish(mut self) -> Result<Vec<(Expectation, Tally)>, Fault> {
        if let Some(unique) = self.unique.take() {
            unique.finish(|row, first| self.repeats.repeat(self.examples, row, first, None))?;
        }
        Ok(vec![
            (Expectation::Type, self.kind),
            (Expectation::Nulls, self.nulls),
            (Expectation::Range, self.range),
            (Expectation::Values, self.values),
            (Expectation::Unique, self.repeats),
            (Expectation::Pattern, self.pattern),
            (Expectation::Length, self.length),
        ])
    }
}

#[inline]
fn outside(plan: &ColumnPlan, value: &Value<'_>) -> bool {
    let below = plan.min.as_ref().is_some_and(|min| value.order(&min.value()).is_some_and(std::cmp::Ordering::is_lt));
    below || plan.max.as_ref().is_some_and(|max| value.order(&max.value()).is_some_and(std::cmp::Ordering::is_gt))
}
