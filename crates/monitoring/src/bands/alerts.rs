//! Alerts: what is open, and what has to be told.

use std::collections::BTreeMap;

use mcplane_core::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Change, Level};

/// Something that somebody must know, or had to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// What it is about; together they are its identity. Has `alertname`.
    pub labels: BTreeMap<String, String>,
    /// What people read.
    pub annotations: BTreeMap<String, String>,
    /// When it was raised.
    pub starts_at: Timestamp,
    /// When it was resolved; `None` while it is open.
    pub ends_at: Option<Timestamp>,
}

impl Alert {
    /// The identity in Alertmanager's form: FNV-1a over the labels in order, as 16 hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        let mut hash = 0xcbf2_9ce4_8422_2325u64;
        let mut eat = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        for (name, value) in &self.labels {
            for text in [name, value] {
                text.bytes().for_each(&mut eat);
                eat(0xff);
            }
        }
        format!("{hash:016x}")
    }
}

/// What has to be told, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// An alert was raised.
    Raised(Alert),
    /// An alert was resolved.
    Resolved(Alert),
}

/// The open alerts. Kept over restarts; telling what [`Alerts::step`] gives in the same transaction makes it exactly once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alerts {
    open: BTreeMap<String, Alert>,
}

impl Alerts {
    /// Open alerts, by fingerprint.
    pub fn open(&self) -> impl Iterator<Item = &Alert> {
        self.open.values()
    }

    /// Follows a change of level of what `labels` name. An alert that is open already is not raised again, and one that
    /// is not open is not resolved.
    pub fn step(
        &mut self,
        now: Timestamp,
        change: Change,
        labels: BTreeMap<String, String>,
        annotations: BTreeMap<String, String>,
    ) -> Option<Notice> {
        let alert = Alert { labels, annotations, starts_at: now, ends_at: None };
        let key = alert.fingerprint();
        if change.to == Level::Alert {
            if self.open.contains_key(&key) {
                return None;
            }
            self.open.insert(key, alert.clone());
            return Some(Notice::Raised(alert));
        }
        (change.from == Level::Alert).then(|| self.close(now, &key, alert.annotations)).flatten()
    }

    /// Resolves every alert whose labels hold all of `labels`, because what they are about is gone.
    pub fn gone(&mut self, now: Timestamp, labels: &BTreeMap<String, String>) -> Vec<Notice> {
        let about = |alert: &Alert| labels.iter().all(|(name, value)| alert.labels.get(name) == Some(value));
        let keys: Vec<String> =
            self.open.iter().filter(|(_, alert)| about(alert)).map(|(key, _)| key.clone()).collect();
        keys.iter().filter_map(|key| self.close(now, key, BTreeMap::new())).collect()
    }

    fn close(&mut self, now: Timestamp, key: &str, annotations: BTreeMap<String, String>) -> Option<Notice> {
        let mut alert = self.open.remove(key)?;
        alert.annotations.extend(annotations);
        alert.ends_at = Some(now.max(alert.starts_at));
        Some(Notice::Resolved(alert))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(model: &str) -> BTreeMap<String, String> {
        [("alertname", "Accuracy"), ("model", model)].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
    }

    const UP: Change = Change { from: Level::Warning, to: Level::Alert };
    const DOWN: Change = Change { from: Level::Alert, to: Level::Normal };

    #[test]
    fn raised_once_and_resolved_once() {
        let mut alerts = Alerts::default();
        let mut step = |now, change| alerts.step(now, change, labels("a"), BTreeMap::new());
        assert_eq!(step(1, DOWN), None);
        assert!(matches!(step(2, UP), Some(Notice::Raised(alert)) if alert.starts_at == 2));
        assert_eq!(step(3, UP), None);
        assert_eq!(step(4, Change { from: Level::Normal, to: Level::Warning }), None);
        let Some(Notice::Resolved(alert)) = step(5, DOWN) else { panic!("not resolved") };
        assert_eq!((alert.starts_at, alert.ends_at), (2, Some(5)));
        assert_eq!(step(6, DOWN), None);
    }

    #[test]
    fn what_is_gone_alerts_no_more() {
        let mut alerts = Alerts::default();
        for model in ["a", "b"] {
            alerts.step(1, UP, labels(model), BTreeMap::new());
        }
        let text = serde_json::to_string(&alerts).unwrap();
        let mut alerts: Alerts = serde_json::from_str(&text).unwrap();
        let gone = BTreeMap::from([("model".to_owned(), "a".to_owned())]);
        assert_eq!(alerts.gone(9, &gone).len(), 1);
        assert_eq!(alerts.open().count(), 1);
        assert_eq!(alerts.gone(9, &gone), []);
    }
}
