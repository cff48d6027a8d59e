//! A hierarchical timing wheel.
//!
//! Five wheels of 64 slots stand above each other; a slot of the lowest is one tick wide, a slot of the next is a whole turn
//! of the wheel below. A timer lies on the lowest wheel on which its tick and the cursor's lie in different slots, so
//! everything on one wheel is due before everything on the next. What is further away than the highest wheel reaches
//! (3.4 years at a tick of 100 ms) waits in one overflow slot. Ticks only sort timers into slots: the due time is kept in
//! milliseconds, and a timer fires by it, neither a tick early nor a tick late.
//!
//! Insert and remove cost O(levels) and an amortised O(log n) within a crowded slot; a timer is moved at most once a level.
//!
//! The clock may jump. Forward: everything that came due fires at once, in order. Back: timers fire by the new clock,
//! never early; what had fired stays fired. The cursor stays where it was, and everything nearer than it shares its slot;
//! after a step back of more than a turn of the lowest wheel all timers are sorted anew.

use mcplane_core::Timestamp;

use super::slot::Slot;

/// Each wheel has 2^6 slots, one bit of a word each.
const BITS: u32 = 6;
const SLOTS: usize = 1 << BITS;
const LEVELS: usize = 5;
/// Ticks that the wheels reach together.
const REACH: u32 = BITS * LEVELS as u32;

/// Armed timers, by when they are due.
#[derive(Debug)]
pub struct Wheel {
    tick_ms: i64,
    /// The tick up to which everything was looked at; it never goes back but by a rebuild.
    cursor: u64,
    levels: Vec<Level>,
    overflow: Slot,
    len: usize,
}

#[derive(Debug)]
struct Level {
    /// A bit for each slot that holds something.
    occupied: u64,
    slots: Vec<Slot>,
}

/// Where a timer lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Slot { level: usize, slot: usize },
    Overflow,
}

impl Wheel {
    /// An empty wheel whose slots are `tick_ms` wide (at least 1) and whose clock shows `now`.
    pub fn new(tick_ms: i64, now: Timestamp) -> Self {
        let tick_ms = tick_ms.max(1);
        let level = || Level { occupied: 0, slots: (0..SLOTS).map(|_| Slot::default()).collect() };
        Self {
            tick_ms,
            cursor: tick(now, tick_ms),
            levels: (0..LEVELS).map(|_| level()).collect(),
            overflow: Slot::default(),
            len: 0,
        }
    }

    /// How many timers are armed.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is armed.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Arms a timer. One that is due already fires at the next [`Wheel::advance`]. The same `id` and `due` twice are two timers.
    pub fn insert(&mut self, id: i64, due: Timestamp) {
        self.put(id, due);
        self.len += 1;
    }

    /// Disarms a timer; `false` if there was none such.
    pub fn remove(&mut self, id: i64, due: Timestamp) -> bool {
        let place = self.place(due);
        let slot = self.slot_mut(place);
        let removed = slot.remove(id, due);
        let empty = slot.is_empty();
        if removed {
            self.len -= 1;
            if empty {
                self.clear_bit(place);
            }
        }
        removed
    }

    /// The earliest due time of all timers, exactly. The caller sleeps until then.
    pub fn next_due(&self) -> Option<Timestamp> {
        match self.first() {
            Some((level, slot)) => self.levels[level].slots[slot].earliest(),
            None => self.overflow.earliest(),
        }
    }

    /// Moves everything that is due at `now` to the end of `fired`, in order of due time, then id.
    pub fn advance(&mut self, now: Timestamp, fired: &mut Vec<(Timestamp, i64)>) {
        let target = tick(now, self.tick_ms);
        if target + (SLOTS as u64) < self.cursor {
            self.rebuild(target);
        }
        let before = fired.len();
        loop {
            match self.first() {
                Some((0, slot)) => {
                    let found = &mut self.levels[0].slots[slot];
                    found.drain_due(now, fired);
                    if !found.is_empty() {
                        break;
                    }
                    self.levels[0].occupied &= !(1 << slot);
                }
                Some((level, slot)) => {
                    let start = self.start_of(level, slot);
                    if start > target {
                        break;
                    }
                    // Nothing lies before this slot, so the cursor may stand at its start; its timers then belong lower.
                    self.cursor = start;
                    let items = std::mem::take(&mut self.levels[level].slots[slot]);
                    self.levels[level].occupied &= !(1 << slot);
                    self.put_all(items);
                }
                None => {
                    let Some(earliest) = self.overflow.earliest() else { break };
                    let start = tick(earliest, self.tick_ms) >> REACH << REACH;
                    if start > target {
                        break;
                    }
                    self.cursor = self.cursor.max(start);
                    let items = std::mem::take(&mut self.overflow);
                    self.put_all(items);
                }
            }
        }
        self.len -= fired.len() - before;
        self.cursor = self.cursor.max(target);
    }

