//! Does what is decided for jobs.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, ListParams, PostParams, Preconditions, PropagationPolicy};
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::watcher;
use kube::{Client, Error, ResourceExt as _};
use mcplane_core::{Clock, Timestamp, TraceId};
use mcplane_objects::events::{self, Involved, News, Weight};
use tokio_util::sync::CancellationToken;

use super::decide::{Decision, Happened, decide};
use super::make::{BY_THE_JOB, OWNER, new_task, owner, piece};
use super::{TRACE, Tasks};
use crate::tasks::NewTask;

/// Jobs that are looked at at a time.
const AT_ONCE: u16 = 16;
/// How long a job waits whose reconciliation failed.
const RETRY: Duration = Duration::from_secs(5);
/// How often what deleted jobs left is looked for.
const SWEEP: Duration = Duration::from_secs(60);
/// Events about single pods that one round tells.
const MOST_TOLD: usize = 10;
/// Jobs of one page of a list.
const PAGE: u32 = 500;

const COMPONENT: &str = "job-controller";
/// Who looks after jobs that do not say.
const MANAGER: &str = "kubernetes.io/job-controller";

struct State {
    client: Client,
    tasks: Arc<dyn Tasks>,
    clock: Arc<dyn Clock>,
}

/// Looks after jobs until `stopping`.
pub async fn run(client: Client, tasks: Arc<dyn Tasks>, clock: Arc<dyn Clock>, stopping: CancellationToken) {
    let state = Arc::new(State { client: client.clone(), tasks, clock });
    let sweeping = Arc::clone(&state);
    let work = Controller::new(Api::<Job>::all(client.clone()), watcher::Config::default())
        .owns(Api::<Pod>::all(client), watcher::Config::default())
        .with_config(Config::default().concurrency(AT_ONCE))
        .run(reconcile, retry, state)
        .for_each(async |outcome| {
            if let Err(error) = outcome {
                tracing::debug!(%error, "a job could not be reconciled yet");
            }
        });
    let sweep = async move {
        loop {
            if let Err(error) = sweeping.sweep().await {
                tracing::warn!(%error, "what deleted jobs left could not be looked for; it will be tried again");
            }
            tokio::time::sleep(SWEEP).await;
        }
    };
    // Nothing is lost by stopping anywhere: the next start decides anew.
    stopping.run_until_cancelled(async { tokio::join!(work, sweep) }).await;
}

fn retry(_: Arc<Job>, error: &Error, _: Arc<State>) -> Action {
    tracing::warn!(%error, "reconciling a job failed; it will be tried again");
    Action::requeue(RETRY)
}

fn service(error: mcplane_core::Error) -> Error {
    Error::Service(Box::new(error))
}

fn code(error: &Error) -> u16 {
    match error {
        Error::Api(status) => status.code,
        _ => 0,
    }
}

async fn reconcile(known: Arc<Job>, state: Arc<State>) -> Result<Action, Error> {
    // As it is now: nothing may be made for a job that is gone, or changed.
    let jobs: Api<Job> = Api::namespaced(state.client.clone(), &known.namespace().unwrap_or_default());
    let Some(job) = jobs.get_opt(&known.name_any()).await? else { return Ok(Action::await_change()) };
    let (Some(spec), Some(uid)) = (&job.spec, &job.metadata.uid) else { return Ok(Action::await_change()) };
    if spec.managed_by.as_deref().is_some_and(|manager| manager != MANAGER) {
        return Ok(Action::await_change());
    }
    let now = state.clock.now();
    let tasks = state.tasks.of_owner(&owner(uid)).await.map_err(service)?;
    let pieces: Vec<_> = tasks.iter().map(piece).collect();
    let status = job.status.clone().unwrap_or_default();
    let deleting = job.metadata.deletion_timestamp.is_some();
    let decision = decide(spec, &status, deleting, &pieces, now);
    if decision.delete {
        return state.delete(&jobs, &job).await;
    }
    state.carry_out(&jobs, &job, decision, now).await
}

