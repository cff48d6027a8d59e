//! Files that runs and models leave: streamed in both directions, kept by `mcplane-blobs`.
//!
//! A URI of the scheme `mlflow-artifacts:` means this server's own store. Its paths carry the namespace: those of the
//! default namespace start at the root, as with a server without workspaces, those of others below `workspaces/NAME/`.
//! URIs of other schemes are the business of clients: this server reads them with its own credentials only below the root
//! that its operator configured, because whoever may name an experiment's location could otherwise read anything that
//! the server can.

pub(crate) mod headers;
pub(crate) mod mlflow;
mod paths;
pub(crate) mod service;
mod store;
mod types;

pub use paths::is_proxied;
pub use types::{Artifact, Artifacts};
