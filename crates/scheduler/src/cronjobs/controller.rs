//! Does what is decided for cron jobs.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::watcher;
use kube::{Client, Error, ResourceExt as _};
use mcplane_core::{Clock, Timestamp};
use mcplane_objects::events::{self, Involved, News, Weight};
use tokio_util::sync::CancellationToken;

use super::decide::{Decision, decide, words};
use super::make;

/// Cron jobs that are looked at at a time.
const AT_ONCE: u16 = 8;
/// How long one waits whose reconciliation failed.
const RETRY: Duration = Duration::from_secs(5);
/// The longest rest: clocks are set, and a rest is measured by another clock.
const LONGEST_REST: Duration = Duration::from_secs(60);
const COMPONENT: &str = "cronjob-controller";

struct State {
    client: Client,
    clock: Arc<dyn Clock>,
}

/// Looks after cron jobs until `stopping`.
pub async fn run(client: Client, clock: Arc<dyn Clock>, stopping: CancellationToken) {
    let state = Arc::new(State { client: client.clone(), clock });
    let work = Controller::new(Api::<CronJob>::all(client.clone()), watcher::Config::default())
        .owns(Api::<Job>::all(client), watcher::Config::default())
        .with_config(Config::default().concurrency(AT_ONCE))
        .run(reconcile, retry, state)
        .for_each(async |outcome| {
            if let Err(error) = outcome {
                tracing::debug!(%error, "a cron job could not be reconciled yet");
            }
        });
    // Nothing is lost by stopping anywhere: the next start decides anew.
    stopping.run_until_cancelled(work).await;
}

fn retry(_: Arc<CronJob>, error: &Error, _: Arc<State>) -> Action {
    tracing::warn!(%error, "reconciling a cron job failed; it will be tried again");
    Action::requeue(RETRY)
}

fn code(error: &Error) -> u16 {
    match error {
        Error::Api(status) => status.code,
        _ => 0,
    }
}

async fn reconcile(known: Arc<CronJob>, state: Arc<State>) -> Result<Action, Error> {
    let namespace = known.namespace().unwrap_or_default();
    let crons: Api<CronJob> = Api::namespaced(state.client.clone(), &namespace);
    let jobs: Api<Job> = Api::namespaced(state.client.clone(), &namespace);
    // As they are now: what is decided on must not be older than what was done.
    let Some(cron) = crons.get_opt(&known.name_any()).await? else { return Ok(Action::await_change()) };
    let mut own = jobs.list(&ListParams::default()).await?.items;
    own.retain(|job| {
        job.owner_references()
            .iter()
            .any(|owner| owner.controller == Some(true) && Some(&owner.uid) == cron.metadata.uid.as_ref())
    });
    let now = state.clock.now();
    let decision = decide(&cron, &own, now);
    state.carry_out(&crons, &jobs, &cron, decision, now).await
}

impl State {
    async fn carry_out(
        &self,
        crons: &Api<CronJob>,
        jobs: &Api<Job>,
        cron: &CronJob,
        decision: Decision,
        now: Timestamp,
    ) -> Result<Action, Error> {
        let Decision { run, replace, forget, status, again_at, told } = decision;
        for what in &told {
            let (reason, message) = words(what);
            self.tell(cron, (Weight::Warning, reason, &message), now).await;
        }
        for (names, reason) in [(&forget, "SuccessfulDelete"), (&replace, "SuccessfulDelete")] {
            for name in names {
                self.delete(jobs, cron, name, reason, now).await?;
            }
        }
        if let Some(at) = run {
            match jobs.create(&PostParams::default(), &make::job(cron, at)).await {
                Ok(job) => {
                    let message = format!("Created job {}", job.name_any());
                    self.tell(cron, (Weight::Normal, "SuccessfulCreate", &message), now).await;
                }
                // Made before.
                Err(error) if code(&error) == 409 => {}
                Err(error) if (400..500).contains(&code(&error)) => {
                    let message = format!("Error creating job: {error}");
                    self.tell(cron, (Weight::Warning, "FailedCreate", &message), now).await;
                    return Ok(Action::requeue(RETRY));
                }
                Err(error) => return Err(error),
            }
        }
        if cron.status.clone().unwrap_or_default() != status {
            let replacement = CronJob { status: Some(status), ..cron.clone() };
            match crons.replace_status(&cron.name_any(), &PostParams::default(), &replacement).await {
                // It changed, and is looked at again as it is now; or it is gone.
                Err(error) if [404, 409].contains(&code(&error)) => return Ok(Action::requeue(Duration::ZERO)),
                outcome => drop(outcome?),
            }
        }
        Ok(again_at.map_or_else(Action::await_change, |at| {
            Action::requeue(Duration::from_millis((at - now).max(0).unsigned_abs()).min(LONGEST_REST))
        }))
    }

    async fn delete(
        &self,
        jobs: &Api<Job>,
        cron: &CronJob,
        name: &str,
        reason: &'static str,
        now: Timestamp,
    ) -> Result<(), Error> {
        match jobs.delete(name, &DeleteParams::background()).await {
            Err(error) if [404, 409].contains(&code(&error)) => Ok(()),
            Err(error) => Err(error),
            Ok(_) => {
                let message = format!("Deleted job {name}");
                self.tell(cron, (Weight::Normal, reason, &message), now).await;
                Ok(())
            }
        }
    }

    async fn tell(&self, cron: &CronJob, what: News<'_>, now: Timestamp) {
        let about = Involved::of("batch/v1", "CronJob", &cron.metadata);
        events::tell(&self.client, COMPONENT, &about, what, now).await;
    }
}
