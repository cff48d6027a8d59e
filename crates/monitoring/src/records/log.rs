//! A folder of segments, written by one process at a time. Blocking.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use mcplane_core::Timestamp;

use super::Record;
use super::frame::{HEADER, Parsed, header, made_at, parse};

/// How large segments get, and what is kept of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogConfig {
    /// A segment of so many bytes is the last of its kind; the next record opens another.
    pub segment_bytes: u64,
    /// The oldest segments go when all have more bytes.
    pub most_bytes: u64,
    /// A segment goes when it was finished longer ago, in milliseconds.
    pub oldest_ms: i64,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, most_bytes: 4 << 30, oldest_ms: 30 * 86_400_000 }
    }
}

/// A segment on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    /// When it was made.
    pub(super) made_at: Timestamp,
    pub(super) bytes: u64,
}

/// A folder of segments that is appended to.
#[derive(Debug)]
pub struct Log {
    folder: PathBuf,
    config: LogConfig,
    segments: Vec<Segment>,
    /// The last segment, when it can take more.
    active: Option<File>,
    buffer: Vec<u8>,
}

impl Log {
    /// Opens a folder, making it if it is missing, and cuts off what a crash tore at the end. Gives how many bytes that was.
    pub fn open(folder: &Path, config: LogConfig) -> io::Result<(Self, u64)> {
        fs::create_dir_all(folder)?;
        remove_headless(folder)?;
        let mut segments = list(folder)?;
        let mut cut = 0;
        let mut active = None;
        if let Some(last) = segments.last_mut() {
            let file = OpenOptions::new().append(true).open(&last.path)?;
            let sound = sound_bytes(&last.path)?;
            cut = last.bytes - sound;
            if cut > 0 {
                file.set_len(sound)?;
                file.sync_all()?;
                last.bytes = sound;
            }
            active = Some(file);
        }
        Ok((Self { folder: folder.to_owned(), config, segments, active, buffer: Vec::new() }, cut))
    }

    /// Appends records; they are durable after [`Log::sync`]. On an error none of them is in the log.
    pub fn append<'a>(&mut self, now: Timestamp, records: impl IntoIterator<Item = &'a Record>) -> io::Result<()> {
        self.buffer.clear();
        for record in records {
            record.write(&mut self.buffer);
        }
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.make_room(now)?;
        let (Some(file), Some(segment)) = (&mut self.active, self.segments.last_mut()) else {
            return Err(io::Error::other("no segment is open"));
        };
        if let Err(error) = file.write_all(&self.buffer) {
            // Half a frame would hide what comes after it.
            if file.set_len(segment.bytes).is_err() {
                self.active = None;
            }
            return Err(error);
        }
        segment.bytes += self.buffer.len() as u64;
        Ok(())
    }

    /// Returns when all that was appended is on disk. After an error nobody knows what is, so the segment is left and what
    /// comes next goes to another.
    pub fn sync(&mut self) -> io::Result<()> {
        let Some(file) = &self.active else { return Ok(()) };
        file.sync_data().inspect_err(|_| self.active = None)
    }

    /// Removes segments that are too many or too old. Gives how many.
    pub fn retain(&mut self, now: Timestamp) -> io::Result<usize> {
        let mut total: u64 = self.segments.iter().map(|segment| segment.bytes).sum();
        let mut removed = 0;
        // A segment was finished when the next one was made.
        while let [oldest, next, ..] = self.segments.as_slice() {
            if total <= self.config.most_bytes && now - next.made_at < self.config.oldest_ms {
                break;
            }
            fs::remove_file(&oldest.path)?;
            total -= oldest.bytes;
            self.segments.remove(0);
            removed += 1;
        }
        Ok(removed)
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    fn make_room(&mut self, now: Timestamp) -> io::Result<()> {
        let full = self.segments.last().is_none_or(|segment| segment.bytes >= self.config.segment_bytes);
        if self.active.is_some() && !full {
            return Ok(());
        }
        if let Some(file) = self.active.take() {
            // Only the last segment is looked through for torn frames.
            file.sync_all()?;
        }
        let number = self.segments.last().map_or(1, |segment| segment.number + 1);
        let path = self.folder.join(format!("{number:016}.seg"));
        let mut file = OpenOptions::new().append(true).create_new(true).open(&path)?;
        let made = file.write_all(&header(now)).and_then(|()| file.sync_all());
        if let Err(error) = made.and_then(|()| File::open(&self.folder)?.sync_all()) {
            fs::remove_file(&path)?;
            return Err(error);
        }
        self.segments.push(Segment { number, path, made_at: now, bytes: HEADER as u64 });
        self.active = Some(file);
        Ok(())
    }
}

