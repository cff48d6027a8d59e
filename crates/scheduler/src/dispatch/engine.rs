//! The engine's round.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use mcplane_core::{Result, Timestamp};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::adopt::{Adopted, adopt};
use super::follow;
use super::lead::{Lead, RENEW_MS};
use super::runner::{Ended, Reports};
use super::steps;
use crate::fairness::{self, Board, Capacity, Entry, NamespaceRule, Node, QueueRule};
use crate::scheduler::Scheduler;
use crate::tasks::notes;
use crate::tasks::store::{self, Pending};
use crate::tasks::{AttemptOf, Concurrency, Demand, Outcome, State, Task};
use crate::timers::Wheel;
use crate::transport::Delivery;

/// Tasks that one step takes at most.
const BATCH: usize = 1_024;
/// How long a delivery may be held before it begins, in milliseconds.
const HOLD_MS: i64 = 30_000;
/// How long a machine may be silent before its attempts are given up, in milliseconds.
const TOLERATION_MS: i64 = 60_000;
/// How long the engine sleeps when nothing is due.
pub(super) const IDLE: Duration = Duration::from_millis(RENEW_MS.unsigned_abs());
/// How often the engine looks whether other servers left notes, where there may be any.
const LISTEN: Duration = Duration::from_millis(100);
/// Rows of one page when memory is filled from the table.
const PAGE: i64 = 10_000;

/// What services tell the engine, after it is durable.
#[derive(Debug)]
pub(crate) enum Event {
    /// These are new, or may run again.
    Pending(Vec<Pending>),
    /// These are finished without having run.
    Withdrawn(Vec<i64>),
    /// These attempts shall end.
    Stop(Vec<AttemptOf>),
    /// Settings of queues changed.
    Queues,
}

/// What the engine remembers of a task beside what is on the board.
#[derive(Debug, Clone, Copy)]
struct Known {
    /// Number of its newest attempt.
    attempt: i64,
    demand: fairness::Demand,
    place: Place,
}

/// Where a task is that the engine knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the wheel, or waiting on the board.
    Waits,
    /// It was chosen, and has its part of this machine.
    Here,
    /// Another machine runs it. It counts for limits, and takes nothing of this one.
    Elsewhere,
}

/// An attempt that runs here.
#[derive(Debug, Clone, Copy)]
struct Running {
    /// Place of its runner.
    runner: usize,
    since: Option<Timestamp>,
}

/// Decides what runs.
pub(crate) struct Engine<'e> {
    scheduler: Arc<Scheduler>,
    events: &'e mut mpsc::UnboundedReceiver<Event>,
    heard: Vec<Event>,
    reports: Reports,
    ends: mpsc::UnboundedReceiver<Ended>,
    ended: Vec<Ended>,
    lead: Lead,
    renewed_at: Instant,
    board: Board,
    wheel: Wheel,
    /// Shares of namespaces, as the board knows them.
    shares: HashMap<Arc<str>, u32>,
    /// What this machine has left.
    capacity: Capacity,
    /// Tasks on the board or in the wheel, and those that run.
    known: HashMap<i64, Known>,
    /// Attempts of this node that have begun, by the place of their runner.
    running: HashMap<AttemptOf, Running>,
    /// What the transport gave and may forget.
    receipts: Vec<i64>,
    /// When to look for notes of other servers; `None` where there can be none.
    listen_at: Option<Instant>,
}

impl<'e> Engine<'e> {
    /// Takes the lead once it is free, and goes round until the store can't be reached or another has the lead.
    pub(crate) async fn go(scheduler: Arc<Scheduler>, events: &'e mut mpsc::UnboundedReceiver<Event>) -> Result<()> {
        let mut engine = Self::start(scheduler, events).await?;
        loop {
            if !engine.round().await? {
                engine.wait().await;
            }
        }
    }

