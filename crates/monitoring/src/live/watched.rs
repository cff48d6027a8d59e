//! The windows of one deployment. Pure.

use std::collections::BTreeMap;

use mcplane_core::Timestamp;
use serde::{Deserialize, Serialize};

use super::Rows;
use crate::PredictionId;
use crate::drift::{Drift, Reference};
use crate::profiles::Profile;
use crate::statistics::{Average, Moments, Share};
use crate::windows::{
    Labelled, Observed, Outcomes, OutcomesConfig, Predicted, Traffic, TrafficConfig, TrafficSummary, Values,
};

/// Columns of a deployment that are watched; what comes beyond is recorded only.
const MOST_COLUMNS: usize = 1_000;
/// The name under which the prediction itself is a column.
const PREDICTION: &str = "(prediction)";

/// How large the windows of a service are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WatchConfig {
    /// Requests, errors, latency.
    pub traffic: TrafficConfig,
    /// Rows that drift is computed from.
    pub rows: usize,
    /// How long a row counts, in milliseconds.
    pub rows_ms: i64,
    /// Labels.
    pub outcomes: OutcomesConfig,
}

impl Default for WatchConfig {
    fn default() -> Self {
        Self { traffic: TrafficConfig::default(), rows: 2_000, rows_ms: 3_600_000, outcomes: OutcomesConfig::default() }
    }
}

/// What happened since somebody asked last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Requests that failed by the server's fault, of all.
    pub errors: Share,
    /// Latency in milliseconds.
    pub latency: Moments,
    /// Right predictions, of those whose label came.
    pub right: Share,
}

impl Tally {
    /// Both together.
    pub fn merged(self, other: Self) -> Self {
        let sum = |a: Share, b: Share| Share::new(a.count + b.count, a.of + b.of);
        Self {
            errors: sum(self.errors, other.errors),
            latency: self.latency.merged(other.latency),
            right: sum(self.right, other.right),
        }
    }

    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        self.errors.of == 0 && self.right.of == 0
    }
}

/// What the windows say at some time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Looked {
    /// Requests, errors, latency.
    pub traffic: TrafficSummary,
    /// Right predictions, of those with labels.
    pub right: Share,
    /// F1 over the labelled predictions: macro average.
    pub f1: Option<f64>,
    /// Drift of what was predicted.
    pub predicted: Option<Drift>,
    /// Drift of the columns that have a reference.
    pub features: BTreeMap<String, Drift>,
    /// Mean absolute error of numbers, and of how many.
    pub error: Option<(f64, u64)>,
}

/// What the windows are compared with.
#[derive(Debug, Clone, Default)]
struct References {
    features: BTreeMap<String, Reference>,
    predicted: Option<Reference>,
}

/// The windows of one deployment.
#[derive(Debug)]
pub struct Watched {
    config: WatchConfig,
    traffic: Traffic,
    tally: Tally,
    features: BTreeMap<String, Values>,
    predicted: Values,
    outcomes: Outcomes,
    references: Option<References>,
    /// What was seen first, as long as there is nothing else to compare with.
    first: Profile,
    first_rows: usize,
    changed: bool,
    /// Requests, errors and predictions since the start.
    counts: [u64; 3],
}

impl Watched {
    /// Nothing happened yet.
    pub fn new(config: WatchConfig) -> Self {
        Self {
            traffic: Traffic::new(config.traffic),
            tally: Tally::default(),
            features: BTreeMap::new(),
            predicted: Values::new(config.rows, config.rows_ms),
            outcomes: Outcomes::new(config.outcomes),
            references: None,
            first: Profile::default(),
            first_rows: 0,
            changed: false,
            counts: [0; 3],
            config,
        }
    }

    /// How large its windows are.
    pub fn config(&self) -> &WatchConfig {
        &self.config
    }

    /// Begins anew with windows of other sizes. What was counted since the start, and what they are compared with, stays.
    pub fn resize(&mut self, config: WatchConfig) {
        let (references, counts) = (self.references.take(), self.counts);
        *self = Self { references, counts, ..Self::new(config) };
    }

