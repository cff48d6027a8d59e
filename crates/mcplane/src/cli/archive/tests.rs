use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};

use serde::Deserialize;

use super::pack::Packed;
use super::*;

#[derive(Deserialize)]
struct Case {
    name: String,
    /// Contents by path; a path that ends with `/` is a folder.
    files: BTreeMap<String, String>,
    #[serde(default)]
    links: BTreeMap<String, String>,
    #[serde(default)]
    executable: Vec<String>,
    /// The folder that travels, below the case's own.
    #[serde(default)]
    root: String,
    expected: Vec<String>,
    #[serde(default)]
    left_out: Vec<String>,
}

fn make(case: &Case) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in &case.files {
        let full = folder.path().join(path);
        if path.ends_with('/') {
            fs::create_dir_all(full).unwrap();
        } else {
            fs::create_dir_all(full.parent().unwrap()).unwrap();
            fs::write(full, text).unwrap();
        }
    }
    for path in &case.executable {
        fs::set_permissions(folder.path().join(path), fs::Permissions::from_mode(0o755)).unwrap();
    }
    for (path, target) in &case.links {
        let full = folder.path().join(path);
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        symlink(target, full).unwrap();
    }
    folder
}

/// Each entry as a line: what it is, its mode, path and content.
fn listed(packed: &Packed) -> Vec<String> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&packed.bytes[..]));
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let header = entry.header().clone();
        assert_eq!((header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()), (0, 0, 315_532_800));
        let path = entry.path().unwrap().to_str().unwrap().trim_end_matches('/').to_owned();
        match header.entry_type() {
            tar::EntryType::Directory => format!("{path}/"),
            tar::EntryType::Symlink => format!("{path} -> {}", entry.link_name().unwrap().unwrap().display()),
            _ => {
                let mut text = String::new();
                entry.read_to_string(&mut text).unwrap();
                assert_eq!(text.len() as u64, header.size().unwrap());
                let mode = header.mode().unwrap();
                if mode == 0o755 { format!("{path}*") } else { path }
            }
        }
    });
    entries.collect()
}

#[test]
fn archives_hold_what_the_shared_cases_say() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("../../../../../sdk/archive-cases.json")).unwrap();
    assert!(cases.len() >= 15, "{} cases", cases.len());
    for case in cases {
        let folder = make(&case);
        let contents = Contents::of(&folder.path().join(&case.root)).unwrap();
        let packed = pack(&contents).unwrap();
        assert_eq!(listed(&packed), case.expected, "{}", case.name);
        let left_out: Vec<&str> = contents.left_out.iter().map(|line| line.split_once(": ").unwrap().0).collect();
        assert_eq!(left_out, case.left_out, "{}", case.name);
        assert_eq!(pack(&Contents::of(&contents.root).unwrap()).unwrap().code, packed.code, "{}", case.name);
    }
}

#[test]
fn a_path_is_looked_for_as_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("src")).unwrap();
    fs::write(folder.path().join("src/train.py"), "").unwrap();
    let contents = Contents::of(folder.path()).unwrap();
    for (path, holds) in [("src/train.py", true), ("./src/train.py", true), (".", true), ("train.py", false)] {
        assert_eq!(contents.holds(Path::new(path)), holds, "{path}");
    }
    assert_eq!(contents.files(), 1);
}

#[test]
fn too_many_files_and_missing_folders_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Contents::of(&folder.path().join("missing")).unwrap_err().contains("No such file"));
    fs::write(folder.path().join("file"), "").unwrap();
    assert!(Contents::of(&folder.path().join("file")).unwrap_err().contains("is not a folder"));
    fs::write(folder.path().join("another"), "").unwrap();
    assert!(Contents::bounded(folder.path(), 2).is_ok());
    assert!(Contents::bounded(folder.path(), 1).unwrap_err().contains(".mcplaneignore"));
}
