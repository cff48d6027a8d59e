//! Which version a path means.

use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use mcplane_core::{Error, Result};

use super::answer::Failure;
use super::{Chosen, Door};
use crate::models::{Loaded, Version};

/// The model of a path, and its version if the path has one.
#[derive(Debug)]
pub(super) struct Target {
    /// `None` where the path names no model.
    pub(super) model: Option<String>,
    pub(super) version: Option<Version>,
    /// Who answers, where that was decided before.
    pub(super) chosen: Option<Chosen>,
}

impl Target {
    /// The model that answers: the chosen one, else that of the path, else the only one that there is.
    pub(super) fn find(&self, door: &Door) -> Result<Arc<Loaded>> {
        if let Some(Chosen { loaded, alias }) = &self.chosen {
            let known = self.model.as_deref().is_none_or(|model| model == loaded.name() || model == alias);
            return match self.version {
                _ if !known => {
                    let model = self.model.as_deref().unwrap_or_default();
                    let message = format!("there is no model {model:?} here; this service has {:?}", loaded.name());
                    Err(Error::Missing(message))
                }
                None => Ok(Arc::clone(loaded)),
                version => door.repository.get(loaded.name(), version),
            };
        }
        if let Some(model) = &self.model {
            return door.repository.get(model, self.version);
        }
        let mut names: Vec<String> = door.repository.list().into_iter().map(|listed| listed.name).collect();
        names.dedup();
        match names.as_slice() {
            [name] => door.repository.get(name, None),
            names => {
                let message = format!("there are {} models: name one, as in /v2/models/NAME/invocations", names.len());
                Err(Error::BadRequest(message))
            }
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Target {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let unreadable = |error| Failure(Error::BadRequest(format!("the path can't be read: {error}")));
        let params = RawPathParams::from_request_parts(parts, state).await.map_err(unreadable)?;
        let (mut model, mut version) = (None, None);
        for (name, value) in &params {
            match name {
                "model" => model = Some(value.to_owned()),
                "version" => {
                    let no_number =
                        |_| Failure(Error::Missing(format!("there is no version {value:?}: versions are numbers")));
                    version = Some(value.parse().map_err(no_number)?);
                }
                _ => {}
            }
        }
        Ok(Self { model, version, chosen: parts.extensions.get().cloned() })
    }
}
