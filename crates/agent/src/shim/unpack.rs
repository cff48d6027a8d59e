//! Puts code and files into the work folder. What an archive says is not trusted: nothing is written through a link or
//! outside the folder, and how much there may be is bounded before it is written.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use flate2::read::GzDecoder;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use tar::{Archive, EntryType, PaxExtensions};

use crate::protocol;

/// Deepest path, in components.
const DEEPEST: usize = 64;
/// Longest path, and largest header that may carry one.
const LONGEST_PATH: usize = 4096;
const LARGEST_HEADER: u64 = 64 << 10;

/// How much an archive may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) bytes: u64,
    pub(super) entries: u64,
}

/// A refusal in words for whoever made the archive.
pub(super) type Refusal = String;

/// Unpacks a tar.gz archive into the folder, as long as nobody says to stop.
pub(super) fn unpack(archive: &Path, into: &Path, bounds: Bounds, stopped: &dyn Fn() -> bool) -> Result<(), Refusal> {
    let file = File::open(archive).map_err(|error| format!("code archive: {error}"))?;
    unpack_from(file, into, bounds, stopped).map_err(|why| format!("code archive: {why}"))
}

fn unpack_from(archive: impl Read, into: &Path, bounds: Bounds, stopped: &dyn Fn() -> bool) -> Result<(), Refusal> {
    // Headers and padding come on top of contents; two of a kilobyte for each entry are plenty.
    let all = bounds.bytes.saturating_add(bounds.entries.saturating_mul(2048)).saturating_add(1 << 20);
    let stream = Bounded { inner: GzDecoder::new(archive), left: all };
    let mut archive = Archive::new(stream);
    let root = Root::open(into)?;
    let mut links = Vec::new();
    let mut names = LongNames::default();
    let (mut bytes, mut count) = (0_u64, 0_u64);
    // Raw, so that a header that names a path is bounded like all else.
    for entry in archive.entries().map_err(text)?.raw(true) {
        let mut entry = entry.map_err(text)?;
        if stopped() {
            return Err("stopped".into());
        }
        count += 1;
        if count > bounds.entries {
            return Err(format!("more than {} entries", bounds.entries));
        }
        let kind = entry.header().entry_type();
        if names.take(kind, &mut entry)? {
            continue;
        }
        let (long_path, long_link) = std::mem::take(&mut names).into_parts();
        let path = long_path.unwrap_or_else(|| entry.path_bytes().into_owned());
        let place = inside(&path)?;
        let shown = shown(&path);
        match kind {
            EntryType::Directory => drop(root.folder(&place).map_err(|error| format!("{shown}: {error}"))?),
            EntryType::Regular | EntryType::Continuous => {
                bytes = bytes.saturating_add(entry.header().entry_size().map_err(text)?);
                if bytes > bounds.bytes {
                    return Err(format!("more than {} bytes unpacked", bounds.bytes));
                }
                let mode = if entry.header().mode().is_ok_and(|mode| mode & 0o100 != 0) { 0o755 } else { 0o644 };
                let mut file = root.file(&place, mode).map_err(|error| format!("{shown}: {error}"))?;
                io::copy(&mut entry, &mut file).map_err(|error| format!("{shown}: {error}"))?;
            }
            EntryType::Symlink => {
                let target = long_link.or_else(|| entry.link_name_bytes().map(|name| name.into_owned()));
                let target = target.filter(|target| !target.is_empty() && target.len() <= LONGEST_PATH);
                let target = target.ok_or_else(|| format!("{shown}: a link without a target"))?;
                stays_inside(&place, &target).map_err(|why| format!("{shown}: {why}"))?;
                links.push((place, target));
            }
            EntryType::Link => return Err(format!("{shown}: hard links are not unpacked; archive the file itself")),
            other => return Err(format!("{shown}: entries of type {:?} are not unpacked", other.as_byte() as char)),
        }
    }
    root.link(&links)?;
    check_links(into, &links)
}

/// Writes the files of an assignment; which paths they have is what [`remove_files`] takes.
pub(super) fn write_files(into: &Path, files: &[protocol::File]) -> Result<(), Refusal> {
    let root = Root::open(into)?;
    for file in files {
        let named = |why: String| format!("file {:?}: {why}", file.path);
        let place = inside(file.path.as_os_str().as_bytes()).map_err(named)?;
        let mut target = root.file(&place, file.mode & 0o777).map_err(|error| named(error.to_string()))?;
        target.write_all(&file.content).map_err(|error| named(error.to_string()))?;
    }
    Ok(())
}

/// Removes files of an assignment, as far as they are there still; never through a link.
pub(super) fn remove_files<'a>(from: &Path, paths: impl Iterator<Item = &'a Path>) {
    let Ok(root) = Root::open(from) else { return };
    for path in paths {
        if let Ok(place) = inside(path.as_os_str().as_bytes())
            && let Some((name, parents)) = place.split_last()
            && let Ok(folder) = root.walk(parents, false)
        {
            let _ = rustix::fs::unlinkat(&folder, name.as_os_str(), AtFlags::empty());
        }
    }
}

/// The components of a path that leads nowhere but down.
fn inside(path: &[u8]) -> Result<Vec<PathBuf>, Refusal> {
    let refuse = |why: &str| Err(format!("{}: {why}", shown(path)));
    if path.len() > LONGEST_PATH || path.contains(&0) {
        return refuse("not a path");
    }
    let mut place = Vec::new();
    for component in Path::new(OsStr::from_bytes(path)).components() {
        match component {
            Component::Normal(name) => place.push(PathBuf::from(name)),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return refuse("the path leads out of the folder");
            }
        }
    }
    if place.len() > DEEPEST { refuse("the path is too deep") } else { Ok(place) }
}

