//! One number through its band, with hysteresis.

use serde::{Deserialize, Serialize};

use super::{Band, Level, Reading, Verdict};

/// Where a number is, and what speaks for a change. Kept over restarts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    level: Level,
    /// Readings in a row beyond the alert line.
    bad: u32,
    /// Readings in a row within the normal line.
    good: u32,
}

/// The level changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// From this one.
    pub from: Level,
    /// To this one.
    pub to: Level,
}

impl Default for Watch {
    fn default() -> Self {
        Self { level: Level::Normal, bad: 0, good: 0 }
    }
}

impl Watch {
    /// The level.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Takes a reading: what it says, and whether the level changed by it.
    pub fn step(&mut self, band: &Band, reading: Reading) -> (Verdict, Option<Change>) {
        let verdict = band.judge(reading);
        let Verdict::Judged(level) = verdict else { return (verdict, None) };
        self.bad = if level == Level::Alert { self.bad.saturating_add(1) } else { 0 };
        self.good = if level == Level::Normal { self.good.saturating_add(1) } else { 0 };
        let next = if self.bad >= band.raise_after {
            Level::Alert
        } else if self.good >= band.resolve_after {
            Level::Normal
        } else if level > Level::Normal {
            // Towards an alert that is not confirmed yet, and on the way back from one.
            self.level.max(Level::Warning)
        } else {
            self.level
        };
        let from = std::mem::replace(&mut self.level, next);
        (verdict, (from != next).then_some(Change { from, to: next }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(value: f64) -> Reading {
        Reading::Number { value: Some(value), values: 1000 }
    }

    #[test]
    fn an_alert_stays_until_all_is_well_for_a_while() {
        let (mut watch, band) = (Watch::default(), Band { raise_after: 2, ..Band::LATENCY });
        let levels: Vec<Level> = [100.0, 600.0, 600.0, 300.0, 100.0, 100.0, 300.0, 100.0, 100.0, 100.0, 300.0]
            .into_iter()
            .map(|value| {
                watch.step(&band, number(value));
                watch.level()
            })
            .collect();
        use Level::{Alert, Normal, Warning};
        assert_eq!(levels, [Normal, Warning, Alert, Alert, Alert, Alert, Alert, Alert, Alert, Normal, Warning]);
    }

    proptest! {
        #[test]
        fn no_level_without_reason(
            values in prop::collection::vec((0.0f64..1000.0, 0u64..300), 1..100),
            raise in 1u32..4,
            resolve in 1u32..4,
        ) {
            let band = Band { raise_after: raise, resolve_after: resolve, ..Band::LATENCY };
            let mut watch = Watch::default();
            let mut judged: Vec<Level> = Vec::new();
            for (value, count) in values {
                let before = watch.clone();
                let (verdict, change) = watch.step(&band, Reading::Number { value: Some(value), values: count });
                match verdict {
                    Verdict::TooLittleData => prop_assert!(change.is_none() && before == watch),
                    Verdict::Judged(level) => judged.push(level),
                }
                let last = |count: u32, level| {
                    judged.len() >= count as usize && judged.iter().rev().take(count as usize).all(|l| *l == level)
                };
                prop_assert_eq!(change.is_some(), before.level() != watch.level());
                match change.map(|change| change.to) {
                    Some(Level::Alert) => prop_assert!(last(raise, Level::Alert)),
                    Some(Level::Normal) => prop_assert!(last(resolve, Level::Normal)),
                    Some(Level::Warning) => prop_assert!(before.level() == Level::Normal),
                    None => {}
                }
                prop_assert!(watch.level() == Level::Alert || !last(raise, Level::Alert));
            }
        }
    }
}
