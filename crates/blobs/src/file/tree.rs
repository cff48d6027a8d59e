//! A directory tree that is walked from open directory to open directory, one name at a time and through no symbolic
//! link, so that nothing in it leads out of it, not even while somebody changes it.

use crate::object::{Entry, Listing, Meta};
use crate::path::BlobPath;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::{Errno, Result};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};

const PRIVATE: Mode = Mode::RWXU;
/// Directories below each other; each holds a descriptor while a tree is removed.
const DEEPEST: usize = 200;

fn directory() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

/// Opens a directory that is there.
pub(super) fn open_dir(at: impl AsFd, path: &BlobPath) -> Result<OwnedFd> {
    let mut dir = at.as_fd().try_clone_to_owned().map_err(|_| Errno::MFILE)?;
    for name in path.segments() {
        dir = rustix::fs::openat(&dir, name, directory(), Mode::empty())?;
    }
    Ok(dir)
}

/// Opens a directory, making what is missing of the way to it. What was made is durable.
pub(super) fn make_dir(at: impl AsFd, path: &BlobPath) -> Result<OwnedFd> {
    let mut dir = at.as_fd().try_clone_to_owned().map_err(|_| Errno::MFILE)?;
    for name in path.segments() {
        dir = match rustix::fs::openat(&dir, name, directory(), Mode::empty()) {
            Err(Errno::NOENT) => {
                match rustix::fs::mkdirat(&dir, name, PRIVATE) {
                    Ok(()) | Err(Errno::EXIST) => rustix::fs::fsync(&dir)?,
                    Err(error) => return Err(error),
                }
                rustix::fs::openat(&dir, name, directory(), Mode::empty())?
            }
            other => other?,
        };
    }
    Ok(dir)
}

/// Opens a file for reading. Never waits, not even for a pipe.
pub(super) fn open_file(at: impl AsFd, path: &BlobPath) -> Result<(OwnedFd, Meta)> {
    let dir = open_dir(at, &path.parent())?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&dir, path.name(), flags, Mode::empty())?;
    let meta = meta(&rustix::fs::fstat(&file)?).ok_or(Errno::NOENT)?;
    Ok((file, meta))
}

/// What is known of a file; none for what is no plain file.
pub(super) fn head(at: impl AsFd, path: &BlobPath) -> Result<Meta> {
    let dir = open_dir(at, &path.parent())?;
    meta(&rustix::fs::statat(&dir, path.name(), AtFlags::SYMLINK_NOFOLLOW)?).ok_or(Errno::NOENT)
}

fn meta(stat: &Stat) -> Option<Meta> {
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    #[allow(clippy::unnecessary_cast, reason = "the types differ between systems")]
    let modified = (stat.st_mtime as i64).saturating_mul(1000).saturating_add(stat.st_mtime_nsec as i64 / 1_000_000);
    is_file.then(|| Meta { size: u64::try_from(stat.st_size).unwrap_or(0), modified })
}

/// The first `limit` names of a directory. What can't be read through a path is left out.
pub(super) fn list(at: impl AsFd, path: &BlobPath, limit: usize) -> Result<Listing> {
    let dir = open_dir(at, path)?;
    let mut found = BTreeMap::new();
    let mut truncated = false;
    for name in names(&dir)? {
        let name = name?;
        if path.join(&name).is_err() {
            continue;
        }
        let stat = match rustix::fs::statat(&dir, &*name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => continue,
            other => other?,
        };
        let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let size = match meta(&stat) {
            Some(meta) => meta.size,
            None if is_dir => 0,
            None => continue,
        };
        found.insert(name.clone(), Entry { name, is_dir, size });
        if found.len() > limit {
            found.pop_last();
            truncated = true;
        }
    }
    Ok(Listing { entries: found.into_values().collect(), truncated })
}

/// Names in a directory that are text, without itself and its parent.
pub(super) fn names(dir: impl AsFd) -> Result<impl Iterator<Item = Result<String>>> {
    Ok(Dir::read_from(dir)?.filter_map(|entry| match entry {
        Ok(entry) => match entry.file_name().to_str() {
            Ok("." | "..") | Err(_) => None,
            Ok(name) => Some(Ok(name.to_owned())),
        },
        Err(error) => Some(Err(error)),
    }))
}

/// Removes a file or a whole directory, and tells how many files that were. Others may remove the same at that time.
pub(super) fn remove(at: impl AsFd, name: &str) -> Result<u64> {
    remove_below(at, name, 0)
}

fn remove_below(at: impl AsFd, name: &str, depth: usize) -> Result<u64> {
    let dir = match rustix::fs::openat(&at, name, directory(), Mode::empty()) {
        Ok(dir) if depth < DEEPEST => dir,
        Ok(_) => return Err(Errno::NAMETOOLONG),
        // Anything but a directory, links among it.
        Err(Errno::NOTDIR | Errno::LOOP) => return gone(rustix::fs::unlinkat(&at, name, AtFlags::empty())),
        Err(Errno::NOENT) => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut count = 0;
    // Read to the end before anything changes: what a directory under change shows is undefined.
    for below in names(&dir)?.collect::<Result<Vec<_>>>()? {
        count += remove_below(&dir, &below, depth + 1)?;
    }
    gone(rustix::fs::unlinkat(&at, name, AtFlags::REMOVEDIR))?;
    Ok(count)
}

fn gone(result: Result<()>) -> Result<u64> {
    match result {
        Ok(()) => Ok(1),
        Err(Errno::NOENT) => Ok(0),
        Err(error) => Err(error),
    }
}
