//! The services of this crate over a database.

use std::sync::Arc;

use futures::future::BoxFuture;
use mcplane_apimachinery::codec::Decoded;
use mcplane_core::{Attributes, Authorizer, Context, Error, Grant, Result, Subject, Timestamp, authz};
use mcplane_db::Db;
use mcplane_objects::Objects;
use mcplane_objects::controllers::Content;
use mcplane_objects::events::{self, Involved, Weight};
use mcplane_objects::service::WriteOptions;
use serde_json::Value;

use crate::reports::Lineage;
use crate::scope::{OBJECT_GROUP, VERSION};

/// As whom this crate acts of its own accord.
pub(crate) const COMPONENT: &str = "data";

/// What is known of data, and decided on it.
#[derive(Debug)]
pub struct Data {
    pub(crate) db: Db,
    pub(crate) objects: Arc<Objects>,
    pub(crate) authorizer: Arc<dyn Authorizer>,
    pub(crate) lineage: Arc<dyn Lineage>,
}

impl Data {
    /// The services; `lineage` takes in what was checked.
    pub fn new(db: &Db, objects: Arc<Objects>, authorizer: Arc<dyn Authorizer>, lineage: Arc<dyn Lineage>) -> Self {
        Self { db: db.clone(), objects, authorizer, lineage }
    }

    /// That there is a contract of the name. Who may report may know that.
    pub(crate) async fn contract(&self, _: &Grant, namespace: &str, name: &str) -> Result<()> {
        if name.is_empty() {
            return Err(Error::bad_request("contract: must be given"));
        }
        self.object("datacontracts", namespace, name).await.map(drop)
    }

    /// An object of this crate's kinds, read on behalf of a caller who may use what it says.
    pub(crate) async fn object(&self, plural: &'static str, namespace: &str, name: &str) -> Result<Value> {
        let grant = self.own_grant("get", plural, namespace, name)?;
        let stored = self.objects.get(&grant, VERSION).await?;
        serde_json::from_str(&stored.body).map_err(Error::internal)
    }

    /// A grant for what the server does of its own accord.
    pub(crate) fn own_grant(
        &self,
        verb: &'static str,
        resource: &'static str,
        namespace: &str,
        name: &str,
    ) -> Result<Grant> {
        let group = if resource == "events" { "" } else { OBJECT_GROUP };
        let attributes = Attributes::resource(verb, group, resource, namespace, name);
        authz::authorize(&*self.authorizer, &Arc::new(Context::system(COMPONENT)), attributes)
    }

    /// Warns of what `id` stands for, which befell `object`. The event is there once however often this is called.
    pub(crate) async fn warning(
        &self,
        (kind, object): (&'static str, &Value),
        id: &str,
        reason: &str,
        message: &str,
        at: Timestamp,
    ) -> Result<()> {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        let (namespace, name, uid) = (text("namespace"), text("name"), text("uid"));
        let about = Involved { api_version: format!("{OBJECT_GROUP}/{VERSION}"), kind, namespace, name, uid };
        let event = events::content(COMPONENT, &about, id, (Weight::Warning, reason, message), at);
        let grant = self.own_grant("create", "events", &about.namespace, "")?;
        let decoded = Decoded { value: event, duplicates: vec![] };
        match self.objects.create(&grant, "v1", decoded, &WriteOptions::default()).await {
            Err(Error::AlreadyExists(_)) => Ok(()),
            outcome => outcome.map(drop),
        }
    }

    /// # Errors
    /// `NotFound` for a namespace that is not there.
    pub(crate) async fn require_namespace(&self, name: &str) -> Result<()> {
        let missing = || Error::NotFound(Subject::new("", "namespaces", name));
        let context = Arc::new(Context::system(COMPONENT));
        let grant =
            authz::authorize(&*self.authorizer, &context, Attributes::resource("get", "", "namespaces", "", name))?;
        self.objects.get(&grant, "v1").await.map(drop).map_err(|error| match error {
            Error::NotFound(_) => missing(),
            other => other,
        })
    }
}

/// Tables whose rows are a namespace's.
const TABLES: &[&str] = &["contract_reports", "gate_decisions"];

impl Content for Data {
    fn empty<'a>(&'a self, namespace: &'a str) -> BoxFuture<'a, Result<Option<String>>> {
        let namespace = namespace.to_owned();
        let delete = self.db.write(move |tx| {
            Box::pin(async move {
                for table in TABLES {
                    let sql = format!("DELETE FROM {table} WHERE namespace = $1");
                    tx.execute(sql, vec![namespace.as_str().into()]).await?;
                }
                Ok(None)
            })
        });
        Box::pin(delete)
    }
}
