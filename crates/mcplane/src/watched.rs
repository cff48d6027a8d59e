//! Rollouts and monitors of the data plane: what they hear of it, and what they tell it.

use std::sync::Arc;

use futures::future::BoxFuture;
use mcplane_core::{Authorizer, Context, Error, Result, authz};
use mcplane_db::Db;
use mcplane_delivery::gateway::{Answered, Observe};
use mcplane_delivery::http::{self, Delivery};
use mcplane_delivery::monitors::{self, Models, Monitors, Served};
use mcplane_delivery::rollouts::service::Rollouts;
use mcplane_delivery::rollouts::{Holds, controller};
use mcplane_delivery::routes;
use mcplane_egress::{Egress, Limits};
use mcplane_monitoring::live::{Hub, Rows};
use mcplane_monitoring::profiles::Profile;
use mcplane_monitoring::records::RecorderConfig;
use mcplane_monitoring::windows::{Observed, Predicted};
use mcplane_objects::controllers::Content;
use mcplane_objects::http::Routes;
use mcplane_objects::storage::TableStorage;
use mcplane_serving::services::{self, Revisions};
use mcplane_serving::tensor::{Data, Tensor};
use mcplane_serving::{Made, Predictions};
use mcplane_tracking::{MODEL_VERSIONS, Tracking};
use tokio_util::task::TaskTracker;

use crate::compose::Foundation;
use crate::server::StartError;

/// The file of a model's version that is the profile of its training data.
const PROFILE: &str = "monitoring-profile.json";
/// Bytes of a profile that are read.
const LARGEST_PROFILE: u64 = 64 << 20;
/// Columns of a tensor that are watched.
const MOST_COLUMNS: usize = 1_000;

/// What rollouts and monitors are made of.
pub(crate) struct Parts<'p> {
    pub(crate) foundation: &'p Foundation<'p>,
    pub(crate) db: &'p Db,
    pub(crate) tracking: Arc<Tracking>,
    pub(crate) authorizer: Arc<dyn Authorizer>,
    /// The name of this machine.
    pub(crate) node: Arc<str>,
}

/// Rollouts and monitors of this server.
#[derive(Debug, Clone)]
pub(crate) struct Watched {
    hub: Arc<Hub>,
    rollouts: Arc<Rollouts>,
    monitors: Arc<Monitors>,
}

impl Watched {
    /// Reads back what was watched before.
    ///
    /// # Errors
    /// When the records can't be read.
    pub(crate) async fn start(parts: Parts<'_>) -> Result<Self, StartError> {
        let Parts { foundation, db, tracking, authorizer, node } = parts;
        let (folder, clock) = (foundation.data_dir.path().join("predictions"), Arc::clone(db.clock()));
        let sizes = monitors::sizes(&TableStorage::new(db.clone())).await?;
        let opened = tokio::task::spawn_blocking(move || Hub::open(&folder, RecorderConfig::default(), sizes, clock));
        let hub = Arc::new(opened.await.map_err(Error::internal)?.map_err(Error::internal)?);
        let egress = Egress::new(foundation.config.tracking.webhook_policy()?, Limits::default());
        let models = Arc::new(Registry { tracking, authorizer, revisions: Revisions::new(db) });
        let url = foundation.local_url.clone().unwrap_or_default();
        let monitors = Monitors::start(db, Arc::clone(&hub), Arc::clone(&node), egress, models, url).await?;
        let rollouts = Rollouts::new(db, Arc::clone(&hub), node);
        Ok(Self { hub, rollouts: Arc::new(rollouts), monitors: Arc::new(monitors) })
    }

    /// Starts the controllers; gives what they say of traffic.
    pub(crate) fn run(&self, foundation: &Foundation<'_>, client: &kube::Client, background: &TaskTracker) -> Holds {
        let stopping = foundation.shutdown.token();
        let (sender, holds) = controller::holds();
        let (rollouts, client) = (Arc::clone(&self.rollouts), client.clone());
        let parts = controller::Parts { rollouts, client: client.clone() };
        background.spawn(controller::run(parts, sender, stopping.clone()));
        foundation.metrics.register(|registry| {
            let parts = monitors::controller::Parts { monitors: Arc::clone(&self.monitors), client, registry };
            background.spawn(monitors::controller::run(parts, stopping));
        });
        holds
    }

    /// Who hears of every answer of the gateway.
    pub(crate) fn observer(&self) -> Arc<dyn Observe> {
        Arc::new(Heard(Arc::clone(&self.hub)))
    }

    /// Who hears of every prediction.
    pub(crate) fn predictions(&self) -> Arc<dyn Predictions> {
        Arc::new(Heard(Arc::clone(&self.hub)))
    }

