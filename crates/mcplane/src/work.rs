//! Wires what runs work: the agent's processes, the scheduler on top of them, and the controllers of its kinds.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, PostParams};
use mcplane_agent::ProcessExecutor;
use mcplane_blobs::{Blobs, BlobsConfig};
use mcplane_core::{Error, Result};
use mcplane_db::Db;
use mcplane_objects::storage::TableStorage;
use mcplane_scheduler::code::Archives;
use mcplane_scheduler::pods::{self, PodStorage};
use mcplane_scheduler::processes::{self, Credentials, Images, Processes, Surroundings};
use mcplane_scheduler::tasks::Task;
use mcplane_scheduler::transport::SqlTransport;
use mcplane_scheduler::{Metrics, Parts, Scheduler, cronjobs, jobs};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::compose::Foundation;
use crate::server::{LoginPolicy, StartError};

/// Reports of the agent that may wait to be heard.
const REPORTS: usize = 1_024;
/// How often what is old is cleared away.
const SWEEP: Duration = Duration::from_secs(60);
/// The account of pods that name none.
const DEFAULT_ACCOUNT: &str = "default";

/// What work is built on.
pub(crate) struct Work<'w> {
    pub(crate) foundation: &'w Foundation<'w>,
    pub(crate) db: &'w Db,
    pub(crate) table: &'w TableStorage,
    pub(crate) client: &'w kube::Client,
    pub(crate) pods: &'w PodStorage,
    pub(crate) login: LoginPolicy,
}

/// Starts the scheduler; its engine, and with it everything that runs, only where there is a listener.
pub(crate) async fn start(work: Work<'_>, background: &TaskTracker) -> Result<Arc<Scheduler>, StartError> {
    let Work { foundation, db, table, client, pods, login } = work;
    let config = foundation.config;
    config.scheduler.persistence.check().map_err(|why| StartError::Application(why.into()))?;
    let data_dir = foundation.data_dir.path();
    let destination = config.tracking.destination(data_dir)?;
    let blobs = Blobs::open(destination, &BlobsConfig::from_vars(std::env::vars())).await?;
    let archives = Archives::new(blobs, data_dir.join("code"));
    let (reports, heard) = mpsc::channel(REPORTS);
    let shim = std::env::current_exe().map_err(Error::internal)?;
    let executor = ProcessExecutor::new(processes::folder(data_dir), shim, reports).map_err(Error::internal)?;
    let executor = Arc::new(executor);
    let credentials = Arc::new(Tokens { client: client.clone(), db: db.clone(), login });
    let authority = foundation.authority_pem.as_deref().map(|pem| authority_file(data_dir, pem)).transpose()?;
    let url = foundation.local_url.clone().unwrap_or_default();
    let metrics = Metrics::default();
    foundation.metrics.register(|registry| metrics.register(registry));
    let processes = Processes::new(processes::Parts {
        db: db.clone(),
        executor: executor.clone(),
        reports: heard,
        client: client.clone(),
        images: Images(config.agent.images.clone()),
        surroundings: Surroundings { url, authority, credentials },
        archives: archives.clone(),
    });
    let parts = Parts {
        db: db.clone(),
        config: mcplane_scheduler::Config {
            tick_ms: i64::try_from(config.scheduler.tick_duration.0.as_millis()).unwrap_or(i64::MAX),
            worker_pool_size: config.scheduler.worker_pool_size,
            backlog: 0,
            capacity: config.agent.capacity.resolve(),
        },
        transport: Arc::new(SqlTransport::new(db)),
        runners: vec![Arc::new(processes)],
        archives,
        logs: executor.clone(),
        metrics,
        node: node_name(data_dir)?,
    };
    let scheduler = Arc::new(Scheduler::start(parts, table).await?);
    pods.attach(&scheduler);
    if foundation.local_url.is_some() {
        scheduler.announce().await?;
        let stopping = foundation.shutdown.token();
        background.spawn(Arc::clone(&scheduler).run(stopping.clone()));
        background.spawn(jobs::run(client.clone(), scheduler.clone(), Arc::clone(db.clock()), stopping.clone()));
        background.spawn(cronjobs::run(client.clone(), Arc::clone(db.clock()), stopping.clone()));
        let sweeping = sweep(Arc::clone(&scheduler), executor, foundation);
        background.spawn(stopping.run_until_cancelled_owned(sweeping));
    }
    Ok(scheduler)
}

