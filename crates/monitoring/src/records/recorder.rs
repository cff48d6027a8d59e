//! The thread that writes records, so that nobody who predicts waits for a disk.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mcplane_core::Clock;

use super::{Kind, LARGEST_BODY, LOSS_WINDOW_MS, Log, LogConfig, Record};

pub(super) const PREDICTIONS: &str = "predictions";
pub(super) const LABELS: &str = "labels";

/// Records that are written together.
const MOST_TOGETHER: usize = 4096;
/// Predictions of so long are written together: to wake this thread for each costs more than a model takes to answer. It
/// is part of the window in which a crash loses them, and the most that it delays a label.
const GATHER: Duration = Duration::from_millis(5);
const RETENTION_EVERY: Duration = Duration::from_secs(60);

/// Settings of a recorder.
#[derive(Debug, Clone, Copy)]
pub struct RecorderConfig {
    /// Segments of predictions.
    pub predictions: LogConfig,
    /// Segments of labels.
    pub labels: LogConfig,
    /// Bytes that may wait to be written; what comes beyond is refused.
    pub waiting_bytes: u64,
}

impl Default for RecorderConfig {
    fn default() -> Self {
        let labels = LogConfig { segment_bytes: 16 << 20, most_bytes: 1 << 30, ..LogConfig::default() };
        Self { predictions: LogConfig::default(), labels, waiting_bytes: 64 << 20 }
    }
}

/// Is called when a label is durable, or with the reason why it is not.
pub type Acknowledge = Box<dyn FnOnce(io::Result<()>) + Send>;

/// Why a record was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The disk does not keep up; the record is dropped, and counted.
    Busy,
    /// The body has more than [`LARGEST_BODY`] bytes.
    TooLarge,
    /// The recorder has ended.
    Closed,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => write!(f, "the disk does not keep up with records; try again later"),
            Self::TooLarge => write!(f, "a record has at most {LARGEST_BODY} bytes; send less"),
            Self::Closed => write!(f, "records are not taken while the server ends"),
        }
    }
}

impl std::error::Error for Refusal {}

/// Takes records and writes them in order. Dropping it writes and syncs what was taken.
#[derive(Debug)]
pub struct Recorder {
    sender: Mutex<Option<Sender<Item>>>,
    shared: Arc<Shared>,
    config: RecorderConfig,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting_bytes: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

struct Item {
    record: Record,
    acknowledge: Option<Acknowledge>,
}

impl Recorder {
    /// Opens the folder and starts the thread. The second value is how many bytes a crash had torn.
    pub fn open(folder: &Path, config: RecorderConfig, clock: Arc<dyn Clock>) -> io::Result<(Self, u64)> {
        let (predictions, torn) = Log::open(&folder.join(PREDICTIONS), config.predictions)?;
        let (labels, also) = Log::open(&folder.join(LABELS), config.labels)?;
        let (sender, receiver) = channel();
        let shared = Arc::new(Shared::default());
        let writer = Writer { predictions, labels, clock, shared: Arc::clone(&shared), receiver };
        let thread = std::thread::Builder::new().name("records".into()).spawn(move || writer.run())?;
        let sender = Mutex::new(Some(sender));
        Ok((Self { sender, shared, config, thread: Some(thread) }, torn + also))
    }

    /// Takes a prediction; it is on disk within [`LOSS_WINDOW_MS`].
    pub fn prediction(&self, record: Record) -> Result<(), Refusal> {
        let record = Record { kind: Kind::Prediction, ..record };
        self.send(record, None).inspect_err(|_| {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        })
    }

    /// Takes a label; `acknowledge` is called once it is durable.
    pub fn label(&self, record: Record, acknowledge: Acknowledge) -> Result<(), Refusal> {
        self.send(Record { kind: Kind::Label, ..record }, Some(acknowledge))
    }

    /// Predictions that were not taken, and records that could not be written.
    pub fn lost(&self) -> (u64, u64) {
        (self.shared.dropped.load(Ordering::Relaxed), self.shared.failed.load(Ordering::Relaxed))
    }

    fn send(&self, record: Record, acknowledge: Option<Acknowledge>) -> Result<(), Refusal> {
        if record.body.len() > LARGEST_BODY {
            return Err(Refusal::TooLarge);
        }
        let size = record.size() as u64;
        if self.shared.waiting_bytes.fetch_add(size, Ordering::Relaxed) + size > self.config.waiting_bytes {
            self.shared.waiting_bytes.fetch_sub(size, Ordering::Relaxed);
            return Err(Refusal::Busy);
        }
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = sender.as_ref().is_some_and(|sender| sender.send(Item { record, acknowledge }).is_ok());
        if sent { Ok(()) } else { Err(Refusal::Closed) }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed where it happened.
            drop(thread.join());
        }
    }
}

struct Writer {
    predictions: Log,
    labels: Log,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    receiver: Receiver<Item>,
}

