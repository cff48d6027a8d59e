//! What ignore files leave out.

use std::fs;
use std::path::Path;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

/// What comes before the patterns of any file: what nobody wrote.
const DEFAULTS: &str = "\
.git
.hg/
.svn/
.DS_Store
__pycache__/
*.pyc
.ipynb_checkpoints/
.mypy_cache/
.pytest_cache/
.ruff_cache/
.tox/
.nox/
.venv/
node_modules/
mlruns/
";
/// Later lines win, so these come in the order of their say.
const IGNORE_FILES: [&str; 2] = [".gitignore", ".mcplaneignore"];
/// A folder that holds one of these can be made anew: a virtual environment, a cache.
pub(super) const MARKS: [&str; 2] = ["pyvenv.cfg", "CACHEDIR.TAG"];

/// The rules of one folder.
pub(super) struct Level(Gitignore);

impl Level {
    /// The rules that a folder's own files say, if they say any.
    pub(super) fn of(folder: &Path) -> Option<Self> {
        let regular = |path: &Path| fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file());
        let files = IGNORE_FILES.map(|name| folder.join(name)).into_iter().filter(|path| regular(path));
        let texts: Vec<Vec<u8>> = files.filter_map(|path| fs::read(path).ok()).collect();
        if texts.is_empty() {
            return None;
        }
        let texts: Vec<_> = texts.iter().map(|text| String::from_utf8_lossy(text)).collect();
        Some(Self::new(folder, texts.iter().map(|text| text.trim_start_matches('\u{feff}'))))
    }

    fn new<'t>(folder: &Path, texts: impl IntoIterator<Item = &'t str>) -> Self {
        let mut builder = GitignoreBuilder::new(folder);
        builder.allow_unclosed_class(false);
        for line in texts.into_iter().flat_map(str::lines) {
            // What is no pattern means nothing, as for Git.
            let _ = builder.add_line(None, line);
        }
        Self(builder.build().unwrap_or_else(|_| Gitignore::empty()))
    }
}

/// The rules that hold before any of the folder's own: ours, and those of the Git repository that it lies in.
pub(super) fn above(root: &Path) -> Vec<Level> {
    let mut levels = vec![Level::new(root, [DEFAULTS])];
    let is_repository = |folder: &&Path| fs::symlink_metadata(folder.join(".git")).is_ok();
    if let Some(repository) = root.ancestors().find(is_repository) {
        let between: Vec<&Path> =
            root.ancestors().skip(1).take_while(|folder| folder.starts_with(repository)).collect();
        levels.extend(between.into_iter().rev().filter_map(Level::of));
    }
    levels
}

/// Whether the last pattern that matches leaves it out.
pub(super) fn ignored(levels: &[Level], path: &Path, is_folder: bool) -> bool {
    let verdicts = levels.iter().rev().map(|Level(rules)| rules.matched(path, is_folder));
    verdicts
        .filter_map(|verdict| match verdict {
            Match::None => None,
            Match::Ignore(_) => Some(true),
            Match::Whitelist(_) => Some(false),
        })
        .next()
        .unwrap_or(false)
}