/// Number, path and size of the segments of a folder in their order.
fn files(folder: &Path) -> io::Result<Vec<(u64, PathBuf, u64)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".seg")).and_then(|number| number.parse().ok());
        if let Some(number) = number {
            files.push((number, entry.path(), entry.metadata()?.len()));
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// A file that a crash left without its header has nothing. Only who writes may say so: to others it may be just made.
fn remove_headless(folder: &Path) -> io::Result<()> {
    for (_, path, _) in files(folder)?.iter().filter(|(_, _, bytes)| *bytes < HEADER as u64) {
        fs::remove_file(path)?;
    }
    Ok(())
}

/// The segments of a folder that have a header, in their order.
pub(super) fn list(folder: &Path) -> io::Result<Vec<Segment>> {
    let mut out = Vec::new();
    for (number, path, bytes) in files(folder)? {
        let mut first = [0; HEADER];
        match File::open(&path).and_then(|mut file| file.read_exact(&mut first)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => continue,
            // Retention was quicker.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        }
        let made_at = made_at(&first).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{} is no segment of records", path.display()))
        })?;
        out.push(Segment { number, path, made_at, bytes });
    }
    Ok(out)
}

/// Up to where a segment has whole frames.
fn sound_bytes(path: &Path) -> io::Result<u64> {
    let bytes = fs::read(path)?;
    let mut at = HEADER;
    while let Parsed::Record(_, size) = parse(&bytes[at..]) {
        at += size;
    }
    Ok(at as u64)
}

#[cfg(test)]
mod tests {
    use super::super::{Kind, Reader};
    use super::*;
    use crate::PredictionId;

    fn record(number: u64) -> Record {
        let id = PredictionId::new(number as i64, 7, number);
        Record { kind: Kind::Prediction, id, at: number as i64, body: vec![b'x'; 50] }
    }

    fn numbers(folder: &Path) -> Vec<i64> {
        let mut numbers = Vec::new();
        Reader::scan(folder, i64::MIN, |record| numbers.push(record.at)).unwrap();
        numbers
    }

    #[test]
    fn a_torn_end_is_cut_off_wherever_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (mut log, _) = Log::open(folder.path(), LogConfig::default()).unwrap();
        log.append(0, &[record(1), record(2)]).unwrap();
        log.sync().unwrap();
        drop(log);
        let path = list(folder.path()).unwrap()[0].path.clone();
        let whole = fs::read(&path).unwrap();
        let size = record(1).size();
        for cut in 0..=whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let (mut log, _) = Log::open(folder.path(), LogConfig::default()).unwrap();
            log.append(9, &[record(3)]).unwrap();
            let kept = (cut.saturating_sub(HEADER) / size) as i64;
            let expected: Vec<i64> = (1..=kept).chain([3]).collect();
            assert_eq!(numbers(folder.path()), expected, "cut at {cut}");
        }
    }

    #[test]
    fn the_oldest_segments_go() {
        let folder = tempfile::tempdir().unwrap();
        let size = record(1).size() as u64;
        let config = LogConfig { segment_bytes: HEADER as u64 + 2 * size, most_bytes: 5 * size + 48, oldest_ms: 100 };
        let (mut log, _) = Log::open(folder.path(), config).unwrap();
        for number in 1..=6 {
            log.append(number as i64, &[record(number)]).unwrap();
        }
        assert_eq!(log.retain(10).unwrap(), 1, "too many bytes");
        assert_eq!(numbers(folder.path()), [3, 4, 5, 6]);
        assert_eq!(log.retain(104).unwrap(), 0);
        assert_eq!(log.retain(105).unwrap(), 1, "finished at 5");
        assert_eq!(log.retain(100_000).unwrap(), 0, "the last one stays");
        drop(log);
        let (log, cut) = Log::open(folder.path(), config).unwrap();
        assert_eq!((log.bytes(), cut), (HEADER as u64 + 2 * size, 0));
    }

    #[test]
    fn foreign_files_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("notes.txt"), "mine").unwrap();
        Log::open(folder.path(), LogConfig::default()).unwrap();
        fs::write(folder.path().join("0000000000000009.seg"), "not a segment of mine").unwrap();
        assert!(Log::open(folder.path(), LogConfig::default()).is_err());
        assert!(folder.path().join("notes.txt").exists());
    }
}
