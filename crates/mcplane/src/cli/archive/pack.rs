//! The bytes of an archive.

use std::fs::File;
use std::io::{self, Read, Write};

use flate2::{Compression, GzBuilder};
use sha2::{Digest, Sha256};
use tar::{EntryType, Header};

use super::{Contents, Entry, Kind};

/// Bytes that an archive may have.
const MOST_BYTES: usize = 256 << 20;
/// 1980, the oldest year that every format of archives knows.
const TIME: u64 = 315_532_800;

/// An archive.
pub(in crate::cli) struct Packed {
    /// `sha256:` and the digest.
    pub(in crate::cli) code: String,
    pub(in crate::cli) bytes: Vec<u8>,
}

/// Makes the archive; the same files make the same bytes.
pub(in crate::cli) fn pack(contents: &Contents) -> Result<Packed, String> {
    let zipped = GzBuilder::new().mtime(0).write(Bounded(Vec::new()), Compression::new(6));
    let mut archive = tar::Builder::new(zipped);
    for entry in &contents.entries {
        let full = contents.root.join(&entry.path);
        add(&mut archive, contents, entry).map_err(|error| match error.kind() {
            io::ErrorKind::FileTooLarge => error.to_string(),
            _ => format!("{}: {error}", full.display()),
        })?;
    }
    let bytes = archive.into_inner().and_then(|zipped| zipped.finish()).map_err(|error| error.to_string())?.0;
    let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Packed { code: format!("sha256:{digest}"), bytes })
}

fn add(archive: &mut tar::Builder<impl Write>, contents: &Contents, entry: &Entry) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mtime(TIME);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    match &entry.kind {
        Kind::Folder => {
            header.set_entry_type(EntryType::Directory);
            header.set_mode(0o755);
            archive.append_data(&mut header, format!("{}/", entry.path), io::empty())
        }
        Kind::Link { target } => {
            header.set_entry_type(EntryType::Symlink);
            header.set_mode(0o777);
            archive.append_link(&mut header, &entry.path, target)
        }
        Kind::File { executable, size } => {
            header.set_entry_type(EntryType::Regular);
            header.set_mode(if *executable { 0o755 } else { 0o644 });
            header.set_size(*size);
            let file = File::open(contents.root.join(&entry.path))?;
            archive.append_data(&mut header, &entry.path, Exactly { file, left: *size })
        }
    }
}

/// As much of a file as its header promises, however it changes meanwhile.
struct Exactly {
    file: File,
    left: u64,
}

impl Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.file.read(&mut buffer[..most])?;
        if read == 0 && most > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it became shorter while it was read"));
        }
        self.left -= read as u64;
        Ok(read)
    }
}

struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.0.len() + data.len() > MOST_BYTES {
            let message = format!(
                "the archive is larger than {} MiB: name what need not travel in .mcplaneignore, and let data come from \
                 where it is kept",
                MOST_BYTES >> 20
            );
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        self.0.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
