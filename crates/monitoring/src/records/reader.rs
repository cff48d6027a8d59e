//! Reads records back: those of one prediction, or all since a time to fill windows after a restart. Blocking.

use std::fs;
use std::io;
use std::path::Path;

use mcplane_core::Timestamp;

use super::Record;
use super::frame::{HEADER, Parsed, parse};
use super::log::{Segment, list};
use super::recorder::{LABELS, PREDICTIONS};
use crate::PredictionId;

/// How much later than its identifier says a prediction may have been written: its inference lies between.
const LATEST_MS: i64 = 15 * 60_000;

/// Reads a folder that a [`super::Recorder`] writes, also while it does.
#[derive(Debug)]
pub struct Reader;

/// What is known of a prediction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// What was asked and answered; `None` when its record was lost or is too old.
    pub prediction: Option<Record>,
    /// What was said to be true, in the order in which it came.
    pub labels: Vec<Record>,
}

/// What a scan met.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scan {
    /// Records that were read.
    pub records: u64,
    /// Segments whose reading ended before their end. The one that is being written may be among them.
    pub damaged: u64,
}

impl Reader {
    /// What is known of one prediction in the folder of a recorder.
    pub fn find(folder: &Path, id: PredictionId) -> io::Result<Found> {
        let mut found = Found::default();
        let all = present(&folder.join(PREDICTIONS))?;
        for segment in since(&all, id.at()).iter().take_while(|segment| segment.made_at <= id.at() + LATEST_MS) {
            read(segment, &mut |record| {
                if record.id == id {
                    found.prediction = Some(record);
                }
            })?;
            if found.prediction.is_some() {
                break;
            }
        }
        for segment in since(&present(&folder.join(LABELS))?, id.at()) {
            read(segment, &mut |record| {
                if record.id == id {
                    found.labels.push(record);
                }
            })?;
        }
        Ok(found)
    }

    /// All records of one folder of segments that were written at `from` or later, in their order.
    pub fn scan(folder: &Path, from: Timestamp, mut each: impl FnMut(Record)) -> io::Result<Scan> {
        let mut scan = Scan::default();
        for segment in since(&present(folder)?, from) {
            let whole = read(segment, &mut |record| {
                if record.at >= from {
                    scan.records += 1;
                    each(record);
                }
            })?;
            scan.damaged += u64::from(!whole);
        }
        Ok(scan)
    }
}

fn present(folder: &Path) -> io::Result<Vec<Segment>> {
    if folder.is_dir() { list(folder) } else { Ok(Vec::new()) }
}

/// Segments that were still written to at `from`: those whose next one was made later.
fn since(segments: &[Segment], from: Timestamp) -> &[Segment] {
    let later = segments.partition_point(|segment| segment.made_at <= from);
    &segments[later.saturating_sub(1)..]
}

/// Whether the segment was read to its end. One that retention removed meanwhile has nothing.
fn read(segment: &Segment, each: &mut dyn FnMut(Record)) -> io::Result<bool> {
    let bytes = match fs::read(&segment.path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    };
    let mut rest = bytes.get(HEADER..).unwrap_or_default();
    loop {
        match parse(rest) {
            Parsed::Record(record, size) => {
                each(record);
                rest = &rest[size..];
            }
            Parsed::End => return Ok(true),
            Parsed::Torn => return Ok(false),
        }
    }
}