    /// The routes.
    pub(crate) async fn routes(&self, authorizer: Arc<dyn Authorizer>, db: &Db) -> Result<Routes> {
        let (rollouts, monitors) = (Arc::clone(&self.rollouts), Arc::clone(&self.monitors));
        let service = Delivery::start(db, &TableStorage::new(db.clone()), rollouts, monitors).await?;
        Ok(http::routes(http::Door { service: Arc::new(service), authorizer }))
    }
}

impl Content for Watched {
    fn empty<'a>(&'a self, namespace: &'a str) -> BoxFuture<'a, Result<Option<String>>> {
        Box::pin(async move {
            self.rollouts.empty(namespace).await?;
            self.monitors.empty(namespace).await?;
            Ok(None)
        })
    }
}

/// What the registry and the services know of models.
#[derive(Debug)]
struct Registry {
    tracking: Arc<Tracking>,
    authorizer: Arc<dyn Authorizer>,
    revisions: Revisions,
}

impl Registry {
    async fn read(&self, namespace: &str, model: &str, version: &str) -> Result<Option<Profile>> {
        let context = Arc::new(Context::system("monitors"));
        let grant = authz::authorize(&*self.authorizer, &context, MODEL_VERSIONS.attributes("get", namespace))?;
        let content = self.tracking.verified_content(&grant, model, version).await?;
        let Ok(file) = content.file(PROFILE) else { return Ok(None) };
        let bytes = self.tracking.open_verified(file, None).await?.bytes(LARGEST_PROFILE).await?;
        let text = String::from_utf8(bytes.to_vec()).map_err(Error::internal)?;
        Profile::from_json(&text).map(Some).map_err(Error::internal)
    }
}

impl Models for Registry {
    fn profile<'a>(&'a self, namespace: &'a str, model: &'a str, version: &'a str) -> BoxFuture<'a, Option<Profile>> {
        Box::pin(async move {
            self.read(namespace, model, version).await.unwrap_or_else(|error| {
                tracing::warn!(%error, model, version, "the profile of the training data can't be read");
                None
            })
        })
    }

    fn served(&self, revision: u64) -> BoxFuture<'_, Result<Option<Served>>> {
        Box::pin(async move {
            let found = self.revisions.by_no(revision).await?;
            Ok(found.map(|revision| Served {
                revision: revision.name(),
                namespace: revision.namespace,
                service: revision.service,
                model: revision.model,
                version: revision.version,
                digest: revision.digest,
            }))
        })
    }
}

struct Heard(Arc<Hub>);

impl Observe for Heard {
    fn answered(&self, answer: Answered<'_>) {
        if let Some(routes::Destination { host, subset, .. }) = answer.destination {
            self.0.answered(host, subset, answer.status.as_u16(), answer.latency);
        }
    }
}

impl Predictions for Heard {
    fn made(&self, made: Made<'_>) {
        let host = format!("{}.{}", made.service, made.about.namespace);
        let subset = services::revision_name(made.service, made.number);
        let (specs, tensors) = made.inputs;
        let mut features = Vec::new();
        for (spec, tensor) in specs.iter().zip(tensors) {
            columns(&spec.name, tensor, &mut features);
        }
        let (specs, tensors) = made.outputs;
        let labels: Vec<&[String]> = specs.iter().map(|spec| spec.labels.as_slice()).collect();
        let predicted = predicted(&labels, tensors);
        // What could not be recorded is counted there.
        let _ = self.0.predicted(&host, &subset, made.id, Rows { features, predicted });
    }
}

/// Rows and columns of a tensor; one of more dimensions is no table.
fn table(tensor: &Tensor) -> Option<(usize, usize)> {
    match *tensor.shape() {
        [rows] => Some((rows, 1)),
        [rows, columns] => Some((rows, columns)),
        _ => None,
    }
}

/// The columns of an input: `name`, or `name[0]`, `name[1]` and so on.
fn columns(name: &str, tensor: &Tensor, features: &mut Vec<(String, Vec<Observed>)>) {
    let Some((rows, width)) = table(tensor) else { return };
    for column in 0..width.min(MOST_COLUMNS) {
        let name = if width == 1 { name.to_owned() } else { format!("{name}[{column}]") };
        let values = (0..rows).map(|row| observed(tensor.data(), row * width + column)).collect();
        features.push((name, values));
    }
}

fn observed(data: &Data, at: usize) -> Observed {
    match value(data, at) {
        Some(Predicted::Number(number)) => Observed::Number(number),
        Some(Predicted::Class(class)) => Observed::Category(class),
        None => Observed::Missing,
    }
}

