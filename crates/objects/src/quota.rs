//! Object counts: every create and delete moves a counter in its own transaction, and quotas bound the counters there, so
//! that no storm of creates can pass a limit.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use mcplane_apimachinery::quantity::Quantity;
use mcplane_apimachinery::resources::usage::count_names;
use mcplane_core::Result;
use mcplane_db::Db;
use serde_json::Value;

use crate::kind::Kind;
use crate::mirror::Mirror;
use crate::storage::{Count, Limit, Storage};

/// The quotas in force.
#[derive(Debug, Clone)]
pub struct Quotas {
    mirror: Mirror<BTreeMap<String, i64>>,
}

impl Quotas {
    /// Reads the quotas and follows them.
    pub async fn start(db: &Db, storage: &dyn Storage) -> Result<Self> {
        let mirror = Mirror::start(db, storage, &Arc::from("resourcequotas"), read, |_| ()).await?;
        Ok(Self { mirror })
    }

    /// Names of the quotas of a namespace.
    pub fn names_in(&self, namespace: &str) -> Vec<Arc<str>> {
        self.mirror.in_namespace(namespace).into_iter().map(|(name, _)| name).collect()
    }

    /// The counters that creating (`delta` 1) or deleting (-1) an object moves, with the limits in force.
    pub fn count(&self, kind: &Kind, namespace: &str, delta: i64) -> Vec<Count> {
        if !kind.is_namespaced() {
            return vec![];
        }
        let names = count_names(kind.group, kind.plural);
        let Some(canonical) = names.first() else { return vec![] };
        let quotas = if delta > 0 { self.mirror.in_namespace(namespace) } else { vec![] };
        let limits = quotas.iter().flat_map(|(quota, hard)| {
            let bounds = names.iter().filter_map(|name| hard.get(name));
            bounds.map(|most| Limit { most: *most, by: Arc::clone(quota) })
        });
        vec![Count {
            namespace: namespace.into(),
            name: canonical.as_str().into(),
            delta,
            limit: limits.min_by_key(|limit| limit.most),
        }]
    }
}

/// `spec.hard` of stored text, object counts alone.
fn read(stored: &str) -> Option<BTreeMap<String, i64>> {
    let quota: Value = serde_json::from_str(stored).ok()?;
    let hard = quota.get("spec")?.get("hard")?.as_object()?;
    let limits = hard.iter().filter_map(|(name, value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Some((name.clone(), Quantity::from_str(&text).ok()?.value()))
    });
    Some(limits.collect())
}

/// Kubernetes' words for a count that a quota does not allow.
pub(crate) fn exceeded(count: &Count, value: i64) -> String {
    let Count { name, delta, limit, .. } = count;
    let (by, most) = limit.as_ref().map_or(("", i64::MAX), |limit| (&*limit.by, limit.most));
    format!("exceeded quota: {by}, requested: {name}={delta}, used: {name}={value}, limited: {name}={most}")
}
