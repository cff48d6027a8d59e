//! Reading one object.

use mcplane_core::{Grant, Result};

use super::Objects;
use crate::storage::Stored;

impl Objects {
    /// The object that the grant names.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn get(&self, grant: &Grant, version: &str) -> Result<Stored> {
        let call = self.call(grant, version)?;
        call.kind.storage.get(&call.key()).await?.ok_or_else(|| call.not_found())
    }
}
