//! Reads a log step by step. Blocks, but never for the program that writes.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};

use bytes::{Bytes, BytesMut};

use super::LogOptions;
use super::entry::{Entry, LONGEST};
use super::tail::Backwards;
use crate::folder::Folder;
use crate::shim::log::{segment_name, segment_number};

const BLOCK: usize = 64 << 10;
const GAP: &[u8] = b"[mcplane] older output was dropped here: the log has reached its limit\n";

/// What a step brought.
#[derive(Debug)]
pub(super) enum Step {
    /// Some text.
    Data(Bytes),
    /// Nothing yet.
    Wait,
    /// Nothing any more.
    End,
}

#[derive(Debug)]
pub(super) struct Reader {
    folder: Folder,
    options: LogOptions,
    /// The start of `since`, as entries write it.
    since: Option<Vec<u8>>,
    left: u64,
    started: bool,
    segment: Option<File>,
    /// Number of the segment that is or was open.
    number: u64,
    /// An entry whose end has not been read.
    rest: Vec<u8>,
    /// Whether the line of stdout, and that of stderr, has begun.
    within: [bool; 2],
    out: BytesMut,
}

impl Reader {
    pub(super) fn new(folder: Folder, options: LogOptions) -> Self {
        let since = options.since.and_then(|since| jiff::Timestamp::from_millisecond(since).ok());
        Self {
            folder,
            options,
            since: since.map(|since| format!("{since:.9}").into_bytes()),
            left: options.limit_bytes.unwrap_or(u64::MAX),
            started: false,
            segment: None,
            number: 0,
            rest: Vec::new(),
            within: [false; 2],
            out: BytesMut::new(),
        }
    }

    pub(super) fn step(&mut self) -> io::Result<Step> {
        loop {
            if self.left == 0 {
                return Ok(Step::End);
            }
            // Asked before the last look: what was written before the end is found by that look.
            let last = !self.options.follow || self.folder.ended() || !self.folder.path().exists();
            if !self.started {
                self.started = true;
                self.begin()?;
            }
            if self.fill()? == 0 {
                let next = self.segments()?.into_iter().find(|number| *number > self.number);
                // Once more: the segment was written to until the next one was there.
                if self.fill()? == 0 {
                    match next {
                        Some(next) => self.open(next)?,
                        None if self.out.is_empty() => return Ok(if last { Step::End } else { Step::Wait }),
                        None => {}
                    }
                }
            }
            if !self.out.is_empty() {
                return Ok(Step::Data(self.take()));
            }
        }
    }

    fn take(&mut self) -> Bytes {
        let allowed = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.out.len());
        let data = self.out.split_to(allowed).freeze();
        self.left -= data.len() as u64;
        self.out.clear();
        data
    }

    /// Numbers of the segments that there are, in order.
    fn segments(&self) -> io::Result<Vec<u64>> {
        let entries = match fs::read_dir(self.folder.log()) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut numbers: Vec<u64> =
            entries.flatten().filter_map(|entry| segment_number(entry.file_name().to_str()?)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Goes to where the wanted lines begin.
    fn begin(&mut self) -> io::Result<()> {
        let Some(wanted) = self.options.tail_lines else { return Ok(()) };
        let mut backwards = Backwards::new(wanted);
        for number in self.segments()?.into_iter().rev() {
            let Ok(mut file) = File::open(self.folder.log().join(segment_name(number))) else { break };
            if let Some(start) = backwards.scan(&file)? {
                file.seek(SeekFrom::Start(start))?;
                self.segment = Some(file);
                self.number = number;
                break;
            }
        }
        Ok(())
    }

    /// Opens a segment; one that is removed meanwhile is passed over.
    fn open(&mut self, number: u64) -> io::Result<()> {
        match File::open(self.folder.log().join(segment_name(number))) {
            Ok(file) => {
                if number > self.number + 1 {
                    self.out.extend_from_slice(GAP);
                    self.within = [false; 2];
                }
                self.segment = Some(file);
                self.number = number;
                self.rest.clear();
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Reads some of the open segment; how much there was.
    fn fill(&mut self) -> io::Result<usize> {
        let Some(file) = self.segment.as_mut() else { return Ok(0) };
        let before = self.rest.len();
        let count = file.take(BLOCK as u64).read_to_end(&mut self.rest)?;
        if count == 0 {
            return Ok(0);
        }
        let text = std::mem::take(&mut self.rest);
        let mut begin = 0;
        let newlines = text.iter().enumerate().skip(before).filter(|(_, byte)| **byte == b'\n');
        for (newline, _) in newlines {
            self.show(&text[begin..newline]);
            begin = newline + 1;
        }
        if text.len() - begin <= LONGEST {
            self.rest = text[begin..].to_vec();
        }
        Ok(count)
    }

    fn show(&mut self, text: &[u8]) {
        let Some(entry) = Entry::parse(text) else { return };
        if self.since.as_deref().is_some_and(|since| entry.time < since) {
            return;
        }
        let goes_on = std::mem::replace(&mut self.within[usize::from(entry.stderr)], !entry.whole);
        if self.options.timestamps && !goes_on {
            self.out.extend_from_slice(entry.time);
            self.out.extend_from_slice(b" ");
        }
        self.out.extend_from_slice(entry.message);
        if entry.whole {
            self.out.extend_from_slice(b"\n");
        }
    }
}
