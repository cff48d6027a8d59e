//! The key ring on disk: a file that only the server's user may read, replaced as a whole.

use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use mcplane_core::{Error, Result, Timestamp};

use super::KeyRing;

const FILE: &str = "tokens.json";

/// Reads the ring in `folder`; a missing one is made, with one key, and is on the disk before this returns.
///
/// # Errors
/// When it can't be read or written, is damaged, or others may read it.
pub fn load_or_create(folder: &Path, now: Timestamp) -> Result<KeyRing> {
    let path = path(folder);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let ring = KeyRing::generate(now);
            save(folder, &ring)?;
            return Ok(ring);
        }
        Err(error) => return Err(failed(&path, &error)),
    };
    let mode = std::fs::metadata(&path).map_err(|error| failed(&path, &error))?.permissions().mode();
    if mode & 0o077 != 0 {
        let why = format!("{} may be read by others: make it private with chmod 600", path.display());
        return Err(Error::Unavailable { message: why, source: None });
    }
    KeyRing::from_secret_json(&text)
}

/// Makes `ring` the one in `folder`: all of it is on the disk when this returns, or nothing changed.
///
/// # Errors
/// When it can't be written.
pub fn save(folder: &Path, ring: &KeyRing) -> Result<()> {
    let (path, text) = (path(folder), ring.to_secret_json()?);
    let write = || {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let temporary = path.with_extension("new");
        // A leftover of a crash could have other permissions.
        match std::fs::remove_file(&temporary) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&temporary, &path)?;
        std::fs::File::open(folder)?.sync_all()
    };
    write().map_err(|error| failed(&path, &error))
}

/// Puts a new key into the ring of `folder`, for a server that is not running, and returns its id. Tokens signed before
/// stay good until they end.
///
/// # Errors
/// As [`load_or_create`] and [`save`].
pub fn rotate(folder: &Path, now: Timestamp) -> Result<String> {
    let ring = load_or_create(folder, now)?.rotated(now);
    save(folder, &ring)?;
    ring.signing().map(|key| key.id().to_owned())
}

fn path(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

fn failed(path: &Path, error: &std::io::Error) -> Error {
    Error::Unavailable { message: format!("the key ring {}: {error}", path.display()), source: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_is_private_and_survives() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("keys");
        let first = load_or_create(&folder, 1).unwrap();
        assert_eq!(load_or_create(&folder, 2).unwrap(), first);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&path(&folder))), (0o700, 0o600));

        std::fs::write(folder.join("tokens.new"), "left by a crash").unwrap();
        let id = rotate(&folder, 3).unwrap();
        let second = load_or_create(&folder, 4).unwrap();
        assert_eq!((second.keys().len(), second.signing().unwrap().id()), (2, id.as_str()));
        assert_eq!(second.keys()[0].id(), first.signing().unwrap().id());
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn rings_that_others_may_read_or_that_are_damaged_are_refused() {
        let home = tempfile::tempdir().unwrap();
        load_or_create(home.path(), 1).unwrap();
        let path = path(home.path());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(load_or_create(home.path(), 2).unwrap_err().to_string().contains("chmod 600"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, "{}").unwrap();
        assert!(load_or_create(home.path(), 2).is_err());
    }
}
