//! Writes what a program says as segments of log lines, in the format that Kubernetes' container runtimes write:
//! `2016-10-06T00:17:09.669794202Z stdout F message`, with `P` instead of `F` where the line goes on in the next entry.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::folder::make_folder;
use crate::protocol::LogLimits;

/// Longest message of one entry.
const LONGEST: usize = 16 << 10;

/// What is gathered before it is written.
const BATCH: usize = 64 << 10;

/// Which of a program's outputs a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    Stdout,
    Stderr,
}

impl Output {
    fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// The name of a segment; names sort as numbers do.
pub(crate) fn segment_name(number: u64) -> String {
    format!("{number:010}.log")
}

/// The number in a segment's name.
pub(crate) fn segment_number(name: &str) -> Option<u64> {
    name.strip_suffix(".log")?.parse().ok()
}

/// The segments of one attempt. A full disk costs lines, never more than that.
#[derive(Debug)]
pub(super) struct LogWriter {
    folder: PathBuf,
    limits: LogLimits,
    current: Option<File>,
    number: u64,
    size: u64,
    closed: VecDeque<(u64, u64)>,
    batch: Vec<u8>,
    /// Bytes of messages in the batch.
    batch_messages: u64,
    lost: u64,
    /// Lost, and not yet told in the log.
    untold: u64,
    stamp: Stamp,
}

impl LogWriter {
    pub(super) fn new(folder: &Path, limits: LogLimits) -> Self {
        let _ = make_folder(folder);
        Self {
            folder: folder.to_owned(),
            limits,
            current: None,
            number: 0,
            size: 0,
            closed: VecDeque::new(),
            batch: Vec::new(),
            batch_messages: 0,
            lost: 0,
            untold: 0,
            stamp: Stamp::default(),
        }
    }

    /// Bytes of messages that could not be stored.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    fn entry(&mut self, output: Output, whole: bool, message: &[u8]) {
        const AROUND: usize = 48;
        let length = (message.len() + AROUND) as u64;
        let filled = self.size + self.batch.len() as u64;
        if filled > 0 && filled + length > self.limits.segment_bytes {
            self.flush();
            self.close();
        } else if self.batch.len() + message.len() > BATCH {
            self.flush();
        }
        push_entry(&mut self.batch, &mut self.stamp, output, whole, message);
        self.batch_messages += message.len() as u64;
    }

    /// Writes what was gathered.
    pub(super) fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let stored = self.write();
        if let Err(error) = stored {
            self.lost += self.batch_messages;
            self.untold += self.batch_messages;
            if self.untold == self.batch_messages {
                super::complain(&format_args!("output is not stored: {error}"));
            }
        } else {
            self.untold = 0;
        }
        self.batch.clear();
        self.batch_messages = 0;
    }

    fn write(&mut self) -> io::Result<()> {
        if self.untold > 0 {
            let mut notice = Vec::new();
            let text = format!("[mcplane] {} bytes of output could not be stored here", self.untold);
            push_entry(&mut notice, &mut self.stamp, Output::Stderr, true, text.as_bytes());
            notice.append(&mut self.batch);
            self.batch = notice;
        }
        if self.current.is_none() {
            let path = self.folder.join(segment_name(self.number + 1));
            self.current = Some(OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?);
            self.number += 1;
        }
        let Some(file) = self.current.as_mut() else { return Ok(()) };
        match file.write_all(&self.batch) {
            Ok(()) => {
                self.size += self.batch.len() as u64;
                Ok(())
            }
            Err(error) => {
                // Half an entry would spoil the one that follows.
                let _ = file.set_len(self.size);
                Err(error)
            }
        }
    }

    /// Ends the segment, and removes the oldest ones that leave no room for another.
    fn close(&mut self) {
        if self.current.take().is_some() {
            self.closed.push_back((self.number, self.size));
            self.size = 0;
        }
        let mut sum: u64 = self.closed.iter().map(|(_, size)| size).sum();
        while sum + self.limits.segment_bytes > self.limits.total_bytes {
            let Some((number, size)) = self.closed.pop_front() else { break };
            sum -= size;
            let _ = fs::remove_file(self.folder.join(segment_name(number)));
        }
    }
}

fn push_entry(into: &mut Vec<u8>, stamp: &mut Stamp, output: Output, whole: bool, message: &[u8]) {
    stamp.push(into);
    into.push(b' ');
    into.extend_from_slice(output.name().as_bytes());
    into.extend_from_slice(if whole { b" F " } else { b" P " });
    into.extend_from_slice(message);
    into.push(b'\n');
}

/// The time as text; the part down to the second is made once a second.
#[derive(Debug, Default)]
struct Stamp {
    second: i64,
    prefix: String,
}

impl Stamp {
    fn push(&mut self, into: &mut Vec<u8>) {
        let now = jiff::Timestamp::now();
        if now.as_second() != self.second || self.prefix.is_empty() {
            self.second = now.as_second();
            self.prefix = format!("{now:.0}").trim_end_matches('Z').to_owned();
        }
        into.extend_from_slice(self.prefix.as_bytes());
        let mut digits = [b'0'; 9];
        let mut rest = now.subsec_nanosecond().unsigned_abs();
        for digit in digits.iter_mut().rev() {
            *digit += (rest % 10) as u8;
            rest /= 10;
        }
        into.push(b'.');
        into.extend_from_slice(&digits);
        into.push(b'Z');
    }
}

/// Cuts one output into lines.
#[derive(Debug)]
pub(super) struct Lines {
    output: Output,
    pending: Vec<u8>,
    since: Option<Instant>,
}

impl Lines {
    pub(super) fn new(output: Output) -> Self {
        Self { output, pending: Vec::new(), since: None }
    }

