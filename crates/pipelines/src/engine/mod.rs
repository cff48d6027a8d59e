//! Drives runs: carries out what the machine ([`crate::run`]) decides, and tells it what happened.
//!
//! One engine a database, by a lease, has a driver for each run that has not ended. A driver is the only one that moves its
//! run: transitions become durable in one transaction, and what follows from them is done afterwards. All of that may be
//! done twice: a step's task has a key that follows from run and node, folders and identities in tracking do too. So a
//! driver can be lost anywhere; the next reads the rows, and the machine repeats what it has not heard the end of.

mod command;
mod driver;
mod finish;
mod launch;
mod source;
mod status;
mod supervisor;
mod template;
#[cfg(test)]
pub(crate) mod testing;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kube::api::ApiResource;
use kube::core::GroupVersionKind;
use mcplane_core::{Clock, Result};
use mcplane_db::Db;
use mcplane_scheduler::dispatch::lead::{Lead, RENEW_MS, lost};
use mcplane_scheduler::jobs::Tasks;
use mcplane_scheduler::processes::Images;
use tokio_util::sync::CancellationToken;

use crate::environments::{Environments, Limits, Metrics, Pythons};
use crate::kinds;
use crate::records::Recorder;
use crate::runs::service::Runs;
use crate::runs::store;

/// The label of pods that this crate makes: what they are for.
pub(crate) const PART_LABEL: &str = "mcplane.io/pipelines";
/// Value of the label: a step of a run.
pub(crate) const STEP: &str = "step";
/// Value of the label: an environment is made.
pub(crate) const ENVIRONMENT: &str = "environment";
/// The label of a step's pod with the uid of its run.
pub(crate) const RUN_LABEL: &str = "mcplane.io/pipeline-run-uid";
/// The label of any pod with the id of its task.
const TASK_LABEL: &str = "mcplane.io/task";
/// Tasks of runs belong to owners of this prefix and the run's uid.
const OWNER: &str = "pipelineruns.mcplane.io/";
/// The table of the engine's lease.
const LEASE: &str = "pipeline_engine";
/// Who ends tasks for the run itself.
const BY_THE_RUN: &str = "system:mcplane:pipelines";
/// How often environments are looked through.
const TIDY: Duration = Duration::from_secs(600);
/// How long the engine rests after the store failed it.
const REST: Duration = Duration::from_secs(1);

/// What the engine is made of.
pub struct Parts {
    /// The store.
    pub db: Db,
    /// A client of the object API that may see and change all runs.
    pub client: kube::Client,
    /// Who runs the steps.
    pub tasks: Arc<dyn Tasks>,
    /// Who is told of them.
    pub recorder: Recorder,
    /// What images stand for here.
    pub images: Images,
    /// Where runs leave what they make, and environments are.
    pub data_dir: PathBuf,
    /// What environments may cost.
    pub environments: Limits,
    /// What is told of them.
    pub metrics: Metrics,
    /// The name of this machine, the same after each start.
    pub node: Arc<str>,
}

/// What drivers share.
pub(crate) struct Shared {
    pub(crate) db: Db,
    pub(crate) client: kube::Client,
    pub(crate) tasks: Arc<dyn Tasks>,
    pub(crate) recorder: Recorder,
    pub(crate) images: Images,
    pub(crate) environments: Environments,
    pub(crate) pythons: Pythons,
    /// Below it are the folders of runs.
    pub(crate) root: PathBuf,
}

impl Shared {
    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        self.db.clock()
    }
}

/// Drives runs until `stopping`; what runs on this machine goes on without it.
pub async fn run(parts: Parts, stopping: CancellationToken) {
    let Parts { db, client, tasks, recorder, images, data_dir, environments, metrics, node } = parts;
    let shared = Arc::new(Shared {
        environments: Environments::new(data_dir.join("environments"), Arc::clone(&tasks), environments, metrics),
        pythons: Pythons::default(),
        root: data_dir.join("pipelines"),
        db,
        client,
        tasks,
        recorder,
        images,
    });
    let identity = format!("{node}/{}", uuid::Uuid::new_v4());
    while !stopping.is_cancelled() {
        let Some(Err(error)) = stopping.run_until_cancelled(lead(&shared, &node, &identity)).await else { continue };
        tracing::warn!(%error, "the engine of pipelines begins anew from what is stored");
        stopping.run_until_cancelled(tokio::time::sleep(REST)).await;
    }
    if let Err(error) = Lead::resign(&shared.db, LEASE, &identity).await {
        tracing::warn!(%error, "the next engine of pipelines has to wait for the end of this one's lease");
    }
}

/// Takes the lead, once it is free, and drives runs until it is lost.
async fn lead(shared: &Arc<Shared>, node: &str, identity: &str) -> Result<()> {
    let pause = Duration::from_millis(RENEW_MS.unsigned_abs());
    let mut lead = loop {
        if let Some(lead) = Lead::take(&shared.db, LEASE, node, identity).await? {
            break lead;
        }
        tokio::time::sleep(pause).await;
    };
    let runs = Runs { db: shared.db.clone(), lead };
    let renewing = async {
        loop {
            tokio::time::sleep(pause).await;
            lead = lead.renew(&shared.db).await?.ok_or_else(lost)?;
        }
    };
    tokio::select! {
        outcome = renewing => outcome,
        () = supervisor::supervise(Arc::clone(shared), runs) => Ok(()),
        () = Box::pin(tidy(shared)) => Ok(()),
    }
}

/// Removes environments that nobody needs, now and then.
async fn tidy(shared: &Shared) {
    loop {
        let open = async || Ok(store::open(&shared.db).await?.into_iter().collect());
        if let Err(error) = shared.environments.tidy(open).await {
            tracing::warn!(%error, "environments could not be tidied; it will be tried again");
        }
        tokio::time::sleep(TIDY).await;
    }
}

/// The owner of a run's tasks.
fn owner(uid: &str) -> String {
    format!("{OWNER}{uid}")
}

/// A word of a command, as it is: Kubernetes replaces `$(NAME)` in commands, and takes `$$` for `$`.
pub(crate) fn literal(word: &str) -> String {
    word.replace('$', "$$")
}

/// Runs, for a client.
fn runs_resource() -> ApiResource {
    let kind = GroupVersionKind::gvk(kinds::GROUP, kinds::VERSION, "PipelineRun");
    ApiResource::from_gvk_with_plural(&kind, kinds::RUNS)
}
