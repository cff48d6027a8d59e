//! One namespace: its queues, which share it fairly, and its keys.

use std::collections::BTreeSet;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};

use super::clock::{FairClock, Share};
use super::queue::Queue;
use super::types::{Demand, Entry, NamespaceRule, QueueRule};

#[derive(Debug)]
pub(super) struct Namespace {
    pub(super) rule: NamespaceRule,
    pub(super) share: Share,
    key_limit: u32,
    running: u32,
    queues: HashMap<Arc<str>, Queue>,
    keys: HashMap<Arc<str>, Key>,
    clock: FairClock,
    /// How many queues to have before the idle ones are looked for.
    sweep_at: usize,
}

/// Tasks that share a limit.
#[derive(Debug, Default)]
struct Key {
    limit: Option<u32>,
    /// Tasks that wait, also those that are in no lane.
    ready: usize,
    running: u32,
    /// Whether its lanes are closed, because its limit is reached.
    closed: bool,
    lanes: BTreeSet<(Arc<str>, Demand)>,
}

impl Namespace {
    /// `key_limit` holds for keys of which nothing else is said.
    pub(super) fn new(rule: NamespaceRule, key_limit: u32) -> Self {
        Self {
            key_limit,
            rule,
            share: Share::new(rule.weight),
            running: 0,
            queues: HashMap::new(),
            keys: HashMap::new(),
            clock: FairClock::default(),
            sweep_at: 16,
        }
    }

    /// Whether something of it may start, as far as its limits are concerned.
    pub(super) fn is_visible(&self) -> bool {
        !self.clock.is_empty() && self.is_open()
    }

    fn is_open(&self) -> bool {
        self.rule.limit.is_none_or(|limit| self.running < limit)
    }

    /// Whether nothing would be lost by forgetting it.
    pub(super) fn is_blank(&self) -> bool {
        self.rule == NamespaceRule::default() && self.queues.is_empty() && self.keys.is_empty()
    }

    /// The next task: the first of the queue whose turn it is.
    pub(super) fn front(&self) -> Option<i64> {
        self.queues.get(self.clock.first()?)?.front()
    }

    pub(super) fn queues(&self) -> impl Iterator<Item = (&Arc<str>, &Queue)> {
        self.queues.iter()
    }

    /// Whether this waiting task may start, as far as limits are concerned.
    pub(super) fn may_start(&self, entry: &Entry) -> bool {
        let queue = self.queues.get(&entry.queue);
        self.is_open()
            && queue.is_some_and(|queue| queue.is_open() && queue.is_lane_open(&(entry.demand, entry.key.clone())))
    }

    pub(super) fn set_queue(&mut self, name: &Arc<str>, rule: QueueRule) {
        self.with_queue(name, |queue| {
            queue.rule = rule;
            queue.share.set_weight(rule.weight);
        });
    }

    pub(super) fn set_key_limit(&mut self, name: &Arc<str>, limit: Option<u32>) {
        self.keys.entry(Arc::clone(name)).or_default().limit = limit;
        self.show_key(name);
    }

    /// A task waits. One that fits no node (`placeable` is false) is counted, no more.
    pub(super) fn arrive(&mut self, entry: &Entry, placeable: bool) {
        self.with_queue(&entry.queue, |queue| queue.ready += 1);
        if let Some(name) = &entry.key {
            self.keys.entry(Arc::clone(name)).or_default().ready += 1;
        }
        if placeable {
            self.line_up(entry);
        }
    }

    /// A task waits no more.
    pub(super) fn leave(&mut self, entry: &Entry, placeable: bool) {
        if placeable {
            self.fall_out(entry);
        }
        self.with_queue(&entry.queue, |queue| queue.ready -= 1);
        if let Some(name) = &entry.key {
            if let Some(key) = self.keys.get_mut(name) {
                key.ready -= 1;
            }
            self.forget_key(name);
        }
    }