    /// Takes the lead, once it is free, and fills memory from the rows.
    async fn start(scheduler: Arc<Scheduler>, events: &'e mut mpsc::UnboundedReceiver<Event>) -> Result<Self> {
        let lead = follow::until_lead(&scheduler, events).await?;
        let now = scheduler.now();
        let (reports, ends) = Reports::new();
        let mut engine = Self {
            events,
            heard: Vec::new(),
            reports,
            ends,
            ended: Vec::new(),
            lead,
            renewed_at: Instant::now(),
            board: Board::default(),
            wheel: Wheel::new(scheduler.config.tick_ms, now),
            shares: HashMap::new(),
            capacity: Capacity { slots: u32::MAX, nodes: vec![] },
            known: HashMap::new(),
            running: HashMap::new(),
            receipts: Vec::new(),
            listen_at: scheduler.db.dialect().is_shared().then(Instant::now),
            scheduler,
        };
        let config = &engine.scheduler.config;
        let total = vector(config.capacity);
        let slots = config.worker_pool_size.saturating_add(config.backlog);
        engine.capacity =
            Capacity { slots: u32::try_from(slots).unwrap_or(u32::MAX), nodes: vec![Node { total, free: total }] };
        engine.configure().await?;
        engine.share();
        engine.adopt().await?;
        engine.fill().await?;
        engine.clear().await?;
        Ok(engine)
    }

    /// Everything that can be done now, once; tells whether there was anything.
    async fn round(&mut self) -> Result<bool> {
        self.keep_lead().await?;
        let heard = self.hear().await? | self.listen().await?;
        while self.ended.len() < BATCH
            && let Ok(ended) = self.ends.try_recv()
        {
            self.ended.push(ended);
        }
        let ended = std::mem::take(&mut self.ended);
        let mut due = Vec::new();
        self.wheel.advance(self.scheduler.now(), &mut due);
        let now = self.scheduler.now();
        due.iter().for_each(|(due, _)| self.scheduler.metrics.became_ready(now - due));
        let due: Vec<i64> = due.into_iter().map(|(_, no)| no).collect();
        let receipts = std::mem::take(&mut self.receipts);
        let worked = heard || !ended.is_empty() || !due.is_empty() || !receipts.is_empty();
        // Independent of each other, so they share a commit.
        let (again, ready, ()) = tokio::try_join!(
            steps::finish(&self.scheduler, &ended, |of| self.shows(of)),
            steps::make_ready(&self.scheduler, &due),
            self.acknowledge(receipts),
        )?;
        for Ended { of, outcome } in &ended {
            let ran = self.running.get(of).and_then(|running| running.since).map(|since| now - since);
            self.scheduler.metrics.ended(outcome, ran);
            self.settle(*of);
        }
        self.scheduler.metrics.retried(again.len());
        again.into_iter().chain(ready).for_each(|pending| self.admit(pending));
        let begun = self.dispatch().await?;
        Ok(worked || begun)
    }

    /// Sleeps until there is something to do.
    async fn wait(&mut self) {
        let sleep = match self.wheel.next_due() {
            Some(due) => Duration::from_millis(u64::try_from(due - self.scheduler.now()).unwrap_or(0)).min(IDLE),
            None => IDLE,
        };
        let sleep = match self.listen_at {
            Some(at) => sleep.min(at.saturating_duration_since(Instant::now())),
            None => sleep,
        };
        tokio::select! {
            _ = self.events.recv_many(&mut self.heard, BATCH) => {}
            _ = self.ends.recv_many(&mut self.ended, BATCH) => {}
            () = tokio::time::sleep(sleep) => {}
        }
    }

    async fn keep_lead(&mut self) -> Result<()> {
        // Not by the clock that is shown, which may be set.
        if self.renewed_at.elapsed() < IDLE {
            return Ok(());
        }
        self.renewed_at = Instant::now();
        let now = self.scheduler.now();
        let (lead, _) = tokio::try_join!(self.lead.renew(&self.scheduler.db), self.scheduler.transport.redeliver(now))?;
        self.lead = lead.ok_or_else(super::lead::lost)?;
        crate::nodes::beat(&self.scheduler).await?;
        let (db, node) = (&self.scheduler.db, &self.scheduler.node);
        // By the clock by which machines beat.
        let beats = if db.dialect().is_shared() { db.dialect().now_ms().to_owned() } else { now.to_string() };
        let silent = store::running_on_silent(db, node, &beats, TOLERATION_MS).await?;
        let lost = |of| Ended { of, outcome: Outcome::lost("its machine has been silent for a minute") };
        self.ended.extend(silent.into_iter().map(lost));
        self.share();
        let workers = self.scheduler.config.worker_pool_size;
        self.scheduler.metrics.measure(self.board.depths(), self.wheel.len(), workers, self.capacity.slots);
        Ok(())
    }

