//! The rows, the workers and the clock around the core.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use mcplane_core::Timestamp;
use mcplane_scheduler::fairness::{Board, Capacity, Demand, Entry, Settings, rank};
use mcplane_scheduler::retry::{Backoff, Exit, Verdict, verdict};
use mcplane_scheduler::timers::Wheel;

use super::ledger::{Ledger, key_limit};
use super::script::{DAWN, Fate, Script, Spec};

/// A silent worker's attempts are given up after this long.
const LEASE_MS: i64 = 15_000;
const AGEING_MS: i64 = 60_000;
const SETTINGS: Settings = Settings { reserve_after_ms: 60_000, reservations: 1, key_limit: 1, quantum_ms: 60_000 };
/// Timers of leases beside timers of tasks.
const LEASE: i64 = 1 << 40;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Submitted,
    Waiting { due: Timestamp },
    Ready { since: Timestamp },
    Running { node: usize, epoch: u32, since: Timestamp, expires: Option<Timestamp> },
    Succeeded,
    Dead,
    Cancelled,
}

/// A row of the table of tasks, which survives everything.
#[derive(Debug)]
pub(super) struct Row {
    spec: Spec,
    pub(super) state: State,
    /// The number of the newest attempt, which fences all before it.
    attempt: u32,
    longest_wait: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Submit(i64),
    Cancel(i64),
    /// A worker says that an attempt ended; `epoch` is the node's when it began.
    Report {
        task: i64,
        attempt: u32,
        node: usize,
        epoch: u32,
    },
    Crash {
        node: usize,
        down_ms: i64,
    },
    Return(usize),
    Restart,
}

struct Worker {
    total: Demand,
    epoch: u32,
    down_until: Option<Timestamp>,
}

/// What happened how often.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) crashes: usize,
    pub(super) lost: usize,
    pub(super) fenced: usize,
    pub(super) retries: usize,
    pub(super) restarts: usize,
    pub(super) unfit: usize,
    /// Tasks that passed their like, because a node was kept for them.
    pub(super) passed: usize,
    pub(super) choices: usize,
}

pub(super) struct World {
    now: Timestamp,
    events: BinaryHeap<Reverse<(Timestamp, u64, Event)>>,
    sequence: u64,
    script: Script,
    workers: Vec<Worker>,
    capacity: Capacity,
    pub(super) rows: Vec<Row>,
    pub(super) board: Board,
    pub(super) wheel: Wheel,
    pub(super) ledger: Ledger,
    pub(super) seen: Seen,
}

impl World {
    pub(super) fn new(mut script: Script) -> Self {
        let row = |spec| Row { spec, state: State::Submitted, attempt: 0, longest_wait: 0 };
        let rows: Vec<Row> = std::mem::take(&mut script.tasks).into_iter().map(row).collect();
        let worker =
            |node: &mcplane_scheduler::fairness::Node| Worker { total: node.total, epoch: 0, down_until: None };
        let mut world = Self {
            now: DAWN,
            events: BinaryHeap::new(),
            sequence: 0,
            workers: script.nodes.iter().map(worker).collect(),
            capacity: Capacity { slots: script.slots, nodes: script.nodes.clone() },
            rows,
            board: Board::new(SETTINGS),
            wheel: Wheel::new(100, DAWN),
            ledger: Ledger::new(&script),
            seen: Seen::default(),
            script,
        };
        world.configure();
        for task in 0..world.rows.len() {
            let spec = &world.rows[task].spec;
            let (submitted, cancelled) = (spec.submitted_at, spec.cancelled_at);
            world.at(submitted, Event::Submit(task as i64));
            if let Some(at) = cancelled {
                world.at(at, Event::Cancel(task as i64));
            }
        }
        for (at, node, down_ms) in world.script.crashes.clone() {
            world.at(at, Event::Crash { node, down_ms });
        }
        for at in world.script.restarts.clone() {
            world.at(at, Event::Restart);
        }
        world
    }

