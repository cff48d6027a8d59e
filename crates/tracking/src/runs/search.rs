//! Which runs a search finds, and in which order.
//!
//! A search first finds the numbers of the runs of a page, and then the runs. A comparison that few runs satisfy drives it:
//! an index tells those runs, and nothing else is looked at. Otherwise runs are looked at in their order until the page is
//! full; the order by a metric, a parameter or a tag is read from its index. What is near the end of an order is read from there, and
//! what comes before a page in the middle is passed in the index alone.

use std::collections::HashMap;

use mcplane_core::{Error, Grant, Result};
use mcplane_db::{Arg, Snapshot};

use super::condition::{Scope, condition, in_experiments, probe};
use super::order::{Part, Segment, first_by_index, segments};
use super::seek::{Start, seek};
use super::types::Run;
use super::{assemble, size, store};
use crate::Tracking;
use crate::experiments::ExperimentId;
use crate::filter::{self, Comparison};
use crate::query::{Args, View};
use crate::tags::check_text;

/// Runs that may drive a search.
const FEW: usize = 2000;
/// Runs before a page from which on it pays to count them all first.
const DEEP: u64 = 5000;
/// Runs to skip from which on it pays to pass them in an index first.
const FAR: u64 = 1000;

/// A search of runs.
#[derive(Debug, Clone, Default)]
pub struct RunSearch {
    /// The experiments to search.
    pub experiments: Vec<ExperimentId>,
    /// What the client filters by.
    pub filter: String,
    /// What the client sorts by.
    pub order_by: Vec<String>,
    /// Active or deleted runs.
    pub view: View,
    /// How many runs come before the page.
    pub offset: u64,
    /// Runs of the page at most.
    pub limit: usize,
}

impl Tracking {
    /// A page of the runs that a search finds, and whether more follow.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for a filter or an order that can't be read.
    pub async fn search_runs(&self, grant: &Grant, search: RunSearch) -> Result<(Vec<Run>, bool)> {
        check_text(&search.filter)?;
        search.order_by.iter().try_for_each(|order| check_text(order))?;
        let comparisons = filter::runs::parse(&search.filter)?;
        let orders = filter::runs::parse_order_by(&search.order_by)?;
        let mut view = self.db.snapshot().await?;
        let experiments = experiments(&mut view, grant.namespace()?, &search.experiments).await?;
        if experiments.is_empty() {
            return Ok((vec![], false));
        }
        let mut scope = Scope { experiments, view: search.view, few: None };
        scope.few = few(&mut view, &scope, &comparisons).await?;
        let mut page = Page { skip: search.offset, limit: search.limit + 1, runs: Vec::new() };
        let by_index = match first_by_index(&orders, &scope) {
            Some(entries) if !size::has_long(&mut view, &scope, entries).await? => Some(entries),
            _ => None,
        };
        for segment in segments(&orders, by_index) {
            page.fill(&mut view, &segment, &scope, &comparisons).await?;
        }
        let more = page.runs.len() > search.limit;
        page.runs.truncate(search.limit);
        Ok((whole(&mut view, &page.runs).await?, more))
    }
}

/// The database's numbers of those experiments that are in the namespace.
async fn experiments(view: &mut Snapshot, namespace: &str, ids: &[ExperimentId]) -> Result<Vec<i64>> {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let sql = format!("SELECT no FROM experiments WHERE namespace = $1 AND id IN {}", view.dialect().numbers(2));
    let rows = view.fetch(sql, vec![namespace.into(), Arg::list(&ids)]).await?;
    rows.iter().map(|row| row.int(0)).collect()
}

/// The runs that satisfy the first comparison which few do, if there is one.
async fn few(view: &mut Snapshot, scope: &Scope, comparisons: &[Comparison]) -> Result<Option<Vec<i64>>> {
    for comparison in comparisons {
        let mut args = Args::new(view.dialect());
        let Some(sql) = probe(&mut args, scope, comparison)? else { continue };
        let sql = format!("{sql} LIMIT {}", args.bind(FEW as i64 + 1));
        let rows = view.fetch(sql, args.into_args()).await?;
        if rows.len() <= FEW {
            return rows.iter().map(|row| row.int(0)).collect::<Result<_>>().map(Some);
        }
    }
    Ok(None)
}

/// The numbers of a page's runs, as far as they are found.
struct Page {
    skip: u64,
    limit: usize,
    runs: Vec<i64>,
}

impl Page {
    /// Goes on with the runs of a segment.
    async fn fill(
        &mut self,
        view: &mut Snapshot,
        segment: &Segment<'_>,
        scope: &Scope,
        comparisons: &[Comparison],
    ) -> Result<()> {
        let wanted = (self.limit - self.runs.len()) as u64;
        if wanted == 0 {
            return Ok(());
        }
        let mut window = Window { skip: self.skip, limit: wanted, backwards: false };
        let unfiltered = comparisons.is_empty() && scope.few.is_none();
        // That runs lack nothing is seen sooner than that none of them does.
        let missing = matches!(segment.part(), Some((_, Part::Missing)));
        let size = match unfiltered && (self.skip >= DEEP || missing) {
            true => Some(size::all(view, segment, scope).await?),
            // To count those that satisfy a filter takes as long as to pass them.
            false => None,
        };
        if let Some(size) = size {
            if size <= self.skip {
                self.skip -= size;
                return Ok(());
            }
            window = window.within(size);
        }
        let start = match unfiltered && window.skip >= FAR {
            true => seek(view, segment, scope, window.skip, window.backwards).await?,
            false => None,
        };
        let found = read(view, segment, scope, comparisons, window, start).await?;
        if self.skip > 0 {
            // What the segment has is no longer to be skipped in the next.
            let passed = match (size, found.is_empty()) {
                (None, true) => count_before_next(view, segment, scope, comparisons).await?,
                _ => self.skip,
            };
            self.skip = self.skip.saturating_sub(passed);
        }
        self.runs.extend(found);
        Ok(())
    }
}

