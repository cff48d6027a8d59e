//! The digest of what passes.

use std::fmt::Write as _;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

/// What a reader read so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally(Arc<Mutex<(Sha256, u64)>>);

impl Tally {
    fn take(&self, bytes: &[u8]) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.0.update(bytes);
        state.1 += bytes.len() as u64;
    }

    /// The digest in hex, and the number of bytes.
    pub(super) fn total(&self) -> (String, u64) {
        let (hash, bytes) = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (hex(&hash.finalize()), bytes)
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A reader that tallies.
#[derive(Debug)]
pub(super) struct Tallied<R> {
    source: R,
    tally: Tally,
}

impl<R> Tallied<R> {
    pub(super) fn new(source: R, tally: &Tally) -> Self {
        Self { source, tally: tally.clone() }
    }
}

impl<R: Read> Read for Tallied<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.tally.take(&buffer[..count]);
        Ok(count)
    }
}
