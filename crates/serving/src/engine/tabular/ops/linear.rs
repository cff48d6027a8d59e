//! Linear models.

use super::features::singles;
use super::matrix::dot;
use super::scores::{Second, Transform};
use super::{Attributes, Fault, Inputs, Labels, Operator};
use crate::tensor::{Data, Tensor};

/// `features · coefficients + intercepts` for each row and target.
struct Scores {
    /// A row for each target.
    coefficients: Vec<f32>,
    intercepts: Vec<f32>,
    features: usize,
}

impl Scores {
    fn new(coefficients: &[f32], intercepts: Vec<f32>) -> Fault<Self> {
        let targets = intercepts.len();
        if targets == 0 || coefficients.is_empty() || !coefficients.len().is_multiple_of(targets) {
            return Err(format!("{} coefficients do not fill {targets} rows", coefficients.len()));
        }
        Ok(Self { coefficients: coefficients.to_vec(), features: coefficients.len() / targets, intercepts })
    }

    /// Calls with the scores of each row; the number of rows.
    fn each(&self, inputs: &mut Inputs<'_>, mut row: impl FnMut(&mut [f32])) -> Fault<usize> {
        let (rows, columns) = inputs.get(0)?.matrix();
        if columns != self.features {
            return Err(format!("the model was made for {} features, got {columns}", self.features));
        }
        inputs.budget.work(rows as u64 * self.coefficients.len() as u64)?;
        inputs.budget.room(&[rows, self.intercepts.len().max(2)])?;
        let (_, values) = singles(inputs, 0)?;
        let mut scores = vec![0.0; self.intercepts.len()];
        for features in values.chunks_exact(columns) {
            let targets = self.coefficients.chunks_exact(columns).zip(&self.intercepts);
            for (score, (coefficients, intercept)) in scores.iter_mut().zip(targets) {
                *score = dot(features, coefficients) + intercept;
            }
            row(&mut scores);
        }
        Ok(rows)
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.coefficients) + size_of_val(&*self.intercepts)
    }
}

pub(super) struct Classifier {
    scores: Scores,
    labels: Labels,
    transform: Transform,
}

impl Classifier {
    pub(super) fn build(attributes: &Attributes<'_>) -> Fault<Self> {
        let labels = Labels::read(attributes, "classlabels_ints")?;
        let scores = Scores::new(attributes.floats("coefficients")?, attributes.floats("intercepts")?.to_vec())?;
        let targets = scores.intercepts.len();
        if targets > 1 && labels.len() != targets {
            return Err(format!("there are {targets} scores for {} classes", labels.len()));
        }
        Ok(Self { scores, labels, transform: Transform::read(attributes)? })
    }
}

impl Operator for Classifier {
    fn run(&self, inputs: &mut Inputs<'_>) -> Fault<Vec<Tensor>> {
        let second = if self.labels.len() == 2 { Second::Complement } else { Second::Absent };
        let (mut picked, mut all) = (Vec::new(), Vec::new());
        let rows = self.scores.each(inputs, |scores| {
            picked.push(match *scores {
                [score] => usize::from(score > 0.0),
                ref scores => largest(scores),
            });
            self.transform.write(scores, second, &mut all);
        })?;
        let width = all.len().checked_div(rows).unwrap_or(self.labels.len());
        Ok(vec![self.labels.tensor(&picked)?, Tensor::new(vec![rows, width], Data::F32(all))?])
    }

    fn bytes(&self) -> usize {
        self.scores.bytes()
    }
}

/// The first of the largest.
pub(super) fn largest(scores: &[f32]) -> usize {
    let better = |best: usize, index: usize| if scores[index] > scores[best] { index } else { best };
    (1..scores.len()).fold(0, better)
}

pub(super) struct Regressor {
    scores: Scores,
    transform: Transform,
}

impl Regressor {
    pub(super) fn build(attributes: &Attributes<'_>) -> Fault<Self> {
        let targets = usize::try_from(attributes.int("targets", 1)?).map_err(|_| "targets is negative")?;
        let coefficients = attributes.floats("coefficients")?;
        let intercepts = match attributes.floats("intercepts")? {
            [] if targets <= coefficients.len() => vec![0.0; targets],
            intercepts if intercepts.len() == targets => intercepts.to_vec(),
            intercepts => return Err(format!("there are {} intercepts for {targets} targets", intercepts.len())),
        };
        Ok(Self { scores: Scores::new(coefficients, intercepts)?, transform: Transform::read(attributes)? })
    }
}

impl Operator for Regressor {
    fn run(&self, inputs: &mut Inputs<'_>) -> Fault<Vec<Tensor>> {
        let mut all = Vec::new();
        let rows = self.scores.each(inputs, |scores| self.transform.write(scores, Second::Absent, &mut all))?;
        Ok(vec![Tensor::new(vec![rows, self.scores.intercepts.len()], Data::F32(all))?])
    }

    fn bytes(&self) -> usize {
        self.scores.bytes()
    }
}