/// Which runs of a segment are read.
#[derive(Debug, Clone, Copy)]
struct Window {
    skip: u64,
    limit: u64,
    /// Whether runs are counted from the end; what is read is in order even so.
    backwards: bool,
}

impl Window {
    /// The same of `size` runs, which are more than are skipped, from the end that is nearer.
    fn within(self, size: u64) -> Self {
        let limit = self.limit.min(size - self.skip);
        let behind = size - self.skip - limit;
        if behind < self.skip { Self { skip: behind, limit, backwards: true } } else { Self { limit, ..self } }
    }
}

/// The numbers of runs of a segment.
async fn read(
    view: &mut Snapshot,
    segment: &Segment<'_>,
    scope: &Scope,
    comparisons: &[Comparison],
    mut window: Window,
    start: Option<Start>,
) -> Result<Vec<i64>> {
    let mut args = Args::new(view.dialect());
    let from = segment.from(&mut args);
    let mut rows = rows(&mut args, segment, scope, comparisons)?;
    if let Some(Start { value, before }) = start {
        window.skip = window.skip.saturating_sub(before);
        rows = format!("{rows} AND {}", segment.not_before(&mut args, value, window.backwards));
    }
    let order = segment.order(&args, window.backwards);
    let [limit, offset] = [window.limit, window.skip].map(|n| args.bind(n.min(i64::MAX as u64).cast_signed()));
    let sql = format!("SELECT r.no FROM {from} WHERE {rows} ORDER BY {order} LIMIT {limit} OFFSET {offset}");
    let found = view.fetch(sql, args.into_args()).await?;
    let mut found = found.iter().map(|row| row.int(0)).collect::<Result<Vec<_>>>()?;
    if window.backwards {
        found.reverse();
    }
    Ok(found)
}

/// How many runs a segment has; none of those of the last are skipped.
async fn count_before_next(
    view: &mut Snapshot,
    segment: &Segment<'_>,
    scope: &Scope,
    comparisons: &[Comparison],
) -> Result<u64> {
    if segment.is_last() { Ok(0) } else { count(view, segment, scope, comparisons).await }
}

async fn count(view: &mut Snapshot, segment: &Segment<'_>, scope: &Scope, comparisons: &[Comparison]) -> Result<u64> {
    let mut args = Args::new(view.dialect());
    let from = segment.from(&mut args);
    let rows = rows(&mut args, segment, scope, comparisons)?;
    let found = view.fetch(format!("SELECT count(*) FROM {from} WHERE {rows}"), args.into_args()).await?;
    let count = found.first().ok_or_else(|| Error::internal("a count without a row"))?.int(0)?;
    Ok(u64::try_from(count).unwrap_or_default())
}

/// What the runs of a segment satisfy.
fn rows(args: &mut Args, segment: &Segment<'_>, scope: &Scope, comparisons: &[Comparison]) -> Result<String> {
    let mut conditions = vec![in_experiments(args, "r", scope)];
    match scope.view {
        View::Active => conditions.push("r.deleted_at IS NULL".to_owned()),
        View::Deleted => conditions.push("r.deleted_at IS NOT NULL".to_owned()),
        View::All => {}
    }
    if let Some(few) = &scope.few {
        conditions.push(format!("r.no IN {}", args.numbers(few)));
    }
    conditions.extend(segment.condition(args, scope));
    for comparison in comparisons {
        if segment.is_in_order_of(comparison) {
            conditions.push(args.number("f.value", comparison.op, &comparison.value)?);
        } else {
            conditions.push(condition(args, comparison)?);
        }
    }
    Ok(conditions.join(" AND "))
}

/// The runs of those numbers, in that order.
async fn whole(view: &mut Snapshot, numbers: &[i64]) -> Result<Vec<Run>> {
    if numbers.is_empty() {
        return Ok(vec![]);
    }
    let list = view.dialect().numbers(1);
    let columns = store::COLUMNS;
    let sql = format!("SELECT {columns} FROM runs r JOIN experiments e ON e.no = r.experiment WHERE r.no IN {list}");
    let places: HashMap<i64, usize> = numbers.iter().enumerate().map(|(at, no)| (*no, at)).collect();
    let rows = view.fetch(sql, vec![Arg::list(numbers)]).await?;
    let mut infos = rows.iter().map(store::read).collect::<Result<Vec<_>>>()?;
    infos.sort_by_key(|info| places.get(&info.no).copied());
    assemble(view, infos).await
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_window_is_the_same_from_either_end(size in 1_u64..60, skip in 0_u64..60, limit in 1_u64..60) {
            prop_assume!(skip < size);
            let runs: Vec<u64> = (0..size).collect();
            let of = |runs: &[u64], window: Window| -> Vec<u64> {
                runs.iter().skip(window.skip as usize).take(window.limit as usize).copied().collect()
            };
            let plain = Window { skip, limit, backwards: false };
            let near = plain.within(size);
            let found = if near.backwards {
                let mut runs = runs.clone();
                runs.reverse();
                let mut found = of(&runs, near);
                found.reverse();
                found
            } else {
                of(&runs, near)
            };
            prop_assert_eq!(found, of(&runs, plain));
            prop_assert!(near.skip <= size / 2);
        }
    }
}
