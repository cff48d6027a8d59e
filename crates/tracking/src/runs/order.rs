//! The order of a search of runs, as SQL about `runs r`.
//!
//! What is missing comes last in both directions, and a metric that is no number before that. Ties are broken by the start,
//! latest first, and then by id.

use super::condition::{Scope, in_experiments};
use super::types::RunStatus;
use crate::filter::{Comparison, Field, Order};
use crate::query::{Args, direction};

/// Runs that come before or after those of other segments, all in the same order.
#[derive(Debug)]
pub(super) struct Segment<'o> {
    /// The order by a metric that the segments divide, and which part of it this is.
    part: Option<(&'o str, bool, Part)>,
    /// What remains to sort by.
    orders: &'o [Order],
    /// Whether ties are not yet broken by the start.
    by_start: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Runs whose metric is a number, read in the order of the metric's index.
    Numbers,
    /// Runs whose metric is NaN.
    Nans,
    /// Runs without the metric.
    Missing,
}

/// The order as segments. An order by a metric of one experiment is that of the metric's index, then what is not in it;
/// other orders have one segment. Few runs are sorted at once.
pub(super) fn segments<'o>(orders: &'o [Order], scope: &Scope) -> Vec<Segment<'o>> {
    let by_start = !orders.iter().any(|order| order.field == Field::Attribute("start_time"));
    match orders {
        [Order { field: Field::Metric(key), ascending }, rest @ ..]
            if scope.few.is_none() && scope.experiments.len() == 1 =>
        {
            [Part::Numbers, Part::Nans, Part::Missing]
                .map(|part| Segment { part: Some((key, *ascending, part)), orders: rest, by_start })
                .into()
        }
        orders => vec![Segment { part: None, orders, by_start }],
    }
}

impl Segment<'_> {
    /// Whether no segment follows.
    pub(super) fn is_last(&self) -> bool {
        matches!(self.part, None | Some((_, _, Part::Missing)))
    }

    /// The tables that are joined. `CROSS JOIN` makes SQLite take them in this order.
    pub(super) fn from(&self, args: &mut Args) -> String {
        let mut from = match self.part {
            Some((_, _, Part::Numbers | Part::Nans)) => "metric_latest f CROSS JOIN runs r".to_owned(),
            _ => "runs r".to_owned(),
        };
        for (index, order) in self.orders.iter().enumerate() {
            let (table, key) = match &order.field {
                Field::Metric(key) => ("metric_latest", key),
                Field::Param(key) => ("run_params", key),
                Field::Tag(key) => ("run_tags", key),
                _ => continue,
            };
            let key = args.bind(key.as_str());
            from.push_str(&format!(" LEFT JOIN {table} o{index} ON o{index}.run = r.no AND o{index}.key = {key}"));
        }
        from
    }

    /// Whether a comparison is of the metric that the segment reads in order: its index can skip what does not satisfy it.
    pub(super) fn is_in_order_of(&self, comparison: &Comparison) -> bool {
        let key = self.part.filter(|(_, _, part)| *part == Part::Numbers).map(|(key, ..)| key);
        matches!(&comparison.field, Field::Metric(compared) if Some(compared.as_str()) == key)
    }

    /// What tells the segment's runs from those of others.
    pub(super) fn condition(&self, args: &mut Args, scope: &Scope) -> Option<String> {
        let (key, _, part) = self.part?;
        let key = args.bind(key);
        let nan = match part {
            Part::Numbers => 0,
            Part::Nans => 1,
            Part::Missing => {
                return Some(format!(
                    "NOT EXISTS (SELECT 1 FROM metric_latest f WHERE f.run = r.no AND f.key = {key})"
                ));
            }
        };
        let experiments = in_experiments(args, "f", scope);
        Some(format!("r.no = f.run AND {experiments} AND f.key = {key} AND f.nan = {nan}"))
    }

    /// What follows `ORDER BY`.
    pub(super) fn order(&self, args: &Args) -> String {
        let mut terms = Vec::new();
        if let Some((_, ascending, Part::Numbers)) = self.part {
            terms.push(format!("f.value {}", direction(ascending)));
        }
        for (index, order) in self.orders.iter().enumerate() {
            let direction = direction(order.ascending);
            match &order.field {
                Field::Metric(_) => terms.push(format!(
                    "CASE WHEN o{index}.nan = 1 THEN 1 WHEN o{index}.value IS NULL THEN 2 ELSE 0 END, o{index}.value {direction}"
                )),
                Field::Attribute("start_time") => terms.push(format!("r.started_at {direction}")),
                Field::Attribute("end_time") => terms.push(missing_last("r.ended_at", "r.ended_at", direction)),
                Field::Attribute("status") => terms.push(format!("{} {direction}", status())),
                Field::Attribute(name) => {
                    if let Ok(column) = super::condition::column(name) {
                        terms.push(format!("{} {direction}", args.sortable(column)));
                    }
                }
                _ => {
                    let column = format!("o{index}.value");
                    terms.push(missing_last(&column, &args.sortable(&column), direction));
                }
            }
        }
        if self.by_start {
            terms.push("r.started_at DESC".to_owned());
        }
        terms.push("r.id".to_owned());
        terms.join(", ")
    }
}

fn missing_last(column: &str, sortable: &str, direction: &str) -> String {
    format!("CASE WHEN {column} IS NULL THEN 1 ELSE 0 END, {sortable} {direction}")
}

/// Statuses in the order of their names.
fn status() -> String {
    let mut statuses = RunStatus::ALL;
    statuses.sort_unstable_by_key(|status| status.name());
    let places: Vec<String> =
        statuses.iter().enumerate().map(|(place, status)| format!("WHEN {} THEN {place}", *status as i64)).collect();
    format!("CASE r.status {} END", places.join(" "))
}
