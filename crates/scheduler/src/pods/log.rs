//! `pods/log`: what an attempt wrote, as `kubectl logs` asks for it.

use axum::body::Body;
use futures::future::BoxFuture;
use mcplane_core::authz::Target;
use mcplane_core::{Error, Grant, Result, Subject, Timestamp, clock};
use mcplane_objects::Read;
use mcplane_objects::object;
use serde::Deserialize;
use serde_json::Value;

use super::{PODS, PodStorage};
use crate::logs::LogOptions;
use crate::processes::attempt_id;

/// What a client asks for, in Kubernetes' terms. Other parameters are ignored.
#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
struct Asked {
    container: String,
    follow: bool,
    previous: bool,
    timestamps: bool,
    tail_lines: Option<u64>,
    since_seconds: Option<i64>,
    since_time: Option<String>,
    limit_bytes: Option<u64>,
}

impl Asked {
    fn parse(query: &str) -> Result<Self> {
        let uri: http::Uri = format!("/?{query}").parse().map_err(|_| Error::bad_request("malformed query"))?;
        let asked = axum::extract::Query::<Self>::try_from_uri(&uri);
        asked.map(|query| query.0).map_err(|error| Error::bad_request(error.body_text()))
    }

    fn options(&self, now: Timestamp) -> Result<LogOptions> {
        let since = match (self.since_seconds, self.since_time.as_deref()) {
            (Some(_), Some(_)) => {
                return Err(Error::bad_request("at most one of `sinceTime` or `sinceSeconds` may be specified"));
            }
            (Some(seconds), None) => Some(now.saturating_sub(seconds.saturating_mul(1000))),
            (None, Some(text)) => {
                let unreadable = || Error::bad_request(format!("sinceTime: {text:?} is no time of RFC 3339"));
                Some(clock::parse_rfc3339(text).ok_or_else(unreadable)?)
            }
            (None, None) => None,
        };
        Ok(LogOptions {
            follow: self.follow,
            tail_lines: self.tail_lines,
            since,
            limit_bytes: self.limit_bytes,
            timestamps: self.timestamps,
        })
    }

    /// Refuses what this pod has no log for.
    fn check(&self, name: &str, pod: &Value) -> Result<()> {
        let containers = pod["spec"]["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
        let known = |container: &Value| container["name"] == self.container.as_str();
        if !self.container.is_empty() && !containers.iter().any(known) {
            return Err(Error::bad_request(format!("container {} is not valid for pod {name}", self.container)));
        }
        let first = containers.first().and_then(|container| container["name"].as_str()).unwrap_or_default();
        let container = if self.container.is_empty() { first } else { &self.container };
        if self.previous {
            let why = format!("previous terminated container {container:?} in pod {name:?} not found");
            return Err(Error::bad_request(why));
        }
        if pod["status"]["phase"] == "Pending" {
            let why = format!("container {container:?} in pod {name:?} is waiting to start: ContainerCreating");
            return Err(Error::bad_request(why));
        }
        Ok(())
    }
}

impl Read for PodStorage {
    fn read<'a>(&'a self, grant: &'a Grant, query: &'a str) -> BoxFuture<'a, Result<Body>> {
        Box::pin(async move {
            let Target::Resource { namespace, name, .. } = &grant.attributes().target else {
                return Err(Error::NoSuchPath);
            };
            let asked = Asked::parse(query)?;
            let sql = "SELECT t.id, a.attempt, a.object FROM attempts a JOIN tasks t ON t.no = a.task \
                       WHERE a.namespace = $1 AND a.object_name = $2";
            let rows = self.db().fetch(sql, vec![namespace.as_str().into(), name.as_str().into()]).await?;
            let row = rows.first().ok_or_else(|| Error::NotFound(Subject::new("", PODS, name.as_str())))?;
            asked.check(name, &object::parse(row.text(2)?)?)?;
            let unavailable = || Error::Unavailable { message: "no scheduler runs here".to_owned(), source: None };
            let scheduler = self.scheduler().ok_or_else(unavailable)?;
            let attempt = attempt_id(row.text(0)?, row.int(1)?);
            let lines = scheduler.logs.read(attempt, asked.options(scheduler.now())?).await?;
            Ok(Body::from_stream(lines))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn queries_of_kubectl_are_understood() {
        let asked = Asked::parse("container=main&follow=true&tailLines=20&timestamps=true&limitBytes=9&x=y").unwrap();
        assert_eq!((asked.container.as_str(), asked.follow), ("main", true));
        let options = asked.options(5_000).unwrap();
        assert_eq!((options.tail_lines, options.limit_bytes, options.since), (Some(20), Some(9), None));
        let since = |query: &str| Asked::parse(query).unwrap().options(5_000);
        assert_eq!(since("sinceSeconds=2").unwrap().since, Some(3_000));
        assert_eq!(since("sinceTime=1970-01-01T00%3A00%3A01Z").unwrap().since, Some(1_000));
        assert_eq!(since("sinceTime=today").unwrap_err().http_status(), 400);
        assert_eq!(since("sinceTime=x&sinceSeconds=1").unwrap_err().http_status(), 400);
        assert_eq!(Asked::parse("tailLines=-1").unwrap_err().http_status(), 400);
    }

    #[test]
    fn what_has_no_log_is_told_as_kubernetes_does() {
        let pod = |phase: &str| json!({"spec": {"containers": [{"name": "main"}]}, "status": {"phase": phase}});
        let refusal =
            |query: &str, phase: &str| Asked::parse(query).unwrap().check("p", &pod(phase)).unwrap_err().to_string();
        assert_eq!(refusal("container=x", "Running"), "container x is not valid for pod p");
        assert_eq!(refusal("", "Pending"), "container \"main\" in pod \"p\" is waiting to start: ContainerCreating");
        assert!(refusal("previous=true", "Running").starts_with("previous terminated container \"main\""));
        assert!(Asked::default().check("p", &pod("Failed")).is_ok());
    }
}
