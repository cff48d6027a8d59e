//! Secrets at rest: all of an object but its metadata, and the annotations too, is sealed with a key that is not in the
//! database.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use futures::future::BoxFuture;
use mcplane_core::{Error, Result};

use super::{Effect, Key, Page, Range, Refusal, Storage, Stored, TableStorage, Write};

const FIELD: &str = "sealed";
const NONCE: usize = 24;

/// XChaCha20-Poly1305 under the newest of some keys; older keys still open what they sealed.
#[derive(Clone)]
pub struct Cipher {
    keys: BTreeMap<u32, XChaCha20Poly1305>,
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cipher").field("keys", &self.keys.keys()).finish()
    }
}

impl Cipher {
    /// Reads a key file: a line `NUMBER BASE64` a key, the highest number being the newest. A missing file is created
    /// with one random key, readable by its owner alone, and is on the disk before this returns.
    ///
    /// # Errors
    /// When the file can't be read or written, or is malformed.
    pub fn load_or_create(path: &Path) -> Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => create(path).map_err(Error::internal)?,
            Err(error) => return Err(Error::internal(error)),
        };
        Self::parse(&text).ok_or_else(|| Error::internal(format!("{} is not a file of keys", path.display())))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut keys = BTreeMap::new();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let (number, key) = line.split_once(' ')?;
            let key: [u8; 32] = STANDARD.decode(key.trim()).ok()?.try_into().ok()?;
            keys.insert(number.parse().ok()?, XChaCha20Poly1305::new(&key.into()));
        }
        (!keys.is_empty()).then_some(Self { keys })
    }

    /// Seals a text, as `KEY:BASE64(nonce, ciphertext)`. `context` says what it belongs to, and must be the same when opening.
    ///
    /// # Errors
    /// [`Error::Internal`] without a key.
    pub fn seal(&self, plain: &str, context: &str) -> Result<String> {
        let (number, key) = self.keys.last_key_value().ok_or_else(|| Error::internal("no key to seal with"))?;
        let nonce: [u8; NONCE] = rand::random();
        let payload = Payload { msg: plain.as_bytes(), aad: context.as_bytes() };
        let sealed = key.encrypt(&XNonce::from(nonce), payload).map_err(|_| Error::internal("sealing failed"))?;
        Ok(format!("{number}:{}", STANDARD.encode([&nonce[..], &sealed].concat())))
    }

    /// Opens what was sealed.
    ///
    /// # Errors
    /// [`Error::Internal`] for what is malformed, tampered with or sealed with an unknown key.
    pub fn open(&self, sealed: &str, context: &str) -> Result<String> {
        let failed = |what: &str| Error::internal(format!("{context} can't be decrypted: {what}"));
        let (number, text) = sealed.split_once(':').ok_or_else(|| failed("malformed"))?;
        let key = number.parse().ok().and_then(|number: u32| self.keys.get(&number));
        let key = key.ok_or_else(|| failed("its key is missing"))?;
        let bytes = STANDARD.decode(text).map_err(|_| failed("malformed"))?;
        let (nonce, ciphertext) = bytes.split_first_chunk::<NONCE>().ok_or_else(|| failed("truncated"))?;
        let payload = Payload { msg: ciphertext, aad: context.as_bytes() };
        let plain = key.decrypt(&XNonce::from(*nonce), payload).map_err(|_| failed("wrong key, or tampered with"))?;
        String::from_utf8(plain).map_err(|_| failed("not text"))
    }
}

fn create(path: &Path) -> std::io::Result<String> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let key: [u8; 32] = rand::random();
    let text = format!("1 {}\n", STANDARD.encode(key));
    let temporary = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    if let Some(folder) = path.parent() {
        std::fs::File::open(folder)?.sync_all()?;
    }
    Ok(text)
}

/// The objects table with sealed bodies.
#[derive(Debug, Clone)]
pub struct Encrypted {
    table: TableStorage,
    cipher: Cipher,
}

