//! Whether a failed attempt is tried again, and when.

use std::time::Duration;

use mcplane_core::Timestamp;

/// Exponential back-off with jitter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// The delay after the first attempt.
    pub initial: Duration,
    /// By how much each delay is longer than the one before; less than 1 counts as 1.
    pub factor: f64,
    /// No delay is longer.
    pub max: Duration,
    /// The share of a delay that is left to chance, from 0 (none) to 1 (anything between nothing and the whole).
    pub jitter: f64,
}

impl Default for Backoff {
    /// That of a Kubernetes Job, 10 s, 20 s, 40 s … six minutes, with a tenth of jitter.
    fn default() -> Self {
        Self { initial: Duration::from_secs(10), factor: 2.0, max: Duration::from_secs(360), jitter: 0.1 }
    }
}

impl Backoff {
    /// How long to wait after attempt number `attempt` (the first is 1) failed. The same `seed` (the task's id, say) gives
    /// the same delay, so that a restarted server decides the same.
    pub fn delay(&self, attempt: u32, seed: u64) -> Duration {
        let longest = self.max.as_secs_f64();
        let grown = self.factor.max(1.0).powf(f64::from(attempt.saturating_sub(1))) * self.initial.as_secs_f64();
        // Infinity times zero is no number; nothing grows to nothing.
        let whole = if grown.is_nan() { 0.0 } else { grown.min(longest) };
        let jitter = if self.jitter.is_nan() { 0.0 } else { self.jitter.clamp(0.0, 1.0) };
        let chance = unit(mix(seed ^ mix(u64::from(attempt))));
        Duration::try_from_secs_f64(whole * (1.0 - jitter * chance)).unwrap_or(self.max).min(self.max)
    }
}

/// How an attempt ended without success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exit {
    /// The task said so: a non-zero exit code, a signal.
    Failed,
    /// It ran longer than it may.
    TimedOut,
    /// Its worker went silent. It counts: a task that kills its worker must not do so for ever.
    Lost,
    /// It was taken away for reasons that are not its own, as when a node is drained. It does not count.
    Evicted,
    /// It cannot run at all: no such image, no such code.
    Refused,
    /// Somebody cancelled it.
    Cancelled,
}

/// What becomes of the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Another attempt from this time on.
    Retry(Timestamp),
    /// It goes to the dead letters, or stays cancelled.
    Dead,
}

/// Decides after attempt number `attempt` (the first is 1) of at most `max_attempts` ended at `now`.
pub fn verdict(exit: Exit, attempt: u32, max_attempts: u32, now: Timestamp, backoff: &Backoff, seed: u64) -> Verdict {
    match exit {
        Exit::Cancelled | Exit::Refused => Verdict::Dead,
        Exit::Evicted => Verdict::Retry(now),
        Exit::Failed | Exit::TimedOut | Exit::Lost if attempt >= max_attempts => Verdict::Dead,
        Exit::Failed | Exit::TimedOut | Exit::Lost => {
            let delay = i64::try_from(backoff.delay(attempt, seed).as_millis()).unwrap_or(i64::MAX);
            Verdict::Retry(now.saturating_add(delay))
        }
    }
}

/// The finaliser of SplitMix64: neighbouring numbers come out unlike.
pub(crate) fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number in [0, 1) from the upper 53 bits.
fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHARP: Backoff =
        Backoff { initial: Duration::from_secs(1), factor: 2.0, max: Duration::from_secs(60), jitter: 0.0 };

    #[test]
    fn delays_double_up_to_the_longest() {
        let delays: Vec<u64> = (1..=8).map(|attempt| SHARP.delay(attempt, 7).as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(SHARP.delay(u32::MAX, 7).as_secs(), 60);
        assert_eq!(Backoff { initial: Duration::ZERO, ..SHARP }.delay(u32::MAX, 7), Duration::ZERO);
    }

    #[test]
    fn jitter_spreads_but_repeats() {
        let spread = Backoff { jitter: 0.5, ..SHARP };
        let delays: Vec<Duration> = (0..1000).map(|seed| spread.delay(5, seed)).collect();
        let mean = delays.iter().map(Duration::as_secs_f64).sum::<f64>() / 1000.0;
        assert!((11.5..12.5).contains(&mean), "{mean}");
        assert!(delays.iter().all(|delay| (8.0..=16.0).contains(&delay.as_secs_f64())));
        assert_eq!(spread.delay(5, 42), spread.delay(5, 42));
        assert_ne!(spread.delay(5, 42), spread.delay(5, 43));
    }

    #[test]
    fn verdicts() {
        let decide = |exit, attempt| verdict(exit, attempt, 3, 1000, &SHARP, 0);
        assert_eq!(decide(Exit::Failed, 1), Verdict::Retry(2000));
        assert_eq!(decide(Exit::TimedOut, 2), Verdict::Retry(3000));
        for exit in [Exit::Failed, Exit::TimedOut, Exit::Lost] {
            assert_eq!(decide(exit, 3), Verdict::Dead, "{exit:?}");
        }
        assert_eq!(decide(Exit::Evicted, 3), Verdict::Retry(1000));
        assert_eq!(decide(Exit::Refused, 1), Verdict::Dead);
        assert_eq!(decide(Exit::Cancelled, 1), Verdict::Dead);
    }

    proptest! {
        #[test]
        fn a_delay_is_never_longer_than_the_longest(
            initial: u32, factor: f64, max: u32, jitter: f64, attempt: u32, seed: u64,
        ) {
            let backoff = Backoff {
                initial: Duration::from_millis(initial.into()),
                factor,
                max: Duration::from_millis(max.into()),
                jitter,
            };
            prop_assert!(backoff.delay(attempt, seed) <= backoff.max);
        }
    }
}