    fn at(&mut self, time: Timestamp, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((time, self.sequence, event)));
    }

    /// Until nothing is left to happen.
    pub(super) fn play(&mut self) {
        let mut fired = Vec::new();
        loop {
            let event = self.events.peek().map(|Reverse((time, ..))| *time);
            let Some(next) = event.into_iter().chain(self.wheel.next_due()).min() else { break };
            assert!(next >= self.now, "a timer was forgotten");
            self.now = next;
            self.wheel.advance(self.now, &mut fired);
            for (due, id) in fired.drain(..) {
                assert_eq!(due, self.now, "a timer fires when it is due");
                if id >= LEASE { self.expire(id - LEASE) } else { self.ripen(id) }
            }
            while let Some(Reverse((time, _, event))) = self.events.peek().copied()
                && time == self.now
            {
                self.events.pop();
                self.happen(event);
            }
            self.choose();
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Submit(task) => {
                let delay = self.rows[task as usize].spec.delay_ms;
                self.schedule(task, self.now + delay);
            }
            Event::Cancel(task) => self.cancel(task),
            Event::Report { task, attempt, node, epoch } => self.report(task, attempt, node, epoch),
            Event::Crash { node, down_ms } => self.crash(node, down_ms),
            Event::Return(node) => {
                self.workers[node].down_until = None;
                self.capacity.nodes[node] = self.ledger.node(node, self.workers[node].total);
                assert_eq!(self.capacity.nodes[node].free, self.workers[node].total, "its attempts are long given up");
            }
            Event::Restart => self.restart(),
        }
    }

    /// To the wheel until `due`, or to the board at once.
    fn schedule(&mut self, task: i64, due: Timestamp) {
        if due > self.now {
            self.rows[task as usize].state = State::Waiting { due };
            self.wheel.insert(task, due);
        } else {
            self.ripen(task);
        }
    }

    fn ripen(&mut self, task: i64) {
        self.rows[task as usize].state = State::Ready { since: self.now };
        let entry = self.entry(task);
        self.ledger.wait(&entry);
        self.offer(entry);
    }

    fn offer(&mut self, entry: Entry) {
        if let Some(key) = &entry.key {
            self.board.set_key_limit(&entry.namespace, key, Some(key_limit(key)));
        }
        assert!(self.board.offer(entry));
    }

    fn entry(&self, task: i64) -> Entry {
        let Row { spec, state, .. } = &self.rows[task as usize];
        let ready_at = match state {
            State::Ready { since } | State::Running { since, .. } => *since,
            other => panic!("{other:?} is not on the board"),
        };
        Entry {
            task,
            namespace: Arc::clone(&spec.namespace),
            queue: Arc::clone(&spec.queue),
            rank: rank(ready_at, spec.priority, AGEING_MS),
            key: spec.key.clone(),
            demand: spec.demand,
        }
    }

    fn choose(&mut self) {
        // The board takes from the capacity what the ledger says too.
        for choice in self.board.choose(self.now, &mut self.capacity, usize::MAX) {
            self.seen.choices += 1;
            let State::Ready { since } = self.rows[choice.task as usize].state else { panic!("it did not wait") };
            let waited = self.now - since;
            self.ledger.start(&self.entry(choice.task), choice.node, waited >= SETTINGS.reserve_after_ms);
            let epoch = self.workers[choice.node].epoch;
            let row = &mut self.rows[choice.task as usize];
            row.longest_wait = row.longest_wait.max(waited);
            row.attempt += 1;
            row.state = State::Running { node: choice.node, epoch, since: self.now, expires: None };
            let (attempt, end) = (row.attempt, self.now + row.spec.run_ms);
            self.at(end, Event::Report { task: choice.task, attempt, node: choice.node, epoch });
        }
        self.seen.unfit += self.board.take_unfit().len();
        self.seen.passed = self.ledger.passed;
        let free = self.capacity.slots as usize + self.ledger.running().count();
        assert_eq!(free, self.script.slots as usize);
    }

    fn report(&mut self, task: i64, attempt: u32, node: usize, epoch: u32) {
        let row = &self.rows[task as usize];
        let current = matches!(row.state, State::Running { .. }) && row.attempt == attempt;
        if self.workers[node].epoch != epoch {
            if let Some(until) = self.workers[node].down_until {
                // Nobody hears it now; it says so when it is back.
                self.at(until, Event::Report { task, attempt, node, epoch });
                return;
            }
            assert!(!current, "an attempt of a worker that was silent still counts");
            self.seen.fenced += 1;
            return;
        }
        if !current {
            // Cancelled meanwhile.
            return;
        }
        let exit = match row.spec.fate {
            Fate::Fails(times) if attempt <= times => Some(Exit::Failed),
            Fate::TimesOut(times) if attempt <= times => Some(Exit::TimedOut),
            Fate::Poison => Some(Exit::Failed),
            Fate::Refused => Some(Exit::Refused),
            _ => None,
        };
        self.vacate(task);
        match exit {
            Some(exit) => self.fail(task, exit),
            None => self.rows[task as usize].state = State::Succeeded,
        }
    }

    fn fail(&mut self, task: i64, exit: Exit) {
        let backoff = Backoff { initial: Duration::from_secs(1), max: Duration::from_secs(60), ..Backoff::default() };
        let row = &self.rows[task as usize];
        match verdict(exit, row.attempt, row.spec.max_attempts, self.now, &backoff, task.unsigned_abs()) {
            Verdict::Retry(at) => {
                self.seen.retries += 1;
                self.schedule(task, at);
            }
            Verdict::Dead => self.rows[task as usize].state = State::Dead,
        }
    }

    /// A running attempt counts no more.
    fn vacate(&mut self, task: i64) {
        let State::Running { node, expires, .. } = self.rows[task as usize].state else { panic!("it did not run") };
        if let Some(expires) = expires {
            assert!(self.wheel.remove(LEASE + task, expires));
        }
        self.ledger.end(task);
        assert!(self.board.finished(task, self.now));
        self.capacity.slots += 1;
        if self.workers[node].down_until.is_none() {
            self.capacity.nodes[node] = self.ledger.node(node, self.workers[node].total);
        }
    }

    fn cancel(&mut self, task: i64) {
        match self.rows[task as usize].state {
            State::Succeeded | State::Dead | State::Cancelled | State::Submitted => return,
            State::Waiting { due } => assert!(self.wheel.remove(task, due)),
            State::Ready { .. } => {
                let entry = self.entry(task);
                assert_eq!(self.board.withdraw(task).as_ref(), Some(&entry));
                self.ledger.leave(&entry);
            }
            State::Running { .. } => self.vacate(task),
        }
        self.rows[task as usize].state = State::Cancelled;
    }

    fn crash(&mut self, node: usize, down_ms: i64) {
        if self.workers[node].down_until.is_some() {
            return;
        }
        self.seen.crashes += 1;
        let until = self.now + down_ms;
        self.workers[node].epoch += 1;
        self.workers[node].down_until = Some(until);
        self.capacity.nodes[node] = Default::default();
        self.at(until, Event::Return(node));
        let orphans: Vec<i64> =
            self.ledger.running().filter(|(_, at)| *at == node).map(|(entry, _)| entry.task).collect();
        let expires = self.now + LEASE_MS;
        for task in orphans {
            if let State::Running { expires: lease, .. } = &mut self.rows[task as usize].state {
                *lease = Some(expires);
            }
            self.wheel.insert(LEASE + task, expires);
        }
    }

    fn expire(&mut self, task: i64) {
        self.seen.lost += 1;
        if let State::Running { expires, .. } = &mut self.rows[task as usize].state {
            *expires = None;
        }
        self.vacate(task);
        self.fail(task, Exit::Lost);
    }

    /// All memory is lost; the rows tell everything.
    fn restart(&mut self) {
        self.seen.restarts += 1;
        self.wheel = Wheel::new(100, self.now);
        self.board = Board::new(SETTINGS);
        self.configure();
        for task in 0..self.rows.len() as i64 {
            match self.rows[task as usize].state {
                State::Waiting { due } => self.wheel.insert(task, due),
                State::Ready { .. } => self.offer(self.entry(task)),
                State::Running { expires, since, .. } => {
                    let entry = self.entry(task);
                    if let Some(key) = &entry.key {
                        self.board.set_key_limit(&entry.namespace, key, Some(key_limit(key)));
                    }
                    assert!(self.board.started(entry, since));
                    if let Some(expires) = expires {
                        self.wheel.insert(LEASE + task, expires);
                    }
                }
                State::Submitted | State::Succeeded | State::Dead | State::Cancelled => {}
            }
        }
    }

    fn configure(&mut self) {
        for tenant in &self.script.tenants {
            self.board.set_namespace(&tenant.name, tenant.rule);
            self.board.set_queue(&tenant.name, "batch", tenant.batch);
        }
    }

    pub(super) fn counts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for row in &self.rows {
            let name = match row.state {
                State::Succeeded => "Succeeded",
                State::Dead => "Dead",
                State::Cancelled => "Cancelled",
                _ => "unfinished",
            };
            *counts.entry(name).or_default() += 1;
        }
        counts
    }

    /// The longest time that a ready task of each tenant waited.
    pub(super) fn waits(&self) -> BTreeMap<&str, i64> {
        let mut waits = BTreeMap::new();
        for row in &self.rows {
            let wait = waits.entry(&*row.spec.namespace).or_default();
            *wait = row.longest_wait.max(*wait);
        }
        waits
    }
}
