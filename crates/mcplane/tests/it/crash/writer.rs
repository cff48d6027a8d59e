//! One of many clients that write until the server is gone.

use super::ledger::{Ledger, Value};
use super::{random_below, revision};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use mcplane_testkit::process::random_hex;
use serde_json::json;
use std::sync::Arc;

/// Objects of each writer; nobody else writes them, so every refusal is a fault of the server.
const SLOTS: u64 = 6;

/// Creates, updates and deletes until a write gets no answer.
pub(super) async fn write(writer: usize, maps: Api<ConfigMap>, ledger: Arc<Ledger>) {
    loop {
        let name = format!("w{writer:02}-{}", random_below(SLOTS));
        let (value, at) = ledger.value(&name);
        let next: Value = match value {
            Some(_) if random_below(4) == 0 => None,
            _ => Some(format!("{}-{}", random_hex(8), "x".repeat(random_below(600) as usize))),
        };
        ledger.attempt(&name, next.clone());
        let outcome = match (&value, next) {
            (None, Some(next)) => maps.create(&PostParams::default(), &object(&name, 0, &next)).await.map(Some),
            (Some(_), Some(next)) => {
                maps.replace(&name, &PostParams::default(), &object(&name, at, &next)).await.map(Some)
            }
            (_, None) => maps.delete(&name, &DeleteParams::default()).await.map(|_| None),
        };
        match outcome {
            Ok(map) => ledger.acknowledge(&name, map.as_ref().map(revision)),
            // A server that is dying may say so; it may not refuse.
            Err(kube::Error::Api(status)) if status.code < 500 => panic!("{name} after {value:?} at {at}: {status:?}"),
            Err(_) => return,
        }
    }
}

fn object(name: &str, at: u64, value: &str) -> ConfigMap {
    let mut object = json!({"metadata": {"name": name}, "data": {"v": value}});
    if at > 0 {
        object["metadata"]["resourceVersion"] = json!(at.to_string());
    }
    serde_json::from_value(object).unwrap()
}
