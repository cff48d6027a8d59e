//! What a webhook is.

use std::fmt;

use super::event::Kind;

/// A URL that is told of changes.
#[derive(Clone)]
pub struct Webhook {
    /// The database's own number.
    pub(super) no: i64,
    /// Namespace.
    pub namespace: String,
    /// Unique everywhere.
    pub id: String,
    /// What it is called; need not be unique.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Where messages go. It may hold a secret.
    pub url: String,
    /// With what messages are signed; sealed, empty for none.
    pub(super) secret: String,
    /// Whether it is told anything.
    pub active: bool,
    /// Milliseconds since the epoch.
    pub created_at: i64,
    /// Milliseconds since the epoch.
    pub updated_at: i64,
    /// What it is told of.
    pub(super) events: Vec<Kind>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("id", &self.id).field("active", &self.active).finish_non_exhaustive()
    }
}

/// A webhook to be made.
#[derive(Clone, Default)]
pub struct NewWebhook {
    /// What it is called.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Where messages go.
    pub url: String,
    /// With what they are signed; none if empty.
    pub secret: String,
    /// Whether it is told anything.
    pub active: bool,
    /// What it is told of.
    pub events: Vec<Kind>,
}

impl fmt::Debug for NewWebhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewWebhook").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What is to become of a webhook; what is `None` stays.
#[derive(Clone, Default)]
pub struct Change {
    /// What it is called.
    pub name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Where messages go.
    pub url: Option<String>,
    /// With what they are signed; an empty text takes the secret away.
    pub secret: Option<String>,
    /// Whether it is told anything.
    pub active: Option<bool>,
    /// What it is told of.
    pub events: Option<Vec<Kind>>,
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Change").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What came of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestResult {
    /// Whether the receiver was content.
    pub success: bool,
    /// Its status.
    pub status: Option<u16>,
    /// What it said.
    pub body: Option<String>,
    /// Why it said nothing.
    pub error: Option<String>,
}