    /// The lowest wheel that holds something, and its next slot. Slots behind the cursor are empty.
    fn first(&self) -> Option<(usize, usize)> {
        let level = self.levels.iter().position(|level| level.occupied != 0)?;
        Some((level, self.levels[level].occupied.trailing_zeros() as usize))
    }

    /// The first tick of a slot, seen from the cursor.
    fn start_of(&self, level: usize, slot: usize) -> u64 {
        let shift = BITS * level as u32;
        (self.cursor >> (shift + BITS) << (shift + BITS)) | (slot as u64) << shift
    }

    fn place(&self, due: Timestamp) -> Place {
        let tick = tick(due, self.tick_ms).max(self.cursor);
        let different = tick ^ self.cursor;
        // The highest digit in which the two differ says the wheel; none differs: the slot of the cursor itself.
        let level = (different | 1).ilog2() / BITS;
        if level as usize >= LEVELS {
            return Place::Overflow;
        }
        Place::Slot { level: level as usize, slot: (tick >> (BITS * level)) as usize % SLOTS }
    }

    fn put(&mut self, id: i64, due: Timestamp) {
        let place = self.place(due);
        self.slot_mut(place).insert(id, due);
        if let Place::Slot { level, slot } = place {
            self.levels[level].occupied |= 1 << slot;
        }
    }

    fn put_all(&mut self, items: Slot) {
        for (due, id) in items.into_items() {
            self.put(id, due);
        }
    }

    fn rebuild(&mut self, cursor: u64) {
        let mut all = vec![std::mem::take(&mut self.overflow)];
        for level in &mut self.levels {
            level.occupied = 0;
            all.extend(level.slots.iter_mut().map(std::mem::take));
        }
        self.cursor = cursor;
        for items in all {
            self.put_all(items);
        }
    }

    fn slot_mut(&mut self, place: Place) -> &mut Slot {
        match place {
            Place::Slot { level, slot } => &mut self.levels[level].slots[slot],
            Place::Overflow => &mut self.overflow,
        }
    }

    fn clear_bit(&mut self, place: Place) {
        if let Place::Slot { level, slot } = place {
            self.levels[level].occupied &= !(1 << slot);
        }
    }
}

