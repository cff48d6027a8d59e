//! Issuers of tokens: the server's own, and the choice among all that are configured.

use std::sync::{Arc, PoisonError, RwLock};

use mcplane_core::{Result, Timestamp};

use super::identity::{Identity, LocalUser, ServiceAccount};
use super::jwt::{self, IssuedToken, Realm, TokenError};
use super::keys::KeyRing;

/// Verifies the tokens of one issuer from what it holds in memory.
pub trait TokenVerifier: Send + Sync + std::fmt::Debug {
    /// The `iss` of the tokens that it verifies.
    fn issuer(&self) -> &str;

    /// Who the token speaks of, if it is good at `now`. Trusts nothing that it hasn't verified, the issuer included.
    ///
    /// # Errors
    /// The reason to refuse the token.
    fn verify(&self, token: &str, now: Timestamp) -> Result<Identity, TokenError>;
}

/// All issuers that the server trusts.
#[derive(Debug, Clone, Default)]
pub struct Verifiers(Vec<Arc<dyn TokenVerifier>>);

impl Verifiers {
    /// The given issuers; of two with the same name the first counts.
    pub fn new(verifiers: Vec<Arc<dyn TokenVerifier>>) -> Self {
        Self(verifiers)
    }

    /// Has the token verified by the issuer that it claims to be from, if that one is trusted.
    ///
    /// # Errors
    /// The reason to refuse the token.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Identity, TokenError> {
        let claimed = jwt::claimed_issuer(token)?;
        let verifier = self.0.iter().find(|verifier| verifier.issuer() == claimed);
        verifier.ok_or(TokenError::WrongIssuer)?.verify(token, now)
    }
}

/// The server's own issuer.
#[derive(Debug)]
pub struct LocalIssuer {
    realm: Realm,
    ring: RwLock<Arc<KeyRing>>,
    user_lifetime_ms: i64,
}

impl LocalIssuer {
    /// An issuer that signs with the keys of `ring`.
    pub fn new(realm: Realm, ring: KeyRing) -> Self {
        Self { realm, ring: RwLock::new(Arc::new(ring)), user_lifetime_ms: jwt::USER_TOKEN_LIFETIME_MS }
    }

    /// The same with another life of users' tokens.
    #[must_use]
    pub fn with_user_lifetime(self, user_lifetime_ms: i64) -> Self {
        Self { user_lifetime_ms, ..self }
    }

    /// Whose tokens these are.
    pub fn realm(&self) -> &Realm {
        &self.realm
    }

    /// The keys in use.
    pub fn keys(&self) -> Arc<KeyRing> {
        Arc::clone(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes other keys into use. Save them first: what they sign must verify after a restart.
    pub fn replace_keys(&self, ring: KeyRing) {
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
    }

    /// See [`jwt::issue_user`].
    ///
    /// # Errors
    /// As there.
    pub fn issue_user(&self, user: &LocalUser, now: Timestamp) -> Result<IssuedToken> {
        jwt::issue_user(&self.keys(), &self.realm, user, self.user_lifetime_ms, now)
    }

    /// See [`jwt::issue_service_account`].
    ///
    /// # Errors
    /// As there.
    pub fn issue_service_account(
        &self,
        account: &ServiceAccount,
        audiences: &[String],
        lifetime_ms: i64,
        now: Timestamp,
    ) -> Result<IssuedToken> {
        jwt::issue_service_account(&self.keys(), &self.realm, account, audiences, lifetime_ms, now)
    }

    /// Who the token speaks of, if it is good at `now` and for one of `audiences`, instead of the realm's own.
    ///
    /// # Errors
    /// The reason to refuse the token.
    pub fn verify_for(&self, token: &str, audiences: &[String], now: Timestamp) -> Result<Identity, TokenError> {
        let realm = Realm { issuer: self.realm.issuer.clone(), audiences: audiences.to_vec() };
        jwt::verify(&self.keys(), &realm, token, now)
    }
}

impl TokenVerifier for LocalIssuer {
    fn issuer(&self) -> &str {
        &self.realm.issuer
    }

    fn verify(&self, token: &str, now: Timestamp) -> Result<Identity, TokenError> {
        jwt::verify(&self.keys(), &self.realm, token, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = 1_700_000_000_000;

    fn issuer(name: &str) -> Arc<LocalIssuer> {
        let realm = Realm { issuer: name.into(), audiences: vec!["mcplane".into()] };
        Arc::new(LocalIssuer::new(realm, KeyRing::generate(NOW)))
    }

    fn ann() -> LocalUser {
        LocalUser { name: "ann".into(), uid: 1001, role: "admin".into() }
    }

    #[test]
    fn the_claimed_issuer_picks_the_verifier_and_proves_nothing() {
        let (here, there, stranger) = (issuer("https://here"), issuer("https://there"), issuer("https://here"));
        let verifiers = Verifiers::new(vec![here.clone(), there.clone()]);
        for known in [&here, &there] {
            let token = known.issue_user(&ann(), NOW).unwrap().token;
            assert_eq!(verifiers.verify(&token, NOW).unwrap().caller().name, "ann");
        }
        let forged = stranger.issue_user(&ann(), NOW).unwrap().token;
        assert_eq!(verifiers.verify(&forged, NOW), Err(TokenError::UnknownKey));
        let foreign = issuer("https://else").issue_user(&ann(), NOW).unwrap().token;
        assert_eq!(verifiers.verify(&foreign, NOW), Err(TokenError::WrongIssuer));
        assert_eq!(Verifiers::default().verify(&forged, NOW), Err(TokenError::WrongIssuer));
        assert!(matches!(verifiers.verify("nonsense", NOW), Err(TokenError::Malformed(_))));
    }

    #[test]
    fn tokens_outlive_a_rotation_of_keys() {
        let issuer = issuer("https://here");
        let token = issuer.issue_user(&ann(), NOW).unwrap().token;
        issuer.replace_keys(issuer.keys().rotated(NOW + 1000));
        assert!(issuer.verify(&token, NOW + 2000).is_ok());
        let newer = issuer.issue_user(&ann(), NOW + 2000).unwrap().token;
        assert!(issuer.verify(&newer, NOW + 2000).is_ok());
        issuer.replace_keys(KeyRing::generate(NOW));
        assert_eq!(issuer.verify(&token, NOW + 2000), Err(TokenError::UnknownKey));
    }
}
