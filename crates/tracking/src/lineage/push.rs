//! Tells another system of runs, as OpenLineage events. A message names a run; the events are made when they are sent, so
//! that they tell all that is known by then.

use std::fmt;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use mcplane_core::{Error, Result};
use mcplane_db::Tx;
use mcplane_egress::Target;

use super::openlineage::events_of;
use crate::Tracking;
use crate::outbox::{self, Fate, Message};
use crate::runs::RunStatus;
use crate::webhooks::outcome;

/// Where a client of OpenLineage sends events if not told.
const PATH: &str = "/api/v1/lineage";
/// How the lanes of namespaces begin.
const LANES: &str = "openlineage/";

/// Who is told.
#[derive(Clone)]
pub struct Push {
    target: Target,
    token: Option<HeaderValue>,
}

impl Push {
    /// Reads the URL of a server, or of its endpoint; the token is sent as `Authorization: Bearer`. The operator gives both, so
    /// the server may be anywhere.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for what is no URL or no token.
    pub fn new(url: &str, token: Option<&str>) -> Result<Self> {
        let target =
            Target::parse(url).map_err(|reason| Error::bad_request(format!("no URL of a server: {reason}")))?;
        let bearer = |token: &str| {
            let unfit = |_| Error::bad_request("the token can't be sent in a header");
            let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(unfit)?;
            value.set_sensitive(true);
            Ok::<_, Error>(value)
        };
        Ok(Self { target: target.or_path(PATH), token: token.map(bearer).transpose()? })
    }

    /// The namespace whose runs are told in a lane.
    pub(crate) fn namespace_of(lane: &str) -> Option<&str> {
        lane.strip_prefix(LANES)
    }
}

impl fmt::Debug for Push {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Push").field("target", &self.target).finish_non_exhaustive()
    }
}

impl Tracking {
    /// Who leaves messages about runs, if anybody wants to know of them.
    pub(crate) fn tell_of_run(&self) -> Teller {
        Teller(self.config.openlineage.is_some())
    }

    /// To be called after a commit that may have left one.
    pub(crate) fn wake_for_runs(&self) {
        if self.config.openlineage.is_some() {
            self.wake.up();
        }
    }

    /// Sends the event that a message is about.
    pub(crate) async fn push_run_event(&self, namespace: &str, message: &Message) -> Result<Fate> {
        let Some(push) = &self.config.openlineage else { return Ok(Fate::Void) };
        let Some((state, run)) = message.body.split_once(' ') else { return Ok(Fate::Void) };
        let mut view = self.db.snapshot().await?;
        let events = match events_of(&mut view, namespace, run).await {
            // It was removed for good meanwhile.
            Err(Error::Missing(_)) => return Ok(Fate::Void),
            events => events?,
        };
        drop(view);
        let wanted = |starts: bool| (state == START) == starts;
        let Some(event) = events.into_iter().find(|event| wanted(event["eventType"] == "START")) else {
            return Ok(Fate::Void);
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(token) = &push.token {
            headers.insert(AUTHORIZATION, token.clone());
        }
        let answer = self.lineage_egress.post(&push.target, headers, Bytes::from(event.to_string())).await;
        Ok(Fate::Tried(outcome(answer)))
    }
}

const START: &str = "start";
const END: &str = "end";

/// Leaves messages about runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Teller(bool);

impl Teller {
    /// A run has come to a status. The caller holds the lock.
    pub(crate) async fn tell(self, tx: &mut Tx, namespace: &str, run: &str, status: RunStatus) -> Result<()> {
        let state = match status {
            _ if !self.0 => return Ok(()),
            RunStatus::Scheduled => return Ok(()),
            RunStatus::Running => START,
            RunStatus::Finished | RunStatus::Failed | RunStatus::Killed => END,
        };
        outbox::enqueue(tx, namespace, &[format!("{LANES}{namespace}")], &format!("{state} {run}")).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_an_endpoint_and_secrets_stay_hidden() {
        let push = Push::new("https://marquez.example:5000", Some("hunter2")).unwrap();
        assert_eq!(push.target, Target::parse("https://marquez.example:5000/api/v1/lineage").unwrap());
        assert!(!format!("{push:?}").contains("hunter2"));
        assert!(Push::new("marquez", None).is_err() && Push::new("https://x", Some("a\nb")).is_err());
    }
}