    /// Takes in what services told.
    async fn hear(&mut self) -> Result<bool> {
        while self.heard.len() < BATCH
            && let Ok(event) = self.events.try_recv()
        {
            self.heard.push(event);
        }
        let heard = std::mem::take(&mut self.heard);
        let any = !heard.is_empty();
        for event in heard {
            match event {
                Event::Pending(pending) => pending.into_iter().for_each(|pending| self.admit(pending)),
                Event::Withdrawn(nos) => self.withdraw(nos).await?,
                Event::Stop(attempts) => attempts.into_iter().for_each(|of| self.stop(of)),
                Event::Queues => self.configure().await?,
            }
        }
        Ok(any)
    }

    /// Takes in an unfinished task: to the wheel until its time comes, to the board after that.
    fn admit(&mut self, pending: Pending) {
        let known = Known { attempt: pending.attempt, demand: vector(pending.demand), place: Place::Waits };
        match pending.state {
            State::Waiting => self.wheel.insert(pending.no, pending.due_at),
            State::Ready => {
                self.limit(&pending);
                if !self.board.offer(entry(&pending)) {
                    return;
                }
            }
            _ => return,
        }
        self.known.insert(pending.no, known);
    }

    /// The newest task with a key says how many may run at a time.
    fn limit(&mut self, pending: &Pending) {
        if let Some(Concurrency { key, limit }) = &pending.concurrency {
            self.board.set_key_limit(&pending.namespace, key, u32::try_from(*limit).ok());
        }
    }

    /// A task leaves the board; what was kept for it is free.
    fn release(&mut self, no: i64) {
        let Some(known) = self.known.remove(&no) else { return };
        if known.place == Place::Waits {
            self.board.withdraw(no);
            return;
        }
        self.board.finished(no, self.scheduler.now());
        if known.place == Place::Elsewhere {
            return;
        }
        self.capacity.slots = self.capacity.slots.saturating_add(1);
        if let Some(node) = self.capacity.nodes.first_mut() {
            node.free = node.free.plus(&known.demand);
        }
    }

    async fn withdraw(&mut self, nos: Vec<i64>) -> Result<()> {
        if nos.is_empty() {
            return Ok(());
        }
        // What is still in the wheel finds its row finished when its time comes.
        nos.iter().for_each(|no| self.release(*no));
        self.scheduler.transport.withdraw(nos).await
    }

    fn stop(&self, of: AttemptOf) {
        if let Some(running) = self.running.get(&of) {
            self.scheduler.runners[running.runner].stop(of);
        }
    }

    fn shows(&self, of: AttemptOf) -> bool {
        self.running.get(&of).is_some_and(|running| self.scheduler.runners[running.runner].shown())
    }

    /// An attempt is over, and its row says so.
    fn settle(&mut self, of: AttemptOf) {
        match self.running.remove(&of) {
            Some(Running { runner, .. }) => {
                self.release(of.no);
                self.scheduler.runners[runner].forget(of);
            }
            None if self.known.get(&of.no).is_some_and(|known| known.place == Place::Elsewhere) => self.release(of.no),
            None => {}
        }
    }

    async fn acknowledge(&self, receipts: Vec<i64>) -> Result<()> {
        if receipts.is_empty() { Ok(()) } else { self.scheduler.transport.ack(receipts).await }
    }

