//! One queue: its tasks by rank, sorted so that what cannot start is never in the way.
//!
//! Tasks of the same demand and key form a lane: they can start or not for the same reasons, so only the first of a lane
//! matters. The heads of the open lanes of one demand form a shape, which fits some node or does not; the first of each
//! shape are the fronts, and the first front is the queue's next task.

use std::collections::BTreeSet;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};

use super::clock::Share;
use super::types::{Demand, QueueRule};

/// Rank, then id.
pub(super) type Order = (i64, i64);

#[derive(Debug)]
pub(super) struct Queue {
    pub(super) rule: QueueRule,
    pub(super) share: Share,
    pub(super) running: u32,
    /// Tasks that wait, also those that fit no node and are in no lane.
    pub(super) ready: usize,
    lanes: HashMap<LaneId, Lane>,
    shapes: HashMap<Demand, Shape>,
    fronts: BTreeSet<Order>,
}

pub(super) type LaneId = (Demand, Option<Arc<str>>);

#[derive(Debug, Default)]
struct Lane {
    tasks: BTreeSet<Order>,
    closed: bool,
    shown: Option<Order>,
}

#[derive(Debug, Default)]
struct Shape {
    heads: BTreeSet<Order>,
    aside: bool,
    shown: Option<Order>,
}

impl Queue {
    pub(super) fn new(rule: QueueRule) -> Self {
        Self {
            rule,
            share: Share::new(rule.weight),
            running: 0,
            ready: 0,
            lanes: HashMap::new(),
            shapes: HashMap::new(),
            fronts: BTreeSet::new(),
        }
    }

    /// Whether something of it may start, as far as the queue and its keys are concerned.
    pub(super) fn is_visible(&self) -> bool {
        !self.fronts.is_empty() && self.is_open()
    }

    pub(super) fn is_open(&self) -> bool {
        !self.rule.paused && self.rule.limit.is_none_or(|limit| self.running < limit)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.ready == 0 && self.running == 0
    }

    pub(super) fn front(&self) -> Option<i64> {
        self.fronts.first().map(|(_, task)| *task)
    }

    /// Puts a task into its lane, which is `closed` or not.
    pub(super) fn insert(&mut self, id: &LaneId, closed: bool, order: Order) {
        let lane = self.lanes.entry(id.clone()).or_default();
        lane.closed = closed;
        lane.tasks.insert(order);
        self.show_lane(id);
    }

    /// `true` if the lane is gone.
    pub(super) fn remove(&mut self, id: &LaneId, order: Order) -> bool {
        let Some(lane) = self.lanes.get_mut(id) else { return false };
        lane.tasks.remove(&order);
        let gone = lane.tasks.is_empty();
        self.show_lane(id);
        if gone {
            self.lanes.remove(id);
        }
        gone
    }

    /// Opens or closes a lane, as its key's limit is reached or no more.
    pub(super) fn close(&mut self, id: &LaneId, closed: bool) {
        if let Some(lane) = self.lanes.get_mut(id) {
            lane.closed = closed;
            self.show_lane(id);
        }
    }

    /// Whether the first task of the lane could start, as far as its key is concerned.
    pub(super) fn is_lane_open(&self, id: &LaneId) -> bool {
        self.lanes.get(id).is_some_and(|lane| !lane.closed)
    }

    /// Takes a shape out of the fronts for the time of a call, or puts it back.
    pub(super) fn set_aside(&mut self, demand: &Demand, aside: bool) {
        if let Some(shape) = self.shapes.get_mut(demand) {
            shape.aside = aside;
            self.show_shape(demand);
        }
    }

    fn show_lane(&mut self, id: &LaneId) {
        let Some(lane) = self.lanes.get_mut(id) else { return };
        let head = if lane.closed { None } else { lane.tasks.first().copied() };
        if lane.shown == head {
            return;
        }
        let shape = self.shapes.entry(id.0).or_default();
        if let Some(old) = lane.shown.take() {
            shape.heads.remove(&old);
        }
        if let Some(new) = head {
            shape.heads.insert(new);
        }
        lane.shown = head;
        self.show_shape(&id.0);
    }

    fn show_shape(&mut self, demand: &Demand) {
        let Some(shape) = self.shapes.get_mut(demand) else { return };
        let head = if shape.aside { None } else { shape.heads.first().copied() };
        if shape.shown != head {
            if let Some(old) = shape.shown.take() {
                self.fronts.remove(&old);
            }
            if let Some(new) = head {
                self.fronts.insert(new);
            }
            shape.shown = head;
        }
        if shape.heads.is_empty() && !shape.aside {
            self.shapes.remove(demand);
        }
    }
}
