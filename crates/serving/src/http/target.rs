//! Which version a path means.

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use mcplane_core::Error;

use super::answer::Failure;
use crate::models::Version;

/// The model of a path, and its version if the path has one.
#[derive(Debug)]
pub(super) struct Target {
    /// `None` where the path names no model.
    pub(super) model: Option<String>,
    pub(super) version: Option<Version>,
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
        Ok(Self { model, version })
    }
}
