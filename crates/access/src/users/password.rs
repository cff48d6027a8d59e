//! Passwords of local users, hashed with argon2id.
//!
//! Hashing takes tens of milliseconds of CPU and 19 MiB of memory by design: call it on a thread that may block, and
//! bound how many run at once.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use mcplane_core::{Error, FieldError, FieldReason, Result};

/// Shortest password, in bytes.
pub const SHORTEST: usize = 8;
/// Longest password, in bytes; enough for any passphrase, and a bound on work.
pub const LONGEST: usize = 1024;

/// OWASP's first recommendation for argon2id: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// A hash with the parameters above that no password is known for, so that a login takes as long for a user who does
/// not exist as for one who does.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGlzIGF0IGhvbWU$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Whether a new password is acceptable.
///
/// # Errors
/// The rule that it breaks, without the password.
pub fn check_policy(field: &str, password: &str) -> Result<(), FieldError> {
    if password.len() < SHORTEST {
        let detail = format!("must have at least {SHORTEST} bytes");
        return Err(FieldError::new(field, FieldReason::Invalid, detail));
    }
    if password.len() > LONGEST {
        return Err(FieldError::new(field, FieldReason::TooLong, format!("may have at most {LONGEST} bytes")));
    }
    Ok(())
}

/// The hash of `password` as a PHC string with a random salt.
///
/// # Errors
/// [`Error::Internal`] if argon2 fails, as without memory.
pub fn hash(password: &str) -> Result<String> {
    let hash = argon2()?.hash_password(password.as_bytes());
    Ok(hash.map_err(|error| Error::internal(error.to_string()))?.to_string())
}

/// Whether `password` is the one of `stored`. `None` stands for a user who does not exist: the answer is no, after the
/// same work.
///
/// # Errors
/// [`Error::Internal`] if `stored` isn't a PHC string.
pub fn verify(password: &str, stored: Option<&str>) -> Result<bool> {
    // The same for everybody, so that it tells nothing about who exists.
    if password.len() > LONGEST {
        return Ok(false);
    }
    let parsed = PasswordHash::new(stored.unwrap_or(NOBODY));
    let parsed = parsed.map_err(|_| Error::internal("a stored password hash is damaged"))?;
    let matches = argon2()?.verify_password(password.as_bytes(), &parsed).is_ok();
    Ok(matches && stored.is_some())
}

fn argon2() -> Result<Argon2<'static>> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None);
    let params = params.map_err(|error| Error::internal(error.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFIX: &str = "$argon2id$v=19$m=19456,t=2,p=1$";

    #[test]
    fn the_right_password_and_no_other() {
        let stored = hash("correct horse").unwrap();
        assert!(stored.starts_with(PREFIX), "{stored}");
        assert!(verify("correct horse", Some(&stored)).unwrap());
        assert!(!verify("correct horsf", Some(&stored)).unwrap());
        assert!(!verify("", Some(&stored)).unwrap());
        assert!(!verify(&"x".repeat(LONGEST + 1), Some(&stored)).unwrap());
        assert_ne!(hash("correct horse").unwrap(), stored, "salts are random");
    }

    #[test]
    fn a_user_who_does_not_exist_costs_the_same_work() {
        assert!(NOBODY.starts_with(PREFIX));
        let real = hash("correct horse").unwrap();
        let (nobody, real) = (PasswordHash::new(NOBODY).unwrap(), PasswordHash::new(&real).unwrap());
        assert_eq!(nobody.hash.map(|hash| hash.len()), real.hash.map(|hash| hash.len()));
        assert!(!verify("correct horse", None).unwrap());
        assert!(verify("correct horse", Some("plain text")).is_err());
    }

    #[test]
    fn the_policy_counts_bytes_and_shows_none() {
        assert!(check_policy("password", "short12").is_err());
        assert!(check_policy("password", "long1234").is_ok());
        assert!(check_policy("password", "ääää").is_ok());
        assert!(check_policy("password", &"x".repeat(LONGEST)).is_ok());
        let error = check_policy("spec.password", &"x".repeat(LONGEST + 1)).unwrap_err();
        assert_eq!(error.to_string(), "spec.password: Too long: may have at most 1024 bytes");
    }
}