/// Clears away what is older than the operator wants it kept.
fn sweep(
    scheduler: Arc<Scheduler>,
    executor: Arc<ProcessExecutor>,
    foundation: &Foundation<'_>,
) -> impl Future<Output = ()> + use<> {
    let (logs, size) = (foundation.config.agent.log_retention.0, foundation.config.agent.log_size.0);
    let retention = i64::try_from(foundation.config.scheduler.retention.0.as_millis()).unwrap_or(i64::MAX);
    async move {
        loop {
            tokio::time::sleep(SWEEP).await;
            if let Err(error) = executor.sweep(logs, size).await {
                tracing::warn!(%error, "old logs could not be removed");
            }
            if let Err(error) = scheduler.forget_tasks(scheduler.now().saturating_sub(retention)).await {
                tracing::warn!(%error, "old tasks could not be forgotten");
            }
        }
    }
}

/// The name of this machine: random, and the same for as long as its data directory is.
pub(crate) fn node_name(data_dir: &Path) -> Result<Arc<str>, StartError> {
    let path = data_dir.join("node");
    match std::fs::read_to_string(&path) {
        Ok(name) if !name.trim().is_empty() => Ok(name.trim().into()),
        _ => {
            let name = format!("node-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
            std::fs::write(&path, &name).map_err(Error::internal)?;
            Ok(name.into())
        }
    }
}

/// The certificate authority as a file, for clients that take only files.
fn authority_file(data_dir: &Path, pem: &str) -> Result<String> {
    let path = data_dir.join("ca.crt");
    std::fs::write(&path, pem).map_err(Error::internal)?;
    Ok(path.display().to_string())
}

/// Tokens of service accounts, bound to the pods of attempts: they are good for no longer than those run.
struct Tokens {
    client: kube::Client,
    db: Db,
    login: LoginPolicy,
}

impl Tokens {
    async fn issue(&self, task: &Task, account: &str) -> Result<Option<String>> {
        // Where everybody is the administrator, only who wants to be less need show anything.
        if self.login == LoginPolicy::LocalAdministrator && account == DEFAULT_ACCOUNT {
            return Ok(None);
        }
        let Some((name, uid)) = pods::identity(&self.db, task.no, task.attempt).await? else { return Ok(None) };
        let accounts = Api::<ServiceAccount>::namespaced(self.client.clone(), &task.namespace);
        let away = |error: kube::Error| {
            let message = format!("a token for service account {account:?}: {error}");
            match error {
                kube::Error::Api(status) if status.code < 500 => Error::bad_request(message),
                error => Error::Unavailable { message, source: Some(error.into()) },
            }
        };
        if account == DEFAULT_ACCOUNT && accounts.get_opt(account).await.map_err(away)?.is_none() {
            let mut made = ServiceAccount::default();
            made.metadata.name = Some(account.to_owned());
            // Another attempt may be just as quick.
            let _ = accounts.create(&PostParams::default(), &made).await;
        }
        let bound = BoundObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: Some(name),
            uid: Some(uid),
        };
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                bound_object_ref: Some(bound),
                expiration_seconds: Some(lifetime_s(task)),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let issued = accounts.create_token_request(account, &PostParams::default(), &request).await.map_err(away)?;
        Ok(issued.status.and_then(|status| status.token))
    }
}

/// A token outlives whatever the attempt may take, since its end comes with the attempt's.
fn lifetime_s(task: &Task) -> i64 {
    const MONTH: i64 = 30 * 86_400;
    const SHORTEST: i64 = 600;
    task.spec.timeout_ms.map_or(MONTH, |ms| (ms + task.spec.grace_ms) / 1000 + SHORTEST)
}

impl Credentials for Tokens {
    fn token<'a>(&'a self, task: &'a Task, account: &'a str) -> BoxFuture<'a, Result<Option<String>>> {
        Box::pin(self.issue(task, account))
    }
}
