//! `serviceaccounts/token`: a token for an account.

use std::sync::Arc;

use futures::future::BoxFuture;
use mcplane_apimachinery::names;
use mcplane_core::authz::Target;
use mcplane_core::{Error, FieldError, Grant, Result, Subject, clock};
use mcplane_objects::{Perform, audit};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::{ServiceAccounts, bound, bound_kind};
use crate::tokens::{BoundObject, IssuedToken, LocalIssuer, ServiceAccount};

const DEFAULT_S: i64 = 3600;
const SHORTEST_S: i64 = 600;
const LONGEST_S: i64 = 1 << 32;
/// Audiences of one token.
const MOST_AUDIENCES: usize = 32;

/// Answers TokenRequests.
pub(super) struct TokenRequests {
    accounts: Arc<ServiceAccounts>,
    issuer: Arc<LocalIssuer>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    /// Kubernetes' client writes `null` for none.
    #[serde(deserialize_with = "null_is_empty")]
    audiences: Vec<String>,
    expiration_seconds: Option<i64>,
    bound_object_ref: Option<Reference>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Reference {
    api_version: String,
    kind: String,
    name: String,
    uid: String,
}

fn null_is_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl TokenRequests {
    pub(super) fn new(accounts: Arc<ServiceAccounts>, issuer: Arc<LocalIssuer>) -> Self {
        Self { accounts, issuer }
    }

    async fn issue(&self, grant: &Grant, mut body: Value) -> Result<Value> {
        let Target::Resource { namespace, name, .. } = &grant.attributes().target else {
            return Err(Error::NoSuchPath);
        };
        let spec = Spec::read(body.get("spec"))?;
        let uid = self.accounts.uid(namespace, name);
        let uid = uid.ok_or_else(|| Error::NotFound(Subject::new("", "serviceaccounts", name)))?;
        let bound = match &spec.bound_object_ref {
            None => None,
            Some(reference) => Some(self.resolve(namespace, name, reference).await?),
        };
        let account = ServiceAccount { namespace: namespace.clone(), name: name.clone(), uid, bound };
        let seconds = spec.expiration_seconds.unwrap_or(DEFAULT_S);
        let now = self.accounts.db.clock().now();
        let issued = self.issuer.issue_service_account(&account, &spec.audiences, seconds.saturating_mul(1000), now)?;
        self.record(grant, name, &issued, &account).await?;

        let own = &self.issuer.realm().audiences;
        let audiences = if spec.audiences.is_empty() { own.get(..1).unwrap_or_default() } else { &spec.audiences };
        body["metadata"] = json!({"name": name, "namespace": namespace, "creationTimestamp": clock::rfc3339(now)});
        if !body["spec"].is_object() {
            body["spec"] = json!({});
        }
        body["spec"]["audiences"] = audiences.into();
        body["spec"]["expirationSeconds"] = seconds.into();
        body["status"] = json!({"token": issued.token, "expirationTimestamp": clock::rfc3339(issued.expires)});
        Ok(body)
    }

    async fn resolve(&self, namespace: &str, account: &str, reference: &Reference) -> Result<BoundObject> {
        let Reference { api_version, kind, name, uid } = reference;
        let (bound_kind, plural) = bound_kind(api_version, kind).ok_or_else(|| {
            let what = format!("{kind} of {api_version}");
            Error::bad_request(format!(
                "cannot bind token for serviceaccount {account:?} to {what}: use Pod or Secret of v1"
            ))
        })?;
        let missing = || Error::NotFound(Subject::new("", plural, name));
        names::dns1123_subdomain(name).map_err(|_| missing())?;
        let found = self.accounts.bound_uid(namespace, bound_kind, name).await?.ok_or_else(missing)?;
        if !uid.is_empty() && *uid != found {
            let message = format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have \
                 been deleted and then recreated"
            );
            return Err(Error::Conflict { subject: Subject::new("", plural, name), message });
        }
        Ok(bound(bound_kind, name.clone(), found))
    }

    /// Who got a token for which account is on record before the token is out.
    async fn record(&self, grant: &Grant, name: &str, issued: &IssuedToken, account: &ServiceAccount) -> Result<()> {
        let until = clock::rfc3339(issued.expires);
        let to = account.bound.as_ref().map_or(String::new(), |b| format!(", bound to {:?} {:?}", b.kind, b.name));
        let detail = format!("credential-id JTI={}, until {until}{to}", issued.token_id);
        let entry = audit::entry(grant, "create", name, "allowed", 201, &detail);
        let write = self.accounts.db.write(move |tx| {
            Box::pin(async move {
                tx.audit(entry);
                Ok(())
            })
        });
        write.await
    }
}

impl Perform for TokenRequests {
    fn perform<'a>(&'a self, grant: &'a Grant, body: Value) -> BoxFuture<'a, Result<Value>> {
        Box::pin(self.issue(grant, body))
    }
}

impl Spec {
    fn read(spec: Option<&Value>) -> Result<Self> {
        let spec: Option<Self> = Option::deserialize(spec.unwrap_or(&Value::Null))
            .map_err(|error| Error::bad_request(format!("TokenRequest has a bad spec: {error}")))?;
        let spec = spec.unwrap_or_default();
        let subject = || Subject::new("authentication.k8s.io", "TokenRequest", "");
        let invalid = |field: &str, value: Value, detail: &str| {
            Err(Error::invalid(subject(), FieldError::invalid(format!("spec.{field}"), value, detail)))
        };
        match spec.expiration_seconds {
            Some(seconds) if seconds < SHORTEST_S => {
                invalid("expirationSeconds", seconds.into(), "may not specify a duration less than 10 minutes")
            }
            Some(seconds) if seconds > LONGEST_S => {
                invalid("expirationSeconds", seconds.into(), "may not specify a duration larger than 2^32 seconds")
            }
            _ if spec.audiences.len() > MOST_AUDIENCES => {
                invalid("audiences", spec.audiences.len().into(), "may not name more than 32 audiences")
            }
            _ if spec.audiences.iter().any(String::is_empty) => {
                invalid("audiences", "".into(), "an audience may not be empty")
            }
            _ => Ok(spec),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_judged_as_kubernetes_does() {
        let read = |spec: Value| Spec::read(Some(&spec)).map(|spec| spec.expiration_seconds);
        assert_eq!(read(Value::Null).unwrap(), None);
        assert_eq!(read(json!({"expirationSeconds": 600, "audiences": ["a"]})).unwrap(), Some(600));
        assert_eq!(read(json!({"audiences": null, "boundObjectRef": null})).unwrap(), None);
        for (bad, status) in [
            (json!({"expirationSeconds": 599}), 422),
            (json!({"expirationSeconds": LONGEST_S + 1}), 422),
            (json!({"audiences": vec!["a"; 33]}), 422),
            (json!({"audiences": [""]}), 422),
            (json!({"audiences": "a"}), 400),
            (json!(7), 400),
        ] {
            assert_eq!(read(bad.clone()).unwrap_err().http_status(), status, "{bad}");
        }
    }
}
