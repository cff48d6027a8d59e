//! Where a page far into the order of an index begins. What comes before it is passed in the index alone; to look at each of
//! those runs takes ten times as long.

use mcplane_core::Result;
use mcplane_db::{Arg, Snapshot};

use super::condition::{Scope, in_experiments};
use super::order::{Part, Segment, in_index};
use crate::query::{Args, View, direction};

/// A value of an order.
pub(super) struct Start {
    pub(super) value: Arg,
    /// Runs that come before all that have the value.
    pub(super) before: u64,
}

/// The value of the run that has `place` others before it, of all runs of a segment; `None` where no index tells it.
pub(super) async fn seek(
    view: &mut Snapshot,
    segment: &Segment<'_>,
    scope: &Scope,
    place: u64,
    backwards: bool,
) -> Result<Option<Start>> {
    let Some((entries, Part::Values)) = segment.part() else { return Ok(None) };
    let mut args = Args::new(view.dialect());
    let mut there = in_index(&mut args, scope, entries, Part::Values);
    match scope.view {
        View::All => {}
        View::Active => {
            let deleted = format!("{} AND r.deleted_at IS NOT NULL", in_experiments(&mut args, "r", scope));
            there.push_str(&format!(" AND f.run NOT IN (SELECT r.no FROM runs r WHERE {deleted})"));
        }
        // They are few, or all are in question.
        View::Deleted => return Ok(None),
    }
    let (table, value) = (entries.table, segment.value(&args));
    let ascending = segment.ascends(backwards);
    let (direction, sooner) = (direction(ascending), if ascending { "<" } else { ">" });
    let place = args.bind(i64::try_from(place).unwrap_or(i64::MAX));
    let sql = format!(
        "SELECT s.value, (SELECT count(*) FROM {table} f WHERE {there} AND {value} {sooner} s.value) \
         FROM (SELECT f.value FROM {table} f WHERE {there} ORDER BY {value} {direction} LIMIT 1 OFFSET {place}) s"
    );
    let rows = view.fetch(sql, args.into_args()).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let value = if entries.are_metrics() { row.float(0)?.into() } else { row.text(0)?.to_owned().into() };
    Ok(Some(Start { value, before: row.int(1)?.unsigned_abs() }))
}
