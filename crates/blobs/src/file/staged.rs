//! Files that are being written: out of sight, and gone when their writer is.

use super::tree;
use crate::path::BlobPath;
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::{Errno, Result};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// A file in the staging directory. Its writer holds a lock on it, which ends with the process at the latest: what is
/// there without a lock was left by a crash.
#[derive(Debug)]
pub(super) struct Staged {
    staging: Arc<OwnedFd>,
    name: String,
    file: File,
    moved: bool,
}

impl Staged {
    pub(super) fn create(staging: &Arc<OwnedFd>) -> Result<Self> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        loop {
            let name = unique();
            let file = rustix::fs::openat(&**staging, &*name, flags, Mode::RUSR | Mode::WUSR)?;
            rustix::fs::flock(&file, FlockOperation::LockExclusive)?;
            // A sweep may have come between making and locking.
            if rustix::fs::fstat(&file)?.st_nlink > 0 {
                return Ok(Self { staging: Arc::clone(staging), name, file: File::from(file), moved: false });
            }
        }
    }

    /// The file, to write to.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Puts the file where it belongs, over what is there. It is durable then.
    pub(super) fn publish(mut self, root: &OwnedFd, path: &BlobPath) -> Result<()> {
        self.file.sync_all().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        let mut tries = 3;
        let dir = loop {
            let dir = tree::make_dir(root, &path.parent())?;
            match rustix::fs::renameat(&*self.staging, &*self.name, &dir, path.name()) {
                Ok(()) => break dir,
                // The directory was deleted in between.
                Err(Errno::NOENT) if tries > 0 => tries -= 1,
                Err(error) => return Err(error),
            }
        };
        self.moved = true;
        rustix::fs::fsync(&dir)
    }

    /// Puts the file, never to change again, where nothing is; what is there already is the same.
    pub(super) fn keep(self, root: &OwnedFd, path: &BlobPath) -> Result<()> {
        rustix::fs::fchmod(&self.file, Mode::RUSR)?;
        self.file.sync_all().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        let dir = tree::make_dir(root, &path.parent())?;
        match rustix::fs::linkat(&*self.staging, &*self.name, &dir, path.name(), AtFlags::empty()) {
            // Whoever was first may not have come to this yet.
            Ok(()) | Err(Errno::EXIST) => rustix::fs::fsync(&dir),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.moved {
            rustix::fs::unlinkat(&*self.staging, &*self.name, AtFlags::empty()).ok();
        }
    }
}

/// A name that nobody else uses.
pub(super) fn unique() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// Removes what no living process is writing.
pub(super) fn sweep(staging: &OwnedFd) -> Result<u64> {
    let mut swept = 0;
    for name in tree::names(staging)?.collect::<Result<Vec<_>>>()? {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(staging, &*name, flags, Mode::empty()) {
            Err(Errno::NOENT) => continue,
            other => other?,
        };
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            tree::remove(staging, &name)?;
            swept += 1;
        }
    }
    Ok(swept)
}
