//! Clients that send a name and a password with each request, as MLflow's does. Checking a password takes tens of
//! milliseconds of a core by design, so a good one is remembered for a while, as a salted digest beside the token that a
//! login with it gave: from then on such a request is one with that token.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mcplane_core::{Context, Error, Result, Timestamp};
use sha2::{Digest as _, Sha256};

use super::Users;
use super::login::Logins;

/// How long a good password is remembered, in milliseconds.
const REMEMBERED_MS: i64 = 300_000;
/// Passwords remembered; beyond, those that end first are forgotten.
const MOST: usize = 4096;

/// Gives tokens for `Authorization: Basic`.
pub(crate) struct BasicLogins {
    users: Arc<Users>,
    logins: Arc<Logins>,
    salt: [u8; 32],
    remembered: Mutex<HashMap<[u8; 32], Remembered>>,
}

struct Remembered {
    token: String,
    /// Of the user when the password was checked: a new password, or any other change, forgets the old.
    revision: u64,
    ends: Timestamp,
}

impl BasicLogins {
    pub(crate) fn new(users: Arc<Users>, logins: Arc<Logins>) -> Self {
        Self { users, logins, salt: rand::random(), remembered: Mutex::default() }
    }

    /// The token of a login with these credentials, as the header has them.
    ///
    /// # Errors
    /// [`Error::Unauthorized`] for what is no name and password or the wrong ones; see [`Logins::login`].
    pub(crate) async fn token(&self, context: &Context, encoded: &str, now: Timestamp) -> Result<String> {
        let (name, password) = decode(encoded)?;
        let revision = self.users.revision(&name).unwrap_or_default();
        let key = self.key(&name, &password);
        if let Some(found) = self.lock().get(&key).filter(|found| found.revision == revision && found.ends > now) {
            return Ok(found.token.clone());
        }
        let issued = self.logins.login(context, &name, password).await?;
        let ends = issued.expires.min(now.saturating_add(REMEMBERED_MS));
        let mut remembered = self.lock();
        if remembered.len() >= MOST {
            remembered.retain(|_, other| other.ends > now);
            if remembered.len() >= MOST {
                remembered.clear();
            }
        }
        remembered.insert(key, Remembered { token: issued.token.clone(), revision, ends });
        Ok(issued.token)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Remembered>> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self, name: &str, password: &str) -> [u8; 32] {
        let length = (name.len() as u64).to_le_bytes();
        Sha256::new()
            .chain_update(self.salt)
            .chain_update(length)
            .chain_update(name)
            .chain_update(password)
            .finalize()
            .into()
    }
}

fn decode(encoded: &str) -> Result<(String, String)> {
    let wrong = || Error::Unauthorized("the Authorization header must read: Basic BASE64(NAME:PASSWORD)".to_owned());
    let bytes = STANDARD.decode(encoded).map_err(|_| wrong())?;
    let text = String::from_utf8(bytes).map_err(|_| wrong())?;
    let (name, password) = text.split_once(':').ok_or_else(wrong)?;
    Ok((name.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_at_the_first_colon() {
        let (name, password) = decode(&STANDARD.encode("ann:a:b")).unwrap();
        assert_eq!((name.as_str(), password.as_str()), ("ann", "a:b"));
        for bad in ["", "%%%", &STANDARD.encode("ann"), &STANDARD.encode([0xff, b':'])] {
            assert!(decode(bad).is_err(), "{bad}");
        }
    }
}