impl Writer {
    fn run(mut self) {
        let interval = Duration::from_millis(LOSS_WINDOW_MS / 2);
        // When predictions that are not synced began to wait.
        let mut unsynced: Option<Instant> = None;
        let mut retained = Instant::now();
        loop {
            let due = unsynced.map_or(interval, |since| interval.saturating_sub(since.elapsed()));
            let items = match self.receiver.recv_timeout(due) {
                Ok(first) => {
                    if first.record.kind == Kind::Prediction {
                        std::thread::sleep(GATHER);
                    }
                    std::iter::once(first).chain(self.receiver.try_iter()).take(MOST_TOGETHER).collect()
                }
                Err(RecvTimeoutError::Timeout) => Vec::new(),
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if self.write(items) {
                unsynced.get_or_insert_with(Instant::now);
            }
            if unsynced.is_some_and(|since| since.elapsed() >= interval) {
                self.sync_predictions();
                unsynced = None;
            }
            if retained.elapsed() >= RETENTION_EVERY {
                self.retain();
                retained = Instant::now();
            }
        }
        self.sync_predictions();
    }

    /// Writes both kinds, syncs labels and acknowledges them. Whether there were predictions.
    fn write(&mut self, items: Vec<Item>) -> bool {
        let bytes: u64 = items.iter().map(|item| item.record.size() as u64).sum();
        let now = self.clock.now();
        let (labels, predictions): (Vec<Item>, Vec<Item>) =
            items.into_iter().partition(|item| item.record.kind == Kind::Label);
        if !predictions.is_empty() && self.predictions.append(now, predictions.iter().map(|item| &item.record)).is_err()
        {
            self.shared.failed.fetch_add(predictions.len() as u64, Ordering::Relaxed);
        }
        if !labels.is_empty() {
            let appended = self.labels.append(now, labels.iter().map(|item| &item.record));
            let outcome = appended.and_then(|()| self.labels.sync());
            if outcome.is_err() {
                self.shared.failed.fetch_add(labels.len() as u64, Ordering::Relaxed);
            }
            for acknowledge in labels.into_iter().filter_map(|item| item.acknowledge) {
                acknowledge(outcome.as_ref().map_err(|error| io::Error::new(error.kind(), error.to_string())).copied());
            }
        }
        self.shared.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
        !predictions.is_empty()
    }

    fn sync_predictions(&mut self) {
        if self.predictions.sync().is_err() {
            self.shared.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What can't be removed now is tried again; it takes room and harms nothing.
    fn retain(&mut self) {
        let now = self.clock.now();
        for log in [&mut self.predictions, &mut self.labels] {
            if log.retain(now).is_err() {
                self.shared.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use mcplane_core::SystemClock;

    use super::super::Reader;
    use super::*;
    use crate::PredictionId;

    fn record(number: u64, body: &str) -> Record {
        let id = PredictionId::new(SystemClock.now(), 7, number);
        Record { kind: Kind::Prediction, id, at: id.at(), body: body.as_bytes().to_vec() }
    }

    #[test]
    fn a_prediction_and_its_labels_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let (recorder, torn) = Recorder::open(folder.path(), RecorderConfig::default(), Arc::new(SystemClock)).unwrap();
        assert_eq!(torn, 0);
        let mine = record(1, "{\"class\":\"a\"}");
        recorder.prediction(record(0, "other")).unwrap();
        recorder.prediction(mine.clone()).unwrap();
        let (sender, receiver) = channel();
        for body in ["a", "b"] {
            let sender = sender.clone();
            let label = Record { body: body.into(), ..mine.clone() };
            recorder.label(label, Box::new(move |outcome| sender.send(outcome.is_ok()).unwrap())).unwrap();
        }
        assert!(receiver.recv().unwrap() && receiver.recv().unwrap());
        let acknowledged = Reader::find(folder.path(), mine.id).unwrap();
        assert_eq!(acknowledged.labels.iter().map(|l| l.body.as_slice()).collect::<Vec<_>>(), [b"a", b"b"]);
        drop(recorder);
        let found = Reader::find(folder.path(), mine.id).unwrap();
        assert_eq!(found.prediction, Some(mine));
        assert_eq!(Reader::find(folder.path(), PredictionId::new(5, 1, 1)).unwrap(), Default::default());
    }

    #[test]
    fn limits_are_said() {
        let folder = tempfile::tempdir().unwrap();
        let config = RecorderConfig { waiting_bytes: 100, ..RecorderConfig::default() };
        let (recorder, _) = Recorder::open(folder.path(), config, Arc::new(SystemClock)).unwrap();
        assert_eq!(recorder.prediction(record(1, &"x".repeat(200))), Err(Refusal::Busy));
        assert_eq!(recorder.prediction(record(1, &"x".repeat(LARGEST_BODY + 1))), Err(Refusal::TooLarge));
        assert_eq!(recorder.lost(), (2, 0));
        recorder.prediction(record(1, "small")).unwrap();
    }
}
