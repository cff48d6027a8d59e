//! Trees laid out for walking: one array, parents before children, the child for "yes" right behind its parent.

use super::super::attributes::Fault;
use super::read::{Branch, Child, Ensemble, Mode};
use super::scores::Aggregate;

/// Precision in which features are compared and weights are added.
pub(super) trait Number:
    Copy + PartialOrd + Send + Sync + std::ops::AddAssign + std::ops::Add<Output = Self>
{
    const ZERO: Self;
    fn from_double(value: f64) -> Self;
    fn is_missing(self) -> bool;
    fn over(self, count: usize) -> Self;
    fn negated(self) -> Self;
}

macro_rules! number {
    ($type:ty) => {
        impl Number for $type {
            const ZERO: Self = 0.0;
            fn from_double(value: f64) -> Self {
                value as Self
            }
            fn is_missing(self) -> bool {
                self.is_nan()
            }
            fn over(self, count: usize) -> Self {
                self / count as Self
            }
            fn negated(self) -> Self {
                -self
            }
        }
    };
}

number!(f32);
number!(f64);

/// Bits of [`Node::what`] beside the number of the feature, or of a leaf's weights.
const LEAF: u32 = 1 << 31;
const MISSING_IS_YES: u32 = 1 << 30;
const NUMBER: u32 = MISSING_IS_YES - 1;

/// Features are numbered below this.
pub(super) const MOST_FEATURES: u32 = NUMBER;

#[derive(Debug, Clone, Copy)]
struct Node<T> {
    /// What the feature is compared with; the weight of a leaf that has one.
    value: T,
    /// Feature of a branch, or number of weights of a leaf, with the bits above.
    what: u32,
    /// Place of the child for "no"; of a leaf, the target of its weight, or where its weights begin.
    other: u32,
}

/// An ensemble in one precision.
#[derive(Debug)]
pub(super) struct Forest<T> {
    nodes: Vec<Node<T>>,
    roots: Vec<u32>,
    /// Targets and weights of leaves that have several.
    weights: Vec<(u32, T)>,
    /// How each node compares, if not all do alike.
    modes: Vec<Mode>,
    mode: Mode,
    has_missing: bool,
    targets: usize,
    features: usize,
}

/// What one row's leaves add up to, and which targets had any.
pub(super) struct Sums<'a, T> {
    pub(super) sums: &'a mut [T],
    pub(super) seen: &'a mut [bool],
}

impl<T: Number> Forest<T> {
    /// Lays an ensemble out.
    pub(super) fn new(ensemble: &Ensemble) -> Fault<Self> {
        let mode = ensemble.branches.first().map_or(Mode::LessOrEqual, |branch| branch.mode);
        let mut forest = Self {
            nodes: Vec::with_capacity(ensemble.branches.len() + ensemble.leaves.len()),
            roots: Vec::with_capacity(ensemble.roots.len()),
            weights: Vec::new(),
            modes: Vec::new(),
            mode,
            has_missing: ensemble.branches.iter().any(|branch| branch.missing_is_yes),
            targets: ensemble.targets,
            features: ensemble.branches.iter().map(|branch| branch.feature as usize + 1).max().unwrap_or(0),
        };
        let mut reached = vec![false; ensemble.branches.len()];
        for &root in &ensemble.roots {
            forest.roots.push(place(forest.nodes.len())?);
            forest.tree(ensemble, root, &mut reached)?;
        }
        if ensemble.branches.iter().all(|branch| branch.mode == mode) {
            forest.modes = Vec::new();
        }
        Ok(forest)
    }

    /// Appends a tree in the order "parent, all of yes, all of no".
    fn tree(&mut self, ensemble: &Ensemble, root: Child, reached: &mut [bool]) -> Fault<()> {
        // What is still to be laid out, with the parent that waits for its place as the child for "no".
        let mut open: Vec<(Child, Option<usize>)> = vec![(root, None)];
        while let Some((child, parent)) = open.pop() {
            let here = self.nodes.len();
            if let Some(parent) = parent {
                self.nodes[parent].other = place(here)?;
            }
            match child {
                Child::Leaf(leaf) => self.leaf(&ensemble.leaves[leaf])?,
                Child::Branch(index) => {
                    if std::mem::replace(&mut reached[index], true) {
                        return Err(
                            "a node is reached on two ways: trees have no cycles and share no branches".to_owned()
                        );
                    }
                    let Branch { feature, value, mode, missing_is_yes, yes, no } = ensemble.branches[index];
                    let what = feature | if missing_is_yes { MISSING_IS_YES } else { 0 };
                    self.nodes.push(Node { value: T::from_double(value), what, other: 0 });
                    self.modes.push(mode);
                    open.push((no, Some(here)));
                    open.push((yes, None));
                }
            }
        }
        Ok(())
    }

