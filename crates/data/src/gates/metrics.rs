//! Metrics of a sample, also of one in which rows count several times, as a bootstrap draws them.

use super::sample::{Outcomes, Sample, Side};
use super::spec::Metric;

/// A model's rows, made ready for one metric.
#[derive(Debug)]
pub(super) enum Terms {
    /// The metric is the mean of these, or its root.
    Mean { values: Vec<f64>, root: bool },
    /// What each row is to F1.
    Cells(Vec<Detection>),
    /// Rows in the order of their scores, whether each is positive, and whether the next one's score is another.
    Ranks(Vec<Rank>),
}

/// A row, as detection has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detection {
    TruePositive,
    FalsePositive,
    FalseNegative,
    TrueNegative,
}

/// A row among the scores.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rank {
    row: u32,
    positive: bool,
    last_of_score: bool,
}

impl Terms {
    /// `None` if the model does not say what the metric is of.
    pub(super) fn new(metric: Metric, sample: &Sample, side: &Side) -> Option<Self> {
        let positive = |class: &u32| *class == sample.positive;
        match (metric, &sample.truth, &side.predictions, &side.scores) {
            (Metric::Accuracy, Outcomes::Classes(truth), Some(Outcomes::Classes(said)), _) => {
                let right = truth.iter().zip(said).map(|(a, b)| f64::from(u8::from(a == b)));
                Some(Self::Mean { values: right.collect(), root: false })
            }
            (Metric::F1, Outcomes::Classes(truth), Some(Outcomes::Classes(said)), _) => {
                let detect = |(truth, said)| match (positive(truth), positive(said)) {
                    (true, true) => Detection::TruePositive,
                    (false, true) => Detection::FalsePositive,
                    (true, false) => Detection::FalseNegative,
                    (false, false) => Detection::TrueNegative,
                };
                Some(Self::Cells(truth.iter().zip(said).map(detect).collect()))
            }
            (Metric::Auc, Outcomes::Classes(truth), _, Some(scores)) => {
                let mut rows: Vec<u32> = (0..scores.len() as u32).collect();
                let score = |row: u32| scores[row as usize];
                rows.sort_unstable_by(|a, b| score(*a).total_cmp(&score(*b)));
                let rank = |(index, row): (usize, &u32)| Rank {
                    row: *row,
                    positive: positive(&truth[*row as usize]),
                    last_of_score: rows.get(index + 1).is_none_or(|next| score(*next) != score(*row)),
                };
                Some(Self::Ranks(rows.iter().enumerate().map(rank).collect()))
            }
            (Metric::LogLoss, Outcomes::Classes(truth), _, Some(scores)) => {
                // Certainty that is wrong would weigh infinitely.
                let safe = |score: f64| score.clamp(f64::EPSILON, 1.0 - f64::EPSILON);
                let loss = |(truth, score): (&u32, &f64)| {
                    -(if positive(truth) { safe(*score) } else { 1.0 - safe(*score) }).ln()
                };
                Some(Self::Mean { values: truth.iter().zip(scores).map(loss).collect(), root: false })
            }
            (Metric::Rmse | Metric::Mae, Outcomes::Numbers(truth), Some(Outcomes::Numbers(said)), _) => {
                let root = metric == Metric::Rmse;
                let error = |(a, b): (&f64, &f64)| if root { (a - b) * (a - b) } else { (a - b).abs() };
                Some(Self::Mean { values: truth.iter().zip(said).map(error).collect(), root })
            }
            _ => None,
        }
    }

    /// The metric, where a row counts as often as `weights` says, once without them; `None` where it is undefined.
    pub(super) fn value(&self, weights: Option<&[u32]>) -> Option<f64> {
        let weight = |row: usize| weights.map_or(1.0, |weights| f64::from(weights[row]));
        let value = match self {
            Self::Mean { values, root } => {
                let (sum, count) = match weights {
                    None => (values.iter().sum::<f64>(), values.len() as f64),
                    Some(weights) => {
                        let sum = values.iter().zip(weights).map(|(value, weight)| value * f64::from(*weight)).sum();
                        (sum, weights.iter().map(|weight| u64::from(*weight)).sum::<u64>() as f64)
                    }
                };
                let mean: f64 = sum / count;
                if *root { mean.sqrt() } else { mean }
            }
            Self::Cells(cells) => {
                let (mut right, mut wrong) = (0.0, 0.0);
                for (row, cell) in cells.iter().enumerate() {
                    match cell {
                        Detection::TruePositive => right += weight(row),
                        Detection::FalsePositive | Detection::FalseNegative => wrong += weight(row),
                        Detection::TrueNegative => {}
                    }
                }
                if right + wrong == 0.0 { 0.0 } else { 2.0 * right / (2.0 * right + wrong) }
            }
            Self::Ranks(ranks) => {
                let (mut pairs, mut below, mut all) = (0.0, 0.0, 0.0);
                let (mut positives, mut negatives) = (0.0, 0.0);
                for rank in ranks {
                    let weight = weight(rank.row as usize);
                    *(if rank.positive { &mut positives } else { &mut negatives }) += weight;
                    if rank.last_of_score {
                        pairs += positives * (below + negatives / 2.0);
                        below += negatives;
                        all += positives;
                        (positives, negatives) = (0.0, 0.0);
                    }
                }
                pairs / (all * below)
            }
        };
        value.is_finite().then_some(value)
    }
}