/// The tick in which a moment lies. What was before 1970 is long due.
fn tick(at: Timestamp, tick_ms: i64) -> u64 {
    (at.max(0) / tick_ms).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = 1_700_000_000_000;
    const HOUR: i64 = 3_600_000;

    /// The wheel beside the simplest thing that can work.
    struct Pair {
        wheel: Wheel,
        model: BTreeMap<(Timestamp, i64), usize>,
        now: Timestamp,
    }

    impl Pair {
        fn new(tick_ms: i64) -> Self {
            Self { wheel: Wheel::new(tick_ms, NOW), model: BTreeMap::new(), now: NOW }
        }

        fn insert(&mut self, id: i64, due: Timestamp) {
            self.wheel.insert(id, due);
            *self.model.entry((due, id)).or_default() += 1;
        }

        fn remove(&mut self, id: i64, due: Timestamp) -> Result<(), TestCaseError> {
            let count = self.model.remove(&(due, id)).unwrap_or_default();
            if count > 1 {
                self.model.insert((due, id), count - 1);
            }
            prop_assert_eq!(self.wheel.remove(id, due), count > 0);
            Ok(())
        }

        fn advance(&mut self, by: i64) -> Result<(), TestCaseError> {
            self.now += by;
            let mut fired = Vec::new();
            self.wheel.advance(self.now, &mut fired);
            let rest = self.model.split_off(&(self.now + 1, i64::MIN));
            let due = std::mem::replace(&mut self.model, rest);
            let expected: Vec<_> = due.into_iter().flat_map(|(item, count)| vec![item; count]).collect();
            prop_assert_eq!(fired, expected);
            Ok(())
        }

        fn check(&self) -> Result<(), TestCaseError> {
            prop_assert_eq!(self.wheel.next_due(), self.model.keys().next().map(|(due, _)| *due));
            prop_assert_eq!(self.wheel.is_empty(), self.model.is_empty());
            Ok(())
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Insert(i64, i64),
        /// Removes the nth of those that are armed.
        Remove(usize),
        RemoveUnknown(i64),
        Advance(i64),
        ToNext,
    }

    /// From nothing to more than the wheels reach, each order of magnitude as likely as the next.
    fn delay() -> impl Strategy<Value = i64> {
        (0u32..38).prop_flat_map(|bits| 0i64..(2 << bits))
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => (0i64..200, delay()).prop_map(|(id, delay)| Step::Insert(id, delay - 50)),
            3 => any::<usize>().prop_map(Step::Remove),
            1 => (0i64..200).prop_map(Step::RemoveUnknown),
            4 => delay().prop_map(Step::Advance),
            1 => delay().prop_map(|back| Step::Advance(-back)),
            3 => Just(Step::ToNext),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn fires_what_a_sorted_set_would(tick in prop_oneof![Just(1), Just(100), Just(1000)], steps in prop::collection::vec(step(), 1..200)) {
            let mut pair = Pair::new(tick);
            for step in steps {
                match step {
                    Step::Insert(id, delay) => pair.insert(id, pair.now + delay),
                    Step::Remove(at) => {
                        let item = pair.model.keys().nth(at % pair.model.len().max(1)).copied();
                        if let Some((due, id)) = item {
                            pair.remove(id, due)?;
                        }
                    }
                    Step::RemoveUnknown(id) => pair.remove(id, pair.now + 7)?,
                    Step::Advance(by) => pair.advance(by)?,
                    Step::ToNext => {
                        if let Some(due) = pair.wheel.next_due() {
                            // Not a millisecond early.
                            pair.advance(due - 1 - pair.now)?;
                            prop_assert_eq!(pair.wheel.next_due(), Some(due));
                            pair.advance(1)?;
                        }
                    }
                }
                pair.check()?;
            }
            prop_assert_eq!(pair.wheel.len(), pair.model.values().sum::<usize>());
        }

        #[test]
        fn a_crowded_slot_stays_right(dues in prop::collection::vec(0i64..50, 600..1500), removed in prop::collection::vec(any::<prop::sample::Index>(), 0..900)) {
            let mut pair = Pair::new(100);
            let at = NOW + 20 * HOUR;
            let mut gone = removed.iter().take(removed.len() / 2);
            for (id, due) in dues.iter().enumerate() {
                pair.insert(id as i64, at + due);
                if id % 3 == 0 && let Some(index) = gone.next() {
                    let id = index.index(id + 1);
                    pair.remove(id as i64, at + dues[id])?;
                    pair.check()?;
                }
            }
            for index in &removed[removed.len() / 2..] {
                let id = index.index(dues.len());
                pair.remove(id as i64, at + dues[id])?;
                pair.check()?;
            }
            prop_assert_eq!(pair.wheel.len(), pair.model.len());
            pair.advance(20 * HOUR + 25)?;
            pair.check()?;
            pair.advance(HOUR)?;
            prop_assert!(pair.wheel.is_empty());
        }
    }

    #[test]
    fn inside_a_tick_each_fires_by_its_own_time() {
        let mut wheel = Wheel::new(100, NOW);
        for (id, offset) in [(1, 30), (2, 10), (3, 10), (4, 99)] {
            wheel.insert(id, NOW + offset);
        }
        let mut fired = Vec::new();
        wheel.advance(NOW + 9, &mut fired);
        assert_eq!(fired, []);
        assert_eq!(wheel.next_due(), Some(NOW + 10));
        wheel.advance(NOW + 10, &mut fired);
        assert_eq!(fired, [(NOW + 10, 2), (NOW + 10, 3)]);
        assert_eq!(wheel.next_due(), Some(NOW + 30));
    }

    #[test]
    fn an_hour_forward_fires_all_and_back_none_early() {
        let mut wheel = Wheel::new(100, NOW);
        for minute in 0..60 {
            wheel.insert(minute, NOW + minute * 60_000);
        }
        let mut fired = Vec::new();
        wheel.advance(NOW + HOUR, &mut fired);
        assert_eq!(fired.len(), 60);
        assert!(fired.is_sorted());

        fired.clear();
        wheel.insert(100, NOW + HOUR + 5000);
        wheel.advance(NOW, &mut fired);
        wheel.insert(101, NOW + 1000);
        assert_eq!((wheel.next_due(), fired.len()), (Some(NOW + 1000), 0));
        wheel.advance(NOW + 999, &mut fired);
        assert_eq!(fired, []);
        wheel.advance(NOW + HOUR + 4999, &mut fired);
        assert_eq!(fired, [(NOW + 1000, 101)]);
        wheel.advance(NOW + HOUR + 5000, &mut fired);
        assert_eq!(fired.len(), 2);
    }

    #[test]
    fn the_ends_of_time_do_no_harm() {
        let mut wheel = Wheel::new(100, i64::MIN);
        for due in [i64::MIN, -1, 0, 1, NOW, i64::MAX] {
            wheel.insert(7, due);
        }
        let mut fired = Vec::new();
        wheel.advance(NOW, &mut fired);
        assert_eq!(fired.len(), 5);
        assert!(fired.is_sorted());
        assert!(wheel.remove(7, i64::MAX));
        assert!(!wheel.remove(7, i64::MAX));
        wheel.advance(i64::MAX, &mut fired);
        assert_eq!(fired.len(), 5);
    }
}
