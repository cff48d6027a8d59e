//! What a file or a folder holds, as one number.

use std::fs;
use std::io;
use std::path::Path;

use sha2::{Digest as _, Sha256};

/// Files of a folder that are read; a larger folder has no digest.
const MOST_FILES: usize = 100_000;

/// SHA-256 in hex: of a file's content; of a folder, over the sorted paths and digests of the files in it. `None` if there
/// is nothing, or it can't be read.
pub(crate) fn digest(path: &Path) -> Option<String> {
    let digest = if fs::metadata(path).ok()?.is_dir() { folder(path).ok()? } else { file(path).ok()? };
    Some(hex(&digest))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn file(path: &Path) -> io::Result<Vec<u8>> {
    // Reading a pipe would wait for ever.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut hasher = Sha256::new();
    let mut file = fs::File::open(path)?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = io::Read::read(&mut file, &mut buffer)?;
        if count == 0 {
            return Ok(hasher.finalize().to_vec());
        }
        hasher.update(&buffer[..count]);
    }
}

fn folder(root: &Path) -> io::Result<Vec<u8>> {
    let (mut files, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
        if files.len() + folders.len() > MOST_FILES {
            return Err(io::Error::other("too many files"));
        }
    }
    files.sort();
    let mut hasher = Sha256::new();
    for path in files {
        let name = path.strip_prefix(root).unwrap_or(&path).as_os_str().as_encoded_bytes().to_vec();
        let content = if path.is_symlink() {
            Sha256::digest(fs::read_link(&path)?.as_os_str().as_encoded_bytes()).to_vec()
        } else {
            file(&path)?
        };
        hasher.update((name.len() as u64).to_le_bytes());
        hasher.update(&name);
        hasher.update(&content);
    }
    Ok(hasher.finalize().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_has_a_digest() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a");
        fs::write(&path, "abc").unwrap();
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest(&path).as_deref(), Some(known));
        assert_eq!(digest(&root.path().join("missing")), None);
    }

    #[test]
    fn a_folder_is_its_files_and_their_names() {
        let made = |files: &[(&str, &str)]| {
            let root = tempfile::tempdir().unwrap();
            for (name, content) in files {
                let path = root.path().join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, content).unwrap();
            }
            digest(root.path()).unwrap()
        };
        let first = made(&[("a", "1"), ("b/c", "2")]);
        assert_eq!(first, made(&[("b/c", "2"), ("a", "1")]));
        for other in [made(&[("a", "1"), ("b/c", "3")]), made(&[("a", "1"), ("b/d", "2")]), made(&[("a", "1")])] {
            assert_ne!(first, other);
        }
    }
}
