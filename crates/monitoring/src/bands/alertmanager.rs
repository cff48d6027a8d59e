//! Alerts in the two formats of Prometheus' Alertmanager: what it sends to webhooks (version 4), for receivers that know
//! it, and what it takes at `/api/v2/alerts`, for those who run one.

use std::collections::BTreeMap;

use mcplane_core::Timestamp;
use mcplane_core::clock::rfc3339_micro;
use serde_json::{Value, json};

use super::Alert;

/// Go's zero time, which stands for "not yet".
const NEVER: &str = "0001-01-01T00:00:00Z";

/// The body of a webhook, version 4: alerts of one group, which share `alertname`. `receiver` is the name of who gets it,
/// `external_url` leads to this server.
pub fn webhook(alerts: &[Alert], receiver: &str, external_url: &str) -> Value {
    let shared = |of: fn(&Alert) -> &BTreeMap<String, String>| -> BTreeMap<&String, &String> {
        let Some((first, rest)) = alerts.split_first() else { return BTreeMap::new() };
        of(first).iter().filter(|(name, value)| rest.iter().all(|other| of(other).get(*name) == Some(value))).collect()
    };
    let common = shared(|alert| &alert.labels);
    let group: BTreeMap<_, _> = common.iter().filter(|(name, _)| name.as_str() == "alertname").collect();
    let matchers: Vec<String> = group.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    let firing = alerts.iter().any(|alert| alert.ends_at.is_none());
    json!({
        "version": "4",
        "groupKey": format!("{{}}:{{{}}}", matchers.join(",")),
        "truncatedAlerts": 0,
        "status": status(firing),
        "receiver": receiver,
        "groupLabels": group,
        "commonLabels": common,
        "commonAnnotations": shared(|alert| &alert.annotations),
        "externalURL": external_url,
        "alerts": alerts.iter().map(|alert| json!({
            "status": status(alert.ends_at.is_none()),
            "labels": alert.labels,
            "annotations": alert.annotations,
            "startsAt": rfc3339_micro(alert.starts_at),
            "endsAt": alert.ends_at.map_or_else(|| NEVER.to_owned(), rfc3339_micro),
            "generatorURL": external_url,
            "fingerprint": alert.fingerprint(),
        })).collect::<Vec<_>>(),
    })
}

/// The body for `POST /api/v2/alerts`. Alertmanager takes an open alert for resolved at its end, so an open one ends at
/// `until` and must be sent again before.
pub fn postable(alerts: &[Alert], until: Timestamp, external_url: &str) -> Value {
    let one = |alert: &Alert| {
        json!({
            "labels": alert.labels,
            "annotations": alert.annotations,
            "startsAt": rfc3339_micro(alert.starts_at),
            "endsAt": rfc3339_micro(alert.ends_at.unwrap_or(until)),
            "generatorURL": external_url,
        })
    };
    alerts.iter().map(one).collect()
}

fn status(firing: bool) -> &'static str {
    if firing { "firing" } else { "resolved" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(model: &str, ends_at: Option<Timestamp>) -> Alert {
        let map = |pairs: [(&str, &str); 2]| pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        Alert {
            labels: map([("alertname", "AccuracyLow"), ("model", model)]),
            annotations: map([("summary", "accuracy is 0.87"), ("value", "0.87")]),
            starts_at: 1_700_000_000_000,
            ends_at,
        }
    }

    #[test]
    fn a_webhook_is_what_receivers_know() {
        let body = webhook(&[alert("fraud", None), alert("churn", Some(1_700_000_060_000))], "team", "http://mcplane");
        let expected = json!({
            "version": "4",
            "groupKey": "{}:{alertname=\"AccuracyLow\"}",
            "truncatedAlerts": 0,
            "status": "firing",
            "receiver": "team",
            "groupLabels": {"alertname": "AccuracyLow"},
            "commonLabels": {"alertname": "AccuracyLow"},
            "commonAnnotations": {"summary": "accuracy is 0.87", "value": "0.87"},
            "externalURL": "http://mcplane",
            "alerts": [
                {
                    "status": "firing",
                    "labels": {"alertname": "AccuracyLow", "model": "fraud"},
                    "annotations": {"summary": "accuracy is 0.87", "value": "0.87"},
                    "startsAt": "2023-11-14T22:13:20.000000Z",
                    "endsAt": "0001-01-01T00:00:00Z",
                    "generatorURL": "http://mcplane",
                    "fingerprint": body["alerts"][0]["fingerprint"],
                },
                {
                    "status": "resolved",
                    "labels": {"alertname": "AccuracyLow", "model": "churn"},
                    "annotations": {"summary": "accuracy is 0.87", "value": "0.87"},
                    "startsAt": "2023-11-14T22:13:20.000000Z",
                    "endsAt": "2023-11-14T22:14:20.000000Z",
                    "generatorURL": "http://mcplane",
                    "fingerprint": body["alerts"][1]["fingerprint"],
                },
            ],
        });
        assert_eq!(body, expected);
        assert_ne!(body["alerts"][0]["fingerprint"], body["alerts"][1]["fingerprint"]);
        let resolved = webhook(&[alert("churn", Some(1_700_000_060_000))], "team", "");
        assert_eq!((&resolved["status"], &resolved["commonLabels"]["model"]), (&json!("resolved"), &json!("churn")));
    }

    /// The values come from Prometheus' `model.LabelSet.Fingerprint`: FNV-1a with 0xff after each text.
    #[test]
    fn fingerprints_are_of_sixteen_digits() {
        assert_eq!(Alert { labels: BTreeMap::new(), ..alert("", None) }.fingerprint(), "cbf29ce484222325");
        assert_eq!(alert("fraud", None).fingerprint().len(), 16);
    }

    #[test]
    fn an_open_alert_ends_when_it_is_not_sent_again() {
        let body = postable(&[alert("fraud", None), alert("churn", Some(1_700_000_060_000))], 1_700_000_300_000, "");
        assert_eq!(body[0]["endsAt"], "2023-11-14T22:18:20.000000Z");
        assert_eq!(body[1]["endsAt"], "2023-11-14T22:14:20.000000Z");
        assert!(body[0].get("fingerprint").is_none());
    }
}
