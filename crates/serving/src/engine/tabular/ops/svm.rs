//! Support vector machines, as libsvm has them.

use super::features::singles;
use super::linear::largest;
use super::matrix::dot;
use super::scores::{Second, Transform, logistic};
use super::{Attributes, Fault, Inputs, Labels, Operator};
use crate::tensor::{Data, Tensor};

/// More classes than a machine may have: pairs of classes are compared.
const MOST_CLASSES: usize = 1024;

#[derive(Debug, Clone, Copy)]
enum Kernel {
    Linear,
    Poly,
    Rbf,
    Sigmoid,
}

/// What is common to classifier and regressor.
struct Machine {
    kernel: Kernel,
    gamma: f32,
    offset: f32,
    degree: f32,
    /// Rows of features.
    vectors: Vec<f32>,
    coefficients: Vec<f32>,
    rho: Vec<f32>,
    features: usize,
}

impl Machine {
    fn build(attributes: &Attributes<'_>, count: usize, without_vectors: usize) -> Fault<Self> {
        let kernel = match attributes.text("kernel_type", "LINEAR")? {
            _ if count == 0 => Kernel::Linear,
            "LINEAR" => Kernel::Linear,
            "POLY" => Kernel::Poly,
            "RBF" => Kernel::Rbf,
            "SIGMOID" => Kernel::Sigmoid,
            other => return Err(format!("kernel_type {other:?} does not exist")),
        };
        let (gamma, offset, degree) = match *attributes.floats("kernel_params")? {
            [] => (0.0, 0.0, 0.0),
            [gamma, offset, degree] => (gamma, offset, degree),
            _ => return Err("kernel_params must be gamma, coef0 and degree".to_owned()),
        };
        let (vectors, coefficients) = (attributes.floats("support_vectors")?, attributes.floats("coefficients")?);
        let (rows, all) = if count == 0 { (without_vectors, coefficients) } else { (count, vectors) };
        if all.is_empty() || rows == 0 || !all.len().is_multiple_of(rows) {
            return Err(format!("{} numbers do not fill {rows} vectors", all.len()));
        }
        let rho = attributes.floats("rho")?.to_vec();
        if rho.is_empty() {
            return Err("rho is missing".to_owned());
        }
        let features = all.len() / rows;
        Ok(Self {
            kernel,
            gamma,
            offset,
            degree,
            vectors: vectors.to_vec(),
            coefficients: coefficients.to_vec(),
            rho,
            features,
        })
    }

    fn kernel(&self, one: &[f32], other: &[f32]) -> f32 {
        match self.kernel {
            Kernel::Linear => dot(one, other),
            Kernel::Poly => (self.gamma * dot(one, other) + self.offset).powf(self.degree),
            Kernel::Sigmoid => (self.gamma * dot(one, other) + self.offset).tanh(),
            Kernel::Rbf => {
                let distance: f32 = one.iter().zip(other).map(|(one, other)| (one - other) * (one - other)).sum();
                (-self.gamma * distance).exp()
            }
        }
    }

    /// Rows of features, after the columns were counted.
    fn rows(&self, inputs: &mut Inputs<'_>, width: usize) -> Fault<(usize, Vec<f32>)> {
        let (rows, columns) = inputs.get(0)?.matrix();
        if columns != self.features {
            return Err(format!("the model was made for {} features, got {columns}", self.features));
        }
        inputs.budget.work(rows as u64 * (self.vectors.len() + self.coefficients.len()) as u64)?;
        inputs.budget.room(&[rows, width])?;
        Ok((rows, singles(inputs, 0)?.1))
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.vectors) + size_of_val(&*self.coefficients) + size_of_val(&*self.rho)
    }
}

pub(super) struct Classifier {
    machine: Machine,
    labels: Labels,
    /// Where the support vectors of each class begin, and the end; empty for a linear model without any.
    starts: Vec<usize>,
    /// Platt's sigmoid for each pair of classes.
    platt: Vec<(f32, f32)>,
    transform: Transform,
    all_positive: bool,
}

