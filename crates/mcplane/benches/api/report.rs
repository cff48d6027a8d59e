//! The table: each number beside what it is measured against.

use std::fmt;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// More is better.
    PerSecond,
    /// Less is better.
    MillisecondsAtMost,
    /// Less is better.
    MegabytesAtMost,
    /// A fact about the load.
    Megabytes,
}

#[derive(Default)]
pub(crate) struct Report(Vec<Row>);

pub(crate) struct Row {
    what: String,
    value: f64,
    unit: Unit,
    /// The project's own limit.
    limit: Option<f64>,
    /// What kube-apiserver 1.36 with etcd took on such a machine when quiet, and how many times better we want to be.
    recorded: Option<(f64, f64)>,
}

impl Report {
    /// Adds a number and shows it at once: a benchmark takes minutes.
    pub(crate) fn add(&mut self, what: &str, value: f64, unit: Unit) -> &mut Row {
        self.0.push(Row { what: what.to_owned(), value, unit, limit: None, recorded: None });
        let row = self.0.last_mut().expect("just added");
        println!("{what}: {}", row.show(value));
        row
    }
}

impl Row {
    pub(crate) fn limit(&mut self, limit: f64) -> &mut Self {
        self.limit = Some(limit);
        self
    }

    pub(crate) fn was(&mut self, recorded: f64, aim: f64) -> &mut Self {
        self.recorded = Some((recorded, aim));
        self
    }

    fn show(&self, value: f64) -> String {
        let unit = match self.unit {
            Unit::PerSecond => "/s",
            Unit::MillisecondsAtMost => " ms",
            Unit::MegabytesAtMost | Unit::Megabytes => " MB",
        };
        if value < 10.0 { format!("{value:.2}{unit}") } else { format!("{value:.0}{unit}") }
    }

    /// How many times better than `other`.
    fn times(&self, other: f64) -> f64 {
        if self.unit == Unit::PerSecond { self.value / other } else { other / self.value }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| what | measured | limit | of the limit | kube-apiserver | times better | aim |")?;
        writeln!(f, "|---|--:|--:|--:|--:|--:|--:|")?;
        for row in &self.0 {
            let limit = row.limit.map_or(String::new(), |limit| row.show(limit));
            let ratio = row.limit.map_or(String::new(), |limit| format!("{:.2}", 1.0 / row.times(limit)));
            let (recorded, times, aim) = row.recorded.map_or_else(Default::default, |(recorded, aim)| {
                (row.show(recorded), format!("{:.1}", row.times(recorded)), format!("{aim:.0}"))
            });
            let (what, value) = (&row.what, row.show(row.value));
            writeln!(f, "| {what} | {value} | {limit} | {ratio} | {recorded} | {times} | {aim} |")?;
        }
        Ok(())
    }
}
