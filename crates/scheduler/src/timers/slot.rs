//! What lies in one slot of the wheel: usually a handful of timers, but all the crons of a night may share one.
//!
//! A vector that is sorted lazily: a sorted part, and behind it a short tail in order of arrival. Removed timers of the
//! sorted part are marked and swept later, so that a bulk cancellation does not move memory for each.

use mcplane_core::Timestamp;

/// The longest tail that is searched item by item.
const TAIL: usize = 512;

/// Sixteen bytes: the due time with the mark of the removed in its lowest bit, and the id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Item {
    key: i64,
    id: i64,
}

impl Item {
    fn new(id: i64, due: Timestamp) -> Self {
        Self { key: clamped(due) << 1, id }
    }

    fn due(self) -> Timestamp {
        self.key >> 1
    }

    fn is_dead(self) -> bool {
        self.key & 1 == 1
    }
}

/// Within what one shift leaves; both ends are beyond any calendar.
fn clamped(due: Timestamp) -> Timestamp {
    due.clamp(i64::MIN / 4, i64::MAX / 4)
}

#[derive(Debug, Default)]
pub(super) struct Slot {
    items: Vec<Item>,
    /// What is before it was given out or is dead.
    head: usize,
    /// The end of the sorted part.
    sorted: usize,
    dead: usize,
    /// The earliest due time, when something is alive.
    earliest: Timestamp,
}

impl Slot {
    pub(super) fn is_empty(&self) -> bool {
        self.items.len() == self.head + self.dead
    }

    pub(super) fn earliest(&self) -> Option<Timestamp> {
        (!self.is_empty()).then_some(self.earliest)
    }

    pub(super) fn insert(&mut self, id: i64, due: Timestamp) {
        let item = Item::new(id, due);
        if self.is_empty() {
            self.clear();
            self.earliest = item.due();
        }
        self.earliest = self.earliest.min(item.due());
        let len = self.items.len();
        if len == self.items.capacity() {
            // A quarter more instead of twice as much: a crowded slot is what costs memory.
            self.items.reserve_exact((len / 4).max(4));
        }
        // Arriving in order is common and keeps the sorted part growing.
        if self.sorted == len && self.items.last().is_none_or(|last| *last <= item) {
            self.sorted += 1;
        }
        self.items.push(item);
    }

    pub(super) fn remove(&mut self, id: i64, due: Timestamp) -> bool {
        let item = Item::new(id, due);
        if self.items.len() - self.sorted > TAIL {
            self.sort();
        }
        let part = &mut self.items[self.head..self.sorted];
        // The dead keep their place: they differ from the living in the lowest bit only.
        let found = part.partition_point(|other| (other.due(), other.id) < (item.due(), id));
        let alive = part[found..].iter().take_while(|other| (other.due(), other.id) == (item.due(), id));
        if let Some(at) = alive.clone().position(|other| !other.is_dead()) {
            part[found + at].key |= 1;
            self.dead += 1;
        } else if let Some(at) = self.items[self.sorted..].iter().position(|other| *other == item) {
            self.items.swap_remove(self.sorted + at);
        } else {
            return false;
        }
        self.after_removal(item.due());
        true
    }

    /// Moves what is due at `now` to `fired`, in order.
    pub(super) fn drain_due(&mut self, now: Timestamp, fired: &mut Vec<(Timestamp, i64)>) {
        if self.is_empty() || self.earliest > now {
            return;
        }
        self.sort();
        while let Some(item) = self.items.get(self.head).copied() {
            if item.is_dead() {
                self.dead -= 1;
            } else if item.due() <= now {
                fired.push((item.due(), item.id));
            } else {
                self.earliest = item.due();
                break;
            }
            self.head += 1;
        }
        if self.is_empty() {
            // The memory of a crowd goes with it, that of a few stays for the next turn.
            if self.items.capacity() > TAIL {
                self.items = Vec::new();
            }
            self.clear();
        } else if self.head > self.items.len() / 2 {
            self.sweep();
        }
    }

    pub(super) fn into_items(self) -> impl Iterator<Item = (Timestamp, i64)> {
        self.items.into_iter().skip(self.head).filter(|item| !item.is_dead()).map(|item| (item.due(), item.id))
    }

    fn after_removal(&mut self, removed: Timestamp) {
        if self.is_empty() {
            self.clear();
            return;
        }
        if removed == self.earliest {
            while self.head < self.sorted && self.items[self.head].is_dead() {
                self.head += 1;
                self.dead -= 1;
            }
            let first = self.items[self.head..self.sorted].first().copied();
            let tail = self.items[self.sorted..].iter().copied().min();
            if let Some(item) = first.into_iter().chain(tail).min() {
                self.earliest = item.due();
            }
        }
        if self.dead + self.head > self.items.len() / 2 + TAIL {
            self.sweep();
        }
    }

    fn sort(&mut self) {
        if self.sorted < self.items.len() {
            // By due time and id without the mark; a stable sort merges the sorted part with the tail in linear time.
            self.items[self.head..].sort_by_key(|item| (item.due(), item.id));
            self.sorted = self.items.len();
        }
    }

    /// Gives up the places of what is gone.
    fn sweep(&mut self) {
        let mut at = 0;
        let (head, sorted) = (self.head, self.sorted);
        let mut kept_sorted = 0;
        self.items.retain(|item| {
            let keep = at >= head && !item.is_dead();
            kept_sorted += usize::from(keep && at < sorted);
            at += 1;
            keep
        });
        self.items.shrink_to(self.items.len() + self.items.len() / 4);
        (self.head, self.sorted, self.dead) = (0, kept_sorted, 0);
    }

    fn clear(&mut self) {
        self.items.clear();
        (self.head, self.sorted, self.dead) = (0, 0, 0);
    }
}
