//! What to do about the times that passed: the server was down, the clock jumped, the schedule was suspended.

use std::time::Duration;

use jiff::tz::TimeZone;
use mcplane_core::Timestamp;

use super::cron::{Cron, Kind};

/// As in Kubernetes: no more than this many runs are made up for.
pub const MOST: usize = 100;
/// Missed times are counted no further than this.
pub const COUNTED: u64 = 10_000;
/// How late a run may be under [`Missed::Skip`] if no deadline says otherwise: late by a busy moment is not missed.
pub const GRACE: Duration = Duration::from_secs(10);

/// Which of the times that passed still run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Missed {
    /// None: only the latest, if it is hardly late ([`GRACE`], or the deadline).
    Skip,
    /// The latest, as Kubernetes does.
    #[default]
    One,
    /// Each, oldest first; of more than [`MOST`] the latest.
    All,
}

/// What a look at a schedule says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The times that run now, in order.
    pub due: Vec<Timestamp>,
    /// How many passed and do not run, counted to [`COUNTED`].
    pub missed: u64,
    /// When to look again; `None` if it never fires again.
    pub next: Option<Timestamp>,
}

/// Looks at a schedule at `now`. `last` is the last time that was run or decided about (or when the schedule was made):
/// only times after it count, so that a time runs at most once, whatever the clock does. Times that are more than
/// `deadline` old (Kubernetes' `startingDeadlineSeconds`) do not run.
pub fn fire_times(
    cron: &Cron,
    zone: &TimeZone,
    last: Timestamp,
    now: Timestamp,
    policy: Missed,
    deadline: Option<Duration>,
) -> Plan {
    let most = match policy {
        Missed::All => MOST,
        Missed::One | Missed::Skip => 1,
    };
    let oldest = match (policy, deadline) {
        (Missed::Skip, None) => Some(GRACE),
        (_, deadline) => deadline,
    };
    let oldest = oldest.map_or(Timestamp::MIN, |age| now.saturating_sub(millis(age)));
    let passed = Passed { cron, zone, last, now };

    let mut due = Vec::new();
    let mut until = now;
    while due.len() < most
        && let Some(time) = passed.latest(until)
        && time >= oldest
    {
        due.push(time);
        until = time - 1;
    }
    due.reverse();
    let missed = passed.count(COUNTED + due.len() as u64) - due.len() as u64;
    let next = match cron.kind() {
        // A period has no grid of its own: it goes on from its last time.
        Kind::Every(_) => cron.next_after(passed.latest(now).unwrap_or(last), zone),
        Kind::Calendar(_) => cron.next_after(last.max(now), zone),
    };
    Plan { due, missed, next }
}

/// A delay between zero and `most` that is always the same for one id, so that schedules of the same minute spread while
/// each keeps its period.
pub fn jitter(id: &str, most: Duration) -> Duration {
    // FNV-1a; the standard library's hasher may change between versions.
    let hash = id
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(crate::retry::mix(hash) % most.saturating_add(1).max(1))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The times in `(last, now]`.
struct Passed<'a> {
    cron: &'a Cron,
    zone: &'a TimeZone,
    last: Timestamp,
    now: Timestamp,
}

impl Passed<'_> {
    /// The latest one at or before `until`.
    fn latest(&self, until: Timestamp) -> Option<Timestamp> {
        let first = self.cron.next_after(self.last, self.zone)?;
        if first > until {
            return None;
        }
        if let Kind::Every(period) = self.cron.kind() {
            return Some(first + (until - first) / period * period);
        }
        // `next_after` grows with its argument: halve for the last second from which it still leads to `until` or before.
        let (mut low, mut high) = (self.last.div_euclid(1000), until.div_euclid(1000));
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            match self.cron.next_after(middle * 1000, self.zone) {
                Some(time) if time <= until => low = middle,
                _ => high = middle,
            }
        }
        self.cron.next_after(low * 1000, self.zone)
    }

    /// How many there are, to `most`.
    fn count(&self, most: u64) -> u64 {
        if let Kind::Every(period) = self.cron.kind() {
            return match self.cron.next_after(self.last, self.zone) {
                Some(first) if first <= self.now => ((self.now - first) / period + 1).unsigned_abs().min(most),
                _ => 0,
            };
        }
        let mut at = self.last;
        let mut count = 0;
        while count < most
            && let Some(time) = self.cron.next_after(at, self.zone)
            && time <= self.now
        {
            at = time;
            count += 1;
        }
        count
    }
}

#[cfg(test)]
mod tests;