    fn leaf(&mut self, weights: &[(u32, f64)]) -> Fault<()> {
        let node = match *weights {
            [(target, weight)] => Node { value: T::from_double(weight), what: LEAF | 1, other: target },
            ref several => {
                let start = place(self.weights.len())?;
                let count = u32::try_from(several.len()).ok().filter(|&count| count < NUMBER);
                self.weights.extend(several.iter().map(|&(target, weight)| (target, T::from_double(weight))));
                Node { value: T::ZERO, what: LEAF | count.ok_or("a leaf has too many weights")?, other: start }
            }
        };
        self.nodes.push(node);
        self.modes.push(self.mode);
        Ok(())
    }

    pub(super) fn targets(&self) -> usize {
        self.targets
    }

    pub(super) fn trees(&self) -> usize {
        self.roots.len()
    }

    /// How many columns the trees look at.
    pub(super) fn features(&self) -> usize {
        self.features
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.nodes) + size_of_val(&*self.roots) + size_of_val(&*self.weights) + size_of_val(&*self.modes)
    }

    /// Adds what the trees say of each row; sums and marks are `targets` for each row.
    pub(super) fn add_up(&self, rows: &[T], columns: usize, aggregate: Aggregate, sums: &mut [T], seen: &mut [bool]) {
        // Chosen outside of the loops: nearly all ensembles compare in one way.
        match (self.modes.is_empty(), self.mode) {
            (false, _) => {
                self.walk(rows, columns, aggregate, sums, seen, |index, feature, value| match self.modes[index] {
                    Mode::LessOrEqual => feature <= value,
                    Mode::Less => feature < value,
                    Mode::GreaterOrEqual => feature >= value,
                    Mode::Greater => feature > value,
                    Mode::Equal => feature == value,
                    Mode::NotEqual => feature != value,
                })
            }
            (true, Mode::LessOrEqual) => {
                self.walk(rows, columns, aggregate, sums, seen, |_, feature, value| feature <= value)
            }
            (true, Mode::Less) => self.walk(rows, columns, aggregate, sums, seen, |_, feature, value| feature < value),
            (true, Mode::GreaterOrEqual) => {
                self.walk(rows, columns, aggregate, sums, seen, |_, feature, value| feature >= value)
            }
            (true, Mode::Greater) => {
                self.walk(rows, columns, aggregate, sums, seen, |_, feature, value| feature > value)
            }
            (true, Mode::Equal) => {
                self.walk(rows, columns, aggregate, sums, seen, |_, feature, value| feature == value)
            }
            (true, Mode::NotEqual) => {
                self.walk(rows, columns, aggregate, sums, seen, |_, feature, value| feature != value)
            }
        }
    }

    #[inline(always)]
    fn walk(
        &self,
        rows: &[T],
        columns: usize,
        aggregate: Aggregate,
        sums: &mut [T],
        seen: &mut [bool],
        test: impl Fn(usize, T, T) -> bool + Copy,
    ) {
        let with_missing = |index: usize, what: u32, feature: T, value: T| {
            test(index, feature, value) || (what & MISSING_IS_YES != 0 && feature.is_missing())
        };
        let plain = |index: usize, _: u32, feature: T, value: T| test(index, feature, value);
        if self.has_missing {
            self.walk_all(rows, columns, aggregate, sums, seen, with_missing);
        } else {
            self.walk_all(rows, columns, aggregate, sums, seen, plain);
        }
    }

    #[inline(always)]
    fn walk_all(
        &self,
        rows: &[T],
        columns: usize,
        aggregate: Aggregate,
        sums: &mut [T],
        seen: &mut [bool],
        test: impl Fn(usize, u32, T, T) -> bool + Copy,
    ) {
        // Trees outside, rows inside: a tree stays in the cache while all rows walk down.
        for &root in &self.roots {
            let targets = sums.chunks_exact_mut(self.targets).zip(seen.chunks_exact_mut(self.targets));
            for (row, (sums, seen)) in rows.chunks_exact(columns.max(1)).zip(targets) {
                let leaf = self.descend(root as usize, row, test);
                self.add(leaf, aggregate, sums, seen);
            }
        }
    }

    #[inline(always)]
    fn descend(&self, root: usize, row: &[T], test: impl Fn(usize, u32, T, T) -> bool) -> &Node<T> {
        let mut index = root;
        loop {
            let node = &self.nodes[index];
            if node.what & LEAF != 0 {
                return node;
            }
            let yes = test(index, node.what, row[(node.what & NUMBER) as usize], node.value);
            index = if yes { index + 1 } else { node.other as usize };
        }
    }

    #[inline(always)]
    fn add(&self, leaf: &Node<T>, aggregate: Aggregate, sums: &mut [T], seen: &mut [bool]) {
        let count = leaf.what & NUMBER;
        if count == 1 {
            aggregate.add(leaf.other as usize, leaf.value, sums, seen);
            return;
        }
        let start = leaf.other as usize;
        for &(target, weight) in &self.weights[start..start + count as usize] {
            aggregate.add(target as usize, weight, sums, seen);
        }
    }
}

fn place(index: usize) -> Fault<u32> {
    u32::try_from(index).map_err(|_| "it has too many nodes".to_owned())
}
