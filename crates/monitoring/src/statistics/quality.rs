//! How good classes were predicted.

use std::collections::BTreeMap;

/// How classes are averaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Average {
    /// Every class counts alike.
    Macro,
    /// Classes count by how often they are true.
    Weighted,
}

/// Precision, recall and F1, each 0 to 1; 0 where it would divide by 0, as scikit-learn has it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Scores {
    /// Of what was predicted, how much was true.
    pub precision: f64,
    /// Of what was true, how much was predicted.
    pub recall: f64,
    /// Their harmonic mean; of an average, the mean of F1.
    pub f1: f64,
}

/// Counts of (true, predicted) classes. Can be taken away from too, so that a window slides in constant time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Confusion<K: Ord> {
    cells: BTreeMap<(K, K), u64>,
    total: u64,
}

impl<K: Ord + Clone> Confusion<K> {
    /// Nothing counted.
    pub fn new() -> Self {
        Self { cells: BTreeMap::new(), total: 0 }
    }

    /// Counts one.
    pub fn add(&mut self, truth: K, predicted: K) {
        *self.cells.entry((truth, predicted)).or_default() += 1;
        self.total += 1;
    }

    /// Takes one away that was counted before; anything else changes nothing.
    pub fn remove(&mut self, truth: K, predicted: K) {
        let cell = (truth, predicted);
        if let Some(count) = self.cells.get_mut(&cell) {
            *count -= 1;
            self.total -= 1;
            if *count == 0 {
                self.cells.remove(&cell);
            }
        }
    }

    /// How many are counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// How many were right.
    pub fn right(&self) -> u64 {
        self.cells.iter().filter(|((truth, predicted), _)| truth == predicted).map(|(_, count)| count).sum()
    }

    /// Share that was right.
    pub fn accuracy(&self) -> Option<f64> {
        (self.total > 0).then(|| self.right() as f64 / self.total as f64)
    }

    /// Scores of one class against all others.
    pub fn of_class(&self, positive: &K) -> Option<Scores> {
        let tally = self.tallies().remove(positive).unwrap_or_default();
        (self.total > 0).then(|| tally.scores())
    }

    /// Scores averaged over the classes that are true or predicted at least once.
    pub fn averaged(&self, average: Average) -> Option<Scores> {
        let tallies = self.tallies();
        let weight = |tally: &Tally| match average {
            Average::Macro => 1.0,
            Average::Weighted => tally.truths as f64,
        };
        let all: f64 = tallies.values().map(weight).sum();
        (all > 0.0).then(|| {
            tallies.values().fold(Scores::default(), |sum, tally| {
                let (scores, share) = (tally.scores(), weight(tally) / all);
                Scores {
                    precision: sum.precision + scores.precision * share,
                    recall: sum.recall + scores.recall * share,
                    f1: sum.f1 + scores.f1 * share,
                }
            })
        })
    }

    fn tallies(&self) -> BTreeMap<&K, Tally> {
        let mut tallies: BTreeMap<&K, Tally> = BTreeMap::new();
        for ((truth, predicted), count) in &self.cells {
            tallies.entry(truth).or_default().truths += count;
            tallies.entry(predicted).or_default().predictions += count;
            if truth == predicted {
                tallies.entry(truth).or_default().both += count;
            }
        }
        tallies
    }
}

#[derive(Default)]
struct Tally {
    truths: u64,
    predictions: u64,
    both: u64,
}

impl Tally {
    fn scores(&self) -> Scores {
        let ratio = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        Scores {
            precision: ratio(self.both, self.predictions),
            recall: ratio(self.both, self.truths),
            f1: ratio(2 * self.both, self.truths + self.predictions),
        }
    }
}
