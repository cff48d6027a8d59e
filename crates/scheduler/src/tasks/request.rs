//! Tasks as clients of the door ask for them and see them.

use std::collections::BTreeMap;
use std::str::FromStr;

use mcplane_apimachinery::quantity::Quantity;
use mcplane_core::{Error, Result, Timestamp, clock};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::types::{Concurrency, Demand, NewTask, Retries, Spec, State, Task, Work};

/// Milliseconds between the wish to end an attempt and its being killed, unless the task says otherwise.
const GRACE_MS: i64 = 30_000;
/// The queue of tasks that name none.
const DEFAULT_QUEUE: &str = "default";

/// A task to submit.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Asked {
    name: String,
    #[serde(default)]
    queue: Option<String>,
    #[serde(default)]
    image: String,
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    resources: BTreeMap<String, Value>,
    #[serde(default)]
    working_dir: String,
    #[serde(default)]
    service_account: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    priority: i64,
    /// RFC 3339.
    #[serde(default)]
    run_at: Option<String>,
    #[serde(default)]
    delay_ms: Option<i64>,
    #[serde(default)]
    retries: Option<AskedRetries>,
    #[serde(default)]
    timeout_ms: Option<i64>,
    #[serde(default)]
    grace_ms: Option<i64>,
    #[serde(default)]
    idempotency_key: Option<String>,
    #[serde(default)]
    unique_key: Option<String>,
    #[serde(default)]
    concurrency: Option<Concurrency>,
    /// `sha256:…` of an archive that was uploaded.
    #[serde(default)]
    code: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AskedRetries {
    max_attempts: i64,
    initial_ms: Option<i64>,
    factor: Option<f64>,
    max_ms: Option<i64>,
}

impl Asked {
    /// The task; times are counted from `now`.
    pub(super) fn into_task(self, now: Timestamp) -> Result<NewTask> {
        let due_at = match (&self.run_at, self.delay_ms) {
            (Some(_), Some(_)) => return Err(Error::bad_request("give runAt or delayMs, not both")),
            (Some(text), None) => Some(
                clock::parse_rfc3339(text)
                    .ok_or_else(|| Error::bad_request(format!("runAt: {text:?} is no RFC 3339 time")))?,
            ),
            (None, Some(delay)) if delay < 0 => return Err(Error::bad_request("delayMs: must not be negative")),
            (None, delay) => delay.map(|delay| now.saturating_add(delay)),
        };
        let usual = Retries::default();
        let retries = self.retries.as_ref().map_or(usual, |asked| Retries {
            most_attempts: asked.max_attempts,
            initial_ms: asked.initial_ms.unwrap_or(usual.initial_ms),
            factor: asked.factor.unwrap_or(usual.factor),
            max_ms: asked.max_ms.unwrap_or(usual.max_ms.max(asked.initial_ms.unwrap_or(0))),
        });
        let code = match self.code.as_deref() {
            None => None,
            Some(code) => Some(
                code.strip_prefix("sha256:")
                    .ok_or_else(|| Error::bad_request("code: must be sha256: and the digest of an uploaded archive"))?
                    .to_owned(),
            ),
        };
        let demand = demand(&self.resources)?;
        let spec = Spec {
            code,
            fresh: None,
            timeout_ms: self.timeout_ms,
            grace_ms: self.grace_ms.unwrap_or(GRACE_MS),
            retries,
            work: Work::Pod(self.template()),
        };
        Ok(NewTask {
            name: self.name,
            queue: self.queue.as_deref().unwrap_or(DEFAULT_QUEUE).into(),
            priority: self.priority,
            due_at,
            demand,
            concurrency: self.concurrency,
            unique_key: self.unique_key,
            idempotency_key: self.idempotency_key,
            owner: None,
            spec,
        })
    }

