//! Follows runs and pods, and has a driver for each run that has not ended.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use kube::ResourceExt as _;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as follow};
use mcplane_core::{Error, Result};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::driver::{self, Message};
use super::{
    BY_THE_RUN, ENVIRONMENT, OWNER, PART_LABEL, REST, RUN_LABEL, STEP, Shared, TASK_LABEL, owner, runs_resource,
};
use crate::runs::service::Runs;
use crate::runs::store;

/// How often what deleted runs left is looked for.
const SWEEP: Duration = Duration::from_secs(60);

/// A failure of a client, as one of a service.
pub(super) fn service(error: kube::Error) -> Error {
    Error::Unavailable { message: "the object API did not answer".to_owned(), source: Some(Box::new(error)) }
}

struct Supervisor {
    shared: Arc<Shared>,
    runs: Runs,
    drivers: HashMap<String, Driving>,
    ended: JoinSet<(String, u64)>,
    /// Counts drivers, so that the end of one is not taken for that of its successor.
    count: u64,
    /// Uids that a list of all runs has told so far.
    listed: HashSet<String>,
}

struct Driving {
    number: u64,
    inbox: mpsc::UnboundedSender<Message>,
    abort: tokio::task::AbortHandle,
}

/// Follows runs and pods for as long as it is polled; drivers end with it.
pub(super) async fn supervise(shared: Arc<Shared>, runs: Runs) {
    let client = shared.client.clone();
    let pods = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("", "v1", "Pod"), "pods");
    let pods = Api::<DynamicObject>::all_with(client.clone(), &pods);
    let mut pods = follow(pods, watcher::Config::default().labels(PART_LABEL)).default_backoff().boxed();
    let all = Api::<DynamicObject>::all_with(client, &runs_resource());
    let mut objects = follow(all, watcher::Config::default()).default_backoff().boxed();
    let mut supervisor =
        Supervisor { shared, runs, drivers: HashMap::new(), ended: JoinSet::new(), count: 0, listed: HashSet::new() };
    let mut sweep = tokio::time::interval(SWEEP);
    sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let outcome = tokio::select! {
            Some(event) = objects.next() => supervisor.hear_of_run(event).await,
            Some(event) = pods.next() => supervisor.hear_of_pod(event).await,
            Some(ended) = supervisor.ended.join_next() => { supervisor.clear(ended); Ok(()) }
            _ = sweep.tick() => supervisor.sweep().await,
        };
        if let Err(error) = outcome {
            tracing::warn!(%error, "pipelines could not be looked after; it will be tried again");
        }
    }
}

impl Supervisor {
    async fn hear_of_run(&mut self, event: Result<Event<DynamicObject>, watcher::Error>) -> Result<()> {
        match event {
            Ok(Event::Init) => self.listed.clear(),
            Ok(Event::InitApply(run)) => {
                self.listed.extend(run.uid());
                self.look(run);
            }
            Ok(Event::Apply(run)) => self.look(run),
            Ok(Event::Delete(run)) => return self.forget(&run.uid().unwrap_or_default()).await,
            Ok(Event::InitDone) => {
                // Whoever went while nobody looked.
                for uid in store::open(&self.shared.db).await? {
                    if !self.listed.contains(&uid) {
                        self.forget(&uid).await?;
                    }
                }
                self.listed = HashSet::new();
            }
            Err(error) => tracing::debug!(%error, "runs of pipelines could not be followed; it will be tried again"),
        }
        Ok(())
    }

    /// Has a driver for a run that needs one, and tells it what is wanted.
    fn look(&mut self, run: DynamicObject) {
        let Some(uid) = run.uid() else { return };
        let unwanted = run.data["spec"]["terminate"] == true || run.metadata.deletion_timestamp.is_some();
        if let Some(driving) = self.drivers.get(&uid) {
            if unwanted {
                // A driver that has just ended has nothing to end.
                let _ = driving.inbox.send(Message::Cancel);
            }
            return;
        }
        if matches!(run.data["status"]["state"].as_str(), Some("SUCCEEDED" | "FAILED" | "CANCELED" | "SKIPPED")) {
            return;
        }
        let (sender, receiver) = mpsc::unbounded_channel();
        if unwanted {
            let _ = sender.send(Message::Cancel);
        }
        self.count += 1;
        let number = self.count;
        let work = driver::drive(Arc::clone(&self.shared), self.runs.clone(), run, receiver, sender.clone());
        let key = uid.clone();
        let abort = self.ended.spawn(async move {
            work.await;
            (key, number)
        });
        self.drivers.insert(uid, Driving { number, inbox: sender, abort });
    }

