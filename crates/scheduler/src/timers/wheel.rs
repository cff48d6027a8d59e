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
