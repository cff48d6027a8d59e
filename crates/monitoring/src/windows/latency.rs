//! A histogram of latency: 16 slots for each power of two of microseconds, so a quantile is at most 1/16 too high.

use serde::{Deserialize, Serialize};

const SHARPNESS: u32 = 4;
const PARTS: u64 = 1 << SHARPNESS;
/// Up to 2^32 µs, an hour and more; what takes longer is in the last slot.
const SLOTS: usize = ((32 - SHARPNESS as usize) + 1) << SHARPNESS;

/// Counts of latencies, with their exact sum.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// Made with the first value: most slots of a quiet service are never used.
    slots: Vec<u32>,
    count: u64,
    total_us: u64,
    longest_us: u64,
}

impl Latency {
    /// Counts one.
    pub fn record(&mut self, us: u64) {
        if self.slots.is_empty() {
            self.slots = vec![0; SLOTS];
        }
        let slot = &mut self.slots[slot(us)];
        *slot = slot.saturating_add(1);
        self.count += 1;
        self.total_us = self.total_us.saturating_add(us);
        self.longest_us = self.longest_us.max(us);
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: &Self) {
        if other.slots.is_empty() {
            return;
        }
        if self.slots.is_empty() {
            self.slots = vec![0; SLOTS];
        }
        self.slots.iter_mut().zip(&other.slots).for_each(|(mine, theirs)| *mine = mine.saturating_add(*theirs));
        self.count += other.count;
        self.total_us = self.total_us.saturating_add(other.total_us);
        self.longest_us = self.longest_us.max(other.longest_us);
    }

    /// Forgets all, and keeps the room.
    pub fn clear(&mut self) {
        self.slots.fill(0);
        (self.count, self.total_us, self.longest_us) = (0, 0, 0);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Exact mean in milliseconds.
    pub fn mean_ms(&self) -> Option<f64> {
        (self.count > 0).then(|| self.total_us as f64 / self.count as f64 / 1000.0)
    }

    /// The upper end of the slot with quantile `q` (0 to 1) in milliseconds, never above the longest.
    pub fn quantile_ms(&self, q: f64) -> Option<f64> {
        let rank = ((q.clamp(0.0, 1.0) * self.count as f64).ceil() as u64).max(1);
        let mut below = 0;
        let at = self.slots.iter().position(|count| {
            below += u64::from(*count);
            below >= rank
        })?;
        Some(upper(at).min(self.longest_us) as f64 / 1000.0)
    }
}

fn slot(us: u64) -> usize {
    if us < PARTS {
        return us as usize;
    }
    let power = us.ilog2();
    let part = (us >> (power - SHARPNESS)) & (PARTS - 1);
    ((u64::from(power - SHARPNESS + 1) << SHARPNESS | part) as usize).min(SLOTS - 1)
}

/// The greatest value of a slot.
fn upper(slot: usize) -> u64 {
    let (power, part) = (slot as u64 >> SHARPNESS, slot as u64 & (PARTS - 1));
    match power.checked_sub(1) {
        None => part,
        Some(shift) if slot < SLOTS - 1 => (((PARTS | part) + 1) << shift) - 1,
        Some(_) => u64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_slot_is_narrow(us in 0u64..1 << 32) {
            let top = upper(slot(us));
            prop_assert!(top >= us && (slot(us) == SLOTS - 1 || top - us <= us / PARTS), "{us} in a slot up to {top}");
        }

        #[test]
        fn quantiles_are_near(mut values in prop::collection::vec(0u64..10_000_000, 1..200), q in 0.0f64..1.0) {
            let mut latency = Latency::default();
            values.iter().for_each(|us| latency.record(*us));
            values.sort_unstable();
            let exact = values[((q * values.len() as f64).ceil() as usize).max(1) - 1] as f64 / 1000.0;
            let ours = latency.quantile_ms(q).unwrap();
            prop_assert!(ours >= exact && ours <= exact * (1.0 + 1.0 / PARTS as f64) + 1e-9);
        }
    }

    #[test]
    fn means_are_exact_and_merge() {
        let (mut a, mut b) = (Latency::default(), Latency::default());
        a.record(1000);
        b.record(4000);
        b.record(u64::MAX >> 20);
        a.merge(&b);
        assert_eq!(a.count(), 3);
        a.clear();
        assert_eq!((a.mean_ms(), a.quantile_ms(0.5)), (None, None));
        a.record(2500);
        assert_eq!(a.mean_ms(), Some(2.5));
        assert_eq!(a.quantile_ms(0.99), Some(2.5));
    }
}
