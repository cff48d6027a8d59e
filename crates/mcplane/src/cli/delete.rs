//! `mcplane delete`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use mcplane_core::units::HumanDuration;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::connection::{Connection, ConnectionArgs, query, request};
use super::failure::{Exit, Failure};
use super::manifests;
use super::output::{complain, print_line};
use super::resources::{Resource, Resources};

const LOOK_AGAIN: Duration = Duration::from_millis(200);

const EXAMPLES: &str = "\
Examples:
  mcplane delete configmap settings
  mcplane delete -f manifests/
  mcplane delete secrets -l team=vision -n development
  mcplane delete namespace development --wait=false
";

/// Delete objects
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Kind of object, or KIND/NAME
    #[arg(value_name = "KIND", required_unless_present = "filenames", conflicts_with = "filenames")]
    kind: Option<String>,
    /// Names of objects
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Delete what a file, a directory or standard input (-) describes
    #[arg(short, long = "filename", value_name = "FILE")]
    filenames: Vec<String>,
    /// Read directories within directories
    #[arg(short = 'R', long, requires = "filenames")]
    recursive: bool,
    /// Namespace; without it the login's, or `default`
    #[arg(short, long)]
    namespace: Option<String>,
    /// All objects with these labels
    #[arg(short = 'l', long, value_name = "LABELS", conflicts_with_all = ["names", "filenames"])]
    selector: Option<String>,
    /// All objects of the kind in the namespace
    #[arg(long, conflicts_with_all = ["names", "filenames", "selector"])]
    all: bool,
    /// What happens to objects that belong to the deleted one
    #[arg(long, value_enum, default_value_t = Cascade::Background)]
    cascade: Cascade,
    /// Objects that do not exist are no failure
    #[arg(long)]
    ignore_not_found: bool,
    /// Wait until the objects are gone
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    wait: bool,
    /// How long to wait at most
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    timeout: HumanDuration,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Cascade {
    /// They are deleted afterwards
    Background,
    /// They are deleted first
    Foreground,
    /// They stay
    Orphan,
}

impl Cascade {
    fn policy(self) -> &'static str {
        match self {
            Self::Background => "Background",
            Self::Foreground => "Foreground",
            Self::Orphan => "Orphan",
        }
    }
}

/// One object to delete.
struct Doomed {
    path: String,
    display: String,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let connection = arguments.connection.connect().await?;
    let resources = Resources::discover(&connection).await?;
    let doomed = arguments.doomed(&connection, &resources).await?;
    let mut worst: Option<Exit> = None;
    let mut waiting = Vec::new();
    for object in doomed {
        match arguments.delete(&connection, &object).await {
            Ok(Some(uid)) => waiting.push((object, uid)),
            Ok(None) => {}
            Err(failure) if failure.exit() == Exit::Unreachable => return Err(failure),
            Err(failure) => {
                complain(&failure.text());
                worst = worst.or(Some(failure.exit()));
            }
        }
    }
    if arguments.wait {
        arguments.wait_for(&connection, waiting).await?;
    }
    worst.map_or(Ok(()), |exit| Err(Failure::told_already(exit)))
}

impl Arguments {
    /// Everything that the command names.
    async fn doomed(&self, connection: &Connection, resources: &Resources) -> Result<Vec<Doomed>, Failure> {
        let namespace = self.namespace.as_deref().unwrap_or(&connection.namespace);
        let object = |resource: &Resource, namespace: &str, name: &str| Doomed {
            path: resource.path(Some(namespace), Some(name)),
            display: resource.display(name),
        };
        let Some(kind) = &self.kind else {
            let manifests = manifests::read(&self.filenames, self.recursive)?;
            let of_manifest = |manifest: &manifests::Manifest| {
                let (api_version, kind) = (manifest.text("apiVersion"), manifest.text("kind"));
                let resource = resources.of(api_version, kind).ok_or_else(|| {
                    Failure::failed(format!("the server has no kind {kind:?} in version {api_version:?}"))
                })?;
                let own = Some(manifest.metadata("namespace")).filter(|own| !own.is_empty()).unwrap_or(namespace);
                Ok(object(resource, own, manifest.metadata("name")))
            };
            // What was made last may depend on what was made first.
            return manifests.iter().rev().map(of_manifest).collect();
        };
        let (kind, first) = kind.split_once('/').map_or((kind.as_str(), None), |(kind, name)| (kind, Some(name)));
        let resource = resources.find(kind)?;
        let names = || first.into_iter().chain(self.names.iter().map(String::as_str));
        if self.selector.is_none() && !self.all {
            if names().next().is_none() {
                return Err(
                    Failure::usage(format!("which {}?", resource.plural)).hint("give names, or -l LABELS, or --all")
                );
            }
            return Ok(names().map(|name| object(resource, namespace, name)).collect());
        }
        let path = resource.path(Some(namespace), None);
        let list: Value =
            connection.get(&format!("{path}{}", query(&[("labelSelector", self.selector.as_deref())]))).await?;
        let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        let found = items.iter().filter_map(|item| item["metadata"]["name"].as_str());
        let doomed: Vec<Doomed> = found.map(|name| object(resource, namespace, name)).collect();
        if doomed.is_empty() {
            complain(&format!("no {} found", resource.plural));
        }
        Ok(doomed)
    }

    /// Deletes one object; gives its uid if there was one.
    async fn delete(&self, connection: &Connection, object: &Doomed) -> Result<Option<String>, Failure> {
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": self.cascade.policy()});
        let request = request("DELETE", &object.path, Some(&options))?;
        match connection.client.request::<Value>(request).await {
            Ok(answer) => {
                print_line(&format!("{} deleted", object.display))?;
                // The object itself while finalizers hold it, else a status with its uid.
                let uid = answer["metadata"]["uid"].as_str().or(answer["details"]["uid"].as_str());
                Ok(uid.map(ToOwned::to_owned))
            }
            Err(kube::Error::Api(status)) if status.code == 404 && self.ignore_not_found => Ok(None),
            Err(error) => Err(connection.failure(&error)),
        }
    }

    /// Waits until none of the objects exists any more; a new one of the same name is another.
    async fn wait_for(&self, connection: &Connection, objects: Vec<(Doomed, String)>) -> Result<(), Failure> {
        let deadline = Instant::now() + self.timeout.0;
        for (object, uid) in objects {
            while let Some(found) = connection.get_optional(&object.path).await? {
                if found["metadata"]["uid"].as_str() != Some(&uid) {
                    break;
                }
                if Instant::now() >= deadline {
                    let finalizers = &found["metadata"]["finalizers"];
                    return Err(Failure::failed(format!("{} is still there after {}", object.display, self.timeout))
                        .hint(format!("it is kept by its finalizers: {finalizers}; --wait=false does not wait")));
                }
                sleep(LOOK_AGAIN).await;
            }
        }
        Ok(())
    }
}
