//! `/api/3.0/mlflow/workspaces`.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::IntoResponse as _;
use mcplane_core::authz::Decision;
use mcplane_core::{Attributes, Context, Error, Grant, Result, authz};
use mcplane_objects::audit::record_failure;
use mcplane_objects::http::context_of;
use serde::Deserialize;
use serde_json::json;

use super::types::{Settings, Workspace, check_name};
use crate::mlflow::fields::Fields;
use crate::mlflow::{Access, Answer, DEFAULT_WORKSPACE, Dialect, Door, Refusal, reply};
use crate::scope::{EXPERIMENTS, Noun};

const NAMESPACES: Noun = Noun { group: "", resource: "namespaces" };
/// Bytes of a request.
const MOST_BYTES: usize = 64 << 10;

pub(crate) fn routes(dialect: Dialect) -> Dialect {
    const ROOT: &str = "3.0/mlflow/workspaces";
    dialect
        .get(ROOT, NAMESPACES.to("list"), list)
        .post(ROOT, NAMESPACES.to("create"), create)
        .get(&format!("{ROOT}/{{name}}"), NAMESPACES.to("get"), get)
        .patch(&format!("{ROOT}/{{name}}"), NAMESPACES.to("patch"), update)
        .delete(&format!("{ROOT}/{{name}}"), NAMESPACES.to("delete"), delete)
}

/// A request about workspaces, which is in none.
struct Asked {
    door: Door,
    context: Arc<Context>,
    access: Access,
}

impl FromRequestParts<Door> for Asked {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, door: &Door) -> Result<Self, Refusal> {
        let access = parts.extensions.get::<Access>().copied();
        let access = access.ok_or_else(|| Error::internal("a route without access"))?;
        Ok(Self { door: door.clone(), context: context_of(parts), access })
    }
}

impl Asked {
    /// The right to do it to the namespace of that name.
    async fn grant(&self, name: &str) -> Result<Grant> {
        let Access { verb, noun } = self.access;
        let attributes = Attributes::resource(verb, noun.group, noun.resource, "", name);
        match authz::authorize(&*self.door.authorizer, &self.context, attributes.clone()) {
            Ok(grant) => Ok(grant),
            Err(error) => {
                record_failure(&self.door.tracking.db, &self.context, &attributes, &error).await?;
                Err(error)
            }
        }
    }

    /// Whether the caller may know of a workspace: those who work in it may, and those who may see its namespace.
    fn may_see(&self, name: &str) -> bool {
        let namespace = Attributes::resource("get", NAMESPACES.group, NAMESPACES.resource, "", name);
        [EXPERIMENTS.attributes("list", name), namespace].iter().any(|attributes| {
            matches!(self.door.authorizer.decide(&self.context.caller, attributes), Decision::Allow(_))
        })
    }
}

async fn read(body: Body) -> Result<Fields> {
    let too_large = |_| Error::TooLarge(format!("a request takes at most {MOST_BYTES} bytes"));
    Ok(Fields::from_json(&to_bytes(body, MOST_BYTES).await.map_err(too_large)?))
}

fn settings(fields: &Fields) -> Result<Settings> {
    if fields.has("trace_archival_config") {
        return Err(Error::Unsupported("Trace archival is not supported by this server".to_owned()));
    }
    let text = |name: &str| Ok::<_, Error>(fields.optional_text(name)?.map(|text| text.trim().to_owned()));
    Ok(Settings { description: text("description")?, default_artifact_root: text("default_artifact_root")? })
}

fn shown(workspace: &Workspace) -> serde_json::Value {
    json!({"workspace": workspace})
}

async fn list(asked: Asked) -> Answer {
    let all = asked.door.tracking.workspaces();
    let seen: Vec<_> = all.iter().filter(|workspace| asked.may_see(&workspace.name)).collect();
    if seen.is_empty() && asked.context.caller.is_anonymous() {
        return Err(Error::Unauthorized("Unauthorized".to_owned()).into());
    }
    reply(&if seen.is_empty() {
        json!({})
    } else {
        json!({"workspaces": seen.iter().map(|w| &***w).collect::<Vec<_>>()})
    })
}

async fn create(asked: Asked, body: Body) -> Answer {
    // The right to make namespaces is one to make any.
    let grant = asked.grant("").await?;
    let fields = read(body).await?;
    let name = fields.required_text("name")?;
    if name == DEFAULT_WORKSPACE {
        let text = format!("The '{DEFAULT_WORKSPACE}' workspace is reserved and cannot be created");
        return Err(Error::bad_request(text).into());
    }
    check_name(name)?;
    let made = asked.door.tracking.create_workspace(&asked.door.objects, &grant, name, &settings(&fields)?).await?;
    Ok((StatusCode::CREATED, reply(&shown(&made))?).into_response())
}

async fn get(asked: Asked, Path(name): Path<String>) -> Answer {
    if !asked.may_see(&name) {
        asked.grant(&name).await?;
    }
    check_name(&name)?;
    reply(&shown(&asked.door.tracking.workspace(&name)?))
}

async fn update(asked: Asked, Path(name): Path<String>, body: Body) -> Answer {
    let grant = asked.grant(&name).await?;
    check_name(&name)?;
    let settings = settings(&read(body).await?)?;
    reply(&shown(&asked.door.tracking.update_workspace(&asked.door.objects, &grant, &name, &settings).await?))
}

#[derive(Debug, Deserialize)]
struct Mode {
    mode: Option<String>,
}

async fn delete(asked: Asked, Path(name): Path<String>, Query(Mode { mode }): Query<Mode>) -> Answer {
    let grant = asked.grant(&name).await?;
    if name == DEFAULT_WORKSPACE {
        let text = format!("The '{DEFAULT_WORKSPACE}' workspace is reserved and cannot be deleted");
        return Err(Error::bad_request(text).into());
    }
    check_name(&name)?;
    let cascade = match mode.as_deref().unwrap_or("RESTRICT") {
        "RESTRICT" => false,
        "CASCADE" => true,
        "SET_DEFAULT" => {
            return Err(Error::Unsupported("Experiments can't be moved to another workspace".to_owned()).into());
        }
        other => {
            let text = format!("Invalid deletion mode '{other}'. Must be one of: SET_DEFAULT, CASCADE, RESTRICT");
            return Err(Error::bad_request(text).into());
        }
    };
    asked.door.tracking.delete_workspace(&asked.door.objects, &grant, &name, cascade).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
