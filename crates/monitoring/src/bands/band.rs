//! Lines, readings and verdicts.

use serde::{Deserialize, Serialize};

use crate::statistics::{Share, chernoff_above};

/// On which side of its lines a number is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Worse {
    /// Small is bad: accuracy.
    Below,
    /// Great is bad: latency, errors, drift.
    Above,
}

/// Two lines, and what it takes to cross them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Band {
    /// Which side is worse.
    pub worse: Worse,
    /// On this line and on its better side all is well.
    pub normal: f64,
    /// Strictly beyond this line is an alert.
    pub alert: f64,
    /// Values that a reading must be made of.
    pub least: u64,
    /// Readings in a row beyond the alert line that raise an alert.
    pub raise_after: u32,
    /// Readings in a row within the normal line that resolve it, or end a warning.
    pub resolve_after: u32,
    /// For shares: how probable a reading beyond the alert line may be by chance, for one that is normal.
    pub chance: f64,
}

impl Band {
    const fn of(worse: Worse, normal: f64, alert: f64, least: u64) -> Self {
        Self { worse, normal, alert, least, raise_after: 1, resolve_after: 3, chance: 1e-4 }
    }

    /// Share of right predictions: normal from 95 %, alert below 90 %.
    pub const ACCURACY: Self = Self::of(Worse::Below, 0.95, 0.90, 100);
    /// Mean latency in milliseconds: normal up to 200, alert above 500.
    pub const LATENCY: Self = Self::of(Worse::Above, 200.0, 500.0, 100);
    /// Share of requests that fail: normal up to 1 %, alert above 5 %.
    pub const ERRORS: Self = Self::of(Worse::Above, 0.01, 0.05, 100);
    /// Population stability index over deciles: normal up to 0.1, alert above 0.25. By chance it is about
    /// 9 (1/n + 1/m) for n and m values, 0.018 for 500 against many.
    pub const STABILITY: Self = Self::of(Worse::Above, 0.1, 0.25, 500);
    /// Distance of Kolmogorov and Smirnov: normal up to 0.1, alert above 0.2. By chance 500 values against many are beyond
    /// 0.2 with a probability of 10^-17, beyond 0.1 with 10^-4.
    pub const DISTANCE: Self = Self::of(Worse::Above, 0.1, 0.2, 500);

    /// What is wrong with the lines; they come from users.
    pub fn fault(&self) -> Option<&'static str> {
        let order = match self.worse {
            Worse::Below => self.alert <= self.normal,
            Worse::Above => self.alert >= self.normal,
        };
        if !(self.normal.is_finite() && self.alert.is_finite()) {
            Some("lines must be finite numbers")
        } else if !order {
            Some("the alert line must be on the worse side of the normal line")
        } else if self.raise_after == 0 || self.resolve_after == 0 {
            Some("raiseAfter and resolveAfter must be at least 1")
        } else if !(self.chance > 0.0 && self.chance <= 1.0) {
            Some("chance must be above 0 and at most 1")
        } else {
            None
        }
    }

    /// Where one reading lies, without regard to those before.
    pub fn judge(&self, reading: Reading) -> Verdict {
        let Some((value, values)) = reading.value().filter(|(_, values)| *values >= self.least.max(1)) else {
            return Verdict::TooLittleData;
        };
        let beyond = |line: f64| match self.worse {
            Worse::Below => value < line,
            Worse::Above => value > line,
        };
        if value.is_nan() {
            return Verdict::TooLittleData;
        }
        debug_assert!(values > 0);
        Verdict::Judged(if beyond(self.alert) && !self.explained(reading) {
            Level::Alert
        } else if beyond(self.normal) {
            Level::Warning
        } else {
            Level::Normal
        })
    }

    /// Whether a share may be outside the normal band by chance.
    fn explained(&self, reading: Reading) -> bool {
        let Reading::Share(share) = reading else { return false };
        let bound = match self.worse {
            Worse::Above => chernoff_above(share, self.normal),
            Worse::Below => chernoff_above(Share::new(share.of - share.count, share.of), 1.0 - self.normal),
        };
        bound > self.chance
    }
}

/// A number that was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reading {
    /// So many of so many.
    Share(Share),
    /// A number made of so many values.
    Number {
        /// The number; `None` where there is none.
        value: Option<f64>,
        /// How many values it is made of.
        values: u64,
    },
}

impl Reading {
    /// The number and how many values it is made of.
    pub fn value(self) -> Option<(f64, u64)> {
        match self {
            Self::Share(share) => share.value().map(|value| (value, share.of)),
            Self::Number { value, values } => value.map(|value| (value, values)),
        }
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Level {
    /// All is well.
    Normal,
    /// Worth a look.
    Warning,
    /// Somebody must know.
    Alert,
}

/// What one reading says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: it is made of too few values.
    TooLittleData,
    /// Where it lies.
    Judged(Level),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(value: f64) -> Reading {
        Reading::Number { value: Some(value), values: 1000 }
    }

    #[test]
    fn lines_belong_to_the_better_side() {
        let latency = |value| Band::LATENCY.judge(number(value));
        assert_eq!(latency(200.0), Verdict::Judged(Level::Normal));
        assert_eq!(latency(200.1), Verdict::Judged(Level::Warning));
        assert_eq!(latency(500.0), Verdict::Judged(Level::Warning));
        assert_eq!(latency(500.1), Verdict::Judged(Level::Alert));
        assert_eq!(latency(f64::NAN), Verdict::TooLittleData);
        assert_eq!(Band::LATENCY.judge(Reading::Number { value: None, values: 1000 }), Verdict::TooLittleData);
        assert_eq!(Band::LATENCY.judge(Reading::Number { value: Some(900.0), values: 99 }), Verdict::TooLittleData);
    }

    #[test]
    fn a_share_must_not_be_chance() {
        let accuracy = |right, of| Band::ACCURACY.judge(Reading::Share(Share::new(right, of)));
        assert_eq!(accuracy(95, 100), Verdict::Judged(Level::Normal));
        assert_eq!(accuracy(949, 1000), Verdict::Judged(Level::Warning));
        assert_eq!(accuracy(89, 100), Verdict::Judged(Level::Warning), "one in a hundred normal readings is so");
        assert_eq!(accuracy(80, 100), Verdict::Judged(Level::Alert));
        assert_eq!(accuracy(899, 1000), Verdict::Judged(Level::Alert));
        assert_eq!(accuracy(9, 99), Verdict::TooLittleData);
        assert_eq!(
            Band { normal: 1.0, ..Band::ACCURACY }.judge(Reading::Share(Share::new(89, 100))),
            Verdict::Judged(Level::Alert)
        );
    }

    #[test]
    fn lines_are_checked() {
        assert_eq!(Band::ACCURACY.fault(), None);
        assert_eq!(Band::ERRORS.fault(), None);
        assert!(Band { alert: 0.99, ..Band::ACCURACY }.fault().is_some());
        assert!(Band { normal: f64::NAN, ..Band::LATENCY }.fault().is_some());
        assert!(Band { raise_after: 0, ..Band::LATENCY }.fault().is_some());
    }
}