/// What was predicted, row by row: the first output of one value a row; else the likeliest of a row's probabilities. Integers,
/// texts and truth values are classes.
fn predicted(labels: &[&[String]], outputs: &[Tensor]) -> Vec<Predicted> {
    let single = outputs.iter().find_map(|tensor| match table(tensor) {
        Some((rows, 1)) => Some((rows, tensor.data())),
        _ => None,
    });
    if let Some((rows, data)) = single {
        let whole = !matches!(data, Data::F16(_) | Data::Bf16(_) | Data::F32(_) | Data::F64(_));
        let of = |at| match value(data, at) {
            Some(Predicted::Number(number)) if whole => Predicted::Class(number.to_string()),
            Some(other) => other,
            None => Predicted::Number(f64::NAN),
        };
        return (0..rows).map(of).collect();
    }
    let wide = outputs.iter().zip(labels).find_map(|(tensor, labels)| Some((table(tensor)?, tensor.data(), labels)));
    let Some(((rows, width), data, labels)) = wide else { return Vec::new() };
    let share = |row: usize, column: usize| match value(data, row * width + column) {
        Some(Predicted::Number(number)) => number,
        _ => f64::NEG_INFINITY,
    };
    let likeliest = |row| (0..width).max_by(|a, b| share(row, *a).total_cmp(&share(row, *b))).unwrap_or(0);
    let named = |column: usize| labels.get(column).cloned().unwrap_or_else(|| column.to_string());
    (0..rows).map(|row| Predicted::Class(named(likeliest(row)))).collect()
}

/// One element; half precision is not watched.
fn value(data: &Data, at: usize) -> Option<Predicted> {
    let number = |number: Option<f64>| number.map(Predicted::Number);
    match data {
        Data::Bool(all) => all.get(at).map(|truth| Predicted::Class(truth.to_string())),
        Data::U8(all) => number(all.get(at).map(|n| f64::from(*n))),
        Data::U16(all) => number(all.get(at).map(|n| f64::from(*n))),
        Data::U32(all) => number(all.get(at).map(|n| f64::from(*n))),
        Data::U64(all) => number(all.get(at).map(|n| *n as f64)),
        Data::I8(all) => number(all.get(at).map(|n| f64::from(*n))),
        Data::I16(all) => number(all.get(at).map(|n| f64::from(*n))),
        Data::I32(all) => number(all.get(at).map(|n| f64::from(*n))),
        Data::I64(all) => number(all.get(at).map(|n| *n as f64)),
        Data::F16(_) | Data::Bf16(_) => None,
        Data::F32(all) => number(all.get(at).map(|n| f64::from(*n))),
        Data::F64(all) => number(all.get(at).copied()),
        Data::Bytes(all) => all.get(at).map(|text| Predicted::Class(String::from_utf8_lossy(text).into_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(shape: &[usize], data: Data) -> Tensor {
        Tensor::new(shape.to_vec(), data).unwrap()
    }

    #[test]
    fn inputs_are_columns() {
        let mut features = Vec::new();
        columns("x", &tensor(&[2, 2], Data::F32(vec![1.0, 2.0, 3.0, f32::NAN])), &mut features);
        columns("city", &tensor(&[2, 1], Data::Bytes(vec!["a".into(), "b".into()])), &mut features);
        columns("image", &tensor(&[1, 1, 1], Data::U8(vec![1])), &mut features);
        let names: Vec<&str> = features.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["x[0]", "x[1]", "city"]);
        assert_eq!(features[0].1, [Observed::Number(1.0), Observed::Number(3.0)]);
        assert_eq!(features[2].1, [Observed::Category("a".into()), Observed::Category("b".into())]);
    }

    #[test]
    fn outputs_are_classes_or_numbers() {
        let probabilities = || tensor(&[2, 2], Data::F32(vec![0.2, 0.8, 0.9, 0.1]));
        let class = |name: &str| Predicted::Class(name.to_owned());
        let both = [tensor(&[2], Data::I64(vec![1, 0])), probabilities()];
        assert_eq!(predicted(&[&[], &[]], &both), [class("1"), class("0")]);
        let names = ["no".to_owned(), "yes".to_owned()];
        assert_eq!(predicted(&[&names], &[probabilities()]), [class("yes"), class("no")]);
        let numbers = [tensor(&[2, 1], Data::F32(vec![0.5, 1.5]))];
        assert_eq!(predicted(&[&[]], &numbers), [Predicted::Number(0.5), Predicted::Number(1.5)]);
        assert_eq!(predicted(&[], &[]), []);
    }
}