impl Classifier {
    pub(super) fn build(attributes: &Attributes<'_>) -> Fault<Self> {
        let labels = Labels::read(attributes, "classlabels_ints")?;
        let classes = labels.len();
        if !(2..=MOST_CLASSES).contains(&classes) {
            return Err(format!("{classes} classes are not between 2 and {MOST_CLASSES}"));
        }
        let mut starts = vec![0];
        for &count in attributes.ints("vectors_per_class")? {
            let last = starts.last().copied().unwrap_or_default();
            let next = usize::try_from(count).ok().and_then(|count| count.checked_add(last));
            starts.push(next.ok_or("vectors_per_class is out of range")?);
        }
        let count = starts.last().copied().unwrap_or_default();
        let machine = Machine::build(attributes, count, classes)?;
        let pairs = classes * (classes - 1) / 2;
        let platt: Vec<_> =
            attributes.floats("prob_a")?.iter().copied().zip(attributes.floats("prob_b")?.iter().copied()).collect();
        if count == 0 {
            starts.clear();
        } else if starts.len() != classes + 1
            || (classes - 1).checked_mul(count).is_none_or(|wanted| machine.coefficients.len() < wanted)
            || machine.rho.len() < pairs
            || (!platt.is_empty() && platt.len() < pairs)
        {
            return Err(format!("its lists are too short for {classes} classes and {count} support vectors"));
        }
        let all_positive = machine.coefficients.iter().all(|&value| value >= 0.0);
        Ok(Self { machine, labels, starts, platt, transform: Transform::read(attributes)?, all_positive })
    }

    /// The score of each pair of classes, and the votes of the pairs.
    fn pairs(&self, features: &[f32], kernels: &mut Vec<f32>, scores: &mut Vec<f32>, votes: &mut [usize]) {
        let machine = &self.machine;
        let count = self.starts.last().copied().unwrap_or_default();
        kernels.clear();
        kernels.extend(machine.vectors.chunks_exact(machine.features).map(|vector| machine.kernel(features, vector)));
        scores.clear();
        votes.fill(0);
        let sum = |row: usize, class: usize| {
            let range = self.starts[class]..self.starts[class + 1];
            let coefficients = &machine.coefficients[row * count..][range.clone()];
            coefficients.iter().zip(&kernels[range]).map(|(one, other)| f64::from(one * other)).sum::<f64>()
        };
        for one in 0..votes.len() {
            for other in one + 1..votes.len() {
                let score = sum(other - 1, one) + sum(one, other) + f64::from(machine.rho[scores.len()]);
                votes[if score > 0.0 { one } else { other }] += 1;
                scores.push(score as f32);
            }
        }
    }

    /// The class of a row with two classes, from its votes or, without any, from its largest score.
    fn of_two(&self, voted: usize, weight: f32) -> usize {
        let by_weight = self.platt.is_empty() && if self.all_positive { weight >= 0.5 } else { weight > 0.0 };
        if by_weight { 1 } else { voted }
    }
}

impl Operator for Classifier {
    fn run(&self, inputs: &mut Inputs<'_>) -> Fault<Vec<Tensor>> {
        let classes = self.labels.len();
        let pairs = classes * (classes - 1) / 2;
        let of_pairs = !self.starts.is_empty() && self.platt.is_empty();
        let width = if of_pairs { pairs.max(2) } else { classes };
        let (rows, values) = self.machine.rows(inputs, width)?;
        inputs.budget.work((rows * pairs) as u64)?;
        let (mut kernels, mut scores, mut votes) = (Vec::new(), Vec::new(), vec![0; classes]);
        let (mut picked, mut all) = (Vec::with_capacity(rows), Vec::with_capacity(rows * width));
        let second = if self.transform == Transform::None { Second::Opposite } else { Second::Complement };
        for features in values.chunks_exact(self.machine.features) {
            if self.starts.is_empty() {
                scores.clear();
                let coefficients = self.machine.coefficients.chunks_exact(self.machine.features);
                scores.extend(coefficients.map(|coefficients| dot(features, coefficients) + self.machine.rho[0]));
                let best = largest(&scores);
                picked.push(if classes == 2 { self.of_two(best, scores[best]) } else { best });
            } else {
                self.pairs(features, &mut kernels, &mut scores, &mut votes);
                // The first of the most.
                let most = (1..classes).fold(0, |best, class| if votes[class] > votes[best] { class } else { best });
                picked.push(if classes == 2 { self.of_two(most, 0.0) } else { most });
                if !self.platt.is_empty() {
                    scores = probabilities(classes, &scores, &self.platt);
                }
            }
            self.transform.write(&mut scores, second, &mut all);
        }
        Ok(vec![self.labels.tensor(&picked)?, Tensor::new(vec![rows, width], Data::F32(all))?])
    }

