//! How a receiver knows that a message is ours: Standard Webhooks, with MLflow's names.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use mcplane_core::{Error, Result};
use sha2::Sha256;

/// `v1,` and the HMAC-SHA256 of `ID.SECONDS.BODY` in base64.
pub(super) fn sign(secret: &str, id: &str, seconds: &str, body: &str) -> Result<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map_err(Error::internal)?;
    for part in [id, ".", seconds, ".", body] {
        mac.update(part.as_bytes());
    }
    Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_one_of_other_implementations() {
        // Made by Python's hmac.
        let signature = sign("key", "id-1", "1700000000", r#"{"a": "ä"}"#).unwrap();
        assert_eq!(signature, "v1,xeKU+agg5K//fHJGxbIc7R638Wcg1FMfWRfsdUetEIg=");
    }
}
