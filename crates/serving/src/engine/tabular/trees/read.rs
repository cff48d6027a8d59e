//! An ensemble as the attributes of its node describe it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use foldhash::fast::RandomState;

use super::super::attributes::{Attributes, Fault};
use super::forest::MOST_FEATURES;
use crate::tensor::{Data, Tensor};

/// How a feature is compared with a branch's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    LessOrEqual,
    Less,
    GreaterOrEqual,
    Greater,
    Equal,
    NotEqual,
}

impl Mode {
    fn named(name: &[u8]) -> Fault<Option<Self>> {
        Ok(Some(match name {
            b"LEAF" => return Ok(None),
            b"BRANCH_LEQ" => Self::LessOrEqual,
            b"BRANCH_LT" => Self::Less,
            b"BRANCH_GTE" => Self::GreaterOrEqual,
            b"BRANCH_GT" => Self::Greater,
            b"BRANCH_EQ" => Self::Equal,
            b"BRANCH_NEQ" => Self::NotEqual,
            other => return Err(format!("nodes of mode {:?} are not supported", String::from_utf8_lossy(other))),
        }))
    }

    /// The mode of a number, as version 5 writes it.
    fn numbered(number: u8) -> Fault<Self> {
        let all = [Self::LessOrEqual, Self::Less, Self::GreaterOrEqual, Self::Greater, Self::Equal, Self::NotEqual];
        all.get(usize::from(number)).copied().ok_or_else(|| match number {
            6 => "branches on membership (BRANCH_MEMBER) are not supported".to_owned(),
            other => format!("nodes of mode {other} do not exist"),
        })
    }
}

/// Where a branch leads, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Child {
    Branch(usize),
    Leaf(usize),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Branch {
    pub(super) feature: u32,
    pub(super) value: f64,
    pub(super) mode: Mode,
    /// Whether a feature that is NaN counts as "yes".
    pub(super) missing_is_yes: bool,
    pub(super) yes: Child,
    pub(super) no: Child,
}

/// Trees whose children exist; that they are trees is seen when they are laid out.
#[derive(Debug, Default)]
pub(super) struct Ensemble {
    pub(super) branches: Vec<Branch>,
    /// Targets and weights of each leaf.
    pub(super) leaves: Vec<Vec<(u32, f64)>>,
    pub(super) roots: Vec<Child>,
    pub(super) targets: usize,
}

/// More targets or classes than an ensemble may have.
const MOST_TARGETS: usize = 1 << 16;

fn feature(id: i64) -> Fault<u32> {
    u32::try_from(id).ok().filter(|&id| id < MOST_FEATURES).ok_or_else(|| format!("feature {id} is out of range"))
}

fn same_length(lists: &[(&str, usize)]) -> Fault<usize> {
    let (first, length) = lists[0];
    match lists.iter().find(|(_, other)| *other != length) {
        Some((name, other)) => Err(format!("{first} has {length} elements and {name} {other}")),
        None => Ok(length),
    }
}

fn target(id: i64, targets: usize) -> Fault<u32> {
    let fits = usize::try_from(id).is_ok_and(|id| id < targets);
    u32::try_from(id).ok().filter(|_| fits).ok_or_else(|| format!("a leaf has a weight for target {id} of {targets}"))
}

