//! The rules of webhooks.

use mcplane_core::{Error, Grant, Result};
use mcplane_db::Tx;
use mcplane_objects::audit;
use uuid::Uuid;

use super::event::{Kind, body, lane};
use super::types::{Change, NewWebhook, TestResult, Webhook};
use super::{address, examples, store};
use crate::Tracking;
use crate::filter::page::PageToken;
use crate::filter::python::repr;
use crate::outbox;
use crate::tags::{check_length, check_text};

/// Webhooks of one namespace: each event may become as many messages.
const MOST: i64 = 1000;
const LONGEST_NAME: usize = 63;
/// Longest description, in characters.
const LONGEST_DESCRIPTION: usize = 5000;
/// Longest secret, in characters.
const LONGEST_SECRET: usize = 5000;
/// Length of a page that was not asked for, and of the longest that may be.
const PAGE: i64 = 100;
const MOST_RESULTS: i64 = 1000;

impl Tracking {
    /// Makes a webhook.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for a bad name, events that are none, or a URL that may not be reached.
    pub async fn create_webhook(&self, grant: &Grant, new: NewWebhook) -> Result<Webhook> {
        check_name(&new.name)?;
        address::check(&self.egress, &new.url).await?;
        check_events(&new.events)?;
        check_description(&new.description)?;
        let (id, now) = (Uuid::new_v4().to_string(), self.db.clock().now());
        let namespace = grant.namespace()?.to_owned();
        let webhook = Webhook {
            no: 0,
            secret: self.seal(&namespace, &id, &new.secret)?,
            namespace,
            id,
            name: new.name,
            description: Some(new.description).filter(|text| !text.is_empty()),
            url: new.url,
            active: new.active,
            created_at: now,
            updated_at: now,
            events: new.events,
        };
        let (grant_, made) = (grant.clone(), webhook.clone());
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    tx.lock().await?;
                    if store::count(tx, &webhook.namespace).await? >= MOST {
                        return Err(Error::bad_request(format!("a workspace has at most {MOST} webhooks")));
                    }
                    store::insert(tx, &webhook).await?;
                    record(tx, &grant_, "create", &webhook.id);
                    Ok(())
                })
            })
            .await?;
        self.webhook(grant, &made.id).await
    }

    /// The webhook.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is none.
    pub async fn webhook(&self, grant: &Grant, id: &str) -> Result<Webhook> {
        store::get(&self.db, grant.namespace()?, id).await
    }

    /// Webhooks, the newest first, and where the next page starts.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for a page that can't be.
    pub async fn webhooks(&self, grant: &Grant, most: i64, token: &str) -> Result<(Vec<Webhook>, Option<String>)> {
        let most = if most == 0 { PAGE } else { most };
        if !(1..=MOST_RESULTS).contains(&most) {
            return Err(Error::bad_request(format!("max_results must be between 1 and {MOST_RESULTS}.")));
        }
        let offset = PageToken::decode(token)?.offset;
        let from = i64::try_from(offset).unwrap_or(i64::MAX);
        let mut found = store::list(&self.db, grant.namespace()?, from, most + 1).await?;
        let more = found.len() as i64 > most;
        found.truncate(usize::try_from(most).unwrap_or_default());
        let next = PageToken { offset: offset.saturating_add(most.unsigned_abs()) };
        Ok((found, more.then(|| next.encode())))
    }

    /// Changes a webhook.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is none, [`Error::BadRequest`] as for a new one.
    pub async fn update_webhook(&self, grant: &Grant, id: &str, change: Change) -> Result<Webhook> {
        // It is told first whether there is one.
        let old = self.webhook(grant, id).await?;
        change.name.iter().try_for_each(|name| check_name(name))?;
        if let Some(url) = &change.url {
            address::check(&self.egress, url).await?;
        }
        change.events.iter().try_for_each(|events| check_events(events))?;
        change.description.iter().try_for_each(|text| check_description(text))?;
        let sealed = change.secret.as_ref().map(|secret| self.seal(&old.namespace, id, secret)).transpose()?;
        let grant_ = grant.clone();
        let id_ = id.to_owned();
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    tx.lock().await?;
                    let mut webhook = store::find(tx, grant_.namespace()?, &id_).await?;
                    let was_active = webhook.active;
                    if let Some(description) = change.description {
                        webhook.description = Some(description).filter(|text| !text.is_empty());
                    }
                    webhook.name = change.name.unwrap_or(webhook.name);
                    webhook.url = change.url.unwrap_or(webhook.url);
                    webhook.secret = sealed.unwrap_or(webhook.secret);
                    webhook.active = change.active.unwrap_or(webhook.active);
                    webhook.updated_at = tx.now();
                    store::update(tx, &webhook).await?;
                    if let Some(events) = &change.events {
                        store::put_events(tx, webhook.no, events).await?;
                    }
                    match (was_active, webhook.active) {
                        (true, false) => outbox::pause(tx, &lane(&webhook.id)).await?,
                        (false, true) => outbox::resume(tx, &lane(&webhook.id)).await?,
                        _ => {}
                    }
                    record(tx, &grant_, "update", &webhook.id);
                    Ok(())
                })
            })
            .await?;
        self.wake.up();
        self.webhook(grant, id).await
    }

    /// Deletes a webhook with all that waits for it.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is none.
    pub async fn delete_webhook(&self, grant: &Grant, id: &str) -> Result<()> {
        let (grant, id) = (grant.clone(), id.to_owned());
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    tx.lock().await?;
                    let webhook = store::find(tx, grant.namespace()?, &id).await?;
                    outbox::remove_lane(tx, &lane(&webhook.id)).await?;
                    store::remove(tx, webhook.no).await?;
                    record(tx, &grant, "delete", &webhook.id);
                    Ok(())
                })
            })
            .await
    }

    /// Sends the example of an event, or of the first that the webhook is told of, once and now.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is no such webhook. A receiver that does not answer is a result.
    pub async fn test_webhook(&self, grant: &Grant, id: &str, kind: Option<Kind>) -> Result<TestResult> {
        let webhook = self.webhook(grant, id).await?;
        let kind = kind.or_else(|| webhook.events.first().copied());
        let kind = kind.ok_or_else(|| Error::internal("a webhook without events"))?;
        let (audited, id) = (grant.clone(), webhook.id.clone());
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    record(tx, &audited, "test", &id);
                    Ok(())
                })
            })
            .await?;
        let body = body(kind, &webhook.namespace, self.db.clock().now(), examples::of(kind));
        Ok(match self.send_to(&webhook, &Uuid::new_v4().to_string(), body).await? {
            Ok(answer) => TestResult {
                success: answer.status.is_success(),
                status: Some(answer.status.as_u16()),
                body: Some(String::from_utf8_lossy(&answer.body).into_owned()),
                error: None,
            },
            Err(failure) => TestResult {
                success: false,
                status: None,
                body: None,
                error: Some(format!("Failed to test webhook: {failure}")),
            },
        })
    }

    /// What is kept of a secret.
    fn seal(&self, namespace: &str, id: &str, secret: &str) -> Result<String> {
        check_length("secret", LONGEST_SECRET, secret)?;
        check_text(secret)?;
        if secret.is_empty() { Ok(String::new()) } else { self.cipher.seal(secret, &context(namespace, id)) }
    }

    /// The secret that was sealed, if there is one.
    pub(super) fn unseal(&self, webhook: &Webhook) -> Result<Option<String>> {
        match webhook.secret.as_str() {
            "" => Ok(None),
            sealed => self.cipher.open(sealed, &context(&webhook.namespace, &webhook.id)).map(Some),
        }
    }
}

