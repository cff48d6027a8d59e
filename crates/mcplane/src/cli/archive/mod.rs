//! A folder as an archive: deterministic, bounded, and without what ignore files name.
//!
//! The rules are those of the manual, `docs/tasks.md`; the Python package keeps to the same ones, and
//! `sdk/archive-cases.json` holds both to them.

mod pack;
mod rules;

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

pub(super) use pack::pack;
use rules::{Level, MARKS};

/// Files, folders and links that an archive may hold.
const MOST_ENTRIES: usize = 50_000;
/// Folders that a path in it may have above it.
const DEEPEST: usize = 60;

/// What of a folder travels.
#[derive(Debug)]
pub(super) struct Contents {
    /// The folder.
    pub(super) root: PathBuf,
    entries: Vec<Entry>,
    /// What can't travel, though no pattern says so, and why.
    pub(super) left_out: Vec<String>,
    /// How many entries there may be.
    most: usize,
}

#[derive(Debug)]
struct Entry {
    /// With `/` in between.
    path: String,
    kind: Kind,
}

#[derive(Debug, PartialEq)]
enum Kind {
    Folder,
    File { executable: bool, size: u64 },
    Link { target: PathBuf },
}

impl Contents {
    /// Reads what of the folder travels.
    pub(super) fn of(root: &Path) -> Result<Self, String> {
        Self::bounded(root, MOST_ENTRIES)
    }

    fn bounded(root: &Path, most: usize) -> Result<Self, String> {
        let root = root.canonicalize().map_err(|error| format!("{}: {error}", root.display()))?;
        if !root.is_dir() {
            return Err(format!("{} is not a folder", root.display()));
        }
        let mut levels = rules::above(&root);
        let mut contents = Self { root, entries: Vec::new(), left_out: Vec::new(), most };
        contents.walk("", &mut levels)?;
        contents.entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(contents)
    }

    /// Whether a path, relative to the folder, travels.
    pub(super) fn holds(&self, path: &Path) -> bool {
        let parts = path.components().filter(|part| *part != Component::CurDir);
        let wanted: PathBuf = parts.collect();
        wanted.as_os_str().is_empty() || self.entries.iter().any(|entry| Path::new(&entry.path) == wanted)
    }

    /// Files, without folders and links.
    pub(super) fn files(&self) -> usize {
        self.entries.iter().filter(|entry| matches!(entry.kind, Kind::File { .. })).count()
    }

    fn walk(&mut self, folder: &str, levels: &mut Vec<Level>) -> Result<(), String> {
        let here = self.root.join(folder);
        let level = Level::of(&here);
        let below = level.is_some();
        levels.extend(level);
        match names(&here) {
            Ok(names) => names.into_iter().try_for_each(|name| self.entry(folder, &name, levels))?,
            Err(error) => self.left_out.push(format!("{}: {error}", here.display())),
        }
        if below {
            levels.pop();
        }
        Ok(())
    }

    fn entry(&mut self, folder: &str, name: &Path, levels: &mut Vec<Level>) -> Result<(), String> {
        let full = self.root.join(folder).join(name);
        let at = |error: io::Error| format!("{}: {error}", full.display());
        let metadata = fs::symlink_metadata(&full).map_err(at)?;
        if rules::ignored(levels, &full, metadata.is_dir()) {
            return Ok(());
        }
        let path = match name.to_str() {
            Some(name) if folder.is_empty() => name.to_owned(),
            Some(name) => format!("{folder}/{name}"),
            None => {
                self.left_out.push(format!("{}: its name is not UTF-8", full.display()));
                return Ok(());
            }
        };
        let kind = match self.kind(&path, &full, &metadata) {
            Ok(kind) => kind,
            Err(why) => {
                self.left_out.push(format!("{path}: {why}"));
                return Ok(());
            }
        };
        let is_folder = kind == Kind::Folder;
        if is_folder && MARKS.iter().any(|mark| fs::symlink_metadata(full.join(mark)).is_ok()) {
            return Ok(());
        }
        self.entries.push(Entry { path: path.clone(), kind });
        if self.entries.len() > self.most {
            return Err(format!(
                "{} holds more than {} files and folders: name what need not travel in .mcplaneignore, or send \
                 a smaller folder",
                self.root.display(),
                self.most
            ));
        }
        if is_folder { self.walk(&path, levels) } else { Ok(()) }
    }

    /// What it travels as, or why it can't.
    fn kind(&self, path: &str, full: &Path, metadata: &Metadata) -> Result<Kind, String> {
        use std::os::unix::fs::PermissionsExt;
        if path.matches('/').count() > DEEPEST {
            return Err("it lies too deep".to_owned());
        }
        if metadata.is_symlink() {
            let target = fs::read_link(full).map_err(|error| error.to_string())?;
            if stays_inside(path, &target) && self.leads_inside(full) {
                return Ok(Kind::Link { target });
            }
            return Err(format!("it is a link out of the folder, to {}", target.display()));
        }
        if metadata.is_dir() {
            return Ok(Kind::Folder);
        }
        if !metadata.is_file() {
            return Err("it is neither file nor folder".to_owned());
        }
        let executable = metadata.permissions().mode() & 0o100 != 0;
        fs::File::open(full).map_err(|_| "it can't be read".to_owned())?;
        Ok(Kind::File { executable, size: metadata.len() })
    }

    /// Where a link leads when all other links on the way are followed; one that leads nowhere harms nobody.
    fn leads_inside(&self, link: &Path) -> bool {
        link.canonicalize()
            .map_or_else(|error| error.kind() == io::ErrorKind::NotFound, |end| end.starts_with(&self.root))
    }
}

/// Whether a link's target, as written, leads nowhere out.
fn stays_inside(path: &str, target: &Path) -> bool {
    let mut depth = path.matches('/').count();
    target.components().all(|part| {
        let next = match part {
            Component::Normal(_) => depth.checked_add(1),
            Component::CurDir => Some(depth),
            Component::ParentDir => depth.checked_sub(1),
            Component::RootDir | Component::Prefix(_) => None,
        };
        depth = next.unwrap_or_default();
        next.is_some()
    })
}

fn names(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut names =
        fs::read_dir(folder)?.map(|entry| Ok(PathBuf::from(entry?.file_name()))).collect::<io::Result<Vec<_>>>()?;
    names.sort_by(|a, b| a.as_os_str().as_bytes().cmp(b.as_os_str().as_bytes()));
    Ok(names)
}

#[cfg(test)]
mod tests;