impl State {
    /// Lets a job go that was over long enough.
    async fn delete(&self, jobs: &Api<Job>, job: &Job) -> Result<Action, Error> {
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Background),
            preconditions: Some(Preconditions { uid: job.metadata.uid.clone(), resource_version: None }),
            ..DeleteParams::default()
        };
        match jobs.delete(&job.name_any(), &params).await {
            Err(error) if [404, 409].contains(&code(&error)) => {}
            outcome => drop(outcome?),
        }
        Ok(Action::await_change())
    }

    async fn carry_out(&self, jobs: &Api<Job>, job: &Job, decision: Decision, now: Timestamp) -> Result<Action, Error> {
        let Decision { create, cancel, status, again_at, happened, .. } = decision;
        if !cancel.is_empty() {
            self.tasks.cancel(cancel, BY_THE_JOB).await.map_err(service)?;
        }
        let made = create.iter().map(|pod| new_task(job, pod)).collect::<Result<Vec<_>, _>>().map_err(service)?;
        let (new, names): (Vec<NewTask>, Vec<String>) = made.into_iter().unzip();
        let created = self.create(job, new, &names, now).await?;
        let active = i32::try_from(names.len()).unwrap_or(i32::MAX);
        let mut status = status;
        if created && active > 0 {
            status.active = Some(status.active.unwrap_or(0).saturating_add(active));
        }
        let changed = job.status.as_ref() != Some(&status);
        if changed {
            let replacement = Job { status: Some(status), ..job.clone() };
            match jobs.replace_status(&job.name_any(), &PostParams::default(), &replacement).await {
                // It changed, and is looked at again as it is now; or it is gone.
                Err(error) if [404, 409].contains(&code(&error)) => return Ok(Action::requeue(Duration::ZERO)),
                outcome => drop(outcome?),
            }
        }
        for what in happened {
            self.tell(job, words(what), now).await;
        }
        if !created {
            return Ok(Action::requeue(RETRY));
        }
        Ok(again_at.map_or_else(Action::await_change, |at| {
            Action::requeue(Duration::from_millis((at - now).max(0).unsigned_abs()))
        }))
    }

    /// Makes tasks; tells people of them, or of why they can't be made.
    async fn create(&self, job: &Job, new: Vec<NewTask>, names: &[String], now: Timestamp) -> Result<bool, Error> {
        if new.is_empty() {
            return Ok(true);
        }
        let trace = job.annotations().get(TRACE).cloned().unwrap_or_else(|| TraceId::random().to_string());
        let namespace = job.namespace().unwrap_or_default();
        match self.tasks.submit(&namespace, new, &trace).await {
            Ok(_) => {
                for name in names.iter().take(MOST_TOLD) {
                    let message = format!("Created pod: {name}");
                    self.tell(job, (Weight::Normal, "SuccessfulCreate", &message), now).await;
                }
                if let Some(more) = names.len().checked_sub(MOST_TOLD).filter(|more| *more > 0) {
                    let message = format!("Created {more} more pods");
                    self.tell(job, (Weight::Normal, "SuccessfulCreate", &message), now).await;
                }
                Ok(true)
            }
            Err(error) if error.http_status() < 500 => {
                let message = format!("Error creating: {error}");
                self.tell(job, (Weight::Warning, "FailedCreate", &message), now).await;
                Ok(false)
            }
            Err(error) => Err(service(error)),
        }
    }

    async fn tell(&self, job: &Job, what: News<'_>, now: Timestamp) {
        let about = Involved::of("batch/v1", "Job", &job.metadata);
        events::tell(&self.client, COMPONENT, &about, what, now).await;
    }

    /// Ends and forgets the tasks of jobs that are gone.
    async fn sweep(&self) -> Result<(), Error> {
        // Owners first: whoever is not among the jobs that are listed afterwards is gone.
        let owners = self.tasks.owners(OWNER).await.map_err(service)?;
        if owners.is_empty() {
            return Ok(());
        }
        let jobs: Api<Job> = Api::all(self.client.clone());
        let (mut alive, mut page) = (HashSet::new(), ListParams::default().limit(PAGE));
        loop {
            let list = jobs.list_metadata(&page).await?;
            alive.extend(list.items.into_iter().filter_map(|job| job.metadata.uid));
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => break,
            }
        }
        for gone in owners.iter().filter(|owner| !alive.contains(&owner[OWNER.len()..])) {
            let tasks = self.tasks.of_owner(gone).await.map_err(service)?;
            let (over, going): (Vec<_>, Vec<_>) = tasks.iter().partition(|task| task.state.is_final());
            let wanted =
                going.iter().filter(|task| task.cancelled_by.is_none()).map(|task| task.no).collect::<Vec<_>>();
            if !wanted.is_empty() {
                self.tasks.cancel(wanted, BY_THE_JOB).await.map_err(service)?;
            }
            if !over.is_empty() {
                self.tasks.delete(over.iter().map(|task| task.no).collect()).await.map_err(service)?;
            }
        }
        Ok(())
    }
}

fn words(what: Happened) -> News<'static> {
    match what {
        Happened::Completed => (Weight::Normal, "Completed", "Job completed"),
        Happened::Failed(reason, message) => (Weight::Warning, reason, message),
        Happened::Suspended => (Weight::Normal, "Suspended", "Job suspended"),
        Happened::Resumed => (Weight::Normal, "Resumed", "Job resumed"),
    }
}
