//! The order of a search of runs, as SQL about `runs r`.
//!
//! What is missing comes last in both directions, and a metric that is no number before that. Ties are broken by the start,
//! latest first, and then by id.

use mcplane_db::Arg;

use super::condition::{Scope, in_experiments, short};
use super::types::RunStatus;
use crate::filter::{Comparison, Field, Order};
use crate::query::{Args, direction};

/// What was logged under one key, as the tables have it: a row a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entries<'o> {
    pub(super) table: &'static str,
    pub(super) key: &'o str,
}

impl<'o> Entries<'o> {
    /// Those that a search is sorted by.
    pub(super) fn of(field: &'o Field) -> Option<Self> {
        let (table, key) = match field {
            Field::Metric(key) => ("metric_latest", key),
            Field::Param(key) => ("run_params", key),
            Field::Tag(key) => ("run_tags", key),
            _ => return None,
        };
        Some(Self { table, key })
    }

    /// Whether values are numbers.
    pub(super) fn are_metrics(&self) -> bool {
        self.table == "metric_latest"
    }
}

/// Runs that come before or after those of other segments, all in the same order.
#[derive(Debug)]
pub(super) struct Segment<'o> {
    /// What the segments are divided by, whether it ascends, and which part of it this is.
    part: Option<(Entries<'o>, bool, Part)>,
    /// What remains to sort by.
    orders: &'o [Order],
    /// Whether ties are not yet broken by the start.
    by_start: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Runs that have a value, read in the order of its index.
    Values,
    /// Runs whose metric is NaN.
    Nans,
    /// Runs without an entry.
    Missing,
}

/// What an index may give in order: what a search of one experiment is sorted by first. Few runs are sorted at once.
pub(super) fn first_by_index<'o>(orders: &'o [Order], scope: &Scope) -> Option<Entries<'o>> {
    let first = orders.first().filter(|_| scope.few.is_none() && scope.experiments.len() == 1)?;
    Entries::of(&first.field)
}

/// The order as segments: that of an index and then what is not in it, or one segment that is sorted.
pub(super) fn segments<'o>(orders: &'o [Order], by_index: Option<Entries<'o>>) -> Vec<Segment<'o>> {
    let by_start = !orders.iter().any(|order| order.field == Field::Attribute("start_time"));
    match (orders, by_index) {
        ([first, rest @ ..], Some(entries)) => [Part::Values, Part::Nans, Part::Missing]
            .into_iter()
            .filter(|part| *part != Part::Nans || entries.are_metrics())
            .map(|part| Segment { part: Some((entries, first.ascending, part)), orders: rest, by_start })
            .collect(),
        _ => vec![Segment { part: None, orders, by_start }],
    }
}

impl<'o> Segment<'o> {
    /// Whether no segment follows.
    pub(super) fn is_last(&self) -> bool {
        matches!(self.part, None | Some((_, _, Part::Missing)))
    }

    /// What the segment is a part of.
    pub(super) fn part(&self) -> Option<(Entries<'o>, Part)> {
        self.part.map(|(entries, _, part)| (entries, part))
    }

    /// The tables that are joined. `CROSS JOIN` makes SQLite take them in this order.
    pub(super) fn from(&self, args: &mut Args) -> String {
        let mut from = match self.part {
            Some((entries, _, Part::Values | Part::Nans)) => format!("{} f CROSS JOIN runs r", entries.table),
            _ => "runs r".to_owned(),
        };
        for (index, order) in self.orders.iter().enumerate() {
            let Some(Entries { table, key }) = Entries::of(&order.field) else { continue };
            let key = args.bind(key);
            from.push_str(&format!(" LEFT JOIN {table} o{index} ON o{index}.run = r.no AND o{index}.key = {key}"));
        }
        from
    }

    /// Whether a comparison is of the metric that the segment reads in order: its index can skip what does not satisfy it.
    pub(super) fn is_in_order_of(&self, comparison: &Comparison) -> bool {
        match (self.part(), &comparison.field) {
            (Some((entries, Part::Values)), Field::Metric(compared)) => {
                entries.are_metrics() && entries.key == compared
            }
            _ => false,
        }
    }

