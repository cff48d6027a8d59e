//! Blobs as files below a directory of this machine, or of a file system that several machines share.

mod staged;
mod tree;

use crate::blobs::{content_path, not_found};
use crate::object::{Body, ByteRange, Incoming, Listing, Meta, Object, Put};
use crate::path::{self, BlobPath, RESERVED};
use bytes::{Bytes, BytesMut};
use futures::stream::StreamExt;
use mcplane_core::{Error, Result, Subject};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use staged::Staged;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes that are read at once.
const CHUNK: u64 = 256 << 10;

/// A directory with blobs in it.
#[derive(Debug)]
pub(crate) struct Directory {
    root: OwnedFd,
    staging: Arc<OwnedFd>,
}

impl Directory {
    pub(crate) async fn open(dir: PathBuf) -> Result<Self> {
        let shown = dir.display().to_string();
        let opened = blocking(move || {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
            // The root itself may be a link: that is the operator's choice.
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let root = rustix::fs::open(&dir, flags, Mode::empty())?;
            let staging = tree::make_dir(&root, &BlobPath::internal(format!("{RESERVED}/uploads")))?;
            staged::sweep(&staging)?;
            Ok::<_, std::io::Error>(Self { root, staging: Arc::new(staging) })
        });
        opened.await?.map_err(|error| Error::bad_request(format!("{shown} cannot hold artifacts: {error}")))
    }

    pub(crate) async fn put(self: &Arc<Self>, path: &BlobPath, mut incoming: Incoming<'_>) -> Result<Put> {
        let staged = self.stage(path, &mut incoming).await?;
        self.run(path, move |this, path| staged.publish(&this.root, path)).await?;
        Ok(incoming.finish())
    }

    pub(crate) async fn put_content(self: &Arc<Self>, mut incoming: Incoming<'_>) -> Result<Put> {
        let staged = self.stage(&BlobPath::internal("content".to_owned()), &mut incoming).await?;
        let put = incoming.finish();
        self.run(&content_path(&put.digest), move |this, path| staged.keep(&this.root, path)).await?;
        Ok(put)
    }

    async fn stage(self: &Arc<Self>, path: &BlobPath, incoming: &mut Incoming<'_>) -> Result<Staged> {
        let mut staged = self.run(path, |this, _| Staged::create(&this.staging)).await?;
        loop {
            let (part, last) = incoming.part(1 << 20).await?;
            staged = self
                .run(path, move |_, _| {
                    staged
                        .file()
                        .write_all(&part)
                        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
                    Ok(staged)
                })
                .await?;
            if last {
                return Ok(staged);
            }
        }
    }

    pub(crate) async fn get(self: &Arc<Self>, path: &BlobPath, range: Option<ByteRange>) -> Result<Object> {
        let (file, meta) = self.run(path, |this, path| found(tree::open_file(&this.root, path))).await?;
        let range = ByteRange::resolve(range, meta.size)?;
        let body = body(File::from(file), range.start, range.end - range.start);
        Ok(Object { meta, range, body })
    }

    pub(crate) async fn head(self: &Arc<Self>, path: &BlobPath) -> Result<Meta> {
        self.run(path, |this, path| found(tree::head(&this.root, path))).await
    }

    pub(crate) async fn list(self: &Arc<Self>, dir: &BlobPath, limit: usize) -> Result<Listing> {
        let listed = self.run(dir, move |this, dir| found(tree::list(&this.root, dir, limit))).await;
        match listed {
            Err(Error::NotFound(_)) => Ok(Listing::default()),
            other => other,
        }
    }

    pub(crate) async fn delete(self: &Arc<Self>, path: &BlobPath) -> Result<u64> {
        self.run(path, |this, path| {
            let dir = match found(tree::open_dir(&this.root, &path.parent())) {
                Err(Errno::NOENT) => return Ok(0),
                other => other?,
            };
            // All of it is out of sight at once, whatever happens to the removal.
            let name = staged::unique();
            match rustix::fs::renameat(&dir, path.name(), &*this.staging, &*name) {
                Err(Errno::NOENT) => return Ok(0),
                other => other?,
            }
            rustix::fs::fsync(&dir)?;
            tree::remove(&*this.staging, &name)
        })
        .await
    }

    pub(crate) async fn copy(self: &Arc<Self>, from: &BlobPath, to: &BlobPath) -> Result<()> {
        let (file, _) = self.run(from, |this, path| found(tree::open_file(&this.root, path))).await?;
        self.run(to, move |this, to| {
            let staged = Staged::create(&this.staging)?;
            let copied = std::io::copy(&mut File::from(file), &mut staged.file());
            copied.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
            staged.publish(&this.root, to)
        })
        .await
    }

    pub(crate) async fn sweep(self: &Arc<Self>) -> Result<u64> {
        self.run(&BlobPath::ROOT, |this, _| staged::sweep(&this.staging)).await
    }

    /// Does something that waits for the disk where waiting is allowed.
    async fn run<T, F>(self: &Arc<Self>, path: &BlobPath, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Self, &BlobPath) -> rustix::io::Result<T> + Send + 'static,
    {
        let (this, path) = (Arc::clone(self), path.clone());
        blocking(move || work(&this, &path).map_err(|error| fault(error, &path))).await?
    }
}

fn body(file: File, start: u64, length: u64) -> Body {
    let state = (file, start, length);
    let chunks = futures::stream::try_unfold(state, |(mut file, at, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let read = blocking(move || {
            let mut chunk = BytesMut::zeroed(usize::try_from(left.min(CHUNK)).unwrap_or(0));
            file.seek(SeekFrom::Start(at))?;
            file.read_exact(&mut chunk)?;
            Ok::<_, std::io::Error>((chunk.freeze(), file))
        });
        let (chunk, file): (Bytes, File) = read.await?.map_err(Error::internal)?;
        let length = chunk.len() as u64;
        Ok(Some((chunk, (file, at + length, left - length))))
    });
    chunks.boxed()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)
}

/// For who reads, a path through a file or a link leads nowhere.
fn found<T>(read: rustix::io::Result<T>) -> rustix::io::Result<T> {
    read.map_err(|error| if matches!(error, Errno::NOTDIR | Errno::LOOP) { Errno::NOENT } else { error })
}

fn fault(error: Errno, path: &BlobPath) -> Error {
    match error {
        Errno::NOENT => not_found(path),
        Errno::NAMETOOLONG | Errno::INVAL | Errno::ILSEQ => path::invalid(),
        // A file where a directory should be, the other way round, or a link.
        Errno::NOTDIR | Errno::LOOP | Errno::ISDIR | Errno::NOTEMPTY | Errno::EXIST => Error::Conflict {
            subject: Subject::new("", "artifact", path.as_str()),
            message: "a directory is in the way of a file, or a file in that of a directory".to_owned(),
        },
        Errno::NOSPC | Errno::DQUOT | Errno::FBIG => Error::Unavailable {
            message: "the artifact store is full".to_owned(),
            source: Some(Box::new(std::io::Error::from(error))),
        },
        error => Error::internal(std::io::Error::from(error)),
    }
}
