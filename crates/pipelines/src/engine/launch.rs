//! A step becomes a task, once what it needs is there.

use std::sync::Arc;
use std::time::Duration;

use mcplane_core::{Error, Result};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::driver::Message;
use super::{Shared, command, template};
use crate::environments::{Function, Recipe};
use crate::outputs;
use crate::run::{Outcome, Step};
use crate::runs::service::Runs;
use crate::runs::{RunRow, store};

/// How long a step waits that could not be launched just now.
const RETRY: Duration = Duration::from_secs(2);

/// What launching a step needs.
pub(super) struct Launching {
    pub(super) shared: Arc<Shared>,
    pub(super) runs: Runs,
    pub(super) run: Arc<RunRow>,
    pub(super) step: Arc<Step>,
    /// Cancelled when the step is not wanted any more.
    pub(super) stop: CancellationToken,
    /// Whether the step may be done by what was done before: not if it has begun itself.
    pub(super) may_hit: bool,
    /// Id of the task that does the step's work, if one was made before a restart.
    pub(super) begun: Option<String>,
    pub(super) outbox: mpsc::UnboundedSender<Message>,
}

impl Launching {
    /// Launches the step, and tells the driver what came of it.
    pub(super) async fn go(self) {
        let message = loop {
            match self.attempt().await {
                Ok(message) => break message,
                Err(error) if self.stop.is_cancelled() => {
                    tracing::debug!(%error, "a step was not launched, and need not be");
                    break self.ended(Outcome::Canceled);
                }
                // A quota may have room later, and a store may come back.
                Err(error) if error.http_status() >= 500 || matches!(error, Error::Forbidden { .. }) => {
                    self.wait(&format!("waits: {error}"));
                    tokio::time::sleep(RETRY).await;
                }
                Err(error) => break self.failed(error.to_string()),
            }
        };
        // A driver that is gone has a successor, which launches the step again.
        let _ = self.outbox.send(message);
    }

    fn ended(&self, outcome: Outcome) -> Message {
        Message::Ended { node: self.step.node.clone(), outcome, digests: Default::default() }
    }

    fn failed(&self, message: String) -> Message {
        self.ended(Outcome::Failed { message, exit_code: None })
    }

    fn wait(&self, why: &str) {
        let _ = self.outbox.send(Message::Waits { node: self.step.node.clone(), why: why.to_owned() });
    }

    async fn attempt(&self) -> Result<Message> {
        let Self { shared, run, step, .. } = self;
        // Also for a step that is to end: its task has to.
        if let Some(id) = &self.begun
            && let Some(task) = shared.tasks.find(&run.namespace, id).await?
        {
            return Ok(Message::Launched { node: step.node.clone(), task: Box::new(task) });
        }
        if let Some(hit) = self.hit().await? {
            return Ok(hit);
        }
        let image = shared.images.0.get(&step.image);
        let function = Function::read(&step.command, &step.args);
        let (launch, image_name) = match function {
            None => match command::of_container(step) {
                Ok(launch) => (launch, step.image.as_str()),
                Err(why) => return Ok(self.failed(why)),
            },
            Some(mut function) => {
                let installs = std::mem::take(&mut function.installs);
                let venv = image.map(|image| image.venv.as_str()).filter(|venv| !venv.is_empty());
                if installs.is_empty() {
                    (command::of_function(step, function, venv.map(std::path::Path::new)), step.image.as_str())
                } else {
                    let python = match shared.pythons.find(venv).await {
                        Ok(python) => python,
                        Err(why) => return Ok(self.failed(why)),
                    };
                    let recipe = Recipe { python, installs };
                    if shared.environments.find(&recipe).is_none() {
                        self.wait("waits for its Python environment");
                    }
                    let made = shared.environments.ready(&recipe, &run.uid, &run.namespace, &run.asked.trace);
                    let Some(made) = self.stop.run_until_cancelled(made).await else {
                        return Ok(self.ended(Outcome::Canceled));
                    };
                    let environment = match made? {
                        Ok(environment) => environment,
                        Err(not_made) => return Ok(self.failed(not_made.to_string())),
                    };
                    // The environment is ours, so that nobody need be warned of an image that stands for nothing.
                    let name = if image.is_some() { step.image.as_str() } else { "" };
                    (command::of_function(step, function, Some(&environment)), name)
                }
            }
        };
        if self.stop.is_cancelled() {
            return Ok(self.ended(Outcome::Canceled));
        }
        let mut launch = launch;
        if let Err(why) = outputs::prepare(std::mem::take(&mut launch.files)).await {
            return Ok(self.failed(why));
        }
        let tracked = self.track().await;
        let new = match template::new_task(run, step, launch, image_name, &tracked) {
            Ok(new) => new,
            Err(why) => return Ok(self.failed(why)),
        };
        let submitted = shared.tasks.submit(&run.namespace, vec![new], &run.asked.trace).await?;
        let task = submitted.into_iter().next().ok_or_else(|| Error::internal("a task that was made is not there"))?;
        self.runs.set_task(&run.uid, step.node.clone(), task.id.clone(), tracked).await?;
        Ok(Message::Launched { node: step.node.clone(), task: Box::new(task) })
    }

    /// What was done before and is there still.
    async fn hit(&self) -> Result<Option<Message>> {
        let Self { shared, run, step, .. } = self;
        let Some(fingerprint) = step.fingerprint.as_ref().filter(|_| self.may_hit) else { return Ok(None) };
        let found = store::cached(&shared.db, &run.namespace, &fingerprint.pipeline, &fingerprint.digest).await?;
        let Some(work) = found else { return Ok(None) };
        if !outputs::are_there(&work.outputs, &work.digests).await {
            return Ok(None);
        }
        Ok(Some(Message::Hit { node: step.node.clone(), outputs: work.outputs, digests: work.digests }))
    }

    /// Begins to tell tracking of the step; gives MLflow's run, if there is one.
    async fn track(&self) -> String {
        let Self { shared, run, step, .. } = self;
        if run.tracked.is_empty() {
            return String::new();
        }
        let now = shared.clock().now();
        match shared.recorder.begin_step(run, &step.node, &step.display_name, now).await {
            Ok(tracked) => tracked,
            Err(error) => {
                tracing::warn!(%error, run = run.name, node = %step.node, "a step is not tracked");
                String::new()
            }
        }
    }
}