    /// A request was answered.
    pub fn answered(&mut self, now: Timestamp, status: u16, latency_us: u64) {
        let failed = status >= 500;
        self.traffic.record(now, latency_us, failed);
        self.counts[0] += 1;
        self.counts[1] += u64::from(failed);
        self.tally.errors = Share::new(self.tally.errors.count + u64::from(failed), self.tally.errors.of + 1);
        self.tally.latency.add(latency_us as f64 / 1000.0);
        self.changed = true;
    }

    /// Something was predicted. A label can name a request of one row only.
    pub fn predicted(&mut self, now: Timestamp, id: PredictionId, rows: &Rows) {
        self.counts[2] += 1;
        for (name, values) in &rows.features {
            if !self.features.contains_key(name) {
                if self.features.len() >= MOST_COLUMNS {
                    continue;
                }
                self.features.insert(name.clone(), Values::new(self.config.rows, self.config.rows_ms));
            }
            let Some(window) = self.features.get_mut(name) else { continue };
            values.iter().for_each(|value| window.record(now, value.clone()));
        }
        for value in &rows.predicted {
            self.predicted.record(now, observed(value));
        }
        if let [only] = rows.predicted.as_slice() {
            self.outcomes.predicted(now, id, only.clone());
        }
        if self.references.is_none() {
            self.learn(rows);
        }
    }

    /// The truth about a prediction arrives.
    pub fn labelled(&mut self, now: Timestamp, id: PredictionId, truth: Predicted) -> Labelled {
        let mut outcome = self.outcomes.labelled(now, id, truth.clone());
        if outcome == Labelled::Mismatched {
            // Classes of many models are numbers, and people send them as such; or a number as text.
            let other = match truth {
                Predicted::Number(number) => Some(Predicted::Class(number.to_string())),
                Predicted::Class(text) => text.parse().ok().map(Predicted::Number),
            };
            if let Some(other) = other {
                outcome = self.outcomes.labelled(now, id, other);
            }
        }
        if outcome == Labelled::Joined
            && let Some(right) = self.outcomes.was_right(id)
        {
            self.tally.right = Share::new(self.tally.right.count + u64::from(right), self.tally.right.of + 1);
        }
        outcome
    }

    /// Requests, errors and predictions since the start.
    pub fn counts(&self) -> [u64; 3] {
        self.counts
    }

