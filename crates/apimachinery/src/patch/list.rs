//! Lists of a strategic merge patch: what belongs together, and who comes first.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::PatchError;
use super::strategic::{Directive, Result, cut, fresh, merge_object, names};
use crate::schema::Cursor;

/// How the elements of a list are told apart: by one of their fields, or, primitives, by themselves.
pub(super) struct Keys<'a>(Option<&'a str>);

/// Where each element is, by its key; of equal ones the first.
pub(super) type Order = HashMap<Value, usize>;

impl<'a> Keys<'a> {
    pub(super) fn new(merge_key: Option<&'a str>) -> Self {
        Self(merge_key)
    }

    pub(super) fn of<'v>(&self, item: &'v Value) -> Option<&'v Value> {
        match self.0 {
            Some(name) => item.get(name),
            None => Some(item),
        }
    }

    pub(super) fn required<'v>(&self, item: &'v Value) -> Result<&'v Value> {
        self.of(item).ok_or_else(|| {
            let map = item.as_object().map_or_else(|| cut(item), names);
            let name = self.0.unwrap_or_default();
            PatchError::unfit(format!("map: {map} does not contain declared merge key: {name}"))
        })
    }

    /// The keys of a `$setElementOrder` list.
    pub(super) fn wanted<'v>(&self, order: &'v [Value]) -> Result<Vec<&'v Value>> {
        order.iter().map(|item| self.required(item)).collect()
    }
}

pub(super) fn order_of(keys: &Keys<'_>, items: &[Value]) -> Order {
    let mut order = Order::with_capacity(items.len());
    for (i, item) in items.iter().enumerate() {
        if let Some(key) = keys.of(item) {
            order.entry(key.clone()).or_insert(i);
        }
    }
    order
}

/// Merges the list of a patch into one whose strategy is to merge.
pub(super) fn merge_list(original: Vec<Value>, patch: &[Value], schema: Cursor<'_>) -> Result<Vec<Value>> {
    check_elements(&original, patch)?;
    match original.first().or(patch.first()) {
        None => Ok(original),
        Some(Value::Object(_)) => {
            let Some(merge_key) = schema.merge_key() else {
                return Err(PatchError::unfit("cannot merge lists without merge key"));
            };
            merge_objects(original, patch, &Keys::new(Some(merge_key)), schema.items())
        }
        Some(_) => {
            let keys = Keys::new(None);
            let before = order_of(&keys, &original);
            let mut seen = HashSet::with_capacity(original.len() + patch.len());
            let all = original.iter().chain(patch).filter(|item| seen.insert(*item)).cloned().collect();
            Ok(arrange(&keys, all, &patch.iter().collect::<Vec<_>>(), &before))
        }
    }
}

/// All elements must be of one type, and none a list.
fn check_elements(original: &[Value], patch: &[Value]) -> Result<()> {
    let mut all = original.iter().chain(patch);
    let Some(first) = all.next() else {
        return Ok(());
    };
    if original.iter().chain(patch).any(Value::is_array) {
        return Err(PatchError::unfit("lists of lists are not supported"));
    }
    if all.any(|item| std::mem::discriminant(item) != std::mem::discriminant(first)) {
        return Err(PatchError::unfit("list element types are not identical"));
    }
    Ok(())
}

fn merge_objects(
    original: Vec<Value>,
    patch: &[Value],
    keys: &Keys<'_>,
    schema: Option<Cursor<'_>>,
) -> Result<Vec<Value>> {
    let mut wanted = Vec::with_capacity(patch.len());
    let mut gone = HashSet::new();
    let mut replace = false;
    for item in patch {
        match item.as_object().map(Directive::of).transpose()?.flatten() {
            Some(Directive::Delete) => {
                gone.insert(keys.required(item)?);
            }
            Some(Directive::Replace) => replace = true,
            Some(Directive::Merge) | None => wanted.push(item),
        }
    }
    let mut items = if replace { Vec::new() } else { original };
    items.retain(|item| keys.of(item).is_none_or(|key| !gone.contains(key)));

    let before = order_of(keys, &items);
    let mut places = before.clone();
    let mut order = Vec::with_capacity(wanted.len());
    for item in wanted {
        let key = keys.required(item)?;
        order.push(key);
        match (places.get(key).and_then(|i| items.get_mut(*i)), item) {
            (Some(Value::Object(old)), Value::Object(patch)) => {
                *old = merge_object(std::mem::take(old), patch, schema)?;
            }
            _ => {
                places.insert(key.clone(), items.len());
                items.push(fresh(item, schema)?);
            }
        }
    }
    Ok(arrange(keys, items, &order, &before))
}

/// Puts the elements that the patch names into the patch's order, and each other element before the first of them
/// that it preceded: as kube-apiserver does, so that what is new and unordered comes first.
pub(super) fn arrange(keys: &Keys<'_>, items: Vec<Value>, order: &[&Value], before: &Order) -> Vec<Value> {
    let mut ranks: HashMap<&Value, usize> = HashMap::with_capacity(order.len());
    for (rank, key) in order.iter().enumerate() {
        ranks.entry(key).or_insert(rank);
    }
    let place = |item: &Value| keys.of(item).and_then(|key| before.get(key)).copied();
    let mut named = Vec::new();
    let mut others = Vec::new();
    for item in items {
        match keys.of(&item).and_then(|key| ranks.get(key)) {
            Some(rank) => named.push((*rank, item)),
            None => others.push(item),
        }
    }
    named.sort_by_key(|(rank, _)| *rank);
    others.sort_by_key(|item| place(item));

    let mut arranged = Vec::with_capacity(named.len() + others.len());
    let mut others = others.into_iter().peekable();
    for (_, item) in named {
        let here = place(&item);
        while let Some(other) =
            others.next_if(|other| matches!((place(other), here), (Some(other), Some(here)) if other < here))
        {
            arranged.push(other);
        }
        arranged.push(item);
    }
    arranged.extend(others);
    arranged
}
