//! Ensembles of decision trees.
//!
//! Attributes are lists over all nodes of all trees (`read`); they become one array in which the branch that is taken
//! on "yes" follows its parent (`forest`), so that a walk down is short and can't go in circles. What the leaves say is
//! added up and finished as onnxruntime does (`scores`), including its reading of two classes with one score.

mod forest;
mod read;
mod scores;

use forest::{Forest, Number, Sums};
use read::Ensemble;
use scores::{Aggregate, TwoClasses};

use super::attributes::{Attributes, Fault};
use super::inputs::{Inputs, refuse};
use super::ops::scores::Transform;
use super::ops::{Labels, Operator};
use crate::tensor::{Data, Datatype, Tensor};

/// Rows whose scores are added up together: as many as stay in the cache beside a tree.
const BLOCK: usize = 64;

/// An ensemble in the precisions that its input may have.
struct Trees {
    single: Forest<f32>,
    double: Option<Forest<f64>>,
}

impl Trees {
    fn new(ensemble: &Ensemble, doubles: bool) -> Fault<Self> {
        let double = doubles.then(|| Forest::new(ensemble)).transpose()?;
        Ok(Self { single: Forest::new(ensemble)?, double })
    }

    fn bytes(&self) -> usize {
        self.single.bytes() + self.double.as_ref().map_or(0, Forest::bytes)
    }

    /// Calls with the sums of each row, in single precision unless `wide` wants them as they are.
    fn each(&self, inputs: &mut Inputs<'_>, aggregate: Aggregate, mut row: impl FnMut(Row<'_>)) -> Fault<()> {
        let (rows, columns) = inputs.get(0)?.matrix();
        let wanted = self.single.features();
        if columns < wanted {
            return Err(format!("the trees look at {wanted} features, got {columns}"));
        }
        inputs.budget.work(rows as u64 * self.single.trees() as u64)?;
        inputs.budget.room(&[rows, self.single.targets()])?;
        let converted;
        let values = match inputs.get(0)?.data() {
            Data::F64(values) => {
                let double = self.double.as_ref().ok_or("double precision was not foreseen")?;
                return sum_up(double, values, columns, aggregate, |sums| row(Row::Double(sums)));
            }
            Data::F32(values) => values,
            other @ (Data::I64(_) | Data::I32(_)) => {
                converted = super::ops::cast(other, Datatype::Fp32)?;
                let Data::F32(values) = &converted else { return refuse(other) };
                values
            }
            other => return refuse(other),
        };
        sum_up(&self.single, values, columns, aggregate, |sums| row(Row::Single(sums)))
    }
}