    /// Chooses, carries and begins.
    async fn dispatch(&mut self) -> Result<bool> {
        let scheduler = Arc::clone(&self.scheduler);
        let now = scheduler.now();
        let choices = self.board.choose(now, &mut self.capacity, BATCH);
        let unfit = self.board.take_unfit();
        if !unfit.is_empty() {
            steps::explain(&scheduler, unfit).await?;
        }
        if choices.is_empty() {
            return Ok(false);
        }
        let mut deliveries = Vec::with_capacity(choices.len());
        for choice in choices {
            let Some(known) = self.known.get_mut(&choice.task) else { continue };
            known.place = Place::Here;
            let of = AttemptOf { no: choice.task, attempt: known.attempt + 1 };
            deliveries.push(Delivery { of, node: Arc::clone(&scheduler.node) });
        }
        let (node, holder) = (&scheduler.node, &scheduler.identity);
        let leased = scheduler.transport.hand_over(deliveries, node, holder, BATCH, now + HOLD_MS).await?;
        self.receipts.extend(leased.iter().map(|leased| leased.receipt));
        let attempts: Vec<AttemptOf> = leased.iter().map(|leased| leased.delivery.of).collect();
        let begun = steps::begin(&scheduler, self.lead, attempts.clone()).await?;
        let mut idle: Vec<i64> = attempts.iter().map(|of| of.no).collect();
        let begins: HashSet<i64> = begun.iter().map(|task| task.no).collect();
        idle.retain(|no| !begins.contains(no));
        begun.into_iter().for_each(|task| self.launch(task));
        if !idle.is_empty() {
            self.refresh(idle).await?;
        }
        Ok(true)
    }

    /// Starts an attempt that has begun.
    fn launch(&mut self, task: Task) {
        let of = AttemptOf::from(&task);
        match self.known.get_mut(&of.no) {
            Some(known) if known.place == Place::Here => known.attempt = of.attempt,
            // The transport brought what was not chosen: an older delivery, which was as good.
            _ => self.resume(&Pending::from(&task), Place::Here),
        }
        match self.scheduler.runner(&task) {
            Some(runner) => {
                self.scheduler.metrics.started(&task);
                self.running.insert(of, Running { runner, since: task.started_at });
                self.scheduler.runners[runner].start(task, self.reports.clone());
            }
            None => {
                self.ended.push(Ended { of, outcome: Outcome::impossible("NoExecutor", "no executor takes this task") })
            }
        }
    }

    /// Looks again at tasks whose deliveries began nothing: they came twice, or the tasks were cancelled meanwhile.
    async fn refresh(&mut self, nos: Vec<i64>) -> Result<()> {
        let runs = |no: &i64| {
            let known = self.known.get(no);
            known.is_some_and(|known| self.running.contains_key(&AttemptOf { no: *no, attempt: known.attempt }))
        };
        let nos: Vec<i64> = nos.into_iter().filter(|no| !runs(no)).collect();
        nos.iter().for_each(|no| self.release(*no));
        let pending = store::pending(&self.scheduler.db, &nos).await?;
        pending.into_iter().filter(|pending| !pending.cancelled).for_each(|pending| self.admit(pending));
        Ok(())
    }

    /// Reads the settings of queues.
    async fn configure(&mut self) -> Result<()> {
        for settings in self.scheduler.queue_settings().await? {
            let number = |value: i64| u32::try_from(value).unwrap_or(u32::MAX);
            let limit = (settings.most > 0).then(|| number(settings.most));
            let rule = QueueRule { weight: number(settings.weight), limit, paused: settings.paused };
            self.board.set_queue(&settings.namespace, &settings.name, rule);
        }
        Ok(())
    }

    /// Takes over what namespaces are to get.
    fn share(&mut self) {
        for (namespace, weight) in self.scheduler.shares() {
            if self.shares.get(&namespace).copied().unwrap_or(1) != weight {
                self.board.set_namespace(&namespace, NamespaceRule { weight, limit: None });
                self.shares.insert(namespace, weight);
            }
        }
    }

    /// Goes on with attempts of this node that an earlier process began.
    async fn adopt(&mut self) -> Result<()> {
        for Adopted { task, runner, end } in adopt(&self.scheduler, &self.reports).await? {
            let of = AttemptOf::from(&task);
            if let Some(runner) = runner {
                self.running.insert(of, Running { runner, since: task.started_at });
                self.resume(&Pending::from(&task), Place::Here);
            }
            self.ended.extend(end.map(|outcome| Ended { of, outcome }));
        }
        Ok(())
    }