/// What a sealed secret belongs to, so that it can't be moved to another webhook.
fn context(namespace: &str, id: &str) -> String {
    format!("webhooks.tracking.mcplane.io/{namespace}/{id}")
}

fn check_name(name: &str) -> Result<()> {
    let outer = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let short = (1..=LONGEST_NAME).contains(&name.len());
    if short && outer(name.chars().next()) && outer(name.chars().next_back()) && name.chars().all(inner) {
        return Ok(());
    }
    let shown: String = name.chars().take(LONGEST_DESCRIPTION).collect();
    Err(Error::bad_request(format!(
        "Webhook name {} is invalid. It must start and end with a letter or digit, be less than {LONGEST_NAME} characters long, \
         and contain only letters, digits, dots (.), underscores (_), and hyphens (-).",
        repr(&shown)
    )))
}

fn check_events(events: &[Kind]) -> Result<()> {
    if events.is_empty() {
        return Err(Error::bad_request("Webhook events must be a non-empty list of WebhookEvent objects: []."));
    }
    let twice = |(at, kind): (usize, &Kind)| events.iter().take(at).any(|other| other == kind);
    if events.iter().enumerate().any(twice) {
        return Err(Error::bad_request("Webhook events must differ from each other."));
    }
    Ok(())
}

fn check_description(text: &str) -> Result<()> {
    check_length("description", LONGEST_DESCRIPTION, text)?;
    check_text(text)
}

fn record(tx: &mut Tx, grant: &Grant, verb: &str, id: &str) {
    tx.audit(audit::entry(grant, verb, id, "allowed", 200, ""));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        for good in ["a", "A.b_c-9", &"a".repeat(63)] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "a b", "abc\n", "ßx", &"a".repeat(64)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        assert_eq!(
            check_name("it's").unwrap_err().to_string(),
            "Webhook name \"it's\" is invalid. It must start and end with a letter or digit, be less than 63 characters long, \
             and contain only letters, digits, dots (.), underscores (_), and hyphens (-)."
        );
    }
}
