use std::os::unix::fs::{PermissionsExt, symlink};

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, Header};

use super::*;

const BOUNDS: Bounds = Bounds { bytes: 1 << 20, entries: 100 };

enum Kind<'a> {
    File(&'a [u8], u32),
    Folder,
    Link(&'a str),
    Hard(&'a str),
    Other(EntryType),
}

/// Archives as an attacker writes them: paths go into the header as they are.
fn archive(entries: &[(&str, Kind<'_>)]) -> Vec<u8> {
    let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, kind) in entries {
        let mut header = Header::new_ustar();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        let mut content: &[u8] = b"";
        header.set_mode(0o644);
        match kind {
            Kind::File(bytes, mode) => {
                content = bytes;
                header.set_mode(*mode);
                header.set_entry_type(EntryType::Regular);
            }
            Kind::Folder => header.set_entry_type(EntryType::Directory),
            Kind::Link(target) | Kind::Hard(target) => {
                header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
                let hard = matches!(kind, Kind::Hard(_));
                header.set_entry_type(if hard { EntryType::Link } else { EntryType::Symlink });
            }
            Kind::Other(other) => header.set_entry_type(*other),
        }
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, content).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.work()).unwrap();
        place
    }

    fn work(&self) -> PathBuf {
        self.0.path().join("work")
    }

    fn unpack(&self, archive: &[u8]) -> Result<(), Refusal> {
        unpack_from(archive, &self.work(), BOUNDS, &|| false)
    }

    /// Nothing was made beside the work folder.
    fn assert_untouched(&self) {
        assert_eq!(fs::read_dir(self.0.path()).unwrap().count(), 1);
    }
}

#[test]
fn an_honest_archive_is_unpacked() {
    let place = Place::new();
    let archive = archive(&[
        ("./", Kind::Folder),
        ("./src/", Kind::Folder),
        ("src/train.py", Kind::File(b"print(1)", 0o644)),
        ("run.sh", Kind::File(b"old", 0o4755)),
        ("run.sh", Kind::File(b"#!/bin/sh", 0o4755)),
        ("deep/er/file", Kind::File(b"", 0o600)),
        ("latest", Kind::Link("src/train.py")),
        ("src/up", Kind::Link("../run.sh")),
    ]);
    place.unpack(&archive).unwrap();
    let work = place.work();
    assert_eq!(fs::read(work.join("latest")).unwrap(), b"print(1)");
    assert_eq!(fs::read(work.join("src/up")).unwrap(), b"#!/bin/sh");
    let mode = |name: &str| fs::metadata(work.join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode("run.sh") & 0o7100, 0o100, "executable, and no set-user-id");
    assert_eq!(mode("src/train.py") & 0o111, 0);
    assert!(work.join("deep/er/file").exists());
}

#[test]
fn a_real_tar_with_long_names_is_unpacked() {
    let place = Place::new();
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(120));
    let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut header = Header::new_gnu();
    header.set_size(2);
    header.set_mode(0o644);
    builder.append_data(&mut header, &long, &b"hi"[..]).unwrap();
    let archive = builder.into_inner().unwrap().finish().unwrap();
    place.unpack(&archive).unwrap();
    assert_eq!(fs::read(place.work().join(long)).unwrap(), b"hi");
}

#[test]
fn what_leads_out_is_refused() {
    let file = || Kind::File(b"evil", 0o644);
    let cases: Vec<Vec<(&str, Kind<'_>)>> = vec![
        vec![("../evil", file())],
        vec![("a/../../evil", file())],
        vec![("/tmp/mcplane-evil", file())],
        vec![("../evil/", Kind::Folder)],
        vec![("link", Kind::Link("/etc/passwd"))],
        vec![("link", Kind::Link("../evil"))],
        vec![("a/link", Kind::Link("../../evil"))],
        vec![("hard", Kind::Hard("/etc/passwd"))],
        vec![("ok", file()), ("hard", Kind::Hard("ok"))],
        // Each target stays inside as written; together they don't.
        vec![("here", Kind::Link(".")), ("out", Kind::Link("here/.."))],
        // A file through a link that the archive itself brings.
        vec![("up", Kind::Link("sub")), ("sub/", Kind::Folder), ("up", Kind::Link("..")), ("up/evil", file())],
        vec![("fifo", Kind::Other(EntryType::Fifo))],
        vec![("null", Kind::Other(EntryType::Char))],
        vec![("sparse", Kind::Other(EntryType::GNUSparse))],
        vec![("link", Kind::Link(""))],
        vec![("", file())],
    ];
    for (number, case) in cases.iter().enumerate() {
        let place = Place::new();
        let refusal = place.unpack(&archive(case));
        assert!(refusal.is_err(), "case {number}");
        place.assert_untouched();
    }
    assert!(!Path::new("/tmp/mcplane-evil").exists());
}

