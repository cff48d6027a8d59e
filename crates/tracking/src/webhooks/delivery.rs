//! How a message gets to a webhook.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use mcplane_core::{Error, Result};
use mcplane_egress::{Answer, Failure, Target};

use super::signature::sign;
use super::{Webhook, store};
use crate::Tracking;
use crate::outbox::{Fate, Message, Outcome};

const ID: HeaderName = HeaderName::from_static("x-mlflow-delivery-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("x-mlflow-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("x-mlflow-signature");

impl Tracking {
    /// Hands a message to the webhook of that id.
    pub(crate) async fn carry_to_webhook(&self, id: &str, message: &Message) -> Result<Fate> {
        let Some(webhook) = store::by_id(&self.db, id).await? else { return Ok(Fate::Void) };
        if !webhook.active {
            return Ok(Fate::Resting);
        }
        Ok(Fate::Tried(outcome(self.send_to(&webhook, &message.id, message.body.clone()).await?)))
    }

    /// Sends a body to a webhook, signed for this moment.
    pub(super) async fn send_to(&self, webhook: &Webhook, id: &str, body: String) -> Result<Result<Answer, Failure>> {
        let seconds = self.db.clock().now().div_euclid(1000).to_string();
        let value = |text: &str| HeaderValue::from_str(text).map_err(Error::internal);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ID, value(id)?);
        headers.insert(TIMESTAMP, value(&seconds)?);
        if let Some(secret) = self.unseal(webhook)? {
            headers.insert(SIGNATURE, value(&sign(&secret, id, &seconds, &body)?)?);
        }
        let target = Target::parse(&webhook.url).map_err(Error::internal)?;
        Ok(self.egress.post(&target, headers, Bytes::from(body)).await)
    }
}

/// What an answer, or its lack, means for a message.
pub(crate) fn outcome(answer: Result<Answer, Failure>) -> Outcome {
    let milliseconds = |wait: Duration| i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
    match answer {
        Ok(answer) => {
            Outcome::Answered { status: answer.status.as_u16(), retry_after: answer.retry_after.map(milliseconds) }
        }
        Err(failure @ (Failure::Refused { .. } | Failure::Plain(_))) => Outcome::Refused(failure.to_string()),
        Err(failure) => Outcome::Failed(failure.to_string()),
    }
}
