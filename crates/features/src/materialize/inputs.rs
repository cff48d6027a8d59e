//! The files that a view reads.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use mcplane_core::{Error, Result};

use crate::records::Input;
use crate::tables::{digest_of, fault};
use crate::views::{Format, Source};

/// Files of one source at most.
const MOST_FILES: usize = 10_000;

/// A file, as it was when its digest was taken.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) format: Format,
    input: Input,
    bytes: u64,
    modified: Option<SystemTime>,
}

/// The files of a source, in the order of their names. Relative paths begin at `base`.
pub(super) fn find(source: &Source, base: &Path) -> Result<Vec<Found>> {
    let wrong = |what: String| fault(format!("source {}", source.name), what);
    let pattern = base.join(&source.path);
    let paths: Vec<PathBuf> = if pattern.is_file() {
        // A file may be called what looks like a pattern.
        vec![pattern.clone()]
    } else {
        let text = pattern.to_str().ok_or_else(|| wrong(format!("{} is no text", pattern.display())))?;
        let matches = glob::glob(text).map_err(|error| wrong(format!("{text} is no pattern: {error}")))?;
        let paths = matches.take(MOST_FILES + 1).collect::<std::result::Result<Vec<_>, _>>();
        paths.map_err(|error| wrong(error.to_string()))?.into_iter().filter(|path| path.is_file()).collect()
    };
    if paths.is_empty() {
        return Err(wrong(format!("there is no file {}", pattern.display())));
    }
    if paths.len() > MOST_FILES {
        return Err(wrong(format!("{} is more than {MOST_FILES} files", pattern.display())));
    }
    paths.into_iter().map(|path| Found::read(source, path)).collect()
}

impl Found {
    fn read(source: &Source, path: PathBuf) -> Result<Self> {
        let path = path.canonicalize().map_err(|error| fault(path.display(), error))?;
        let format = source.format.or_else(|| Format::of(&path));
        let format = format.ok_or_else(|| {
            fault(path.display(), format!("say in source {} whether files are csv or parquet", source.name))
        })?;
        let (_, modified) = state(&path)?;
        let (digest, bytes) = digest_of(&path)?;
        let shown = path.to_str().ok_or_else(|| fault(path.display(), "the path is no text"))?.to_owned();
        Ok(Self { input: Input { source: source.name.clone(), path: shown, digest }, path, format, bytes, modified })
    }

    /// Makes sure that the digest is that of what was read.
    pub(super) fn unchanged(self) -> Result<Input> {
        if state(&self.path)? != (self.bytes, self.modified) {
            return Err(Error::bad_request(format!("{} changed while it was read: try again", self.path.display())));
        }
        Ok(self.input)
    }
}

fn state(path: &Path) -> Result<(u64, Option<SystemTime>)> {
    let metadata = path.metadata().map_err(|error| fault(path.display(), error))?;
    Ok((metadata.len(), metadata.modified().ok()))
}
