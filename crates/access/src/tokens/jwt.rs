//! Issues and verifies HS256 tokens. Verification knows one algorithm, that of the key; the token's header only picks
//! the key, by an id that must be in the ring.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use mcplane_core::{Error, Result, Timestamp};
use serde::{Deserialize, Serialize};

use super::identity::{BoundKind, BoundObject, Identity, LocalUser, ServiceAccount};
use super::keys::{KeyRing, MAX_TOKEN_LIFETIME_MS};

/// Life of a local user's token, unless the operator chose another.
pub const USER_TOKEN_LIFETIME_MS: i64 = 2 * 60 * 60 * 1000;
/// A longer token is refused before anything is read from it.
pub const MOST_TOKEN_BYTES: usize = 16 * 1024;
const MOST_KEY_ID_BYTES: usize = 64;
/// How far ahead the clock of another server may be.
const LEEWAY_S: i64 = 60;

/// Who issues tokens, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Realm {
    /// The `iss` of every token.
    pub issuer: String,
    /// Audiences that this server answers to; the first goes into tokens that ask for none.
    pub audiences: Vec<String>,
}

/// A new token.
#[derive(Clone, PartialEq, Eq)]
pub struct IssuedToken {
    /// The token itself; a secret.
    pub token: String,
    /// When it ends, in milliseconds.
    pub expires: Timestamp,
    /// Its unique id, which may be logged.
    pub token_id: String,
}

impl std::fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedToken")
            .field("expires", &self.expires)
            .field("token_id", &self.token_id)
            .finish_non_exhaustive()
    }
}

/// Why a token is refused. None of these quotes the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// More than [`MOST_TOKEN_BYTES`].
    #[error("the token is longer than {MOST_TOKEN_BYTES} bytes")]
    TooLong,
    /// Not three parts of base64 and JSON, or parts that say things twice.
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    /// Signed, if at all, in another way than the key's.
    #[error("the token is not signed with HS256")]
    WrongAlgorithm,
    /// Names a key that isn't there, or no longer.
    #[error("the token names an unknown key")]
    UnknownKey,
    /// Not signed by the key that it names.
    #[error("the token's signature is wrong")]
    WrongSignature,
    /// Lacks something that every token has.
    #[error("the token lacks the claim {0:?}")]
    MissingClaim(&'static str),
    /// From somebody else.
    #[error("the token is from another issuer")]
    WrongIssuer,
    /// For somebody else.
    #[error("the token is for another audience")]
    WrongAudience,
    /// Past.
    #[error("the token has expired")]
    Expired,
    /// Still to come.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// Names nobody who could have such a token.
    #[error("the token's subject is not acceptable")]
    WrongSubject,
}

impl From<TokenError> for Error {
    fn from(error: TokenError) -> Self {
        Self::Unauthorized(error.to_string())
    }
}

/// Issues the token of a local user. A life beyond [`MAX_TOKEN_LIFETIME_MS`] is cut to it.
///
/// # Errors
/// [`Error::BadRequest`] for a user without name or role or with a name of the system's.
pub fn issue_user(
    ring: &KeyRing,
    realm: &Realm,
    user: &LocalUser,
    lifetime_ms: i64,
    now: Timestamp,
) -> Result<IssuedToken> {
    if !acceptable_user(&user.name, &user.role) {
        return Err(Error::bad_request("a token needs a user with a name outside system: and a role"));
    }
    let mut claims = Claims::new(realm, &user.name, realm.audiences.first().cloned().into_iter().collect());
    claims.uid = Some(user.uid);
    claims.role = Some(user.role.clone());
    sign(ring, claims, lifetime_ms.clamp(1000, MAX_TOKEN_LIFETIME_MS), now)
}