    fn bytes(&self) -> usize {
        self.machine.bytes()
    }
}

/// Probabilities of classes from those of pairs: Wu, Lin and Weng, "Probability Estimates for Multi-class
/// Classification by Pairwise Coupling" (2004), second method, as libsvm iterates it.
fn probabilities(classes: usize, scores: &[f32], platt: &[(f32, f32)]) -> Vec<f32> {
    let mut pair = vec![0.0_f32; classes * classes];
    let mut index = 0;
    for one in 0..classes {
        for other in one + 1..classes {
            let (a, b) = platt[index];
            let wins = (1.0 - logistic(scores[index] * a + b)).clamp(1e-7, 1.0 - 1e-7);
            pair[one * classes + other] = wins;
            pair[other * classes + one] = 1.0 - wins;
            index += 1;
        }
    }
    let mut q = vec![0.0_f32; classes * classes];
    for one in 0..classes {
        for other in (0..classes).filter(|&other| other != one) {
            q[one * classes + one] += pair[other * classes + one] * pair[other * classes + one];
            q[one * classes + other] = -pair[other * classes + one] * pair[one * classes + other];
        }
    }
    let mut p = vec![1.0 / classes as f32; classes];
    let mut qp = vec![0.0_f32; classes];
    for _ in 0..100 {
        let mut total = 0.0;
        for one in 0..classes {
            qp[one] = (0..classes).map(|other| q[one * classes + other] * p[other]).sum();
            total += p[one] * qp[one];
        }
        if qp.iter().all(|&value| (value - total).abs() < 0.005 / classes as f32) {
            break;
        }
        for one in 0..classes {
            let own = q[one * classes + one];
            let step = (total - qp[one]) / own;
            p[one] += step;
            total = (total + step * (step * own + 2.0 * qp[one])) / (1.0 + step) / (1.0 + step);
            for other in 0..classes {
                qp[other] = (qp[other] + step * q[one * classes + other]) / (1.0 + step);
                p[other] /= 1.0 + step;
            }
        }
    }
    p
}

pub(super) struct Regressor {
    machine: Machine,
    with_vectors: bool,
    one_class: bool,
    transform: Transform,
}

impl Regressor {
    pub(super) fn build(attributes: &Attributes<'_>) -> Fault<Self> {
        let count = usize::try_from(attributes.int("n_supports", 0)?).map_err(|_| "n_supports is negative")?;
        let machine = Machine::build(attributes, count, 1)?;
        if count > 0 && machine.coefficients.len() != count {
            return Err(format!("there are {} coefficients for {count} support vectors", machine.coefficients.len()));
        }
        let one_class = attributes.int("one_class", 0)? != 0;
        Ok(Self { machine, with_vectors: count > 0, one_class, transform: Transform::read(attributes)? })
    }
}

impl Operator for Regressor {
    fn run(&self, inputs: &mut Inputs<'_>) -> Fault<Vec<Tensor>> {
        let machine = &self.machine;
        let (rows, values) = machine.rows(inputs, 1)?;
        let mut made = Vec::with_capacity(rows);
        for features in values.chunks_exact(machine.features) {
            let sum = if self.with_vectors {
                let vectors = machine.vectors.chunks_exact(machine.features);
                vectors
                    .zip(&machine.coefficients)
                    .map(|(vector, factor)| factor * machine.kernel(features, vector))
                    .sum()
            } else {
                dot(features, &machine.coefficients)
            };
            let score = sum + machine.rho[0];
            match self.one_class {
                true => made.push(if score > 0.0 { 1.0 } else { -1.0 }),
                false => self.transform.write(&mut [score], Second::Absent, &mut made),
            }
        }
        Ok(vec![Tensor::new(vec![rows, 1], Data::F32(made))?])
    }

    fn bytes(&self) -> usize {
        self.machine.bytes()
    }
}