    /// The same as a `PodTemplateSpec`.
    fn template(&self) -> Value {
        let env = self.env.iter().map(|(name, value)| json!({"name": name, "value": verbatim(value)}));
        let env: Vec<Value> = env.collect();
        let words = |words: &[String]| -> Vec<String> { words.iter().map(|word| verbatim(word)).collect() };
        let mut container = Map::new();
        container.insert("name".to_owned(), "task".into());
        let mut put = |name: &str, value: Value, is_set: bool| {
            if is_set {
                container.insert(name.to_owned(), value);
            }
        };
        put("image", self.image.as_str().into(), !self.image.is_empty());
        put("command", json!(words(&self.command)), !self.command.is_empty());
        put("args", json!(words(&self.args)), !self.args.is_empty());
        put("env", env.into(), !self.env.is_empty());
        put("workingDir", self.working_dir.as_str().into(), !self.working_dir.is_empty());
        put("resources", json!({"requests": self.resources}), !self.resources.is_empty());
        let mut spec = json!({"containers": [container], "restartPolicy": "Never"});
        if !self.service_account.is_empty() {
            spec["serviceAccountName"] = self.service_account.as_str().into();
        }
        json!({"metadata": {"labels": self.labels}, "spec": spec})
    }
}

/// A text of which a pod makes just that text: in pods `$(NAME)` stands for a variable, and `$$` for a `$`.
fn verbatim(text: &str) -> String {
    text.replace('$', "$$")
}

/// What `resources` ask for; `nvidia.com/gpu` or `gpu` are devices.
pub(crate) fn demand(resources: &BTreeMap<String, Value>) -> Result<Demand> {
    let mut demand = Demand::default();
    for (name, value) in resources {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let quantity = Quantity::from_str(&text)
            .map_err(|_| Error::bad_request(format!("resources.{name}: {text:?} is no quantity")))?;
        match name.as_str() {
            "cpu" => demand.cpu_milli = quantity.milli(),
            "memory" => demand.memory = quantity.value(),
            "gpu" | "nvidia.com/gpu" | "amd.com/gpu" => demand.gpu = quantity.value(),
            "ephemeral-storage" => {}
            other => return Err(Error::bad_request(format!("resources.{other}: there is none of that here"))),
        }
    }
    Ok(demand)
}

/// A task as clients see it. Values of its environment, which may be secret, are not shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shown<'t> {
    id: &'t str,
    no: i64,
    namespace: &'t str,
    name: &'t str,
    queue: &'t str,
    state: State,
    priority: i64,
    attempt: i64,
    attempts_left: i64,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'t str,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'t str,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<&'t str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancelled_by: Option<&'t str>,
    trace: &'t str,
    created_by: &'t str,
    created_at: String,
    due_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<String>,
}

impl<'t> From<&'t Task> for Shown<'t> {
    fn from(task: &'t Task) -> Self {
        let time = clock::rfc3339_micro;
        Self {
            id: &task.id,
            no: task.no,
            namespace: &task.namespace,
            name: &task.name,
            queue: &task.queue,
            state: task.state,
            priority: task.priority,
            attempt: task.attempt,
            attempts_left: task.attempts_left,
            reason: &task.reason,
            message: &task.message,
            exit_code: task.exit_code,
            progress: task.progress.as_deref().and_then(|text| serde_json::from_str(text).ok()),
            node: task.node.as_deref(),
            cancelled_by: task.cancelled_by.as_deref(),
            trace: &task.trace,
            created_by: &task.created_by,
            created_at: time(task.created_at),
            due_at: time(task.due_at),
            started_at: task.started_at.map(time),
            finished_at: task.finished_at.map(time),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_variables_are_taken_at_their_word() {
        let text = "echo $$ $HOME $(date) $$(HOME)";
        let asked: Asked =
            serde_json::from_value(json!({"name": "a", "command": ["sh", "-c", text], "env": {"P": text}})).unwrap();
        let template = asked.template();
        let container = &template["spec"]["containers"][0];
        for stored in [&container["command"][2], &container["env"][0]["value"]] {
            let env = [("HOME".to_owned(), "wrong".to_owned())];
            assert_eq!(crate::processes::expand(stored.as_str().unwrap(), &env), text);
        }
    }
}