/// Issues the token of a service account for `audiences` (the realm's first if empty). A life beyond
/// [`MAX_TOKEN_LIFETIME_MS`] is cut to it.
///
/// # Errors
/// [`Error::BadRequest`] for an incomplete account or a life that isn't positive.
pub fn issue_service_account(
    ring: &KeyRing,
    realm: &Realm,
    account: &ServiceAccount,
    audiences: &[String],
    lifetime_ms: i64,
    now: Timestamp,
) -> Result<IssuedToken> {
    if !acceptable_account(account) {
        return Err(Error::bad_request("a token needs the namespace, name and uid of its service account"));
    }
    if lifetime_ms < 1000 {
        return Err(Error::bad_request("a token must live for a second at least"));
    }
    let audiences =
        if audiences.is_empty() { realm.audiences.iter().take(1) } else { audiences.iter().take(usize::MAX) };
    let mut claims = Claims::new(realm, &account.user_name(), audiences.cloned().collect());
    let reference = |name: &str, uid: &str| Some(Reference { name: Some(name.to_owned()), uid: Some(uid.to_owned()) });
    let bound = |kind| {
        account.bound.as_ref().filter(|bound| bound.kind == kind).and_then(|bound| reference(&bound.name, &bound.uid))
    };
    claims.kubernetes = Some(KubernetesClaims {
        namespace: Some(account.namespace.clone()),
        serviceaccount: reference(&account.name, &account.uid),
        pod: bound(BoundKind::Pod),
        secret: bound(BoundKind::Secret),
        node: bound(BoundKind::Node),
    });
    sign(ring, claims, lifetime_ms.min(MAX_TOKEN_LIFETIME_MS), now)
}

fn sign(ring: &KeyRing, mut claims: Claims, lifetime_ms: i64, now: Timestamp) -> Result<IssuedToken> {
    let key = ring.signing()?;
    let token_id = uuid::Uuid::new_v4().to_string();
    let issued_s = now.div_euclid(1000);
    let expires_s = issued_s.saturating_add(lifetime_ms / 1000);
    claims.iat = Some(issued_s);
    claims.exp = Some(expires_s);
    claims.jti = Some(token_id.clone());
    let header = Header { kid: Some(key.id().to_owned()), ..Header::new(Algorithm::HS256) };
    let token = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(key.secret()));
    let token = token.map_err(Error::internal)?;
    if token.len() > MOST_TOKEN_BYTES {
        return Err(Error::bad_request("the token would be too long: ask for fewer audiences"));
    }
    Ok(IssuedToken { token, expires: expires_s.saturating_mul(1000), token_id })
}

/// Who the token speaks of, if a key of `ring` signed it for `realm` and it is good at `now`.
///
/// # Errors
/// The first reason to refuse it.
pub fn verify(ring: &KeyRing, realm: &Realm, token: &str, now: Timestamp) -> Result<Identity, TokenError> {
    let [header, payload, signature] = split(token)?;
    let signed = &token[..header.len() + 1 + payload.len()];
    let header: TokenHeader = decode(header, "its header")?;
    if header.alg != "HS256" {
        return Err(TokenError::WrongAlgorithm);
    }
    if header.typ.is_some_and(|typ| typ != "JWT") {
        return Err(TokenError::Malformed("it is of another type"));
    }
    if header.kid.len() > MOST_KEY_ID_BYTES {
        return Err(TokenError::UnknownKey);
    }
    let key = ring.verifying(&header.kid, now).ok_or(TokenError::UnknownKey)?;
    let secret = DecodingKey::from_secret(key.secret());
    match jsonwebtoken::crypto::verify(signature, signed.as_bytes(), &secret, Algorithm::HS256) {
        Ok(true) => decode::<Claims>(payload, "its claims")?.check(realm, now),
        Ok(false) | Err(_) => Err(TokenError::WrongSignature),
    }
}

/// The issuer that an unverified token claims, to pick who verifies it and for nothing else.
pub(super) fn claimed_issuer(token: &str) -> Result<String, TokenError> {
    #[derive(Deserialize)]
    struct Claimed {
        iss: Option<String>,
    }
    let [_, payload, _] = split(token)?;
    decode::<Claimed>(payload, "its claims")?.iss.ok_or(TokenError::MissingClaim("iss"))
}

fn split(token: &str) -> Result<[&str; 3], TokenError> {
    if token.len() > MOST_TOKEN_BYTES {
        return Err(TokenError::TooLong);
    }
    let mut parts = token.split('.');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(header), Some(payload), Some(signature), None) => Ok([header, payload, signature]),
        _ => Err(TokenError::Malformed("it does not have three parts")),
    }
}

fn decode<T: serde::de::DeserializeOwned>(part: &str, what: &'static str) -> Result<T, TokenError> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed(what))?;
    serde_json::from_slice(&bytes).map_err(|_| TokenError::Malformed(what))
}

fn acceptable_user(name: &str, role: &str) -> bool {
    !name.is_empty() && !name.starts_with("system:") && !role.is_empty()
}

/// Colons would let one account's name be read as another's.
fn acceptable_account(account: &ServiceAccount) -> bool {
    let names = [&account.namespace, &account.name];
    names.iter().all(|name| !name.is_empty() && !name.contains(':')) && !account.uid.is_empty()
}

