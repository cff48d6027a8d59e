//! JSON web tokens of local users and service accounts, the keys that sign them, and the choice among issuers.

pub mod identity;
pub mod issuer;
pub mod jwt;
pub mod key_file;
pub mod keys;

pub use identity::{BoundKind, BoundObject, Identity, LocalUser, ServiceAccount};
pub use issuer::{LocalIssuer, TokenVerifier, Verifiers};
pub use jwt::{IssuedToken, Realm, TokenError};
pub use keys::KeyRing;
