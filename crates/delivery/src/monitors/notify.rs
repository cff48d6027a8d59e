//! Tells of alerts. Each is sent at least once, and not again after it was taken.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use mcplane_core::{Result, Timestamp};
use mcplane_egress::Target;
use mcplane_monitoring::bands::{postable, webhook};

use super::service::Monitors;
use super::store::{self, Notice};

const TICK: Duration = Duration::from_secs(1);
const MOST_AT_ONCE: i64 = 20;
/// Longer than a request may take.
const CLAIM_MS: i64 = 60_000;
/// After the first failure; each further one doubles it.
const FIRST_WAIT_MS: i64 = 1_000;
const LONGEST_WAIT_MS: i64 = 300_000;
/// More than a day of trying.
const MOST_ATTEMPTS: i64 = 300;
/// An open alert that Alertmanager is told of ends when it is told of the end; until then so far ahead.
const OPEN_MS: i64 = 365 * 86_400_000;

/// Tells of alerts for as long as it is polled.
pub(super) async fn run(monitors: Arc<Monitors>) {
    loop {
        if let Err(error) = tell(&monitors).await {
            tracing::warn!(%error, "nobody could be told of alerts; it will be tried again");
        }
        tokio::time::sleep(TICK).await;
    }
}

async fn tell(monitors: &Monitors) -> Result<()> {
    let due = store::due(&monitors.db, monitors.db.clock().now(), MOST_AT_ONCE).await?;
    let all = due.into_iter().map(|notice| tell_one(monitors, notice));
    futures::future::try_join_all(all).await.map(drop)
}

async fn tell_one(monitors: &Monitors, notice: Notice) -> Result<()> {
    let until = monitors.db.clock().now() + CLAIM_MS;
    let (claimed, no) = (notice.clone(), notice.no);
    if !monitors.db.write(move |tx| Box::pin(async move { store::claim(tx, &claimed, until).await })).await? {
        return Ok(());
    }
    let failure = send(monitors, &notice).await.err();
    let lost = failure.is_some() && notice.attempts + 1 >= MOST_ATTEMPTS;
    if let Some(why) = &failure {
        let monitor = &notice.monitor;
        tracing::warn!(monitor, why, lost, "somebody could not be told of an alert");
    }
    let at = monitors.db.clock().now() + wait_ms(notice.attempts);
    let over = failure.is_none() || lost;
    monitors
        .db
        .write(move |tx| {
            Box::pin(async move { if over { store::told(tx, no).await } else { store::again(tx, no, at).await } })
        })
        .await
}

fn wait_ms(attempts: i64) -> i64 {
    let doublings = u32::try_from(attempts.clamp(0, 20)).unwrap_or(0);
    (FIRST_WAIT_MS << doublings).min(LONGEST_WAIT_MS)
}

fn body(notice: &Notice, now: Timestamp, url: &str) -> String {
    let alerts = std::slice::from_ref(&notice.alert);
    match notice.format.as_str() {
        "Alertmanager" => postable(alerts, now + OPEN_MS, url).to_string(),
        _ => webhook(alerts, &notice.monitor, url).to_string(),
    }
}

async fn send(monitors: &Monitors, notice: &Notice) -> std::result::Result<(), String> {
    let target = Target::parse(&notice.url)?;
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let body = body(notice, monitors.db.clock().now(), &monitors.url);
    let answer = monitors.egress.post(&target, headers, Bytes::from(body)).await.map_err(|why| why.to_string())?;
    if answer.status.is_success() { Ok(()) } else { Err(format!("{target} answered {}", answer.status)) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mcplane_monitoring::bands::Alert;

    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound() {
        assert_eq!([0, 1, 5, 9, 300].map(wait_ms), [1_000, 2_000, 32_000, 300_000, 300_000]);
    }

    #[test]
    fn both_formats_are_written() {
        let labels = BTreeMap::from([("alertname".to_owned(), "ModelErrorsHigh".to_owned())]);
        let alert = Alert { labels, annotations: BTreeMap::new(), starts_at: 0, ends_at: None };
        let notice = |format: &str| Notice {
            no: 1,
            monitor: "fraud".into(),
            url: String::new(),
            format: format.into(),
            alert: alert.clone(),
            attempts: 0,
            due_at: 0,
        };
        assert!(body(&notice("Webhook"), 0, "http://m").contains("\"receiver\":\"fraud\""));
        assert!(body(&notice("Alertmanager"), 0, "").starts_with("[{"));
    }
}
