//! The rules of what is told of materialisations.

use std::fmt;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use mcplane_core::authz::Target;
use mcplane_core::{Error, Grant, Result, Subject, clock};
use mcplane_db::Db;
use mcplane_objects::controllers::Content;
use mcplane_objects::object::{self, Body, ObjectExt as _};
use mcplane_objects::storage::{Effect, Expect, Key, Refusal, Storage, Write};
use mcplane_objects::{Resource as _, audit};
use mcplane_tracking::lineage;
use serde_json::{Value, json};

use super::store::{self, ViewKey};
use super::types::{Materialization, Times, Told};
use crate::views::{FeatureView, GROUP, VIEWS};

/// Tries to show a materialisation while others change the view.
const TRIES: usize = 64;
/// Files that a status names; the record names all.
const MOST_SHOWN: usize = 50;

/// Feature views, and what is known of their materialisations.
#[derive(Clone)]
pub struct Features {
    db: Db,
    views: Arc<dyn Storage>,
}

impl fmt::Debug for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Features").finish_non_exhaustive()
    }
}

/// A namespace that goes takes its records along.
impl Content for Features {
    fn empty<'a>(&'a self, namespace: &'a str) -> BoxFuture<'a, Result<Option<String>>> {
        store::clear(&self.db, namespace).map(|cleared| cleared.map(|()| None)).boxed()
    }
}

/// A view as it is stored.
struct Found {
    key: Key,
    revision: i64,
    object: Value,
}

impl Features {
    /// Features of the views in `views`.
    pub fn new(db: &Db, views: Arc<dyn Storage>) -> Self {
        Self { db: db.clone(), views }
    }

    /// Puts a materialisation of the grant's view on record. What is on record already stays as it is.
    ///
    /// # Errors
    /// [`Error::NotFound`] for no such view, [`Error::BadRequest`] for what can't be, [`Error::Conflict`] for an id that is
    /// another view's.
    pub async fn record(&self, grant: &Grant, mut told: Told) -> Result<Materialization> {
        let view = self.view(grant).await?;
        let times = told.check()?;
        check_generation(&view.object, &told)?;
        let (namespace, name) = (view.key.namespace.to_string(), view.key.name.to_string());
        let key = ViewKey { namespace, name, uid: view.object.uid().to_owned() };
        let event = event(&key, &view.object, &told, times).to_string();
        let (by, id) = (grant.context().caller.name.clone(), told.id.clone());
        let entry = audit::entry(grant, "create", &key.name, "allowed", 201, &format!("materialization {id}"));
        let of = key.clone();
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    if store::insert(tx, &of, &told, times, &by).await? {
                        lineage::record_event(tx, &of.namespace, &by, event.as_bytes()).await?;
                        tx.audit(entry);
                    }
                    Ok(())
                })
            })
            .await?;
        let recorded = store::by_id(&self.db, &key.namespace, &id).await?;
        let (uid, recorded) = recorded.ok_or_else(|| Error::internal("a record that is not there"))?;
        if uid != key.uid {
            let subject = Subject::new(GROUP, VIEWS, key.name);
            return Err(Error::Conflict { subject, message: format!("{id} is a materialization of another view") });
        }
        self.show(grant, &recorded).await?;
        Ok(recorded)
    }

    /// The last materialisations of the grant's view, the latest first.
    ///
    /// # Errors
    /// [`Error::NotFound`] for no such view.
    pub async fn history(&self, grant: &Grant, most: u32) -> Result<Vec<Materialization>> {
        let view = self.view(grant).await?;
        store::of_view(&self.db, view.object.uid(), i64::from(most)).await
    }

    async fn view(&self, grant: &Grant) -> Result<Found> {
        let Target::Resource { namespace, name, .. } = &grant.attributes().target else {
            return Err(Error::NoSuchPath);
        };
        let key = Key::new(&FeatureView::KIND.resource().into(), namespace, name);
        let missing = || Error::NotFound(Subject::new(GROUP, VIEWS, name.as_str()));
        let stored = self.views.get(&key).await?.ok_or_else(missing)?;
        Ok(Found { key, revision: stored.revision, object: object::parse(&stored.body)? })
    }

    /// Shows a materialisation in the view's status, unless a later one is shown.
    async fn show(&self, grant: &Grant, recorded: &Materialization) -> Result<()> {
        for _ in 0..TRIES {
            let Found { key, revision, mut object } = self.view(grant).await?;
            let shown = &object["status"]["lastMaterialization"];
            let finished = |text: Option<&str>| clock::parse_rfc3339(text.unwrap_or_default());
            let same = shown["id"] == recorded.told.id.as_str();
            if same || finished(shown["finishedAt"].as_str()) > finished(Some(&recorded.told.finished_at)) {
                return Ok(());
            }
            let mut status = serde_json::to_value(recorded).map_err(Error::internal)?;
            if let Some(inputs) = status["inputs"].as_array_mut() {
                inputs.truncate(MOST_SHOWN);
            }
            if let Some(status) = status.as_object_mut() {
                status.remove("recordedAt");
            }
            object["status"] = json!({"lastMaterialization": status});
            let write = Write {
                key,
                expect: Expect::Revision(revision),
                deleting: object.is_deleting(),
                effect: Effect::Put(Body::encode(&object)?),
                guard: None,
                counts: vec![],
                audit: None,
            };
            match self.views.write(write).await? {
                Ok(_) => return Ok(()),
                Err(Refusal::Changed) => {}
                Err(refusal) => return Err(Error::internal(format!("a status was refused: {refusal:?}"))),
            }
        }
        Err(Error::Unavailable { message: "the view is changed all the time; try again".to_owned(), source: None })
    }
}

