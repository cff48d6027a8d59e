//! A request that was let in, and what it says.

use axum::body::{Bytes, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use mcplane_core::{Error, Grant, Result, authz};
use mcplane_objects::audit::record_failure;
use mcplane_objects::http::context_of;

use super::fields::Fields;
use super::{Access, Door, Refusal};

/// Largest JSON body in bytes: the profile of a logged dataset may have 16 MiB.
const MOST_BYTES: usize = 32 << 20;
/// The header that names a workspace; without it a request means the default one.
const WORKSPACE: &str = "x-mlflow-workspace";
/// How paths of our own interfaces begin, which name the namespace themselves.
const NAMESPACES: [&str; 3] = ["/models/v1/namespaces/", "/lineage/v1/namespaces/", "/tracking/v1/namespaces/"];
/// The workspace of requests that name none.
pub(crate) const DEFAULT_WORKSPACE: &str = "default";

/// A caller who may do what the route is for, in a workspace that exists.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) door: Door,
    pub(crate) grant: Grant,
}

impl FromRequestParts<Door> for Admitted {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, door: &Door) -> Result<Self, Refusal> {
        let access = parts.extensions.get::<Access>().copied();
        let access = access.ok_or_else(|| Error::internal("a route without access"))?;
        let context = context_of(parts);
        let workspace = workspace(parts.uri.path(), &parts.headers)?;
        let attributes = access.noun.attributes(access.verb, workspace);
        let grant = match authz::authorize(&*door.authorizer, &context, attributes.clone()) {
            Ok(grant) => grant,
            Err(error) => {
                record_failure(&door.tracking.db, &context, &attributes, &error).await?;
                return Err(error.into());
            }
        };
        if !door.tracking.has_workspace(workspace) {
            return Err(Error::Missing(format!("Workspace '{workspace}' not found")).into());
        }
        Ok(Self { door: door.clone(), grant })
    }
}

/// An admitted request with its fields.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) door: Door,
    pub(crate) grant: Grant,
    pub(crate) fields: Fields,
}

impl FromRequest<Door> for Call {
    type Rejection = Refusal;

    async fn from_request(request: Request, door: &Door) -> Result<Self, Refusal> {
        if request.method() == Method::GET && request.uri().query().is_some_and(|query| !query.is_empty()) {
            let (mut parts, _) = request.into_parts();
            let Admitted { door, grant } = Admitted::from_request_parts(&mut parts, door).await?;
            return Ok(Self { door, grant, fields: Fields::from_query(parts.uri.query().unwrap_or_default()) });
        }
        let Unread { door, grant, body } = Unread::from_request(request, door).await?;
        Ok(Self { door, grant, fields: Fields::from_json(&body) })
    }
}

/// An admitted request with its body, which should be JSON.
#[derive(Debug)]
pub(crate) struct Unread {
    pub(crate) door: Door,
    pub(crate) grant: Grant,
    pub(crate) body: Bytes,
}

impl FromRequest<Door> for Unread {
    type Rejection = Refusal;

    async fn from_request(request: Request, door: &Door) -> Result<Self, Refusal> {
        let (mut parts, body) = request.into_parts();
        let Admitted { door, grant } = Admitted::from_request_parts(&mut parts, door).await?;
        check_content_type(&parts)?;
        let too_large = |_| Error::TooLarge(format!("a request takes at most {MOST_BYTES} bytes"));
        Ok(Self { door, grant, body: to_bytes(body, MOST_BYTES).await.map_err(too_large)? })
    }
}

/// Browsers can't send JSON to a foreign server unasked, so this also keeps foreign pages out.
fn check_content_type(parts: &Parts) -> Result<()> {
    if parts.method != Method::POST && parts.method != Method::PUT {
        return Ok(());
    }
    let Some(given) = parts.headers.get(header::CONTENT_TYPE) else {
        return Err(Error::bad_request("Bad Request. Content-Type header is missing."));
    };
    let given = given.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    if given.trim().eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Error::bad_request("Bad Request. Content-Type must be one of ['application/json']."))
}

/// The workspace that a request means. Names are those of namespaces, so anything else can't exist.
pub(super) fn workspace<'p>(path: &'p str, headers: &'p HeaderMap) -> Result<&'p str> {
    let rest = NAMESPACES.iter().find_map(|prefix| path.strip_prefix(prefix));
    let name = match (rest, headers.get(WORKSPACE)) {
        (Some(rest), _) => rest.split('/').next().filter(|name| !name.is_empty()).unwrap_or("?"),
        (None, Some(value)) => value.to_str().unwrap_or("?").trim(),
        (None, None) => return Ok(DEFAULT_WORKSPACE),
    };
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    match name {
        "" => Ok(DEFAULT_WORKSPACE),
        name if name.len() <= 63 && name.bytes().all(plain) => Ok(name),
        _ => Err(Error::bad_request(format!(
            "Workspace name '{}' must match the pattern ^[a-z0-9]([-a-z0-9]*[a-z0-9])?$ \
             (lowercase alphanumeric with optional internal hyphens).",
            name.escape_debug()
        ))),
    }
}
