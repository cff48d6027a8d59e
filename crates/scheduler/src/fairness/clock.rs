//! Start-time fair queueing: who of several goes next.

use std::collections::BTreeSet;
use std::sync::Arc;

/// The cost of the whole cluster; a task costs a part of it.
pub(super) const WHOLE: u64 = 1 << 32;
/// Room below the point, so that a weight can divide even a small cost.
const FRACTION: u32 = 16;

/// Virtual time, and who waits for service in the order of their tags. A tag of a waiting member is never below the time.
#[derive(Debug, Default)]
pub(super) struct FairClock {
    now: u128,
    waiting: BTreeSet<(u128, Arc<str>)>,
}

impl FairClock {
    /// Who goes next; names break ties.
    pub(super) fn first(&self) -> Option<&Arc<str>> {
        self.waiting.first().map(|(_, name)| name)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether a member that is away may be forgotten: coming back new it would get the same tag.
    pub(super) fn is_past(&self, share: &Share) -> bool {
        share.tag <= self.now
    }
}

/// One member's side of the clock.
#[derive(Debug)]
pub(super) struct Share {
    tag: u128,
    weight: u32,
    waiting: bool,
}

impl Share {
    pub(super) fn new(weight: u32) -> Self {
        Self { tag: 0, weight: weight.max(1), waiting: false }
    }

    pub(super) fn set_weight(&mut self, weight: u32) {
        self.weight = weight.max(1);
    }

    /// Joins or leaves those who wait.
    pub(super) fn show(&mut self, clock: &mut FairClock, name: &Arc<str>, visible: bool) {
        if visible == self.waiting {
            return;
        }
        if visible {
            self.tag = self.tag.max(clock.now);
            clock.waiting.insert((self.tag, Arc::clone(name)));
        } else {
            clock.waiting.remove(&(self.tag, Arc::clone(name)));
        }
        self.waiting = visible;
    }

    /// The member's turn begins: virtual time moves to its tag.
    pub(super) fn serve(&self, clock: &mut FairClock) {
        clock.now = clock.now.max(self.tag);
    }

    /// Pays for service.
    pub(super) fn charge(&mut self, clock: &mut FairClock, name: &Arc<str>, cost: u64) {
        let waiting = self.waiting;
        self.show(clock, name, false);
        let paid = (u128::from(cost) << FRACTION) / u128::from(self.weight);
        self.tag = self.tag.max(clock.now).saturating_add(paid);
        self.show(clock, name, waiting);
    }
}
