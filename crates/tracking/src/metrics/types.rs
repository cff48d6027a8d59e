//! What a metric is.

use std::cmp::Ordering;

/// A measured number with its time and step, in the form in which it is kept.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    /// Milliseconds since the epoch, as the client says.
    pub timestamp: i64,
    /// What the client counts: epochs, batches.
    pub step: i64,
    /// A finite number, or the one NaN.
    pub value: f64,
}

impl Point {
    /// The point as it is kept: infinities become the largest numbers, as the protocol shows them, and zeros and NaNs one
    /// each.
    pub fn new(timestamp: i64, step: i64, value: f64) -> Self {
        let value = if value.is_nan() {
            f64::NAN
        } else if value == 0.0 {
            0.0
        } else {
            value.clamp(f64::MIN, f64::MAX)
        };
        Self { timestamp, step, value }
    }

    /// The number that a NaN is compared and stored as is zero.
    pub fn comparable(&self) -> f64 {
        if self.value.is_nan() { 0.0 } else { self.value }
    }

    /// What makes two points the same.
    pub(super) fn identity(&self) -> (i64, i64, u64) {
        (self.timestamp, self.step, self.value.to_bits())
    }

    /// The order of a history.
    pub(super) fn by_time(&self, other: &Self) -> Ordering {
        (self.timestamp, self.step).cmp(&(other.timestamp, other.step)).then_with(|| self.by_value(other))
    }

    /// The order in which points are later than others, which is also that of charts.
    pub(super) fn by_step(&self, other: &Self) -> Ordering {
        (self.step, self.timestamp).cmp(&(other.step, other.timestamp)).then_with(|| self.by_value(other))
    }

    fn by_value(&self, other: &Self) -> Ordering {
        self.comparable().total_cmp(&other.comparable()).then(self.value.is_nan().cmp(&other.value.is_nan()))
    }

    /// Whether this point is what a run's metric is now, rather than `other`. Of equal ones the first stays.
    pub(super) fn is_later_than(&self, other: &Self) -> bool {
        let key = |point: &Self| (point.step, point.timestamp);
        key(self).cmp(&key(other)).then(self.comparable().total_cmp(&other.comparable())).is_gt()
    }
}

impl PartialEq for Point {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Point {}

/// The latest point of a run's metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub key: String,
    /// Its latest point.
    pub point: Point,
}

/// A point that a client logs.
#[derive(Debug, Clone)]
pub struct Logged {
    /// Name of the metric.
    pub key: String,
    /// As the client sent it.
    pub value: f64,
    /// Milliseconds since the epoch.
    pub timestamp: i64,
    /// What the client counts.
    pub step: i64,
    /// The logged model that was measured, if any.
    pub model: Option<Measured>,
}

/// A logged model, and the data that it was measured on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// Id of the model.
    pub model: String,
    /// Empty without a dataset.
    pub dataset_name: String,
    /// Empty without a dataset.
    pub dataset_digest: String,
}

/// What one request logs.
#[derive(Debug, Clone, Default)]
pub struct LogBatch {
    /// Points of metrics.
    pub metrics: Vec<Logged>,
    /// Parameters.
    pub params: Vec<crate::tags::Tag>,
    /// Tags.
    pub tags: Vec<crate::tags::Tag>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_what_databases_can_keep() {
        assert_eq!(Point::new(0, 0, f64::INFINITY).value, f64::MAX);
        assert_eq!(Point::new(0, 0, f64::NEG_INFINITY).value, f64::MIN);
        assert_eq!(Point::new(0, 0, -0.0), Point::new(0, 0, 0.0));
        assert_eq!(Point::new(0, 0, -f64::NAN), Point::new(0, 0, f64::NAN));
        assert_ne!(Point::new(0, 0, f64::NAN), Point::new(0, 0, 0.0));
    }

    #[test]
    fn the_latest_is_by_step_then_time_then_value() {
        let later = |a: (i64, i64, f64), b: (i64, i64, f64)| {
            Point::new(a.0, a.1, a.2).is_later_than(&Point::new(b.0, b.1, b.2))
        };
        assert!(later((1, 2, 0.0), (9, 1, 9.0)));
        assert!(later((2, 1, 0.0), (1, 1, 9.0)));
        assert!(later((1, 1, 2.0), (1, 1, 1.0)));
        assert!(!later((1, 1, f64::NAN), (1, 1, 0.0)) && !later((1, 1, 0.0), (1, 1, f64::NAN)));
        assert!(later((1, 1, f64::NAN), (1, 1, -1.0)));
    }
}
