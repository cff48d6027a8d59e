//! How many runs there are, without looking at each: an index tells how many entries it has, and deleted runs have an index of
//! their own.

use mcplane_core::{Error, Result};
use mcplane_db::Snapshot;

use super::condition::{Scope, in_experiments, long};
use super::order::{Entries, Part, Segment, in_index};
use crate::query::{Args, View};

/// Whether values of a key are too long for the index that has an order.
pub(super) async fn has_long(view: &mut Snapshot, scope: &Scope, entries: Entries<'_>) -> Result<bool> {
    if entries.are_metrics() {
        return Ok(false);
    }
    let mut args = Args::new(view.dialect());
    let (experiments, key) = (in_experiments(&mut args, "f", scope), args.bind(entries.key));
    let (table, long) = (entries.table, long("f"));
    let sql = format!("SELECT 1 FROM {table} f WHERE {experiments} AND f.key = {key} AND {long} LIMIT 1");
    Ok(!view.fetch(sql, args.into_args()).await?.is_empty())
}

/// How many runs a segment has if nothing is compared.
pub(super) async fn all(view: &mut Snapshot, segment: &Segment<'_>, scope: &Scope) -> Result<u64> {
    let Some((entries, part)) = segment.part() else { return runs(view, scope, None).await };
    if part != Part::Missing {
        return runs(view, scope, Some((entries, part))).await;
    }
    let mut missing = runs(view, scope, None).await?;
    for part in [Part::Values, Part::Nans].into_iter().take(if entries.are_metrics() { 2 } else { 1 }) {
        missing = missing.saturating_sub(runs(view, scope, Some((entries, part))).await?);
    }
    Ok(missing)
}

/// How many runs there are, or how many have an entry in a part of an index.
async fn runs(view: &mut Snapshot, scope: &Scope, of: Option<(Entries<'_>, Part)>) -> Result<u64> {
    let deleted = |args: &mut Args| format!("{} AND r.deleted_at IS NOT NULL", in_experiments(args, "r", scope));
    let mut args = Args::new(view.dialect());
    let (all, gone) = match of {
        None => {
            let all = format!("runs r WHERE {}", in_experiments(&mut args, "r", scope));
            (all, format!("runs r WHERE {}", deleted(&mut args)))
        }
        Some((entries, part)) => {
            let table = entries.table;
            let all = format!("{table} f WHERE {}", in_index(&mut args, scope, entries, part));
            let joined = format!("f.run = r.no AND {}", in_index(&mut args, scope, entries, part));
            (all, format!("runs r CROSS JOIN {table} f WHERE {} AND {joined}", deleted(&mut args)))
        }
    };
    let sql = format!("SELECT (SELECT count(*) FROM {all}), (SELECT count(*) FROM {gone})");
    let rows = view.fetch(sql, args.into_args()).await?;
    let row = rows.first().ok_or_else(|| Error::internal("a count without a row"))?;
    let (all, gone) = (row.int(0)?, row.int(1)?);
    let number = match scope.view {
        View::Active => all - gone,
        View::Deleted => gone,
        View::All => all,
    };
    Ok(u64::try_from(number).unwrap_or_default())
}
