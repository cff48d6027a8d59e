//! Predictions, joined with labels that come later, by identifier.
//!
//! Labels are late, come twice, come again with another value, or name what nobody predicted. A label counts at the time of
//! its prediction's *arrival in the window of outcomes*, which is when it was labelled: quality is over the newest so many
//! labelled predictions. A label that differs from the one before takes its place, as long as the outcome is still in the
//! window.

use std::collections::VecDeque;

use foldhash::HashMap;
use mcplane_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::PredictionId;
use crate::statistics::{Confusion, Moments, Share};

/// Bounds of the join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OutcomesConfig {
    /// Predictions that may wait for labels; the oldest leave.
    pub waiting: usize,
    /// How long a prediction waits for its label, in milliseconds.
    pub wait_ms: i64,
    /// Labelled predictions that quality is computed from.
    pub most: usize,
    /// How long a labelled prediction counts, in milliseconds.
    pub oldest_ms: i64,
}

impl Default for OutcomesConfig {
    fn default() -> Self {
        Self { waiting: 100_000, wait_ms: 7 * 86_400_000, most: 10_000, oldest_ms: 86_400_000 }
    }
}

/// What was predicted, and what was true: a class or a number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Predicted {
    /// A number of a regression.
    Number(f64),
    /// A class.
    Class(String),
}

/// What became of a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Labelled {
    /// It is joined with its prediction.
    Joined,
    /// It says the same as before; nothing changed.
    Repeated,
    /// It differs from the one before and took its place.
    Replaced,
    /// No prediction of that identifier is known, or it waited too long.
    Unknown,
    /// A class for a number, a number for a class, or a number that is not finite.
    Mismatched,
}

/// Predictions that wait for labels, and those that have them.
#[derive(Debug, Clone)]
pub struct Outcomes {
    config: OutcomesConfig,
    waiting: HashMap<PredictionId, Predicted>,
    /// In the order in which they came; identifiers that were labelled since are skipped.
    queue: VecDeque<(Timestamp, PredictionId)>,
    labelled: HashMap<PredictionId, (Predicted, Predicted)>,
    done: VecDeque<(Timestamp, PredictionId)>,
    classes: Confusion<String>,
    now: Timestamp,
}

impl Outcomes {
    /// Nothing predicted yet.
    pub fn new(config: OutcomesConfig) -> Self {
        Self {
            config,
            waiting: HashMap::default(),
            queue: VecDeque::new(),
            labelled: HashMap::default(),
            done: VecDeque::new(),
            classes: Confusion::new(),
            now: Timestamp::MIN,
        }
    }

    /// A prediction begins to wait for its label. One that is known already changes nothing.
    pub fn predicted(&mut self, now: Timestamp, id: PredictionId, value: Predicted) {
        self.expire(now);
        if self.labelled.contains_key(&id) || self.waiting.contains_key(&id) || self.config.waiting == 0 {
            return;
        }
        while self.queue.len() >= self.config.waiting {
            self.forget_oldest();
        }
        self.waiting.insert(id, value);
        self.queue.push_back((self.now, id));
    }

    /// A label arrives.
    pub fn labelled(&mut self, now: Timestamp, id: PredictionId, truth: Predicted) -> Labelled {
        self.expire(now);
        let known = self.waiting.get(&id).or_else(|| self.labelled.get(&id).map(|(predicted, _)| predicted));
        let Some(known) = known else { return Labelled::Unknown };
        let fits = match (known, &truth) {
            (Predicted::Number(_), Predicted::Number(number)) => number.is_finite(),
            (Predicted::Class(_), Predicted::Class(_)) => true,
            _ => false,
        };
        if !fits {
            return Labelled::Mismatched;
        }
        if let Some(predicted) = self.waiting.remove(&id) {
            self.count(&predicted, &truth);
            self.labelled.insert(id, (predicted, truth));
            self.done.push_back((self.now, id));
            if self.done.len() > self.config.most.max(1) {
                self.drop_oldest_outcome();
            }
            return Labelled::Joined;
        }
        let Some((predicted, before)) = self.labelled.get_mut(&id) else { return Labelled::Unknown };
        if *before == truth {
            return Labelled::Repeated;
        }
        let before = std::mem::replace(before, truth.clone());
        let predicted = predicted.clone();
        self.uncount(&predicted, &before);
        self.count(&predicted, &truth);
        Labelled::Replaced
    }

    /// Lets go of what is too old.
    pub fn expire(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        while self.queue.front().is_some_and(|(at, _)| self.now - at >= self.config.wait_ms) {
            self.forget_oldest();
        }
        while self.done.front().is_some_and(|(at, _)| self.now - at >= self.config.oldest_ms) {
            self.drop_oldest_outcome();
        }
    }

    /// Predictions that wait for their labels.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether the class of a labelled prediction was right; `None` for numbers, and for what is not in the window.
    pub fn was_right(&self, id: PredictionId) -> Option<bool> {
        match self.labelled.get(&id)? {
            (Predicted::Class(predicted), Predicted::Class(truth)) => Some(predicted == truth),
            _ => None,
        }
    }

