//! Environments that nobody has used for long are removed, and those used least recently when all take too much room.
//!
//! Whoever uses an environment leaves a mark first: a file named for the run, in the folder `.used/<digest>`. A run that has not
//! ended holds what it has marked, whatever its age; marks of runs that are over are taken away. So the folder's own time is when the
//! environment was last used, and all of it outlives the server. Of an environment the link goes first: what is half removed is not
//! found by anybody, and the next look removes the rest.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::is_whole;

/// Where environments are made, below their folder.
pub(super) const MADE: &str = ".made";
/// Where marks are.
const USED: &str = ".used";
/// How the name of a folder ends that is to be removed.
const GONE: &str = "gone";
/// Age at which what was made and never named is a failure's leftover. Nothing is made for so long.
const ABANDONED: Duration = Duration::from_secs(86_400);
/// Not even for want of room goes what was used a moment ago: processes of a run that is gone may be ending.
const SETTLED: Duration = Duration::from_secs(600);

/// What environments may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long one is kept that nobody uses.
    pub retention: Duration,
    /// Bytes that all may take together.
    pub size: u64,
}

/// An environment on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) key: String,
    pub(super) bytes: u64,
    pub(super) used_at: SystemTime,
    /// Whether a run holds it.
    pub(super) held: bool,
}

/// Which of these go. None that is held does.
pub(super) fn condemned(mut all: Vec<Found>, limits: Limits, now: SystemTime) -> Vec<Found> {
    let mut total: u64 = all.iter().map(|one| one.bytes).sum();
    all.sort_by_key(|one| one.used_at);
    all.retain(|one| {
        // A clock that was set back makes everything new.
        let age = now.duration_since(one.used_at).unwrap_or_default();
        let goes = !one.held && age >= SETTLED && (age > limits.retention || total > limits.size);
        if goes {
            total -= one.bytes;
        }
        goes
    });
    all
}

/// The folder of environments. Everything here blocks.
#[derive(Debug, Clone)]
pub(super) struct Shelf {
    pub(super) folder: PathBuf,
}

impl Shelf {
    fn marks(&self, key: &str) -> PathBuf {
        self.folder.join(USED).join(key)
    }

    /// Notes durably that a run uses an environment.
    pub(super) fn mark(&self, key: &str, run: &str) -> io::Result<()> {
        let marks = self.marks(key);
        let mark = marks.join(run);
        if mark.exists() {
            return Ok(());
        }
        fs::create_dir_all(&marks)?;
        fs::File::create(&mark)?;
        fs::File::open(&marks)?.sync_all()
    }

    /// Everything that was marked, as digest and run.
    pub(super) fn marked(&self) -> io::Result<Vec<(String, String)>> {
        let mut all = Vec::new();
        for key in names(&self.folder.join(USED))? {
            all.extend(names(&self.marks(&key))?.into_iter().map(|run| (key.clone(), run)));
        }
        Ok(all)
    }

    /// Takes a mark away.
    pub(super) fn unmark(&self, key: &str, run: &str) -> io::Result<()> {
        gone_already(fs::remove_file(self.marks(key).join(run)))
    }

    /// Forgets environments that nobody uses and that are not there, because they could not be made.
    pub(super) fn forget_missing(&self) -> io::Result<()> {
        let keys = self.keys()?;
        for key in names(&self.folder.join(USED))?.iter().filter(|key| !keys.contains(key)) {
            // One with marks stays.
            let _ = fs::remove_dir(self.marks(key));
        }
        Ok(())
    }

    /// Digests of the environments that are there.
    pub(super) fn keys(&self) -> io::Result<Vec<String>> {
        let mut keys = names(&self.folder)?;
        keys.retain(|name| !name.starts_with('.') && is_whole(&self.folder.join(name)));
        Ok(keys)
    }

    /// Bytes on disk of an environment.
    pub(super) fn bytes(&self, key: &str) -> u64 {
        bytes_below(&self.folder.join(key)).unwrap_or_default()
    }

    /// The environments that are there, with their sizes as far as these are known.
    pub(super) fn all(&self, sizes: &HashMap<String, u64>) -> io::Result<Vec<Found>> {
        let find = |key: String| {
            let marks = self.marks(&key);
            let used = fs::metadata(&marks).or_else(|_| fs::symlink_metadata(self.folder.join(&key)));
            Ok(Found {
                bytes: sizes.get(&key).copied().unwrap_or_default(),
                used_at: used?.modified()?,
                held: !names(&marks)?.is_empty(),
                key,
            })
        };
        self.keys()?.into_iter().map(find).collect()
    }

    /// Makes that nobody finds an environment any more; [`Self::clear`] does the rest.
    pub(super) fn drop_link(&self, key: &str) -> io::Result<()> {
        let link = self.folder.join(key);
        let made = fs::canonicalize(&link)?;
        fs::remove_file(&link)?;
        // Only what was made here is removed.
        if made.parent().and_then(Path::file_name).is_some_and(|name| name == MADE) {
            gone_already(fs::rename(&made, made.with_extension(GONE)))?;
        }
        gone_already(fs::remove_dir_all(self.marks(key)))
    }

