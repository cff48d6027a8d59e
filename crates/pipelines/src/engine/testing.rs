//! What tests need.

use std::sync::Arc;

use serde_json::{Map, json};

use crate::run::{Resources, RetryPolicy, Step};
use crate::values::{Bindings, DeclaredOutputs};

/// A step that asks for nothing.
pub(crate) fn step() -> Step {
    Step {
        node: "root/task".into(),
        task: "task".to_owned(),
        display_name: "task".to_owned(),
        component: "comp-task".to_owned(),
        image: String::new(),
        command: vec![],
        args: vec![],
        env: vec![],
        resources: Resources::default(),
        retry: RetryPolicy::default(),
        executor_input: json!({}),
        inputs: Arc::new(Bindings::default()),
        outputs: DeclaredOutputs::default(),
        task_root: "/root/task".to_owned(),
        fingerprint: None,
        platforms: Map::new(),
    }
}
