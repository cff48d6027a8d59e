//! From a request's credential to its caller.
//!
//! A request with a credential is its caller's or is refused: a bad token never falls back to anybody. A request without
//! one is whoever [`Anonymous`] says.
//!
//! A [`Context`] that is already in a request's extensions is trusted. Extensions exist only inside this process: nothing
//! that arrives over the network can carry them, so such a request comes from the server itself, as those of controllers.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use mcplane_core::context::AUTHENTICATED;
use mcplane_core::{Caller, Clock, Context, Error, Result, TraceId};
use mcplane_objects::http::Failure;

use crate::rbac::bootstrap::ROLE_GROUP_PREFIX;
use crate::service_accounts::ServiceAccounts;
use crate::tokens::{Identity, Verifiers};
use crate::users::{BasicLogins, Users};

/// Who calls without a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anonymous {
    /// `system:anonymous`, who may do next to nothing.
    Nobody,
    /// The one administrator of a server that only the processes of its own machine can reach.
    Admin,
}

/// Tells who calls.
pub(crate) struct Authenticator {
    pub(crate) verifiers: Verifiers,
    pub(crate) users: Arc<Users>,
    pub(crate) basic: BasicLogins,
    pub(crate) accounts: Arc<ServiceAccounts>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Authenticator {
    /// Who the token speaks of, if it is good and its holder still exists as it says.
    ///
    /// # Errors
    /// [`Error::Unauthorized`] with the reason to refuse it.
    pub(crate) async fn identify(&self, token: &str) -> Result<Identity> {
        let identity = self.verifiers.verify(token, self.clock.now())?;
        self.check(&identity).await?;
        Ok(identity)
    }

    /// Whether the holder of a verified token still exists as the token says.
    ///
    /// # Errors
    /// [`Error::Unauthorized`] if not.
    pub(crate) async fn check(&self, identity: &Identity) -> Result<()> {
        match identity {
            Identity::User { user, .. } => self.users.check(user),
            Identity::ServiceAccount { account, .. } => self.accounts.check(account).await,
        }
    }

    async fn caller(&self, headers: &HeaderMap, nobody: &Context, anonymous: Anonymous) -> Result<Caller> {
        // Who asks to act with the lesser rights of another must not act with his own.
        if headers.keys().any(|name| name.as_str().starts_with("impersonate-")) {
            return Err(Error::bad_request("impersonation is not supported: log in as the user instead"));
        }
        match credential(headers)? {
            Some(Credential::Bearer(token)) => Ok(self.identify(token).await?.caller()),
            Some(Credential::Basic(encoded)) => {
                let token = self.basic.token(nobody, encoded, self.clock.now()).await?;
                Ok(self.identify(&token).await?.caller())
            }
            None => Ok(match anonymous {
                Anonymous::Nobody => Caller::anonymous(),
                Anonymous::Admin => administrator(),
            }),
        }
    }
}

/// The administrator of a server without logins.
fn administrator() -> Caller {
    let groups = vec![format!("{ROLE_GROUP_PREFIX}admin"), AUTHENTICATED.to_owned()];
    Caller { name: "admin".to_owned(), groups, ..Caller::default() }
}

/// How a caller says who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Credential<'a> {
    /// A token.
    Bearer(&'a str),
    /// A name and a password, in Base64.
    Basic(&'a str),
}

/// What the one `Authorization` header holds; `None` without such a header.
fn credential(headers: &HeaderMap) -> Result<Option<Credential<'_>>> {
    let refuse = |why: &str| Err(Error::Unauthorized(why.to_owned()));
    const FORM: &str = "the Authorization header must read: Bearer TOKEN";
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return refuse("there is more than one Authorization header");
    }
    let Some((scheme, secret)) = value.to_str().ok().and_then(|text| text.trim().split_once(' ')) else {
        return refuse(FORM);
    };
    match (scheme.to_ascii_lowercase().as_str(), secret.trim()) {
        (_, "") => refuse(FORM),
        ("bearer", token) => Ok(Some(Credential::Bearer(token))),
        ("basic", encoded) => Ok(Some(Credential::Basic(encoded))),
        _ => refuse(FORM),
    }
}

/// Puts the [`Context`] of the request into its extensions, or refuses the request.
pub(crate) async fn authenticate(
    State((authenticator, anonymous)): State<(Arc<Authenticator>, Anonymous)>,
    mut request: Request,
    next: Next,
) -> Response {
    if request.extensions().get::<Arc<Context>>().is_some() {
        return next.run(request).await;
    }
    let source = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let source = source.map(|info| info.0.ip().to_canonical().to_string()).unwrap_or_default();
    let mut context = Context { caller: Caller::anonymous(), trace: trace(&request), source };
    context.caller = match authenticator.caller(request.headers(), &context, anonymous).await {
        Ok(caller) => caller,
        Err(error) => return Failure(error).into_response(),
    };
    tracing::Span::current().record("user.name", &context.caller.name);
    request.extensions_mut().insert(Arc::new(context));
    next.run(request).await
}

fn trace(request: &Request) -> TraceId {
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let given = request.extensions().get::<TraceId>().copied();
    given.unwrap_or_else(|| TraceId::from_headers(text("traceparent"), text("x-trace-id")))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn read(values: &[&[u8]]) -> Option<Option<String>> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        }
        credential(&headers).ok().map(|found| found.map(|credential| format!("{credential:?}")))
    }

    #[test]
    fn a_credential_is_a_token_or_a_password_or_an_error() {
        assert_eq!(read(&[]), Some(None));
        for good in ["Bearer abc", "bearer abc", "BEARER  abc "] {
            assert_eq!(read(&[good.as_bytes()]), Some(Some("Bearer(\"abc\")".to_owned())), "{good}");
        }
        assert_eq!(read(&[b"basic YTpi"]), Some(Some("Basic(\"YTpi\")".to_owned())));
        for bad in [&b"Bearer"[..], b"Bearer ", b"", b"Digest YTpi", b"abc", b"Bearer \xff", b"Basic"] {
            assert_eq!(read(&[bad]), None, "{bad:?}");
        }
        assert_eq!(read(&[b"Bearer a", b"Bearer b"]), None);
    }
}
