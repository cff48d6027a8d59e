//! What entities look like over time, as step functions.

use super::keys::NONE;

/// A row of a view, as far as it decides which one an event sees.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fact {
    /// The entity.
    pub(super) key: u32,
    /// The row's number in its table.
    pub(super) row: u32,
    /// When it became true.
    pub(super) time: i64,
    /// When it became known; the same for all rows of a view that does not say.
    pub(super) created: i64,
    /// From when on events see it.
    visible: i64,
}

impl Fact {
    /// A row that became true, and known, at these times. Where the table does not say when it became known, it was at once.
    pub(super) fn new(key: u32, row: u32, time: i64, created: Option<i64>) -> Self {
        let visible = created.map_or(time, |created| created.max(time));
        Self { key, row, time, created: created.unwrap_or(i64::MIN), visible }
    }

    /// From when on events see it.
    pub(super) fn visible(&self) -> i64 {
        self.visible
    }

    fn rank(&self) -> (i64, i64, u32) {
        (self.time, self.created, self.row)
    }
}

/// Of each entity, the rows that are the greatest from some time on, in the order of that time.
#[derive(Debug)]
pub(super) struct Steps {
    steps: Vec<Fact>,
    /// Where each entity's steps begin; one more than there are entities.
    starts: Vec<usize>,
    ttl: Option<i64>,
}

impl Steps {
    /// Of the rows of a view with `keys` entities, in any order.
    pub(super) fn new(mut facts: Vec<Fact>, keys: usize, ttl: Option<i64>) -> Self {
        // Rows that become visible at once need no order among themselves: a lookup finds the last, which is the greatest.
        facts.sort_unstable_by_key(|fact| (fact.key, fact.visible));
        let mut starts = vec![0; keys + 1];
        let mut best: Option<Fact> = None;
        facts.retain(|fact| {
            let greater = best.is_none_or(|best| best.key != fact.key || best.rank() < fact.rank());
            if greater {
                starts[fact.key as usize + 1] += 1;
                best = Some(*fact);
            }
            greater
        });
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        Self { steps: facts, starts, ttl }
    }

    /// The row that an event of the entity sees at a time.
    pub(super) fn at(&self, key: u32, time: i64) -> Option<u32> {
        if key == NONE {
            return None;
        }
        let steps = &self.steps[self.starts[key as usize]..self.starts[key as usize + 1]];
        let seen = steps.partition_point(|step| step.visible <= time);
        let step = steps.get(seen.checked_sub(1)?)?;
        let fresh = self.ttl.is_none_or(|ttl| step.time >= time.saturating_sub(ttl));
        fresh.then_some(step.row)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows() -> impl Strategy<Value = Vec<(u32, i64, Option<i64>)>> {
        proptest::bool::ANY.prop_flat_map(|late| {
            let created = if late { (-3..12i64).prop_map(Some).boxed() } else { Just(None).boxed() };
            proptest::collection::vec((0..3u32, -2..8i64, created), 0..30)
        })
    }

    proptest! {
        /// The definition, word by word, against the step function.
        #[test]
        fn an_event_sees_the_greatest_visible_row(rows in rows(), ttl in proptest::option::of(0..5i64)) {
            let fact = |(row, (key, time, created)): (usize, &(u32, i64, Option<i64>))| Fact::new(*key, row as u32, *time, *created);
            let steps = Steps::new(rows.iter().enumerate().map(fact).collect(), 3, ttl);
            for key in 0..3 {
                for at in -4..14 {
                    let seen = rows.iter().enumerate().filter(|(_, (of, time, created))| {
                        *of == key && *time <= at && created.is_none_or(|created| created <= at)
                            && ttl.is_none_or(|ttl| *time >= at - ttl)
                    });
                    let wanted = seen.max_by_key(|(row, (_, time, created))| (*time, *created, *row)).map(|(row, _)| row as u32);
                    prop_assert_eq!(steps.at(key, at), wanted, "key {} at {}", key, at);
                }
            }
            prop_assert_eq!(steps.at(NONE, 5), None);
        }
    }

    #[test]
    fn the_ends_of_time_are_no_surprise() {
        let steps = Steps::new(vec![Fact::new(0, 7, i64::MIN, None)], 1, Some(i64::MAX));
        assert_eq!((steps.at(0, i64::MIN), steps.at(0, i64::MAX)), (Some(7), None));
    }
}