    /// Whether values ascend where the segment is read, forwards or backwards.
    pub(super) fn ascends(&self, backwards: bool) -> bool {
        self.part.is_none_or(|(_, ascending, _)| ascending) != backwards
    }

    /// The values of an index in their order.
    pub(super) fn value(&self, args: &Args) -> String {
        match self.part {
            Some((entries, ..)) if !entries.are_metrics() => args.sortable("f.value"),
            _ => "f.value".to_owned(),
        }
    }

    /// What has a value or comes after it.
    pub(super) fn not_before(&self, args: &mut Args, value: Arg, backwards: bool) -> String {
        let later = if self.ascends(backwards) { ">=" } else { "<=" };
        format!("{} {later} {}", self.value(args), args.bind(value))
    }

    /// What tells the segment's runs from those of others.
    pub(super) fn condition(&self, args: &mut Args, scope: &Scope) -> Option<String> {
        let (entries, part) = self.part()?;
        if part == Part::Missing {
            let (table, key) = (entries.table, args.bind(entries.key));
            return Some(format!("NOT EXISTS (SELECT 1 FROM {table} f WHERE f.run = r.no AND f.key = {key})"));
        }
        Some(format!("r.no = f.run AND {}", in_index(args, scope, entries, part)))
    }

    /// What follows `ORDER BY`, or the same backwards.
    pub(super) fn order(&self, args: &Args, backwards: bool) -> String {
        let mut terms: Vec<(String, bool)> = Vec::new();
        let mut start = "r.started_at";
        if let Some((entries, ascending, Part::Values)) = self.part {
            terms.push((self.value(args), ascending));
            if !entries.are_metrics() {
                start = "f.started_at";
            }
        }
        for (index, Order { field, ascending }) in self.orders.iter().enumerate() {
            let value = format!("o{index}.value");
            let (missing, value) = match field {
                Field::Metric(_) => {
                    let missing = format!("CASE WHEN o{index}.nan = 1 THEN 1 WHEN {value} IS NULL THEN 2 ELSE 0 END");
                    (Some(missing), value)
                }
                Field::Attribute("start_time") => (None, start.to_owned()),
                Field::Attribute("end_time") => (Some(missing_last("r.ended_at")), "r.ended_at".to_owned()),
                Field::Attribute("status") => (None, status()),
                Field::Attribute(name) => match super::condition::column(name) {
                    Ok(column) => (None, args.sortable(column)),
                    Err(_) => continue,
                },
                _ => (Some(missing_last(&value)), args.sortable(&value)),
            };
            terms.extend(missing.map(|missing| (missing, true)));
            terms.push((value, *ascending));
        }
        if self.by_start {
            terms.push((start.to_owned(), false));
        }
        terms.push(("r.id".to_owned(), true));
        let terms: Vec<String> =
            terms.iter().map(|(term, ascending)| format!("{term} {}", direction(*ascending != backwards))).collect();
        terms.join(", ")
    }
}

/// What the entries `f` of a part satisfy, in the words of the index that has them in order.
pub(super) fn in_index(args: &mut Args, scope: &Scope, entries: Entries<'_>, part: Part) -> String {
    let experiments = in_experiments(args, "f", scope);
    let key = args.bind(entries.key);
    let part = match part {
        _ if !entries.are_metrics() => short("f"),
        Part::Nans => "f.nan = 1".to_owned(),
        _ => "f.nan = 0".to_owned(),
    };
    format!("{experiments} AND f.key = {key} AND {part}")
}

fn missing_last(column: &str) -> String {
    format!("CASE WHEN {column} IS NULL THEN 1 ELSE 0 END")
}

/// Statuses in the order of their names.
fn status() -> String {
    let mut statuses = RunStatus::ALL;
    statuses.sort_unstable_by_key(|status| status.name());
    let places: Vec<String> =
        statuses.iter().enumerate().map(|(place, status)| format!("WHEN {} THEN {place}", *status as i64)).collect();
    format!("CASE r.status {} END", places.join(" "))
}