/// What was materialised must be what the view says, or said before.
fn check_generation(view: &Value, told: &Told) -> Result<()> {
    let current = view.meta("generation").and_then(Value::as_i64).unwrap_or(1);
    if told.generation < 1 || told.generation > current {
        return Err(Error::bad_request(format!("spec.generation must be 1 to {current}, that of the view")));
    }
    let spec = serde_json::from_value(view["spec"].clone()).map(|spec: crate::views::FeatureViewSpec| spec.digest());
    let digest = spec.map_err(Error::internal)?;
    if told.generation == current && told.spec_digest != digest {
        let message =
            format!("spec.specDigest must be {digest} in generation {current}: materialise the view as it is");
        return Err(Error::bad_request(message));
    }
    Ok(())
}

/// A materialisation as an OpenLineage event.
fn event(view: &ViewKey, object: &Value, told: &Told, times: Times) -> Value {
    let dataset = |path: &str, digest: &str| json!({"namespace": "file", "name": path, "facets": {"version": facet(json!({"datasetVersion": digest}), "DatasetVersionDatasetFacet")}});
    let run = json!({"nominalTime": facet(json!({
        "nominalStartTime": clock::rfc3339(times.started), "nominalEndTime": clock::rfc3339(times.finished),
    }), "NominalTimeRunFacet")});
    json!({
        "eventType": "COMPLETE",
        "eventTime": clock::rfc3339_micro(times.finished),
        "producer": PRODUCER,
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": told.id, "facets": run},
        "job": {
            "namespace": format!("mcplane:{}", view.namespace),
            "name": format!("featureview/{}", view.name),
            "facets": {"sql": facet(json!({"query": object["spec"]["sql"]}), "SQLJobFacet")},
        },
        "inputs": told.inputs.iter().map(|input| dataset(&input.path, &input.digest)).collect::<Vec<_>>(),
        "outputs": [dataset(&told.output, &told.output_digest)],
    })
}

const PRODUCER: &str = concat!("https://mcplane.io/features/", env!("CARGO_PKG_VERSION"));

fn facet(mut facet: Value, class: &str) -> Value {
    facet["_producer"] = PRODUCER.into();
    facet["_schemaURL"] = format!("https://openlineage.io/spec/facets/1-0-1/{class}.json#/$defs/{class}").into();
    facet
}
