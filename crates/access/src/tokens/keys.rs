//! The keys that sign tokens. The newest one signs; those before it verify until the last token that they can have
//! signed is past.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mcplane_core::{Error, Result, Timestamp};
use serde::{Deserialize, Serialize};

/// The longest life of a token, and so the time for which a retired key still verifies.
pub const MAX_TOKEN_LIFETIME_MS: i64 = 24 * 60 * 60 * 1000;

/// Bytes of a secret: as many as the hash gives, as RFC 7518 demands.
const SECRET_BYTES: usize = 32;

/// A set of HS256 keys, oldest first. It always has exactly one that signs, its last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRing {
    keys: Vec<Key>,
}

/// One HS256 key.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    id: String,
    secret: [u8; SECRET_BYTES],
    created: Timestamp,
    retired: Option<Timestamp>,
}

impl Key {
    fn generate(now: Timestamp) -> Self {
        Self {
            id: URL_SAFE_NO_PAD.encode(rand::random::<[u8; 12]>()),
            secret: rand::random(),
            created: now,
            retired: None,
        }
    }

    /// The `kid` of tokens that it signs.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// When it was made.
    pub fn created(&self) -> Timestamp {
        self.created
    }

    /// When it stopped to sign.
    pub fn retired(&self) -> Option<Timestamp> {
        self.retired
    }

    pub(super) fn secret(&self) -> &[u8] {
        &self.secret
    }

    fn verifies_at(&self, now: Timestamp) -> bool {
        self.retired.is_none_or(|retired| now < retired.saturating_add(MAX_TOKEN_LIFETIME_MS))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("created", &self.created)
            .field("retired", &self.retired)
            .finish_non_exhaustive()
    }
}

impl KeyRing {
    /// A ring with one new key.
    pub fn generate(now: Timestamp) -> Self {
        Self { keys: vec![Key::generate(now)] }
    }

    /// A ring in which a new key signs, the one before it only verifies, and keys that no living token needs are gone.
    #[must_use]
    pub fn rotated(&self, now: Timestamp) -> Self {
        let mut keys: Vec<Key> = self.keys.iter().filter(|key| key.verifies_at(now)).cloned().collect();
        for key in &mut keys {
            key.retired.get_or_insert(now);
        }
        keys.push(Key::generate(now));
        Self { keys }
    }

    /// The key that signs.
    ///
    /// # Errors
    /// None in a ring made by this module, which never lacks such a key.
    pub fn signing(&self) -> Result<&Key> {
        let newest = self.keys.last().filter(|key| key.retired.is_none());
        newest.ok_or_else(|| Error::internal("the key ring has no key that signs"))
    }

    /// The key `id`, if tokens that it signed may still count at `now`.
    pub fn verifying(&self, id: &str, now: Timestamp) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == id && key.verifies_at(now))
    }

    /// All keys, oldest first.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The ring with its secrets, for a file that only the server may read.
    ///
    /// # Errors
    /// [`Error::Internal`] if it can't be written as JSON.
    pub fn to_secret_json(&self) -> Result<String> {
        let keys = self.keys.iter().map(|key| StoredKey {
            id: key.id.clone(),
            secret: URL_SAFE_NO_PAD.encode(key.secret),
            created: key.created,
            retired: key.retired,
        });
        serde_json::to_string_pretty(&StoredRing { keys: keys.collect() }).map_err(Error::internal)
    }

    /// Reads what [`Self::to_secret_json`] wrote.
    ///
    /// # Errors
    /// [`Error::Internal`] for anything else; it never quotes a secret.
    pub fn from_secret_json(text: &str) -> Result<Self> {
        // Serde's message could quote the text around the fault, so only the position goes out.
        let stored: StoredRing = serde_json::from_str(text).map_err(|error| {
            Error::internal(format!("the key ring is damaged at line {}, column {}", error.line(), error.column()))
        })?;
        let mut keys: Vec<Key> = Vec::with_capacity(stored.keys.len());
        for stored in stored.keys {
            let secret = URL_SAFE_NO_PAD.decode(stored.secret).ok().and_then(|bytes| bytes.try_into().ok());
            let Some(secret) = secret.filter(|_| !stored.id.is_empty()) else {
                return Err(Error::internal(format!("key {:?} of the key ring is damaged", stored.id)));
            };
            if keys.iter().any(|key| key.id == stored.id) {
                return Err(Error::internal(format!("key {:?} is in the key ring twice", stored.id)));
            }
            keys.push(Key { id: stored.id, secret, created: stored.created, retired: stored.retired });
        }
        let signing = keys.iter().filter(|key| key.retired.is_none()).count();
        let ring = Self { keys };
        if signing > 1 {
            return Err(Error::internal("the key ring has more than one key that signs"));
        }
        ring.signing()?;
        Ok(ring)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredRing {
    keys: Vec<StoredKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredKey {
    id: String,
    secret: String,
    created: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retired: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotation_signs_with_the_new_key_and_forgets_the_old_one_in_time() {
        let first = KeyRing::generate(1000);
        let old = first.signing().unwrap().id().to_owned();
        let second = first.rotated(5000);
        assert_ne!(second.signing().unwrap().id(), old);
        assert_eq!(second.keys()[0].retired(), Some(5000));
        assert!(second.verifying(&old, 5000 + MAX_TOKEN_LIFETIME_MS - 1).is_some());
        assert!(second.verifying(&old, 5000 + MAX_TOKEN_LIFETIME_MS).is_none());
        let third = second.rotated(5000 + MAX_TOKEN_LIFETIME_MS);
        assert_eq!(third.keys().len(), 2);
        assert!(third.keys().iter().all(|key| key.id() != old));
    }

    #[test]
    fn debug_shows_no_secret() {
        let ring = KeyRing::generate(0);
        let shown = format!("{ring:?}");
        let secret = URL_SAFE_NO_PAD.encode(ring.keys[0].secret);
        assert!(!shown.contains(&secret) && !shown.contains("secret"), "{shown}");
        assert!(!shown.contains(&format!("{:?}", ring.keys[0].secret)));
    }

    #[test]
    fn rings_survive_their_file() {
        let ring = KeyRing::generate(1).rotated(2);
        assert_eq!(KeyRing::from_secret_json(&ring.to_secret_json().unwrap()).unwrap(), ring);
    }

    #[test]
    fn damaged_files_are_refused_without_quoting_them() {
        let good = KeyRing::generate(1).to_secret_json().unwrap();
        let secret = URL_SAFE_NO_PAD.encode([7; 32]);
        let key =
            |id: &str, secret: &str, more: &str| format!(r#"{{"id":"{id}","secret":"{secret}","created":1{more}}}"#);
        let ring = |keys: &[String]| format!(r#"{{"keys":[{}]}}"#, keys.join(","));
        for bad in [
            good.replace("secret", "secrets"),
            good[..good.len() / 2].to_owned(),
            ring(&[]),
            ring(&[key("a", "AAAA", "")]),
            ring(&[key("", &secret, "")]),
            ring(&[key("a", &secret, r#","retired":2"#)]),
            ring(&[key("a", &secret, ""), key("b", &secret, "")]),
            ring(&[key("a", &secret, r#","retired":2"#), key("a", &secret, "")]),
        ] {
            let error = KeyRing::from_secret_json(&bad).unwrap_err();
            assert!(!format!("{error:?}").contains(&secret));
        }
        assert!(KeyRing::from_secret_json(&ring(&[key("a", &secret, "")])).is_ok());
    }
}