    /// Removes what environments left that were dropped, and what was never finished.
    pub(super) fn clear(&self, now: SystemTime) -> io::Result<()> {
        let named: HashSet<PathBuf> =
            names(&self.folder)?.iter().filter_map(|name| fs::canonicalize(self.folder.join(name)).ok()).collect();
        let made = self.folder.join(MADE);
        for name in names(&made)? {
            let path = made.join(&name);
            let found = match fs::symlink_metadata(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                found => found?,
            };
            let old = now.duration_since(found.modified()?).is_ok_and(|age| age > ABANDONED);
            let dropped = path.extension().is_some_and(|end| end == GONE);
            let unnamed = !fs::canonicalize(&path).is_ok_and(|path| named.contains(&path));
            if dropped || (old && unnamed) {
                gone_already(if found.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) })?;
            }
        }
        Ok(())
    }
}

/// Names in a folder; none if it is not there.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(vec![]),
        entries => entries?,
    };
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

fn gone_already(removed: io::Result<()>) -> io::Result<()> {
    removed.or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// Bytes of the files below a folder, links not followed but for the folder itself.
fn bytes_below(folder: &Path) -> io::Result<u64> {
    let (mut bytes, mut waiting) = (0, vec![fs::canonicalize(folder)?]);
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let found = entry.metadata()?;
            if found.is_dir() {
                waiting.push(entry.path());
            } else {
                bytes += found.len();
            }
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn found(key: &str, bytes: u64, hours_ago: u32, held: bool, now: SystemTime) -> Found {
        Found { key: key.to_owned(), bytes, used_at: now - HOUR * hours_ago, held }
    }

    fn keys(all: &[Found]) -> Vec<&str> {
        all.iter().map(|one| one.key.as_str()).collect()
    }

    #[test]
    fn the_old_go_and_then_the_least_recently_used() {
        let now = SystemTime::now();
        let all = || {
            vec![
                found("new", 10, 0, false, now),
                found("old", 10, 50, false, now),
                found("held", 10, 90, true, now),
                found("older", 10, 70, false, now),
                found("fresh", 10, 2, false, now),
            ]
        };
        let of = |retention, size| condemned(all(), Limits { retention: HOUR * retention, size }, now);
        assert_eq!(keys(&of(100, 50)), [""; 0]);
        assert_eq!(keys(&of(60, 50)), ["older"], "for its age");
        assert_eq!(keys(&of(100, 49)), ["older"], "for its size");
        assert_eq!(keys(&of(100, 30)), ["older", "old"]);
        assert_eq!(keys(&of(1, 0)), ["older", "old", "fresh"], "neither what is held nor what was used just now");
    }

    fn made(shelf: &Shelf, key: &str, name: &str) {
        let build = shelf.folder.join(MADE).join(name);
        fs::create_dir_all(build.join("bin")).unwrap();
        fs::write(build.join("bin/python"), "12345").unwrap();
        std::os::unix::fs::symlink(Path::new(MADE).join(name), shelf.folder.join(key)).unwrap();
    }

    #[test]
    fn what_is_dropped_is_not_found_and_what_is_left_of_it_goes() {
        let root = tempfile::tempdir().unwrap();
        let shelf = Shelf { folder: root.path().join("environments") };
        assert_eq!((shelf.marked().unwrap(), shelf.keys().unwrap()), (vec![], vec![]));
        made(&shelf, "a", "a-1");
        made(&shelf, "b", "b-1");
        shelf.mark("a", "run").unwrap();
        shelf.mark("a", "run").unwrap();
        assert_eq!(shelf.marked().unwrap(), [("a".to_owned(), "run".to_owned())]);
        let sizes = HashMap::from([("a".to_owned(), shelf.bytes("a"))]);
        let mut all = shelf.all(&sizes).unwrap();
        all.sort_by(|one, other| one.key.cmp(&other.key));
        assert_eq!((keys(&all), all[0].held, all[0].bytes, all[1].held), (vec!["a", "b"], true, 5, false));
        for key in ["failed", "making"] {
            shelf.mark(key, "other").unwrap();
        }
        shelf.unmark("failed", "other").unwrap();
        shelf.forget_missing().unwrap();
        let marked = names(&shelf.folder.join(USED)).unwrap();
        assert!(marked.len() == 2 && !marked.contains(&"failed".to_owned()), "{marked:?}");
        shelf.unmark("a", "run").unwrap();
        shelf.unmark("a", "run").unwrap();
        assert!(!shelf.all(&sizes).unwrap().iter().any(|one| one.held));

        // As if the server had died in between.
        shelf.drop_link("a").unwrap();
        assert_eq!(shelf.keys().unwrap(), ["b"]);
        assert!(shelf.folder.join(MADE).join("a-1.gone").exists());
        shelf.clear(SystemTime::now()).unwrap();
        assert_eq!(names(&shelf.folder.join(MADE)).unwrap(), ["b-1"]);
        assert!(shelf.folder.join("b/bin/python").exists());
    }

    #[test]
    fn what_was_never_finished_goes_after_a_day() {
        let root = tempfile::tempdir().unwrap();
        let shelf = Shelf { folder: root.path().to_owned() };
        made(&shelf, "a", "a-1");
        let half = shelf.folder.join(MADE).join("half");
        fs::create_dir_all(&half).unwrap();
        std::os::unix::fs::symlink("nowhere", shelf.folder.join(MADE).join("half.link")).unwrap();
        shelf.clear(SystemTime::now()).unwrap();
        assert!(half.exists(), "somebody may be making it");
        shelf.clear(SystemTime::now() + ABANDONED + HOUR).unwrap();
        assert_eq!(names(&shelf.folder.join(MADE)).unwrap(), ["a-1"]);
        assert!(is_whole(&shelf.folder.join("a")));
    }
}
