//! Webhooks of the registry, as MLflow has them: URLs that are told of changes.
//!
//! A change and the messages about it are one transaction; they wait in the outbox, a lane for each webhook, and are sent
//! from there: at least once, in the order of the changes, each with an id that all its attempts share. Address and secret are
//! those of the moment of sending. A webhook that is disabled is told nothing of what happens meanwhile; what waited waits on.
//!
//! Whom requests may reach is decided when they connect; see the egress crate.

mod address;
mod delivery;
mod event;
mod examples;
pub(crate) mod mlflow;
mod service;
mod signature;
mod store;
mod types;

pub(crate) use delivery::outcome;
pub use event::Kind;
pub(crate) use event::{
    ALIAS_CREATED, ALIAS_DELETED, LANES, MODEL_CREATED, PROMPT_ALIAS_CREATED, PROMPT_ALIAS_DELETED, PROMPT_CREATED,
    PROMPT_TAG_DELETED, PROMPT_TAG_SET, PROMPT_VERSION_CREATED, PROMPT_VERSION_TAG_DELETED, PROMPT_VERSION_TAG_SET,
    VERSION_CREATED, VERSION_TAG_DELETED, VERSION_TAG_SET, emit,
};
pub use types::{Change, NewWebhook, TestResult, Webhook};