    /// Counts of (true, predicted) classes of the window.
    pub fn classes(&self) -> &Confusion<String> {
        &self.classes
    }

    /// How many classes of the window were right.
    pub fn right(&self) -> Share {
        Share::new(self.classes.right(), self.classes.total())
    }

    /// True and predicted numbers of the window.
    pub fn numbers(&self) -> (Vec<f64>, Vec<f64>) {
        let pairs = self.done.iter().filter_map(|(_, id)| match self.labelled.get(id)? {
            (Predicted::Number(predicted), Predicted::Number(truth)) => Some((*truth, *predicted)),
            _ => None,
        });
        pairs.unzip()
    }

    /// Absolute errors of numbers, as the sequential test takes them.
    pub fn errors(&self) -> Moments {
        let (truths, predictions) = self.numbers();
        let mut moments = Moments::default();
        truths.iter().zip(&predictions).for_each(|(truth, predicted)| moments.add((truth - predicted).abs()));
        moments
    }

    fn forget_oldest(&mut self) {
        if let Some((_, id)) = self.queue.pop_front() {
            self.waiting.remove(&id);
        }
    }

    fn drop_oldest_outcome(&mut self) {
        let oldest = self.done.pop_front().and_then(|(_, id)| self.labelled.remove(&id));
        if let Some((predicted, truth)) = oldest {
            self.uncount(&predicted, &truth);
        }
    }

    fn count(&mut self, predicted: &Predicted, truth: &Predicted) {
        if let (Predicted::Class(predicted), Predicted::Class(truth)) = (predicted, truth) {
            self.classes.add(truth.clone(), predicted.clone());
        }
    }

    fn uncount(&mut self, predicted: &Predicted, truth: &Predicted) {
        if let (Predicted::Class(predicted), Predicted::Class(truth)) = (predicted, truth) {
            self.classes.remove(truth.clone(), predicted.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(number: u64) -> PredictionId {
        PredictionId::new(number as i64, 1, number)
    }

    fn class(name: &str) -> Predicted {
        Predicted::Class(name.to_owned())
    }

    #[test]
    fn labels_come_as_they_like() {
        let mut outcomes = Outcomes::new(OutcomesConfig { waiting: 3, wait_ms: 100, most: 2, oldest_ms: 50 });
        outcomes.predicted(0, id(1), class("a"));
        outcomes.predicted(1, id(2), class("b"));
        assert_eq!(outcomes.labelled(2, id(9), class("a")), Labelled::Unknown);
        assert_eq!(outcomes.labelled(2, id(1), Predicted::Number(1.0)), Labelled::Mismatched);
        assert_eq!(outcomes.labelled(2, id(1), class("b")), Labelled::Joined);
        assert_eq!(outcomes.right(), Share::new(0, 1));
        assert_eq!(outcomes.labelled(3, id(1), class("b")), Labelled::Repeated);
        assert_eq!(outcomes.labelled(3, id(1), class("a")), Labelled::Replaced);
        assert_eq!(outcomes.right(), Share::new(1, 1));
        assert_eq!(outcomes.labelled(101, id(2), class("b")), Labelled::Unknown, "it waited too long");
        assert_eq!(outcomes.right(), Share::new(0, 0), "and the first outcome is too old");
    }

    #[test]
    fn numbers_have_errors() {
        let mut outcomes = Outcomes::new(OutcomesConfig::default());
        outcomes.predicted(0, id(1), Predicted::Number(3.0));
        assert_eq!(outcomes.labelled(1, id(1), Predicted::Number(f64::NAN)), Labelled::Mismatched);
        assert_eq!(outcomes.labelled(1, id(1), Predicted::Number(5.0)), Labelled::Joined);
        assert_eq!(outcomes.numbers(), (vec![5.0], vec![3.0]));
        assert_eq!(outcomes.errors().mean, 2.0);
    }

    proptest! {
        /// Whatever comes in whatever order, memory keeps its bounds, and the counts are those of the outcomes kept.
        #[test]
        fn bounds_hold(steps in prop::collection::vec((any::<bool>(), 0u64..12, 0i64..40, 0u8..3), 0..200)) {
            let mut outcomes = Outcomes::new(OutcomesConfig { waiting: 5, wait_ms: 60, most: 4, oldest_ms: 80 });
            let mut now = 0;
            for (label, number, wait, name) in steps {
                now += wait;
                let value = class(&name.to_string());
                if label {
                    outcomes.labelled(now, id(number), value);
                } else {
                    outcomes.predicted(now, id(number), value);
                }
                prop_assert!(outcomes.waiting() <= 5 && outcomes.queue.len() <= 5);
                prop_assert!(outcomes.done.len() <= 4 && outcomes.labelled.len() == outcomes.done.len());
                let mut counted = Confusion::new();
                for (predicted, truth) in outcomes.labelled.values() {
                    if let (Predicted::Class(predicted), Predicted::Class(truth)) = (predicted, truth) {
                        counted.add(truth.clone(), predicted.clone());
                    }
                }
                prop_assert_eq!(&counted, outcomes.classes());
            }
        }
    }
}
