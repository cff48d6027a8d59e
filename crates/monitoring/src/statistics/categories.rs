//! Categories: counts by name, brought into the same order.

use std::collections::BTreeMap;

/// Counts of both sides over all categories of either, in the order of their names.
pub fn align(reference: &BTreeMap<String, u64>, current: &BTreeMap<String, u64>) -> (Vec<u64>, Vec<u64>) {
    align_by(reference, current)
}

/// The same for any ordered name.
pub fn align_by<K: Ord>(reference: &BTreeMap<K, u64>, current: &BTreeMap<K, u64>) -> (Vec<u64>, Vec<u64>) {
    let mut pairs: BTreeMap<&K, (u64, u64)> = reference.iter().map(|(name, count)| (name, (*count, 0))).collect();
    for (name, count) in current {
        pairs.entry(name).or_default().1 = *count;
    }
    pairs.into_values().unzip()
}
