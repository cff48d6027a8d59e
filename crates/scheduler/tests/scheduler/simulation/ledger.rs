//! The reference: what runs and what waits, counted the plain way, and the rules that each start must keep.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use mcplane_scheduler::fairness::{Demand, Entry, Node};

use super::script::{Script, Tenant};

/// Queue and key that are alike in everything that decides whether a task may start.
type Lane = (Arc<str>, Arc<str>, Option<Arc<str>>, Demand);

pub(super) struct Ledger {
    tenants: HashMap<Arc<str>, Tenant>,
    slots: u32,
    free: Vec<Demand>,
    lanes: HashMap<Lane, BTreeSet<(i64, i64)>>,
    running: HashMap<i64, (Entry, usize)>,
    counts: HashMap<(Arc<str>, &'static str, Arc<str>), u32>,
    /// Tasks that passed their like, because a node was kept for them.
    pub(super) passed: usize,
    /// Waiting tasks of the two that flood, and how many of each were started while both waited.
    flood_waiting: (i64, i64),
    pub(super) flood_starts: (i64, i64),
}

/// How many tasks of a key may run at once.
pub(super) fn key_limit(key: &str) -> u32 {
    1 + key.bytes().last().map_or(0, u32::from) % 3
}

fn lane(entry: &Entry) -> Lane {
    (Arc::clone(&entry.namespace), Arc::clone(&entry.queue), entry.key.clone(), entry.demand)
}

impl Ledger {
    pub(super) fn new(script: &Script) -> Self {
        Self {
            tenants: script.tenants.iter().map(|tenant| (Arc::clone(&tenant.name), tenant.clone())).collect(),
            slots: script.slots,
            free: script.nodes.iter().map(|node| node.total).collect(),
            lanes: HashMap::new(),
            running: HashMap::new(),
            counts: HashMap::new(),
            passed: 0,
            flood_waiting: (0, 0),
            flood_starts: (0, 0),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty() && self.lanes.values().all(BTreeSet::is_empty) && self.counts.values().all(|n| *n == 0)
    }

    pub(super) fn wait(&mut self, entry: &Entry) {
        assert!(self.lanes.entry(lane(entry)).or_default().insert((entry.rank, entry.task)), "{entry:?} waits twice");
        self.flood(entry, 1);
    }

    pub(super) fn leave(&mut self, entry: &Entry) {
        let lane = self.lanes.get_mut(&lane(entry)).expect("it waited");
        assert!(lane.remove(&(entry.rank, entry.task)), "{entry:?} did not wait");
        self.flood(entry, -1);
    }

    /// A task starts, and every rule is looked at. Whether it may pass its like is the caller's to say.
    pub(super) fn start(&mut self, entry: &Entry, node: usize, waited_long: bool) {
        let first = self.lanes[&lane(entry)].first() == Some(&(entry.rank, entry.task));
        if !first {
            assert!(waited_long, "{entry:?} passes one that goes before it");
            self.passed += 1;
        }
        self.flood_start(entry);
        self.leave(entry);
        assert!((self.running.len() as u32) < self.slots, "more than all slots");
        assert!(entry.demand.fits(&self.free[node]), "{entry:?} does not fit");
        self.free[node] = self.free[node].minus(&entry.demand);
        assert!(self.running.insert(entry.task, (entry.clone(), node)).is_none(), "{entry:?} runs twice");

        let tenant = &self.tenants[&entry.namespace];
        let batch = (&*entry.queue == "batch").then_some(tenant.batch.limit).flatten();
        let limits = [
            ("namespace", Arc::clone(&entry.namespace), tenant.rule.limit),
            ("queue", Arc::clone(&entry.queue), batch),
            ("key", entry.key.clone().unwrap_or_default(), entry.key.as_ref().map(|key| key_limit(key))),
        ];
        for (what, name, limit) in limits {
            let count = self.counts.entry((Arc::clone(&entry.namespace), what, name)).or_default();
            *count += 1;
            assert!(limit.is_none_or(|limit| *count <= limit), "{entry:?} is beyond the limit of its {what}");
        }
    }

    pub(super) fn end(&mut self, task: i64) {
        let (entry, node) = self.running.remove(&task).expect("it ran");
        self.free[node] = self.free[node].plus(&entry.demand);
        let names = [
            ("namespace", Arc::clone(&entry.namespace)),
            ("queue", Arc::clone(&entry.queue)),
            ("key", entry.key.clone().unwrap_or_default()),
        ];
        for (what, name) in names {
            if let Some(count) = self.counts.get_mut(&(Arc::clone(&entry.namespace), what, name)) {
                *count -= 1;
            }
        }
    }

    /// What a live node must have free.
    pub(super) fn node(&self, node: usize, total: Demand) -> Node {
        Node { total, free: self.free[node] }
    }

    pub(super) fn running(&self) -> impl Iterator<Item = (&Entry, usize)> {
        self.running.values().map(|(entry, node)| (entry, *node))
    }

    fn flood(&mut self, entry: &Entry, by: i64) {
        match &*entry.namespace {
            "flood-a" => self.flood_waiting.0 += by,
            "flood-b" => self.flood_waiting.1 += by,
            _ => {}
        }
    }

    fn flood_start(&mut self, entry: &Entry) {
        if self.flood_waiting.0.min(self.flood_waiting.1) == 0 {
            return;
        }
        match &*entry.namespace {
            "flood-a" => self.flood_starts.0 += 1,
            "flood-b" => self.flood_starts.1 += 1,
            _ => {}
        }
    }
}
