//! What was predicted and what was true, on disk: segments that are only appended to, outside SQL, since there are many more
//! of them than of anything else.
//!
//! - **Predictions** are written every few milliseconds and synced about twice a second: a crash loses at most those of the last
//!   second ([`LOSS_WINDOW_MS`]), and their identifiers still say which revision made them.
//! - **Labels** are acknowledged after they are synced; those that arrive meanwhile share the next sync.
//! - A frame is length, CRC-32 and content. What a crash tore off at the end is cut away when the log is opened; damage
//!   elsewhere ends the reading of its segment and is counted.
//! - Predictions and labels have segments of their own. The oldest go when there are too many bytes, or when all they hold is
//!   too old; the one that is written to stays.
//! - Finding a prediction reads the segments of its time; finding its labels reads the labels since then.

mod frame;
mod log;
mod reader;
mod recorder;

pub use frame::{Kind, LARGEST_BODY, Record};
pub use log::{Log, LogConfig};
pub use reader::{Found, Reader, Scan};
pub use recorder::{Acknowledge, Recorder, RecorderConfig, Refusal};

/// A crash loses predictions of at most so many milliseconds.
pub const LOSS_WINDOW_MS: u64 = 1_000;