    /// Since when the end of a line is awaited.
    pub(super) fn pending_since(&self) -> Option<Instant> {
        self.since
    }

    pub(super) fn feed(&mut self, mut data: &[u8], now: Instant, log: &mut LogWriter) {
        while !data.is_empty() {
            let room = (LONGEST - self.pending.len()).min(data.len());
            let end = data[..room].iter().position(|byte| *byte == b'\n');
            let (piece, next) = match end {
                Some(end) => (&data[..end], &data[end + 1..]),
                None => (&data[..room], &data[room..]),
            };
            let full = self.pending.len() + piece.len() == LONGEST;
            if end.is_none() && !full {
                self.pending.extend_from_slice(piece);
                self.since.get_or_insert(now);
                return;
            }
            if self.pending.is_empty() {
                log.entry(self.output, end.is_some(), piece);
            } else {
                self.pending.extend_from_slice(piece);
                log.entry(self.output, end.is_some(), &self.pending);
                self.pending.clear();
            }
            self.since = None;
            data = next;
        }
    }

    /// Writes the line that has not ended, as one that goes on.
    pub(super) fn flush(&mut self, log: &mut LogWriter) {
        if !self.pending.is_empty() {
            log.entry(self.output, false, &self.pending);
            self.pending.clear();
        }
        self.since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entries(folder: &Path) -> Vec<(String, bool, Vec<u8>)> {
        let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        let text: Vec<u8> = names.iter().flat_map(|path| fs::read(path).unwrap()).collect();
        let lines = text.split_inclusive(|byte| *byte == b'\n');
        lines
            .map(|line| {
                let line = line.strip_suffix(b"\n").unwrap();
                assert_eq!((line[10], line[19], line[29], line[30]), (b'T', b'.', b'Z', b' '));
                (String::from_utf8(line[31..37].to_vec()).unwrap(), line[38] == b'F', line[40..].to_vec())
            })
            .collect()
    }

    #[test]
    fn lines_partial_lines_and_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = LogWriter::new(folder.path(), LogLimits::default());
        let mut lines = Lines::new(Output::Stderr);
        let now = Instant::now();
        lines.feed(b"one\n\ntw", now, &mut log);
        assert_eq!(lines.pending_since(), Some(now));
        lines.feed(b"o\n", now, &mut log);
        assert_eq!(lines.pending_since(), None);
        lines.feed(&[b'x'; LONGEST + 1], now, &mut log);
        lines.feed(b"\nrest", now, &mut log);
        lines.flush(&mut log);
        log.flush();
        let found = entries(folder.path());
        let expected: [(bool, &[u8]); 6] =
            [(true, b"one"), (true, b""), (true, b"two"), (false, &[b'x'; LONGEST]), (true, b"x"), (false, b"rest")];
        assert_eq!(found.len(), expected.len());
        for ((output, whole, message), (expected_whole, expected_message)) in found.iter().zip(expected) {
            assert_eq!((output.as_str(), *whole, message.as_slice()), ("stderr", expected_whole, expected_message));
        }
    }

    #[test]
    fn the_oldest_segment_goes() {
        let folder = tempfile::tempdir().unwrap();
        let limits = LogLimits { segment_bytes: 500, total_bytes: 1500 };
        let mut log = LogWriter::new(folder.path(), limits);
        let mut lines = Lines::new(Output::Stdout);
        for number in 0..100 {
            lines.feed(format!("line {number}\n").as_bytes(), Instant::now(), &mut log);
        }
        log.flush();
        let sizes: Vec<u64> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).collect();
        assert!(sizes.iter().all(|size| *size <= 500) && sizes.iter().sum::<u64>() <= 1500, "{sizes:?}");
        let kept = entries(folder.path());
        let expected: Vec<Vec<u8>> =
            (100 - kept.len()..100).map(|number| format!("line {number}").into_bytes()).collect();
        assert_eq!(kept.into_iter().map(|(_, _, message)| message).collect::<Vec<_>>(), expected);
        assert_eq!(log.lost(), 0);
    }

    #[test]
    fn what_can_not_be_stored_is_counted_and_told() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("log");
        fs::write(&place, "in the way").unwrap();
        let mut log = LogWriter::new(&place, LogLimits::default());
        let mut lines = Lines::new(Output::Stdout);
        lines.feed(b"12345\n", Instant::now(), &mut log);
        log.flush();
        assert_eq!(log.lost(), 5);
        fs::remove_file(&place).unwrap();
        fs::create_dir(&place).unwrap();
        lines.feed(b"back\n", Instant::now(), &mut log);
        log.flush();
        let found = entries(&place);
        assert_eq!(found.len(), 2);
        assert!(found[0].2.starts_with(b"[mcplane] 5 bytes"));
        assert_eq!((found[1].2.as_slice(), log.lost()), (&b"back"[..], 5));
    }

    proptest! {
        #[test]
        fn every_byte_comes_back(chunks in prop::collection::vec(
            prop_oneof![prop::collection::vec(any::<u8>(), 0..50), Just(vec![b'\n'; 3]), Just(vec![b'a'; 20_000])], 0..12)) {
            let folder = tempfile::tempdir().unwrap();
            let mut log = LogWriter::new(folder.path(), LogLimits::default());
            let mut lines = Lines::new(Output::Stdout);
            for chunk in &chunks {
                lines.feed(chunk, Instant::now(), &mut log);
            }
            lines.flush(&mut log);
            log.flush();
            let mut text = Vec::new();
            for (_, whole, message) in entries(folder.path()) {
                prop_assert!(message.len() <= LONGEST);
                text.extend_from_slice(&message);
                if whole {
                    text.push(b'\n');
                }
            }
            prop_assert_eq!(text, chunks.concat());
        }
    }
}
