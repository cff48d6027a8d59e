//! What classical operators do to scores in the end.

use super::{Attributes, Fault};

/// `post_transform`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine::tabular) enum Transform {
    None,
    Softmax,
    Logistic,
    SoftmaxZero,
    Probit,
}

/// How one score of two classes becomes two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine::tabular) enum Second {
    /// It stays one.
    Absent,
    /// The score is a probability.
    Complement,
    /// The score has a sign: the other class has its opposite.
    Opposite,
}

impl Transform {
    pub(in crate::engine::tabular) fn read(attributes: &Attributes<'_>) -> Fault<Self> {
        Ok(match attributes.text("post_transform", "NONE")? {
            "NONE" => Self::None,
            "SOFTMAX" => Self::Softmax,
            "LOGISTIC" => Self::Logistic,
            "SOFTMAX_ZERO" => Self::SoftmaxZero,
            "PROBIT" => Self::Probit,
            other => return Err(format!("post_transform {other:?} does not exist")),
        })
    }

    /// The transform of a number, as version 5 writes it.
    pub(in crate::engine::tabular) fn numbered(number: i64) -> Fault<Self> {
        match number {
            0 => Ok(Self::None),
            1 | 2 => Err("ONNX and onnxruntime disagree which of post_transform 1 and 2 is softmax: \
                          use 0 and a node Softmax or Sigmoid"
                .to_owned()),
            3 => Ok(Self::SoftmaxZero),
            4 => Ok(Self::Probit),
            _ => Err(format!("post_transform {number} does not exist")),
        }
    }

    /// Transforms the scores of one row.
    pub(in crate::engine::tabular) fn apply(self, scores: &mut [f32]) {
        match self {
            Self::None => {}
            Self::Softmax => softmax(scores),
            Self::SoftmaxZero => softmax_zero(scores),
            Self::Logistic => scores.iter_mut().for_each(|score| *score = logistic(*score)),
            Self::Probit => scores.iter_mut().for_each(|score| *score = probit(*score)),
        }
    }

    /// Appends the scores of one row, of which a single one may stand for two classes.
    pub(in crate::engine::tabular) fn write(self, scores: &mut [f32], second: Second, all: &mut Vec<f32>) {
        let &mut [score] = scores else {
            self.apply(scores);
            return all.extend_from_slice(scores);
        };
        match (self, second) {
            (Self::Probit, _) => all.push(probit(score)),
            (_, Second::Absent) => all.push(score),
            (Self::Logistic, _) => all.extend([logistic(-score), logistic(score)]),
            (_, Second::Complement) => all.extend([1.0 - score, score]),
            (_, Second::Opposite) => all.extend([-score, score]),
        }
    }
}

pub(in crate::engine::tabular) fn logistic(value: f32) -> f32 {
    let upper = 1.0 / (1.0 + (-value.abs()).exp());
    if value < 0.0 { 1.0 - upper } else { upper }
}

/// The quantile of the normal distribution by Winitzki's approximation of the error function's inverse, which is the
/// one that onnxruntime has.
#[expect(clippy::approx_constant, reason = "the digits of onnxruntime")]
pub(in crate::engine::tabular) fn probit(value: f32) -> f32 {
    const A: f32 = 0.147;
    let x = 2.0 * value - 1.0;
    let sign = if x < 0.0 { -1.0 } else { 1.0 };
    let log = ((1.0 - x) * (1.0 + x)).ln();
    let half = 2.0 / (3.141_59 * A) + 0.5 * log;
    std::f32::consts::SQRT_2 * (sign * ((half * half - 1.0 / A * log).sqrt() - half).sqrt())
}

fn largest(scores: &[f32]) -> f32 {
    scores.iter().fold(f32::MIN, |most, &score| if score > most { score } else { most })
}

fn softmax(scores: &mut [f32]) {
    let most = largest(scores);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - most).exp();
        sum += *score;
    }
    scores.iter_mut().for_each(|score| *score /= sum);
}

/// A softmax for which a score of zero means "never seen".
fn softmax_zero(scores: &mut [f32]) {
    let most = largest(scores);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        if score.abs() > 1e-7 {
            *score = (*score - most).exp();
            sum += *score;
        } else {
            *score *= (-most).exp();
        }
    }
    scores.iter_mut().for_each(|score| *score /= sum);
}