#[test]
fn nothing_is_written_through_a_link_that_is_there() {
    let place = Place::new();
    let outside = tempfile::tempdir().unwrap();
    symlink(outside.path(), place.work().join("a")).unwrap();
    fs::write(outside.path().join("victim"), "as it was").unwrap();
    symlink(outside.path().join("victim"), place.work().join("b")).unwrap();
    assert!(place.unpack(&archive(&[("a/evil", Kind::File(b"x", 0o644))])).is_err());
    place.unpack(&archive(&[("b", Kind::File(b"mine", 0o644))])).unwrap();
    assert_eq!(fs::read_to_string(outside.path().join("victim")).unwrap(), "as it was");
    assert_eq!(fs::read(place.work().join("b")).unwrap(), b"mine");
    let file = |path: &str| protocol::File { path: path.into(), content: b"x".to_vec(), mode: 0o400 };
    assert!(write_files(&place.work(), &[file("a/evil")]).is_err());
    assert!(write_files(&place.work(), &[file("../evil")]).is_err());
    remove_files(&place.work(), [Path::new("a/victim"), Path::new("b")].into_iter());
    assert!(outside.path().join("victim").exists() && !place.work().join("b").exists());
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[test]
fn bombs_are_refused() {
    let zeros = vec![0; 2 << 20];
    let big = archive(&[("zeros", Kind::File(&zeros, 0o644))]);
    assert!(big.len() < 64 << 10, "small on the wire");
    let place = Place::new();
    assert!(place.unpack(&big).unwrap_err().contains("more than 1048576 bytes"));
    let names: Vec<String> = (0..200).map(|number| format!("f{number}")).collect();
    let many: Vec<(&str, Kind<'_>)> = names.iter().map(|name| (name.as_str(), Kind::File(b"", 0o644))).collect();
    assert!(place.unpack(&archive(&many)).unwrap_err().contains("more than 100 entries"));
    let deep = format!("{}f", "d/".repeat(49));
    assert!(place.unpack(&archive(&[(&deep, Kind::File(b"", 0o644))])).is_ok());

    // A header for a long name that is itself the bomb.
    let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNULongName);
    header.set_size(zeros.len() as u64);
    header.set_cksum();
    builder.append(&header, zeros.as_slice()).unwrap();
    let bomb = builder.into_inner().unwrap().finish().unwrap();
    assert!(place.unpack(&bomb).unwrap_err().contains("header is too large"));
}

#[test]
fn garbage_is_refused() {
    let place = Place::new();
    let whole = archive(&[("file", Kind::File(&[7; 5000], 0o644))]);
    for garbage in [&b"not gzip"[..], b"", &whole[..whole.len() / 2]] {
        assert!(place.unpack(garbage).is_err());
    }
}

#[test]
fn files_have_their_mode_and_go_again() {
    let place = Place::new();
    let file = protocol::File { path: "secrets/key".into(), content: b"s".to_vec(), mode: 0o400 };
    write_files(&place.work(), std::slice::from_ref(&file)).unwrap();
    let path = place.work().join("secrets/key");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o400);
    remove_files(&place.work(), [file.path.as_path()].into_iter());
    assert!(!path.exists());
}

#[test]
fn a_stop_is_heard_between_entries() {
    let place = Place::new();
    let whole = archive(&[("a", Kind::File(b"1", 0o644)), ("b", Kind::File(b"2", 0o644))]);
    let asked = std::cell::Cell::new(0);
    let stopped = || asked.replace(asked.get() + 1) == 1;
    assert_eq!(unpack_from(whole.as_slice(), &place.work(), BOUNDS, &stopped).unwrap_err(), "stopped");
    assert!(place.work().join("a").exists() && !place.work().join("b").exists());
}