impl Ensemble {
    /// Reads the lists of versions 1 to 4; `of` is `target` or `class`.
    pub(super) fn read(attributes: &Attributes<'_>, of: &str, targets: usize) -> Fault<Self> {
        if !(1..=MOST_TARGETS).contains(&targets) {
            return Err(format!("{targets} targets are not between 1 and {MOST_TARGETS}"));
        }
        let ints = |name: &str| attributes.ints(name);
        let (trees, nodes, features) = (ints("nodes_treeids")?, ints("nodes_nodeids")?, ints("nodes_featureids")?);
        let (yes, no, tracks) =
            (ints("nodes_truenodeids")?, ints("nodes_falsenodeids")?, ints("nodes_missing_value_tracks_true")?);
        let (modes, values) = (attributes.texts("nodes_modes")?, attributes.numbers("nodes_values")?);
        let count = same_length(&[
            ("nodes_treeids", trees.len()),
            ("nodes_nodeids", nodes.len()),
            ("nodes_featureids", features.len()),
            ("nodes_truenodeids", yes.len()),
            ("nodes_falsenodeids", no.len()),
            ("nodes_modes", modes.len()),
            ("nodes_values", values.len()),
        ])?;
        let modes: Vec<Option<Mode>> = modes.iter().map(|mode| Mode::named(mode)).collect::<Fault<_>>()?;

        let mut ensemble = Self { targets, ..Self::default() };
        let mut places: HashMap<(i64, i64), Child, RandomState> = HashMap::default();
        let mut known: HashMap<i64, (), RandomState> = HashMap::default();
        for index in 0..count {
            let child = match modes[index] {
                Some(_) => Child::Branch(ensemble.branches.len()),
                None => Child::Leaf(ensemble.leaves.len()),
            };
            match places.entry((trees[index], nodes[index])) {
                Entry::Vacant(free) => free.insert(child),
                Entry::Occupied(_) => {
                    return Err(format!("node {} of tree {} is there twice", nodes[index], trees[index]));
                }
            };
            if known.insert(trees[index], ()).is_none() {
                ensemble.roots.push(child);
            }
            match modes[index] {
                None => ensemble.leaves.push(Vec::new()),
                Some(mode) => ensemble.branches.push(Branch {
                    feature: feature(features[index])?,
                    value: values[index],
                    mode,
                    missing_is_yes: tracks.get(index).is_some_and(|&track| track == 1),
                    yes: child,
                    no: child,
                }),
            }
        }
        let find = |tree: i64, node: i64| {
            places.get(&(tree, node)).copied().ok_or_else(|| format!("there is no node {node} in tree {tree}"))
        };
        let branches = (0..count).filter(|&index| modes[index].is_some());
        for (branch, index) in ensemble.branches.iter_mut().zip(branches) {
            branch.yes = find(trees[index], yes[index])?;
            branch.no = find(trees[index], no[index])?;
        }

        let (ids, weights) = (ints(&format!("{of}_ids"))?, attributes.numbers(&format!("{of}_weights"))?);
        let (of_trees, of_nodes) = (ints(&format!("{of}_treeids"))?, ints(&format!("{of}_nodeids"))?);
        let lists =
            [("weights", weights.len()), ("ids", ids.len()), ("treeids", of_trees.len()), ("nodeids", of_nodes.len())];
        for index in 0..same_length(&lists)? {
            let id = target(ids[index], targets)?;
            // Weights of branches are allowed, and never used.
            if let Child::Leaf(leaf) = find(of_trees[index], of_nodes[index])? {
                ensemble.leaves[leaf].push((id, weights[index]));
            }
        }
        Ok(ensemble)
    }

    /// Reads the lists of version 5, where leaves have lists of their own.
    pub(super) fn read_version_5(attributes: &Attributes<'_>) -> Fault<Self> {
        let targets = usize::try_from(attributes.int("n_targets", 1)?).unwrap_or(0);
        if !(1..=MOST_TARGETS).contains(&targets) {
            return Err(format!("{targets} targets are not between 1 and {MOST_TARGETS}"));
        }
        let ints = |name: &str| attributes.ints(name);
        let (features, tracks) = (ints("nodes_featureids")?, ints("nodes_missing_value_tracks_true")?);
        let (yes, yes_leaf) = (ints("nodes_truenodeids")?, ints("nodes_trueleafs")?);
        let (no, no_leaf) = (ints("nodes_falsenodeids")?, ints("nodes_falseleafs")?);
        let modes = match attributes.tensor("nodes_modes")?.map(Tensor::data) {
            Some(Data::U8(modes)) => modes,
            _ => return Err("nodes_modes must be a tensor of UINT8".to_owned()),
        };
        let (splits, weights) = (floats(attributes, "nodes_splits")?, floats(attributes, "leaf_weights")?);
        let count = same_length(&[
            ("nodes_featureids", features.len()),
            ("nodes_modes", modes.len()),
            ("nodes_splits", splits.len()),
            ("nodes_truenodeids", yes.len()),
            ("nodes_trueleafs", yes_leaf.len()),
            ("nodes_falsenodeids", no.len()),
            ("nodes_falseleafs", no_leaf.len()),
        ])?;
        let ids = ints("leaf_targetids")?;
        same_length(&[("leaf_weights", weights.len()), ("leaf_targetids", ids.len())])?;
        let child = |id: i64, leaf: bool| {
            let limit = if leaf { weights.len() } else { count };
            let id = usize::try_from(id).ok().filter(|&id| id < limit);
            let id = id.ok_or_else(|| "a branch leads to a node that does not exist".to_owned())?;
            Ok::<_, String>(if leaf { Child::Leaf(id) } else { Child::Branch(id) })
        };
        let mut ensemble = Self { targets, ..Self::default() };
        for index in 0..count {
            ensemble.branches.push(Branch {
                feature: feature(features[index])?,
                value: splits[index],
                mode: Mode::numbered(modes[index])?,
                missing_is_yes: tracks.get(index).is_some_and(|&track| track == 1),
                yes: child(yes[index], yes_leaf[index] != 0)?,
                no: child(no[index], no_leaf[index] != 0)?,
            });
        }
        for (&id, &weight) in ids.iter().zip(&weights) {
            ensemble.leaves.push(vec![(target(id, targets)?, weight)]);
        }
        for &root in ints("tree_roots")? {
            ensemble.roots.push(child(root, false)?);
        }
        Ok(ensemble)
    }
}

fn floats(attributes: &Attributes<'_>, name: &str) -> Fault<Vec<f64>> {
    match attributes.tensor(name)?.map(Tensor::data) {
        Some(Data::F32(values)) => Ok(values.iter().copied().map(f64::from).collect()),
        Some(Data::F64(values)) => Ok(values.clone()),
        _ => Err(format!("{name} must be a tensor of floating point")),
    }
}
