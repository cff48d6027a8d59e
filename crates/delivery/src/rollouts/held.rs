//! What rollouts say of traffic, for those who build tables of routes.

use std::sync::Arc;

use tokio::sync::watch;

use crate::routes::{Audience, Override};

/// What a rollout says of one InferenceService. As long as there is one, nothing is sent anywhere else, and both revisions
/// stay loaded.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// Where the service is.
    pub namespace: String,
    /// Its name.
    pub service: String,
    /// Number of the revision that serves.
    pub stable: u64,
    /// The revision that goes out.
    pub next: Option<Next>,
}

/// A revision that goes out.
#[derive(Debug, Clone, PartialEq)]
pub struct Next {
    /// Its number.
    pub number: u64,
    /// Who gets it whatever the weight.
    pub audiences: Vec<Audience>,
    /// Percent of everybody else.
    pub weight: u32,
}

/// A stage that lies over somebody's VirtualService.
#[derive(Debug, Clone, PartialEq)]
pub struct Laid {
    /// Where the virtual service is.
    pub namespace: String,
    /// Its name.
    pub virtual_service: String,
    /// The stage.
    pub stage: Override,
}

/// What all rollouts say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Holdings {
    /// Of services, each at most once.
    pub services: Vec<Held>,
    /// Of virtual services.
    pub virtual_services: Vec<Laid>,
}

/// What rollouts say now; `None` until it is known: no routes may be made before, or a canary would get everything.
pub type Holds = watch::Receiver<Option<Arc<Holdings>>>;
