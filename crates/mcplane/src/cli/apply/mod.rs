//! `mcplane apply`.

mod merge;

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::connection::{Connection, ConnectionArgs, query, request, typed_request};
use super::failure::{Exit, Failure};
use super::manifests::{self, Manifest};
use super::output::{complain, print_line};
use super::resources::{Resource, Resources};

const MERGE_PATCH: &str = "application/merge-patch+json";

const EXAMPLES: &str = "\
Examples:
  mcplane apply -f quota.yaml
  mcplane apply -f manifests/ -R -n development
  kustomize build . | mcplane apply -f -
  mcplane apply -f quota.yaml --dry-run         let the server check, and change nothing

Fields that an earlier apply set and the file no longer has are removed; fields that others set stay.
mcplane and `kubectl apply` keep the same notes and can be used in turns.
";

/// Create objects from files, or change them to match
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// File, directory, or - for standard input; may be given several times
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    filenames: Vec<String>,
    /// Read directories within directories
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Namespace of objects that name none; without it the login's, or `default`
    #[arg(short, long)]
    namespace: Option<String>,
    /// Let the server check everything, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// What to do about fields that the kind does not have
    #[arg(long, value_enum, default_value_t = Validate::Strict)]
    validate: Validate,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Validate {
    /// Refuse them
    Strict,
    /// Warn of them
    Warn,
    /// Drop them silently
    Ignore,
}

impl Validate {
    fn as_query(self) -> &'static str {
        match self {
            Self::Strict => "Strict",
            Self::Warn => "Warn",
            Self::Ignore => "Ignore",
        }
    }
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let manifests = manifests::read(&arguments.filenames, arguments.recursive)?;
    let connection = arguments.connection.connect().await?;
    let resources = Resources::discover(&connection).await?;
    let applier = Applier { arguments: &arguments, connection: &connection, resources: &resources };
    let mut worst: Option<Exit> = None;
    for manifest in &manifests {
        match applier.apply(manifest).await {
            Ok(line) => print_line(&line)?,
            // Without a server the rest fails in the same way.
            Err(failure) if failure.exit() == Exit::Unreachable => return Err(failure),
            Err(failure) => {
                worst = worst.or(Some(failure.exit()));
                complain(&failure.within(&manifest.origin).text());
            }
        }
    }
    worst.map_or(Ok(()), |exit| Err(Failure::told_already(exit)))
}

struct Applier<'a> {
    arguments: &'a Arguments,
    connection: &'a Connection,
    resources: &'a Resources,
}

impl Applier<'_> {
    /// Applies one object; tells what came of it.
    async fn apply(&self, manifest: &Manifest) -> Result<String, Failure> {
        let (api_version, kind) = (manifest.text("apiVersion"), manifest.text("kind"));
        let resource = self
            .resources
            .of(api_version, kind)
            .ok_or_else(|| Failure::failed(format!("the server has no kind {kind:?} in version {api_version:?}")))?;
        let (namespace, object) = self.placed(resource, manifest)?;
        let name = manifest.metadata("name");
        let path = resource.path(namespace.as_deref(), Some(name));
        let live = self.connection.get_optional(&path).await?;
        let wanted = merge::annotate(&object, live.as_ref());
        let done = match live {
            None => {
                let collection = resource.path(namespace.as_deref(), None);
                let path = format!("{collection}{}", self.query());
                let _: Value = self.connection.json(request("POST", &path, Some(&wanted))?).await?;
                "created"
            }
            Some(live) => match merge::patch(&merge::last_applied(&live), &wanted, &live) {
                None => "unchanged",
                Some(patch) => {
                    let path = format!("{path}{}", self.query());
                    let request = typed_request("PATCH", &path, MERGE_PATCH, Some(&patch))?;
                    let after: Value = self.connection.json(request).await?;
                    let revision = |object: &Value| object["metadata"]["resourceVersion"].clone();
                    if revision(&after) == revision(&live) && !self.arguments.dry_run {
                        "unchanged"
                    } else {
                        "configured"
                    }
                }
            },
        };
        let trial = if self.arguments.dry_run { " (dry run)" } else { "" };
        Ok(format!("{} {done}{trial}", resource.display(name)))
    }

    /// The object in its namespace.
    fn placed(&self, resource: &Resource, manifest: &Manifest) -> Result<(Option<String>, Value), Failure> {
        let mut object = manifest.object.clone();
        if !resource.namespaced {
            return Ok((None, object));
        }
        let own = manifest.metadata("namespace");
        let namespace = match (own, self.arguments.namespace.as_deref()) {
            ("", given) => given.unwrap_or(&self.connection.namespace),
            (own, Some(given)) if own != given => {
                return Err(Failure::failed(format!("the object belongs to namespace {own:?}, not {given:?}"))
                    .hint("leave out -n, or the object's own namespace"));
            }
            (own, _) => own,
        };
        object["metadata"]["namespace"] = Value::from(namespace);
        Ok((Some(namespace.to_owned()), object))
    }

    fn query(&self) -> String {
        query(&[
            ("fieldManager", Some("mcplane")),
            ("fieldValidation", Some(self.arguments.validate.as_query())),
            ("dryRun", self.arguments.dry_run.then_some("All")),
        ])
    }
}