impl Encrypted {
    /// Storage that seals what it puts into `table`.
    pub fn new(table: TableStorage, cipher: Cipher) -> Self {
        Self { table, cipher }
    }

    fn opened(&self, resource: &Arc<str>, stored: Stored) -> Result<Stored> {
        let key = Key { resource: Arc::clone(resource), namespace: stored.namespace, name: stored.name };
        let body = self.open(&key, &stored.body)?;
        Ok(Stored { namespace: key.namespace, name: key.name, revision: stored.revision, body })
    }
}

/// What the sealed text belongs to, so that it can't be moved to another object.
fn context(key: &Key) -> String {
    format!("{}/{}/{}", key.resource, key.namespace, key.name)
}

impl Storage for Encrypted {
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Stored>>> {
        Box::pin(async move {
            let stored = self.table.get(key).await?;
            stored.map(|stored| self.opened(&key.resource, stored)).transpose()
        })
    }

    fn list<'a>(&'a self, resource: &'a Arc<str>, range: Range) -> BoxFuture<'a, Result<Page>> {
        Box::pin(async move {
            let Page { items, revision, more } = self.table.list(resource, range).await?;
            let items = items.into_iter().map(|item| self.opened(resource, item)).collect::<Result<_>>()?;
            Ok(Page { items, revision, more })
        })
    }

    fn write(&self, mut write: Write) -> BoxFuture<'_, Result<std::result::Result<Stored, Refusal>>> {
        Box::pin(async move {
            let seal =
                |body: crate::object::Body| body.sealed(FIELD, |plain| self.cipher.seal(plain, &context(&write.key)));
            write.effect = match write.effect {
                Effect::Put(body) => Effect::Put(seal(body)?),
                Effect::Remove(body) => Effect::Remove(seal(body)?),
            };
            let resource = Arc::clone(&write.key.resource);
            Ok(match self.table.write(write).await? {
                Ok(stored) => Ok(self.opened(&resource, stored)?),
                Err(refusal) => Err(refusal),
            })
        })
    }

    fn count<'a>(&'a self, resource: &'a Arc<str>, namespace: &'a str) -> BoxFuture<'a, Result<i64>> {
        self.table.count(resource, namespace)
    }

    fn open(&self, key: &Key, body: &Arc<str>) -> Result<Arc<str>> {
        // Quotes inside metadata are escaped, so this can only be the sealed field, which is the last one.
        let start = format!(",\"{FIELD}\":\"");
        let malformed = || Error::internal(format!("{} is not sealed", context(key)));
        let (metadata, sealed) = body.rsplit_once(start.as_str()).ok_or_else(malformed)?;
        let (metadata, sealed) = metadata.strip_suffix('}').zip(sealed.strip_suffix("\"}")).ok_or_else(malformed)?;
        let plain = self.cipher.open(sealed, &context(key))?;
        Ok(format!("{metadata}{plain}}}").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_text_opens_only_where_it_belongs() {
        let cipher = Cipher::parse(&format!("1 {}", STANDARD.encode([7; 32]))).unwrap();
        let sealed = cipher.seal("hunter2", "secrets/a/b").unwrap();
        assert!(!sealed.contains("hunter2"));
        assert_eq!(cipher.open(&sealed, "secrets/a/b").unwrap(), "hunter2");
        assert!(cipher.open(&sealed, "secrets/a/c").is_err());
        assert!(cipher.open(&sealed.replace("1:", "2:"), "secrets/a/b").is_err());
        assert!(cipher.open("1:AAAA", "secrets/a/b").is_err());
        let newer =
            Cipher::parse(&format!("1 {}\n2 {}\n", STANDARD.encode([7; 32]), STANDARD.encode([8; 32]))).unwrap();
        assert_eq!(newer.open(&sealed, "secrets/a/b").unwrap(), "hunter2");
        assert!(newer.seal("x", "y").unwrap().starts_with("2:"));
        assert!(!format!("{newer:?}").contains("CAgI"));
    }
}