/// Whether a link's target, as written, leads nowhere out; what other links make of it is checked when all are there.
fn stays_inside(place: &[PathBuf], target: &[u8]) -> Result<(), Refusal> {
    let mut depth = place.len().saturating_sub(1);
    for component in Path::new(OsStr::from_bytes(target)).components() {
        let next = match component {
            Component::Normal(_) => depth.checked_add(1),
            Component::CurDir => Some(depth),
            Component::ParentDir => depth.checked_sub(1),
            Component::RootDir | Component::Prefix(_) => None,
        };
        depth = next.ok_or("the link leads out of the folder")?;
    }
    Ok(())
}

fn check_links(into: &Path, links: &[(Vec<PathBuf>, Vec<u8>)]) -> Result<(), Refusal> {
    let root = fs::canonicalize(into).map_err(text)?;
    for (place, _) in links {
        let path = place.iter().fold(root.clone(), |path, name| path.join(name));
        if fs::canonicalize(&path).is_ok_and(|end| !end.starts_with(&root)) {
            return Err(format!("{}: the link leads out of the folder", path.display()));
        }
    }
    Ok(())
}

/// The folder that everything goes into, opened step by step, so that no link is ever followed.
struct Root(OwnedFd);

impl Root {
    fn open(path: &Path) -> Result<Self, Refusal> {
        rustix::fs::open(path, FOLDER, Mode::empty()).map(Self).map_err(|error| format!("work folder: {error}"))
    }

    fn walk(&self, place: &[PathBuf], make: bool) -> rustix::io::Result<OwnedFd> {
        let mut folder = self.0.try_clone().map_err(|_| Errno::MFILE)?;
        for name in place {
            if make {
                match rustix::fs::mkdirat(&folder, name, Mode::from_raw_mode(0o755)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error),
                }
            }
            folder = rustix::fs::openat(&folder, name, FOLDER, Mode::empty())?;
        }
        Ok(folder)
    }

    fn folder(&self, place: &[PathBuf]) -> rustix::io::Result<OwnedFd> {
        self.walk(place, true)
    }

    /// A new file; what has its name already, in an archive an older version, is replaced.
    fn file(&self, place: &[PathBuf], mode: u32) -> io::Result<File> {
        let Some((name, parents)) = place.split_last() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a file needs a name"));
        };
        let folder = self.walk(parents, true)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || rustix::fs::openat(&folder, name, flags, Mode::from_raw_mode(mode));
        let file = match open() {
            Err(Errno::EXIST) => {
                rustix::fs::unlinkat(&folder, name, AtFlags::empty())?;
                open()?
            }
            other => other?,
        };
        Ok(File::from(file))
    }

    /// Links come last: while there are none, no path can lead through one.
    fn link(&self, links: &[(Vec<PathBuf>, Vec<u8>)]) -> Result<(), Refusal> {
        let mut made = HashSet::new();
        for (place, target) in links.iter().rev() {
            let Some((name, parents)) = place.split_last() else { return Err("a link needs a name".into()) };
            // Of two of the same name the later one counts, as it does with files.
            if !made.insert(place) {
                continue;
            }
            let link = || {
                let folder = self.walk(parents, true)?;
                rustix::fs::symlinkat(OsStr::from_bytes(target), &folder, name)
            };
            link().map_err(|error| format!("{}: {error}", place.iter().collect::<PathBuf>().display()))?;
        }
        Ok(())
    }
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Paths that are too long for a header come in entries before it.
#[derive(Default)]
struct LongNames {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl LongNames {
    /// Whether the entry was one of those.
    fn take(&mut self, kind: EntryType, entry: &mut impl Read) -> Result<bool, Refusal> {
        if kind == EntryType::XGlobalHeader {
            return Ok(true);
        }
        if !matches!(kind, EntryType::GNULongName | EntryType::GNULongLink | EntryType::XHeader) {
            return Ok(false);
        }
        let mut content = Vec::new();
        entry.take(LARGEST_HEADER + 1).read_to_end(&mut content).map_err(text)?;
        if content.len() as u64 > LARGEST_HEADER {
            return Err("an extended header is too large".into());
        }
        match kind {
            EntryType::GNULongName => self.path = Some(until_nul(content)),
            EntryType::GNULongLink => self.link = Some(until_nul(content)),
            _ => self.extensions(&content)?,
        }
        Ok(true)
    }

    fn extensions(&mut self, content: &[u8]) -> Result<(), Refusal> {
        for extension in PaxExtensions::new(content) {
            let extension = extension.map_err(text)?;
            match extension.key_bytes() {
                b"path" => self.path = Some(extension.value_bytes().to_vec()),
                b"linkpath" => self.link = Some(extension.value_bytes().to_vec()),
                b"size" => return Err("a file is too large".into()),
                key if key.starts_with(b"GNU.sparse.") => return Err("sparse files are not unpacked".into()),
                _ => {}
            }
        }
        Ok(())
    }

    fn into_parts(self) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
        (self.path, self.link)
    }
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()));
    bytes
}

/// Fails when more is read than it may give.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| io::Error::other("it unpacks to too much"))?;
        Ok(count)
    }
}

fn text(error: impl std::fmt::Display) -> Refusal {
    error.to_string()
}

fn shown(path: &[u8]) -> String {
    const MOST: usize = 120;
    let text = String::from_utf8_lossy(&path[..path.len().min(MOST)]);
    format!("{text:?}")
}

#[cfg(test)]
mod tests;
