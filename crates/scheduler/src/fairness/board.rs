//! The board itself: every task of the window, and what is decided about them.

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};
use mcplane_core::Timestamp;

use super::clock::{FairClock, WHOLE};
use super::namespace::Namespace;
use super::place::{self, Reservation};
use super::types::{Capacity, Choice, Demand, Depth, Entry, NamespaceRule, QueueRule, Settings, Unfit, UnfitReason};

/// The ready tasks of the window and the running ones; see the module's text for what it promises.
#[derive(Debug, Default)]
pub struct Board {
    settings: Settings,
    tasks: HashMap<i64, Task>,
    namespaces: HashMap<Arc<str>, Namespace>,
    clock: FairClock,
    running: usize,
    /// What the nodes have when empty, as last seen.
    totals: Vec<Demand>,
    cluster: Demand,
    slots: u64,
    reservations: Vec<Reservation>,
    unfit: Vec<Unfit>,
    /// How many namespaces to have before the idle ones are looked for.
    sweep_at: usize,
}

#[derive(Debug)]
struct Task {
    entry: Entry,
    state: State,
    /// Since when it was its turn but nowhere was room.
    passed_over: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    /// Waits, but fits no node.
    Unfit,
    Running {
        since: Timestamp,
    },
}

impl Board {
    /// An empty board.
    pub fn new(settings: Settings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// A board as after a restart: what runs since when, and what is ready. Limits and weights are set afterwards.
    pub fn rebuild(
        settings: Settings,
        running: impl IntoIterator<Item = (Entry, Timestamp)>,
        ready: impl IntoIterator<Item = Entry>,
    ) -> Self {
        let mut board = Self::new(settings);
        for (entry, since) in running {
            board.started(entry, since);
        }
        for entry in ready {
            board.offer(entry);
        }
        board
    }

    /// Sets the weight and limit of a namespace.
    pub fn set_namespace(&mut self, namespace: &str, rule: NamespaceRule) {
        self.with(&Arc::from(namespace), |namespace| {
            namespace.rule = rule;
            namespace.share.set_weight(rule.weight);
        });
    }

    /// Sets weight, limit and pause of a queue.
    pub fn set_queue(&mut self, namespace: &str, queue: &str, rule: QueueRule) {
        self.with(&Arc::from(namespace), |namespace| namespace.set_queue(&Arc::from(queue), rule));
    }

    /// Sets how many tasks of a key run at once; `None` stands for [`Settings::key_limit`]. It is forgotten with the key's
    /// last task, so that keys that come and go cost nothing: say it before a task is offered.
    pub fn set_key_limit(&mut self, namespace: &str, key: &str, limit: Option<u32>) {
        self.with(&Arc::from(namespace), |namespace| namespace.set_key_limit(&Arc::from(key), limit));
    }

    /// A task is ready. `false`, and nothing changes, if it is on the board already.
    pub fn offer(&mut self, entry: Entry) -> bool {
        if self.tasks.contains_key(&entry.task) {
            return false;
        }
        let reason = place::unfit(&entry.demand, &self.totals);
        let state = self.state_for(entry.task, reason);
        self.with(&entry.namespace, |namespace| namespace.arrive(&entry, reason.is_none()));
        self.tasks.insert(entry.task, Task { entry, state, passed_over: None });
        true
    }

    /// Takes a waiting task off the board: it was cancelled, or changed and is offered anew.
    pub fn withdraw(&mut self, task: i64) -> Option<Entry> {
        let state = self.tasks.get(&task)?.state;
        if let State::Running { .. } = state {
            return None;
        }
        let entry = self.tasks.remove(&task)?.entry;
        self.with(&entry.namespace, |namespace| namespace.leave(&entry, state == State::Ready));
        self.reservations.retain(|kept| kept.task != task);
        Some(entry)
    }

    /// Somebody else started this task (another server, or this one before it was restarted). It may be on the board as
    /// waiting. `false`, and nothing changes, if it runs already.
    pub fn started(&mut self, entry: Entry, now: Timestamp) -> bool {
        if let Some(Task { state: State::Running { .. }, .. }) = self.tasks.get(&entry.task) {
            return false;
        }
        let waiting = self.tasks.remove(&entry.task);
        self.reservations.retain(|kept| kept.task != entry.task);
        self.charge_start(&entry, |_| {});
        if let Some(Task { entry: old, state, .. }) = waiting {
            self.with(&old.namespace, |namespace| namespace.leave(&old, state == State::Ready));
        }
        self.tasks.insert(entry.task, Task { entry, state: State::Running { since: now }, passed_over: None });
        true
    }

    /// A running task ended, however it did, or was not started after all. `false` if it did not run.
    pub fn finished(&mut self, task: i64, now: Timestamp) -> bool {
        let Some(Task { state: State::Running { since }, .. }) = self.tasks.get(&task) else { return false };
        let since = *since;
        let Some(Task { entry, .. }) = self.tasks.remove(&task) else { return false };
        self.running -= 1;
        let quanta = match self.settings.quantum_ms {
            0 => 0,
            quantum => now.saturating_sub(since).max(0).unsigned_abs() / quantum.unsigned_abs(),
        };
        let extra = self.cost(&entry.demand).saturating_mul(quanta);
        if let Some(namespace) = self.namespaces.get_mut(&entry.namespace) {
            namespace.share.charge(&mut self.clock, &entry.namespace, extra);
        }
        self.with(&entry.namespace, |namespace| namespace.finish(&entry, extra));
        true
    }

    /// Chooses up to `most` tasks to start now, takes what they need from `capacity` and counts them as running. What is
    /// chosen but cannot be started after all is given back with [`Board::finished`].
    pub fn choose(&mut self, now: Timestamp, capacity: &mut Capacity, most: usize) -> Vec<Choice> {
        if capacity.nodes.is_empty() {
            return Vec::new();
        }
        self.survey(capacity);
        let mut choices = self.start_reserved(now, capacity, most);
        // Capacity only shrinks during the call: what does not fit once is not asked for again.
        let mut too_large: HashSet<Demand> = HashSet::new();
        let mut aside: Vec<(Arc<str>, Arc<str>, Demand)> = Vec::new();
        while choices.len() < most && capacity.slots > 0 {
            let Some(task) = self.front() else { break };
            let Some(entry) = self.tasks.get(&task).map(|task| task.entry.clone()) else { break };
            let node = match too_large.contains(&entry.demand) {
                true => None,
                false => place::place(task, &entry.demand, capacity, &self.reservations),
            };
            match node {
                Some(node) => choices.push(self.start(entry, node, capacity, now, true)),
                None => {
                    too_large.insert(entry.demand);
                    self.pass_over(&entry, now, capacity);
                    self.with(&entry.namespace, |namespace| namespace.set_aside(&entry.queue, &entry.demand, true));
                    aside.push((entry.namespace, entry.queue, entry.demand));
                }
            }
        }
        for (namespace, queue, demand) in aside {
            self.with(&namespace, |namespace| namespace.set_aside(&queue, &demand, false));
        }
        self.sweep();
        choices
    }

    /// Tasks of which it turned out since the last call that they fit no node. Each is told once, and again only if it
    /// fitted in between.
    pub fn take_unfit(&mut self) -> Vec<Unfit> {
        std::mem::take(&mut self.unfit)
    }

    /// How many tasks wait.
    pub fn ready(&self) -> usize {
        self.tasks.len() - self.running
    }

    /// How many tasks run.
    pub fn running(&self) -> usize {
        self.running
    }

    /// Whether the task is here, waiting or running.
    pub fn contains(&self, task: i64) -> bool {
        self.tasks.contains_key(&task)
    }

    /// The queues that have or remember anything.
    pub fn depths(&self) -> impl Iterator<Item = Depth> {
        self.namespaces.iter().flat_map(|(namespace, inner)| {
            inner.queues().map(|(name, queue)| Depth {
                namespace: Arc::clone(namespace),
                queue: Arc::clone(name),
                ready: queue.ready,
                running: queue.running as usize,
            })
        })
    }

    /// The task whose turn it is.
    fn front(&self) -> Option<i64> {
        self.namespaces.get(self.clock.first()?)?.front()
    }

    /// Looks whether the nodes are still what they were.
    fn survey(&mut self, capacity: &Capacity) {
        self.slots = (self.running as u64).saturating_add(capacity.slots.into());
        if self.totals.iter().eq(capacity.nodes.iter().map(|node| &node.total)) {
            return;
        }
        self.totals = capacity.nodes.iter().map(|node| node.total).collect();
        self.cluster = self.totals.iter().fold(Demand::default(), |sum, total| sum.plus(total));
        self.reservations.clear();

        let mut known: HashMap<Demand, Option<UnfitReason>> = HashMap::new();
        let waiting = self.tasks.values().filter(|task| !matches!(task.state, State::Running { .. }));
        let mut changed: Vec<(Entry, Option<UnfitReason>)> = waiting
            .filter_map(|task| {
                let demand = &task.entry.demand;
                let reason = *known.entry(*demand).or_insert_with(|| place::unfit(demand, &self.totals));
                (reason.is_none() != (task.state == State::Ready)).then(|| (task.entry.clone(), reason))
            })
            .collect();
        changed.sort_unstable_by_key(|(entry, _)| entry.task);
        for (entry, reason) in changed {
            let state = self.state_for(entry.task, reason);
            self.with(&entry.namespace, |namespace| match reason {
                None => namespace.line_up(&entry),
                Some(_) => namespace.fall_out(&entry),
            });
            if let Some(task) = self.tasks.get_mut(&entry.task) {
                task.state = state;
            }
        }
    }

    fn state_for(&mut self, task: i64, reason: Option<UnfitReason>) -> State {
        match reason {
            Some(reason) => {
                self.unfit.push(Unfit { task, reason });
                State::Unfit
            }
            None => State::Ready,
        }
    }

    /// Those for whom a node is kept go first, as soon as they fit.
    fn start_reserved(&mut self, now: Timestamp, capacity: &mut Capacity, most: usize) -> Vec<Choice> {
        let mut choices = Vec::new();
        for kept in self.reservations.clone() {
            let entry = self.tasks.get(&kept.task).filter(|task| task.state == State::Ready).map(|task| &task.entry);
            let namespace = entry.and_then(|entry| self.namespaces.get(&entry.namespace));
            let (Some(entry), Some(namespace)) = (entry, namespace) else { continue };
            if !namespace.may_start(entry) {
                // A limit holds it up, so nothing is kept for it.
                self.reservations.retain(|other| other.task != kept.task);
                continue;
            }
            if capacity.slots == 0 || choices.len() >= most {
                continue;
            }
            if let Some(node) = place::place(kept.task, &entry.demand, capacity, &self.reservations) {
                let entry = entry.clone();
                choices.push(self.start(entry, node, capacity, now, false));
            }
        }
        choices
    }

    /// It is this task's turn but there is no room: after a while a node is kept for it.
    fn pass_over(&mut self, entry: &Entry, now: Timestamp, capacity: &Capacity) {
        let Some(task) = self.tasks.get_mut(&entry.task) else { return };
        let since = *task.passed_over.get_or_insert(now);
        if now.saturating_sub(since) >= self.settings.reserve_after_ms
            && self.reservations.len() < self.settings.reservations
            && self.reservations.iter().all(|kept| kept.task != entry.task)
            && let Some(node) = place::to_keep(&entry.demand, capacity, &self.reservations)
        {
            self.reservations.push(Reservation { task: entry.task, demand: entry.demand, node });
        }
    }

    fn start(&mut self, entry: Entry, node: usize, capacity: &mut Capacity, now: Timestamp, in_turn: bool) -> Choice {
        let task = entry.task;
        if let Some(node) = capacity.nodes.get_mut(node) {
            node.free = node.free.minus(&entry.demand);
        }
        capacity.slots -= 1;
        self.reservations.retain(|kept| kept.task != task);
        if in_turn && let Some(namespace) = self.namespaces.get_mut(&entry.namespace) {
            namespace.share.serve(&mut self.clock);
            namespace.serve(&entry.queue);
        }
        self.charge_start(&entry, |namespace| namespace.leave(&entry, true));
        if let Some(task) = self.tasks.get_mut(&task) {
            task.state = State::Running { since: now };
        }
        Choice { task, node }
    }

    /// Counts a task as running in its namespace, which pays. What `leave` takes it out of comes last, so that its key is
    /// never without a task.
    fn charge_start(&mut self, entry: &Entry, leave: impl FnOnce(&mut Namespace)) {
        let cost = self.cost(&entry.demand);
        self.running += 1;
        self.with(&entry.namespace, |namespace| {
            namespace.start(entry, cost);
            leave(namespace);
        });
        if let Some(namespace) = self.namespaces.get_mut(&entry.namespace) {
            namespace.share.charge(&mut self.clock, &entry.namespace, cost);
        }
    }

    fn cost(&self, demand: &Demand) -> u64 {
        place::dominant_share(demand, &self.cluster, WHOLE).max(WHOLE / self.slots.max(1))
    }

    /// Changes a namespace, and what the clock knows of it.
    fn with<T>(&mut self, name: &Arc<str>, change: impl FnOnce(&mut Namespace) -> T) -> T {
        let key_limit = self.settings.key_limit;
        let namespace = self
            .namespaces
            .entry(Arc::clone(name))
            .or_insert_with(|| Namespace::new(NamespaceRule::default(), key_limit));
        let result = change(namespace);
        let visible = namespace.is_visible();
        namespace.share.show(&mut self.clock, name, visible);
        result
    }

    /// Forgets namespaces and queues of which there is nothing to remember, now and then.
    fn sweep(&mut self) {
        if self.namespaces.len() <= self.sweep_at {
            return;
        }
        let clock = &self.clock;
        self.namespaces.retain(|_, namespace| {
            namespace.sweep();
            !(namespace.is_blank() && clock.is_past(&namespace.share))
        });
        self.sweep_at = self.namespaces.len() * 2 + 64;
    }
}
