//! The policy of the running server follows the stored roles and bindings.

use std::sync::Arc;

use mcplane_core::Result;
use mcplane_db::Db;
use mcplane_objects::storage::Storage;
use mcplane_objects::{Mirror, object};
use serde::de::DeserializeOwned;

use super::evaluate::Changes;
use super::{GROUP, PolicySource, RbacAuthorizer};

/// An authorizer that knows of each change of a role or binding before the change is acknowledged.
pub(crate) async fn follow(db: &Db, table: &dyn Storage) -> Result<RbacAuthorizer> {
    let changes = Changes::default();
    let (roles, cluster_roles, role_bindings, cluster_role_bindings) = tokio::try_join!(
        mirror(db, table, "roles", &changes),
        mirror(db, table, "clusterroles", &changes),
        mirror(db, table, "rolebindings", &changes),
        mirror(db, table, "clusterrolebindings", &changes),
    )?;
    let source = move || PolicySource {
        roles: roles.all(),
        cluster_roles: cluster_roles.all(),
        role_bindings: role_bindings.all(),
        cluster_role_bindings: cluster_role_bindings.all(),
    };
    Ok(RbacAuthorizer::new(source, changes))
}

async fn mirror<R>(db: &Db, table: &dyn Storage, plural: &str, changes: &Changes) -> Result<Mirror<R>>
where
    R: k8s_openapi::Resource + DeserializeOwned + Send + Sync + 'static,
{
    let resource: Arc<str> = format!("{plural}.{GROUP}").into();
    let changes = changes.clone();
    Mirror::start(db, table, &resource, read::<R>, move |_| changes.note()).await
}

/// A stored object that does not have its kind's shape allows nothing.
fn read<R: k8s_openapi::Resource + DeserializeOwned>(stored: &str) -> Option<R> {
    match serde_json::from_str(&object::serve(R::API_VERSION, R::KIND, stored)) {
        Ok(object) => Some(object),
        Err(error) => {
            tracing::error!(%error, kind = R::KIND, "a stored object can't be read and counts for nothing");
            None
        }
    }
}