    fn clear(&mut self, ended: Result<(String, u64), tokio::task::JoinError>) {
        match ended {
            Ok((uid, number)) if self.drivers.get(&uid).is_some_and(|driving| driving.number == number) => {
                self.drivers.remove(&uid);
            }
            Ok(_) => {}
            Err(error) if error.is_cancelled() => {}
            // Its run is taken up again by the next server; here it would only panic again.
            Err(error) => tracing::error!(%error, "the driver of a pipeline's run panicked"),
        }
    }

    /// The object of a run is gone, and what it was doing is to end.
    async fn forget(&mut self, uid: &str) -> Result<()> {
        if let Some(driving) = self.drivers.remove(uid) {
            driving.abort.abort();
        }
        if let Some(run) = store::get(&self.shared.db, uid).await?
            && run.finished_at.is_none()
            && !run.tracked.is_empty()
        {
            let now = self.shared.clock().now();
            let told = self.shared.recorder.end_run(&run, crate::run::State::Canceled, now).await;
            told.unwrap_or_else(|error| tracing::debug!(%error, "tracking was not told of a run that is gone"));
        }
        self.runs.forget(uid).await?;
        self.end_tasks(&owner(uid)).await
    }

    /// Ends the tasks of a run that is gone, and forgets those that have ended.
    async fn end_tasks(&self, owner: &str) -> Result<()> {
        let tasks = self.shared.tasks.of_owner(owner).await?;
        let (over, going): (Vec<_>, Vec<_>) = tasks.iter().partition(|task| task.state.is_final());
        let wanted: Vec<i64> = going.iter().filter(|task| task.cancelled_by.is_none()).map(|task| task.no).collect();
        if !wanted.is_empty() {
            self.shared.tasks.cancel(wanted, BY_THE_RUN).await?;
        }
        if !over.is_empty() {
            self.shared.tasks.delete(over.iter().map(|task| task.no).collect()).await?;
        }
        Ok(())
    }

    async fn sweep(&self) -> Result<()> {
        let owners = self.shared.tasks.owners(OWNER).await?;
        let uids: Vec<&str> = owners.iter().map(|owner| &owner[OWNER.len()..]).collect();
        if uids.is_empty() {
            return Ok(());
        }
        let known: HashSet<String> = store::known(&self.shared.db, &uids).await?.into_iter().collect();
        for uid in uids.into_iter().filter(|uid| !known.contains(*uid)) {
            self.end_tasks(&owner(uid)).await?;
        }
        Ok(())
    }

    async fn hear_of_pod(&mut self, event: Result<Event<DynamicObject>, watcher::Error>) -> Result<()> {
        let pod = match event {
            Ok(Event::InitApply(pod) | Event::Apply(pod) | Event::Delete(pod)) => pod,
            Ok(Event::Init | Event::InitDone) => return Ok(()),
            Err(error) => {
                tracing::debug!(%error, "pods could not be followed; it will be tried again");
                return Ok(());
            }
        };
        let label = |name: &str| pod.labels().get(name).map(String::as_str).unwrap_or_default();
        let over = matches!(pod.data["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
        let deleted = pod.metadata.deletion_timestamp.is_some();
        let driving = self.drivers.get(label(RUN_LABEL));
        let part = label(PART_LABEL);
        // Most pods that a list tells of belong to runs that ended long ago.
        if !(over || deleted) || (part == STEP && driving.is_none()) {
            return Ok(());
        }
        let task = loop {
            let namespace = pod.namespace().unwrap_or_default();
            match self.shared.tasks.find(&namespace, label(TASK_LABEL)).await {
                Ok(task) => break task,
                // Nobody would tell again.
                Err(_) => tokio::time::sleep(REST).await,
            }
        };
        let Some(task) = task.filter(|task| task.state.is_final()) else { return Ok(()) };
        match (part, driving) {
            (STEP, Some(driving)) => drop(driving.inbox.send(Message::TaskEnded(Box::new(task)))),
            (ENVIRONMENT, _) => self.shared.environments.ended(task),
            _ => {}
        }
        Ok(())
    }
}