    /// What happened since the last call.
    pub fn drain(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// Compares with the training data from now on.
    pub fn refer(&mut self, profile: &Profile) {
        let features = profile.columns().iter().filter(|(name, _)| name.as_str() != PREDICTION);
        let features = features.filter_map(|(name, column)| Some((name.clone(), Reference::new(column)?))).collect();
        let predicted = profile.columns().get(PREDICTION).and_then(Reference::new);
        self.references = Some(References { features, predicted });
        (self.first, self.first_rows) = (Profile::default(), 0);
    }

    /// Whether there is something to compare with.
    pub fn is_referred(&self) -> bool {
        self.references.is_some()
    }

    /// The profile of what was seen first, once it is as many rows as the window has.
    pub fn first(&self) -> Option<&Profile> {
        (self.references.is_none() && self.first_rows >= self.config.rows).then_some(&self.first)
    }

    fn learn(&mut self, rows: &Rows) {
        if self.first_rows >= self.config.rows {
            return;
        }
        for (name, values) in &rows.features {
            // A column of numbers and categories has no reference; the others do.
            values.iter().for_each(|value| drop(self.first.add(name, value)));
        }
        rows.predicted.iter().for_each(|value| drop(self.first.add(PREDICTION, &observed(value))));
        let count = rows.features.first().map_or(rows.predicted.len(), |(_, values)| values.len());
        self.first_rows += count;
    }

    /// What the windows that end at `now` say.
    pub fn look(&mut self, now: Timestamp) -> Looked {
        self.outcomes.expire(now);
        let errors = self.outcomes.errors();
        let mut looked = Looked {
            traffic: self.traffic.summary(now),
            right: self.outcomes.right(),
            f1: self.outcomes.classes().averaged(Average::Macro).map(|scores| scores.f1),
            error: (errors.count > 0).then_some((errors.mean, errors.count)),
            ..Looked::default()
        };
        if let Some(references) = &self.references {
            looked.predicted = references.predicted.as_ref().map(|reference| reference.compare(&self.predicted, now));
            for (name, reference) in &references.features {
                if let Some(window) = self.features.get(name) {
                    looked.features.insert(name.clone(), reference.compare(window, now));
                }
            }
        }
        looked
    }

    /// The window of traffic, if it changed since the last call.
    pub fn changed(&mut self) -> Option<&Traffic> {
        std::mem::take(&mut self.changed).then_some(&self.traffic)
    }

    /// Puts a window of traffic back.
    pub fn restore(&mut self, traffic: Traffic) {
        self.traffic = traffic;
    }
}

fn observed(value: &Predicted) -> Observed {
    match value {
        Predicted::Number(number) => Observed::Number(*number),
        Predicted::Class(name) => Observed::Category(name.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::uniform_draws;

    fn row(age: f64, class: &str) -> Rows {
        Rows {
            features: vec![("age".into(), vec![Observed::Number(age)])],
            predicted: vec![Predicted::Class(class.into())],
        }
    }

    #[test]
    fn windows_are_filled_and_drained() {
        let mut watched = Watched::new(WatchConfig::default());
        for at in 0..100 {
            watched.answered(at, if at % 10 == 0 { 503 } else { 200 }, 2_000);
        }
        let looked = watched.look(100);
        assert_eq!((looked.traffic.requests, looked.traffic.errors), (100, 10));
        let tally = watched.drain();
        assert_eq!((tally.errors, tally.latency.mean), (Share::new(10, 100), 2.0));
        assert!(watched.drain().is_empty() && watched.changed().is_some() && watched.changed().is_none());
    }

    #[test]
    fn labels_count_once() {
        let mut watched = Watched::new(WatchConfig::default());
        for number in 0..4u64 {
            watched.predicted(0, PredictionId::new(0, 1, number), &row(1.0, "yes"));
        }
        let id = |number| PredictionId::new(0, 1, number);
        let yes = || Predicted::Class("yes".into());
        assert_eq!(watched.labelled(1, id(0), yes()), Labelled::Joined);
        assert_eq!(watched.labelled(1, id(1), Predicted::Class("no".into())), Labelled::Joined);
        assert_eq!(watched.labelled(1, id(1), Predicted::Class("no".into())), Labelled::Repeated);
        assert_eq!(watched.labelled(1, id(9), yes()), Labelled::Unknown);
        watched.predicted(1, id(5), &row(1.0, "7"));
        assert_eq!(watched.labelled(1, id(5), Predicted::Number(7.0)), Labelled::Joined);
        assert_eq!(watched.drain().right, Share::new(2, 3));
        assert_eq!(watched.look(2).right, Share::new(2, 3));
    }

    #[test]
    fn without_training_data_the_first_window_is_the_reference() {
        let config = WatchConfig { rows: 500, ..WatchConfig::default() };
        let mut watched = Watched::new(config);
        for (at, draw) in uniform_draws(1, 500).enumerate() {
            watched.predicted(at as i64, PredictionId::new(0, 1, at as u64), &row(draw, "a"));
        }
        let profile = watched.first().unwrap().clone();
        watched.refer(&profile);
        assert!(watched.first().is_none() && watched.is_referred());
        assert_eq!(watched.look(500).features["age"].distance, Some(0.0));
        for (at, draw) in uniform_draws(2, 500).enumerate() {
            watched.predicted(500, PredictionId::new(1, 1, at as u64), &row(draw + 0.5, "a"));
        }
        watched.resize(WatchConfig { rows: 1_000, ..config });
        assert!(watched.is_referred() && watched.look(501).features.is_empty());
        for (at, draw) in uniform_draws(2, 500).enumerate() {
            watched.predicted(500, PredictionId::new(1, 1, at as u64), &row(draw + 0.5, "a"));
        }
        let looked = watched.look(501);
        assert!(looked.features["age"].distance.unwrap() > 0.4);
        assert_eq!(looked.predicted.unwrap().distance, Some(0.0));
    }
}