/// The header of our own tokens: a header with anything more (`jwk`, `jku`, `crit`, ...) is not one of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenHeader {
    alg: String,
    kid: String,
    typ: Option<String>,
}

#[derive(Default, Serialize, Deserialize)]
struct Claims {
    iss: Option<String>,
    sub: Option<String>,
    aud: Option<Audience>,
    exp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    iat: Option<i64>,
    jti: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    #[serde(rename = "kubernetes.io", skip_serializing_if = "Option::is_none")]
    kubernetes: Option<KubernetesClaims>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

#[derive(Default, Serialize, Deserialize)]
struct KubernetesClaims {
    namespace: Option<String>,
    serviceaccount: Option<Reference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod: Option<Reference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<Reference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<Reference>,
}

#[derive(Serialize, Deserialize)]
struct Reference {
    name: Option<String>,
    uid: Option<String>,
}

impl Reference {
    fn complete(self) -> Result<(String, String), TokenError> {
        self.name.zip(self.uid).ok_or(TokenError::MissingClaim("kubernetes.io"))
    }
}

impl Claims {
    fn new(realm: &Realm, subject: &str, audiences: Vec<String>) -> Self {
        let audience = Audience::Many(audiences);
        Self { iss: Some(realm.issuer.clone()), sub: Some(subject.to_owned()), aud: Some(audience), ..Self::default() }
    }

    fn check(self, realm: &Realm, now: Timestamp) -> Result<Identity, TokenError> {
        let now_s = now.div_euclid(1000);
        if self.iss.ok_or(TokenError::MissingClaim("iss"))? != realm.issuer {
            return Err(TokenError::WrongIssuer);
        }
        let for_us = |audience: &String| realm.audiences.contains(audience);
        let audience_matches = match self.aud.ok_or(TokenError::MissingClaim("aud"))? {
            Audience::One(audience) => for_us(&audience),
            Audience::Many(audiences) => audiences.iter().any(for_us),
        };
        if !audience_matches {
            return Err(TokenError::WrongAudience);
        }
        if now_s >= self.exp.ok_or(TokenError::MissingClaim("exp"))? {
            return Err(TokenError::Expired);
        }
        let issued_s = self.iat.ok_or(TokenError::MissingClaim("iat"))?;
        if self.nbf.is_some_and(|from_s| now_s < from_s) || issued_s > now_s.saturating_add(LEEWAY_S) {
            return Err(TokenError::NotYetValid);
        }
        let token_id = self.jti.filter(|id| !id.is_empty()).ok_or(TokenError::MissingClaim("jti"))?;
        let subject = self.sub.ok_or(TokenError::MissingClaim("sub"))?;
        match (self.kubernetes, self.uid, self.role) {
            (Some(claims), None, None) => {
                let account = claims.account()?;
                let ours = acceptable_account(&account) && account.user_name() == subject;
                ours.then_some(Identity::ServiceAccount { account, token_id }).ok_or(TokenError::WrongSubject)
            }
            (Some(_), _, _) => Err(TokenError::Malformed("it speaks of a user and a service account")),
            (None, uid, role) => {
                let uid = uid.ok_or(TokenError::MissingClaim("uid"))?;
                let role = role.ok_or(TokenError::MissingClaim("role"))?;
                if !acceptable_user(&subject, &role) {
                    return Err(TokenError::WrongSubject);
                }
                Ok(Identity::User { user: LocalUser { name: subject, uid, role }, token_id })
            }
        }
    }
}

impl KubernetesClaims {
    fn account(self) -> Result<ServiceAccount, TokenError> {
        const MISSING: TokenError = TokenError::MissingClaim("kubernetes.io");
        let (name, uid) = self.serviceaccount.ok_or(MISSING)?.complete()?;
        let bound = [(BoundKind::Pod, self.pod), (BoundKind::Secret, self.secret), (BoundKind::Node, self.node)];
        let mut bound = bound.into_iter().filter_map(|(kind, reference)| Some((kind, reference?)));
        let first = bound.next();
        if bound.next().is_some() {
            return Err(TokenError::Malformed("it is bound to several objects"));
        }
        let bound = match first {
            None => None,
            Some((kind, reference)) => {
                let (name, uid) = reference.complete()?;
                Some(BoundObject { kind, name, uid })
            }
        };
        Ok(ServiceAccount { namespace: self.namespace.ok_or(MISSING)?, name, uid, bound })
    }
}

#[cfg(test)]
#[path = "jwt_tests.rs"]
mod tests;