    /// Counts what runs already.
    fn resume(&mut self, pending: &Pending, place: Place) {
        let demand = vector(pending.demand);
        self.known.insert(pending.no, Known { attempt: pending.attempt, demand, place });
        self.limit(pending);
        self.board.started(entry(pending), self.scheduler.now());
        if place == Place::Elsewhere {
            return;
        }
        self.capacity.slots = self.capacity.slots.saturating_sub(1);
        if let Some(node) = self.capacity.nodes.first_mut() {
            node.free = node.free.minus(&demand);
        }
    }

    /// Fills memory with what is unfinished.
    async fn fill(&mut self) -> Result<()> {
        let mut after = 0;
        loop {
            let page = store::unfinished(&self.scheduler.db, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.no;
            for pending in page {
                match pending.state {
                    State::Running if self.known.contains_key(&pending.no) => {}
                    State::Running => self.resume(&pending, Place::Elsewhere),
                    _ => self.admit(pending),
                }
            }
        }
    }

    /// Takes back what earlier engines published: everything that is ready is chosen anew.
    async fn clear(&self) -> Result<()> {
        let left: Vec<i64> =
            self.scheduler.transport.recover().await?.into_iter().map(|delivery| delivery.of.no).collect();
        if left.is_empty() { Ok(()) } else { self.scheduler.transport.withdraw(left).await }
    }

    /// Heeds the notes of other servers; tells whether there were any.
    async fn listen(&mut self) -> Result<bool> {
        if self.listen_at.is_none_or(|at| at > Instant::now()) {
            return Ok(false);
        }
        self.listen_at = Some(Instant::now() + LISTEN);
        let noted = notes::read(&self.scheduler.db).await?;
        if noted.is_empty() {
            return Ok(false);
        }
        let mut nos: Vec<i64> = noted.iter().map(|note| note.task).collect();
        nos.sort_unstable();
        nos.dedup();
        if nos.first() == Some(&notes::QUEUES) {
            self.configure().await?;
        }
        self.look_again(&nos).await?;
        notes::forget(&self.scheduler.db, &noted).await?;
        Ok(true)
    }

    /// Takes over what another server made of tasks.
    async fn look_again(&mut self, nos: &[i64]) -> Result<()> {
        let unfinished = store::pending(&self.scheduler.db, nos).await?;
        let known: HashSet<i64> = unfinished.iter().map(|pending| pending.no).collect();
        let gone = nos.iter().filter(|no| !known.contains(no) && self.known.contains_key(no));
        let gone: Vec<i64> = gone.copied().collect();
        self.withdraw(gone).await?;
        for pending in unfinished {
            let place = self.known.get(&pending.no).map(|known| known.place);
            match (pending.state, place) {
                (State::Running, _) if pending.cancelled => self.stop(AttemptOf::from(&pending)),
                // It is as this engine made it, or about to be.
                (State::Running, _) | (_, Some(Place::Waits | Place::Here)) => {}
                (_, Some(Place::Elsewhere)) => {
                    self.release(pending.no);
                    self.admit(pending);
                }
                (_, None) => self.admit(pending),
            }
        }
        Ok(())
    }
}

fn vector(demand: Demand) -> fairness::Demand {
    fairness::Demand {
        cpu_milli: u64::try_from(demand.cpu_milli).unwrap_or(0),
        memory: u64::try_from(demand.memory).unwrap_or(0),
        gpu: u32::try_from(demand.gpu).unwrap_or(u32::MAX),
    }
}

fn entry(pending: &Pending) -> Entry {
    Entry {
        task: pending.no,
        namespace: Arc::clone(&pending.namespace),
        queue: Arc::clone(&pending.queue),
        rank: pending.rank,
        key: pending.concurrency.as_ref().map(|concurrency| Arc::clone(&concurrency.key)),
        demand: vector(pending.demand),
    }
}