/// The sums of one row.
enum Row<'a> {
    Single(Sums<'a, f32>),
    Double(Sums<'a, f64>),
}

fn sum_up<T: Number>(
    forest: &Forest<T>,
    values: &[T],
    columns: usize,
    aggregate: Aggregate,
    mut row: impl FnMut(Sums<'_, T>),
) -> Fault<()> {
    let targets = forest.targets();
    let (mut sums, mut seen) = (vec![T::ZERO; BLOCK * targets], vec![false; BLOCK * targets]);
    for block in values.chunks(BLOCK * columns.max(1)) {
        let count = block.len() / columns.max(1);
        let (sums, seen) = (&mut sums[..count * targets], &mut seen[..count * targets]);
        sums.fill(T::ZERO);
        seen.fill(false);
        forest.add_up(block, columns, aggregate, sums, seen);
        for (sums, seen) in sums.chunks_mut(targets).zip(seen.chunks_mut(targets)) {
            row(Sums { sums, seen });
        }
    }
    Ok(())
}

/// `TreeEnsembleRegressor`, and `TreeEnsemble` of version 5.
pub(super) struct Regressor {
    trees: Trees,
    aggregate: Aggregate,
    transform: Transform,
    base: Vec<f64>,
    /// Whether double precision is answered in double precision.
    keeps_type: bool,
}

impl Regressor {
    pub(super) fn build(attributes: &Attributes<'_>) -> Fault<Self> {
        let targets = usize::try_from(attributes.int("n_targets", 1)?).map_err(|_| "n_targets is negative")?;
        let ensemble = Ensemble::read(attributes, "target", targets)?;
        let base = attributes.numbers("base_values")?;
        Ok(Self {
            trees: Trees::new(&ensemble, attributes.doubles)?,
            aggregate: Aggregate::named(attributes.text("aggregate_function", "SUM")?)?,
            transform: Transform::read(attributes)?,
            base: if base.len() == targets { base } else { Vec::new() },
            keeps_type: false,
        })
    }

    pub(super) fn build_version_5(attributes: &Attributes<'_>) -> Fault<Self> {
        let ensemble = Ensemble::read_version_5(attributes)?;
        Ok(Self {
            trees: Trees::new(&ensemble, attributes.doubles)?,
            aggregate: Aggregate::numbered(attributes.int("aggregate_function", 1)?)?,
            transform: Transform::numbered(attributes.int("post_transform", 0)?)?,
            base: Vec::new(),
            keeps_type: true,
        })
    }

    /// One target is only ever transformed by PROBIT.
    fn transform(&self) -> Transform {
        if self.trees.single.targets() > 1 || self.transform == Transform::Probit {
            self.transform
        } else {
            Transform::None
        }
    }
}

impl Operator for Regressor {
    fn run(&self, inputs: &mut Inputs<'_>) -> Fault<Vec<Tensor>> {
        let (rows, _) = inputs.get(0)?.matrix();
        let (targets, count) = (self.trees.single.targets(), self.trees.single.trees());
        let (transform, aggregate) = (self.transform(), self.aggregate);
        let wide = self.keeps_type && inputs.get(0)?.datatype() == Datatype::Fp64;
        let (mut singles, mut doubles) = (Vec::new(), Vec::new());
        self.trees.each(inputs, aggregate, |row| {
            let from = singles.len();
            match row {
                Row::Single(mut row) => {
                    aggregate.finish(&mut row, count, &self.base);
                    singles.extend_from_slice(row.sums);
                }
                Row::Double(mut row) => {
                    aggregate.finish(&mut row, count, &self.base);
                    if wide && transform == Transform::None {
                        return doubles.extend_from_slice(row.sums);
                    }
                    singles.extend(row.sums.iter().map(|&sum| sum as f32));
                }
            }
            transform.apply(&mut singles[from..]);
        })?;
        let data = match wide {
            true if doubles.is_empty() => Data::F64(singles.into_iter().map(f64::from).collect()),
            true => Data::F64(doubles),
            false => Data::F32(singles),
        };
        Ok(vec![Tensor::new(vec![rows, targets], data)?])
    }

    fn bytes(&self) -> usize {
        self.trees.bytes()
    }
}

/// `TreeEnsembleClassifier`.
pub(super) struct Classifier {
    trees: Trees,
    labels: Labels,
    transform: Transform,
    base: Vec<f64>,
    two: TwoClasses,
}

impl Classifier {
    pub(super) fn build(attributes: &Attributes<'_>) -> Fault<Self> {
        let labels = Labels::read(attributes, "classlabels_int64s")?;
        let ensemble = Ensemble::read(attributes, "class", labels.len())?;
        let base = attributes.numbers("base_values")?;
        if base.len() > labels.len() {
            return Err(format!("there are {} base values for {} classes", base.len(), labels.len()));
        }
        let two = TwoClasses::of(&ensemble, labels.len());
        Ok(Self {
            trees: Trees::new(&ensemble, attributes.doubles)?,
            labels,
            transform: Transform::read(attributes)?,
            base,
            two,
        })
    }
}

impl Operator for Classifier {
    fn run(&self, inputs: &mut Inputs<'_>) -> Fault<Vec<Tensor>> {
        let (rows, _) = inputs.get(0)?.matrix();
        let classes = self.labels.len();
        let (mut picked, mut all) = (Vec::with_capacity(rows), Vec::with_capacity(rows * classes));
        let mut scratch = Vec::with_capacity(classes);
        self.trees.each(inputs, Aggregate::Sum, |row| {
            let (label, second, count) = match row {
                Row::Single(mut row) => {
                    let (label, second, count) = self.two.decide(&mut row, &self.base);
                    scratch.clear();
                    scratch.extend_from_slice(&row.sums[..count]);
                    (label, second, count)
                }
                Row::Double(mut row) => {
                    let (label, second, count) = self.two.decide(&mut row, &self.base);
                    scratch.clear();
                    scratch.extend(row.sums[..count].iter().map(|&sum| sum as f32));
                    (label, second, count)
                }
            };
            picked.push(label);
            self.transform.write(&mut scratch[..count], second, &mut all);
            // A probit of two classes is one number; the other is not written.
            all.resize(picked.len() * classes, 0.0);
        })?;
        Ok(vec![self.labels.tensor(&picked)?, Tensor::new(vec![rows, classes], Data::F32(all))?])
    }

    fn bytes(&self) -> usize {
        self.trees.bytes()
    }
}
