//! What is expected of several columns of a row together.

use twox_hash::XxHash3_128;

use super::plan::{Comparison, Key, Plan};
use super::tally::Tally;
use super::unique::Unique;
use super::value::{Scalar, read};
use crate::columns::{Batch, Fault};

/// A key whose repetitions are looked for.
#[derive(Debug)]
pub(super) struct KeyState<'p> {
    pub(super) key: &'p Key,
    pub(super) tally: Tally,
    /// Places in the file, with the types of the contract; `None` if one of them is not there.
    places: Option<Vec<(usize, usize)>>,
    unique: Unique,
    /// For each row of a batch what its values come to so far; `None` once there was a null.
    hashes: Vec<Option<u128>>,
}

impl<'p> KeyState<'p> {
    pub(super) fn new(key: &'p Key, found: &[Option<usize>], unique: Unique) -> Self {
        let places = key.columns.iter().map(|column| Some((*column, found[*column]?))).collect();
        Self { key, tally: Tally::default(), places, unique, hashes: vec![] }
    }

    pub(super) fn take(&mut self, plan: &Plan, batch: &Batch<'_>, most: usize, seed: u64) -> Result<(), Fault> {
        let Some(places) = &self.places else { return Ok(()) };
        self.hashes.clear();
        self.hashes.resize(batch.rows, Some(0));
        for (column, place) in places {
            let kind = plan.columns[*column].kind;
            batch.each(*place, |row, cell| {
                let hash = &mut self.hashes[row];
                let Some(before) = *hash else { return };
                *hash = read(kind, cell).ok().flatten().map(|value| {
                    // Hashed apart and then together, so that no two lists of values are the same bytes.
                    let value = value.with_bytes(|bytes| XxHash3_128::oneshot_with_seed(seed, bytes));
                    let mut both = [0; 32];
                    both[..16].copy_from_slice(&before.to_le_bytes());
                    both[16..].copy_from_slice(&value.to_le_bytes());
                    XxHash3_128::oneshot_with_seed(seed, &both)
                });
            });
        }
        for (row, hash) in self.hashes.iter().enumerate() {
            let Some(hash) = hash else { continue };
            let row = batch.first_row + row as u64;
            if let Some(first) = self.unique.note(*hash, row)? {
                self.tally.repeat(most, row, first, None);
            }
        }
        Ok(())
    }

    pub(super) fn finish(mut self, most: usize) -> Result<(&'p Key, Tally), Fault> {
        self.unique.finish(|row, first| self.tally.repeat(most, row, first, None))?;
        Ok((self.key, self.tally))
    }
}

/// Two columns that are compared.
#[derive(Debug)]
pub(super) struct CompareState<'p> {
    pub(super) rule: &'p Comparison,
    pub(super) tally: Tally,
    places: Option<(usize, usize)>,
    left: Vec<Option<Scalar>>,
}

impl<'p> CompareState<'p> {
    pub(super) fn new(rule: &'p Comparison, found: &[Option<usize>]) -> Self {
        let places = found[rule.left].zip(found[rule.right]);
        Self { rule, tally: Tally::default(), places, left: vec![] }
    }

    pub(super) fn take(&mut self, plan: &Plan, batch: &Batch<'_>, most: usize) {
        let Some((left, right)) = self.places else { return };
        let (left_plan, right_plan) = (&plan.columns[self.rule.left], &plan.columns[self.rule.right]);
        self.left.clear();
        batch.each(left, |_, cell| {
            self.left.push(read(left_plan.kind, cell).ok().flatten().and_then(|value| value.scalar()));
        });
        let sensitive = left_plan.sensitive || right_plan.sensitive;
        batch.each(right, |row, cell| {
            let right = read(right_plan.kind, cell).ok().flatten().and_then(|value| value.scalar());
            let (Some(left), Some(right)) = (self.left[row], right) else { return };
            if !left.holds(self.rule.relation, right) {
                self.tally.note(most, batch.first_row + row as u64, || {
                    let both = || format!("{} and {}", left.shown(left_plan.kind), right.shown(right_plan.kind));
                    (!sensitive).then(both)
                });
            }
        });
    }
}