    /// A task that waits can be placed now.
    pub(super) fn line_up(&mut self, entry: &Entry) {
        let closed = match &entry.key {
            Some(key) => {
                let limit = self.key_limit;
                let key = self.keys.entry(Arc::clone(key)).or_default();
                key.lanes.insert((Arc::clone(&entry.queue), entry.demand));
                key.closed = key.running >= key.limit.unwrap_or(limit);
                key.closed
            }
            None => false,
        };
        let lane = (entry.demand, entry.key.clone());
        self.with_queue(&entry.queue, |queue| queue.insert(&lane, closed, (entry.rank, entry.task)));
    }

    /// A task that waits can be placed nowhere any more.
    pub(super) fn fall_out(&mut self, entry: &Entry) {
        let lane = (entry.demand, entry.key.clone());
        let gone = self.with_queue(&entry.queue, |queue| queue.remove(&lane, (entry.rank, entry.task)));
        if gone
            && let Some(name) = &entry.key
            && let Some(key) = self.keys.get_mut(name)
        {
            key.lanes.remove(&(Arc::clone(&entry.queue), entry.demand));
        }
    }

    /// The turn of a queue begins.
    pub(super) fn serve(&mut self, queue: &Arc<str>) {
        if let Some(queue) = self.queues.get(queue) {
            queue.share.serve(&mut self.clock);
        }
    }

    /// A task runs.
    pub(super) fn start(&mut self, entry: &Entry, cost: u64) {
        self.running += 1;
        self.with_queue(&entry.queue, |queue| queue.running += 1);
        if let Some(queue) = self.queues.get_mut(&entry.queue) {
            queue.share.charge(&mut self.clock, &entry.queue, cost);
        }
        if let Some(name) = &entry.key {
            self.keys.entry(Arc::clone(name)).or_default().running += 1;
            self.show_key(name);
        }
    }

    /// A task runs no more; `extra` is what it owes for the time that it took.
    pub(super) fn finish(&mut self, entry: &Entry, extra: u64) {
        self.running -= 1;
        if let Some(queue) = self.queues.get_mut(&entry.queue) {
            queue.share.charge(&mut self.clock, &entry.queue, extra);
        }
        self.with_queue(&entry.queue, |queue| queue.running -= 1);
        if let Some(name) = &entry.key {
            if let Some(key) = self.keys.get_mut(name) {
                key.running -= 1;
            }
            self.show_key(name);
            self.forget_key(name);
        }
        if self.queues.len() > self.sweep_at {
            self.sweep();
        }
    }

    pub(super) fn set_aside(&mut self, queue: &Arc<str>, demand: &Demand, aside: bool) {
        self.with_queue(queue, |queue| queue.set_aside(demand, aside));
    }

    /// Forgets queues of which there is nothing to remember.
    pub(super) fn sweep(&mut self) {
        let clock = &self.clock;
        self.queues
            .retain(|_, queue| !(queue.is_idle() && queue.rule == QueueRule::default() && clock.is_past(&queue.share)));
        if self.queues.values().all(|queue| queue.is_idle() && queue.rule == QueueRule::default()) {
            // With nobody there the clock means nothing.
            self.queues.clear();
        }
        self.sweep_at = self.queues.len() * 2 + 16;
    }

    fn with_queue<T>(&mut self, name: &Arc<str>, change: impl FnOnce(&mut Queue) -> T) -> T {
        let queue = self.queues.entry(Arc::clone(name)).or_insert_with(|| Queue::new(QueueRule::default()));
        let result = change(queue);
        let visible = queue.is_visible();
        queue.share.show(&mut self.clock, name, visible);
        result
    }

    /// Forgets a key with its last task.
    fn forget_key(&mut self, name: &Arc<str>) {
        if self.keys.get(name).is_some_and(|key| key.ready == 0 && key.running == 0) {
            self.keys.remove(name);
        }
    }

    /// Opens or closes the lanes of a key.
    fn show_key(&mut self, name: &Arc<str>) {
        let Some(key) = self.keys.get_mut(name) else { return };
        let closed = key.running >= key.limit.unwrap_or(self.key_limit);
        if closed != key.closed {
            key.closed = closed;
            for (queue, demand) in key.lanes.clone() {
                let lane = (demand, Some(Arc::clone(name)));
                self.with_queue(&queue, |queue| queue.close(&lane, closed));
            }
        }
    }
}
