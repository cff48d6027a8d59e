//! A task that ended becomes the outcome of its step.

use std::collections::BTreeMap;
use std::sync::Arc;

use mcplane_core::Result;
use mcplane_scheduler::tasks::{State as TaskState, Task};
use tokio::sync::mpsc;

use super::driver::Message;
use super::{REST, Shared};
use crate::outputs;
use crate::records::StepEnd;
use crate::run::{Outcome, Step};
use crate::runs::RunRow;
use crate::runs::service::Runs;
use crate::runs::store::Cached;
use crate::values::Bindings;

/// What finishing a step needs.
pub(super) struct Finishing {
    pub(super) shared: Arc<Shared>,
    pub(super) runs: Runs,
    pub(super) run: Arc<RunRow>,
    pub(super) step: Arc<Step>,
    pub(super) task: Box<Task>,
    /// Whether the run wanted the step to end.
    pub(super) unwanted: bool,
    /// SHA-256 of the step's inputs, by URI, as far as they are known.
    pub(super) known: BTreeMap<String, String>,
    pub(super) outbox: mpsc::UnboundedSender<Message>,
}

impl Finishing {
    /// Reads what the step left, keeps it, and tells the driver.
    pub(super) async fn go(self) {
        let (outcome, digests) = self.outcome().await;
        tokio::join!(self.track(&outcome, &digests), self.keep(&outcome, &digests));
        let _ = self.outbox.send(Message::Ended { node: self.step.node.clone(), outcome, digests });
    }

    /// Keeps what a step made, for those that come after it and for later runs.
    async fn keep(&self, outcome: &Outcome, digests: &BTreeMap<String, String>) {
        let Outcome::Succeeded(outputs) = outcome else { return };
        while let Err(error) = self.try_keep(outputs, digests).await {
            tracing::debug!(%error, "what a step made could not be kept yet");
            tokio::time::sleep(REST).await;
        }
    }

    async fn outcome(&self) -> (Outcome, BTreeMap<String, String>) {
        let failed = |message: String| {
            let exit_code = self.task.exit_code.and_then(|code| i32::try_from(code).ok());
            (Outcome::Failed { message, exit_code }, BTreeMap::new())
        };
        match self.task.state {
            TaskState::Succeeded => match outputs::read(&self.step.outputs).await {
                Ok(outputs) => {
                    let artifacts = outputs.artifacts.values().flat_map(|list| list.iter());
                    let digests = outputs::digests(artifacts).await;
                    (Outcome::Succeeded(outputs), digests)
                }
                Err(why) => failed(why),
            },
            TaskState::Cancelled if self.unwanted => (Outcome::Canceled, BTreeMap::new()),
            _ => failed(why(&self.task)),
        }
    }

    async fn try_keep(&self, outputs: &Bindings, digests: &BTreeMap<String, String>) -> Result<()> {
        let fingerprint = self.step.fingerprint.as_ref().filter(|_| self.run.asked.enable_cache != Some(false));
        if digests.is_empty() && fingerprint.is_none() {
            return Ok(());
        }
        let work = Cached { outputs: outputs.clone(), digests: digests.clone() };
        let digest = fingerprint.map(|fingerprint| fingerprint.digest.clone());
        self.runs.keep_work(&self.run, self.step.node.clone(), digest, work).await
    }

    async fn track(&self, outcome: &Outcome, digests: &BTreeMap<String, String>) {
        if self.run.tracked.is_empty() {
            return;
        }
        let (run, node) = (&self.run, &self.step.node);
        let at = self.task.finished_at.unwrap_or_else(|| self.shared.clock().now());
        let nothing = Bindings::default();
        let told = match outcome {
            Outcome::Canceled => self.shared.recorder.cancel_step(run, node, at).await,
            outcome => {
                let (succeeded, outputs) = match outcome {
                    Outcome::Succeeded(outputs) => (true, outputs),
                    _ => (false, &nothing),
                };
                let inputs = &*self.step.inputs;
                let unknown = inputs.artifacts.values().flat_map(|list| list.iter());
                let unknown = unknown.filter(|artifact| !self.known.contains_key(&artifact.uri));
                let mut all = outputs::digests(unknown).await;
                all.extend(self.known.clone());
                all.extend(digests.clone());
                let task = &self.step.task;
                let end = StepEnd { run, node, task, succeeded, at, inputs, outputs, digests: &all };
                self.shared.recorder.end_step(end).await
            }
        };
        if let Err(error) = told {
            tracing::warn!(%error, run = run.name, node = %node, "tracking was not told how a step ended");
        }
    }
}

/// Why a task did not do what it should, for people.
fn why(task: &Task) -> String {
    let attempts = if task.attempt > 1 { format!(" after {} attempts", task.attempt) } else { String::new() };
    match (task.reason.as_str(), task.message.as_str()) {
        ("", "") => format!("its task {}{attempts}", task.state.name()),
        // The exit code is told apart.
        ("Error", message) if message.starts_with("exit code") => format!("the command failed{attempts}"),
        ("Error", message) if !message.is_empty() => format!("the command was {message}{attempts}"),
        (reason, "") => format!("{reason}{attempts}"),
        (reason, message) => format!("{reason}: {message}{attempts}"),
    }
}
