//! The engine's round.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mcplane_core::{Result, Timestamp};
use tokio::sync::mpsc;

use super::lead::{Lead, RENEW_MS};
use super::runner::{Ended, Reports, Started};
use super::steps;
use crate::fairness::{Board, Capacity, Entry, Unfit};
use crate::scheduler::Scheduler;
use crate::tasks::store::{self, Pending};
use crate::tasks::{AttemptOf, Outcome, State, Task};
use crate::timers::Wheel;
use crate::transport::Delivery;

/// Tasks that one step takes at most.
const BATCH: usize = 1_024;
/// How long a delivery may be held before it begins, in milliseconds.
const HOLD_MS: i64 = 30_000;
/// How long the engine sleeps when nothing is due.
const IDLE: Duration = Duration::from_millis(RENEW_MS.unsigned_abs());
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

/// Decides what runs.
pub(crate) struct Engine<'e> {
    scheduler: Arc<Scheduler>,
    events: &'e mut mpsc::UnboundedReceiver<Event>,
    heard: Vec<Event>,
    reports: Reports,
    ends: mpsc::UnboundedReceiver<Ended>,
    ended: Vec<Ended>,
    lead: Lead,
    renewed_at: Timestamp,
    board: Board,
    wheel: Wheel,
    /// The newest attempts of tasks on the board or in the wheel.
    attempts: HashMap<i64, i64>,
    /// Attempts of this node that have begun, by the place of their runner.
    running: HashMap<AttemptOf, usize>,
    /// What the transport gave and may forget.
    receipts: Vec<i64>,
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
        let lead = loop {
            if let Some(lead) = Lead::take(&scheduler.db, &scheduler.identity).await? {
                break lead;
            }
            tokio::time::sleep(IDLE).await;
        };
        let now = scheduler.now();
        let (reports, ends) = Reports::new();
        let mut engine = Self {
            events,
            heard: Vec::new(),
            reports,
            ends,
            ended: Vec::new(),
            lead,
            renewed_at: now,
            board: Board::default(),
            wheel: Wheel::new(scheduler.config.tick_ms, now),
            attempts: HashMap::new(),
            running: HashMap::new(),
            receipts: Vec::new(),
            scheduler,
        };
        engine.configure().await?;
        engine.adopt().await?;
        engine.fill().await?;
        Ok(engine)
    }

    /// Everything that can be done now, once; tells whether there was anything.
    async fn round(&mut self) -> Result<bool> {
        self.keep_lead().await?;
        let heard = self.hear().await?;
        while self.ended.len() < BATCH
            && let Ok(ended) = self.ends.try_recv()
        {
            self.ended.push(ended);
        }
        let ended = std::mem::take(&mut self.ended);
        let mut due = Vec::new();
        self.wheel.advance(self.scheduler.now(), &mut due);
        let due: Vec<i64> = due.into_iter().map(|(_, no)| no).collect();
        let receipts = std::mem::take(&mut self.receipts);
        let worked = heard || !ended.is_empty() || !due.is_empty() || !receipts.is_empty();
        // Independent of each other, so they share a commit.
        let (again, ready, ()) = tokio::try_join!(
            steps::finish(&self.scheduler, &ended, |of| self.shows(of)),
            steps::make_ready(&self.scheduler, &due),
            self.acknowledge(receipts),
        )?;
        for Ended { of, .. } in &ended {
            self.settle(*of);
        }
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
        tokio::select! {
            _ = self.events.recv_many(&mut self.heard, BATCH) => {}
            _ = self.ends.recv_many(&mut self.ended, BATCH) => {}
            () = tokio::time::sleep(sleep) => {}
        }
    }

    async fn keep_lead(&mut self) -> Result<()> {
        let now = self.scheduler.now();
        if (now - self.renewed_at).abs() < RENEW_MS {
            return Ok(());
        }
        self.renewed_at = now;
        let (lead, _) = tokio::try_join!(self.lead.renew(&self.scheduler.db), self.scheduler.transport.redeliver(now))?;
        self.lead = lead.ok_or_else(super::lead::lost)?;
        steps::beat(&self.scheduler).await
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
        self.attempts.insert(pending.no, pending.attempt);
        match pending.state {
            State::Waiting => self.wheel.insert(pending.no, pending.due_at),
            State::Ready => self.board.offer(entry(pending)),
            _ => {}
        }
    }

    async fn withdraw(&mut self, nos: Vec<i64>) -> Result<()> {
        for no in &nos {
            self.attempts.remove(no);
            self.board.withdraw(*no);
        }
        // What is still in the wheel finds its row finished when its time comes.
        self.scheduler.transport.withdraw(nos).await
    }

    fn stop(&self, of: AttemptOf) {
        if let Some(runner) = self.running.get(&of) {
            self.scheduler.runners[*runner].stop(of);
        }
    }

    fn shows(&self, of: AttemptOf) -> bool {
        self.running.get(&of).is_some_and(|runner| self.scheduler.runners[*runner].shown())
    }

    /// An attempt is over, and its row says so.
    fn settle(&mut self, of: AttemptOf) {
        let Some(runner) = self.running.remove(&of) else { return };
        self.board.finished(of.no);
        self.attempts.remove(&of.no);
        self.scheduler.runners[runner].forget(of);
    }

    async fn acknowledge(&self, receipts: Vec<i64>) -> Result<()> {
        if receipts.is_empty() { Ok(()) } else { self.scheduler.transport.ack(receipts).await }
    }

    /// Chooses, carries and begins.
    async fn dispatch(&mut self) -> Result<bool> {
        let scheduler = Arc::clone(&self.scheduler);
        let now = scheduler.now();
        let choices = self.board.choose(now, BATCH);
        let unfit = self.board.take_unfit();
        if !unfit.is_empty() {
            self.explain(unfit).await?;
        }
        if choices.is_empty() {
            return Ok(false);
        }
        let deliveries = choices.iter().map(|choice| Delivery {
            of: AttemptOf { no: choice.task, attempt: self.attempts.get(&choice.task).map_or(0, |attempt| attempt + 1) },
            node: Arc::clone(&scheduler.node),
        });
        scheduler.transport.publish(deliveries.collect()).await?;
        let leased = scheduler.transport.lease(&scheduler.node, &scheduler.identity, BATCH, now + HOLD_MS).await?;
        self.receipts.extend(leased.iter().map(|leased| leased.receipt));
        let attempts: Vec<AttemptOf> = leased.iter().map(|leased| leased.delivery.of).collect();
        let begun = steps::begin(&scheduler, self.lead, attempts.clone()).await?;
        let mut idle: Vec<i64> = attempts.iter().map(|of| of.no).collect();
        for task in begun {
            idle.retain(|no| *no != task.no);
            self.launch(task);
        }
        if !idle.is_empty() {
            self.refresh(idle).await?;
        }
        Ok(true)
    }

    /// Starts an attempt that has begun.
    fn launch(&mut self, task: Task) {
        let of = AttemptOf::from(&task);
        self.attempts.insert(of.no, of.attempt);
        match self.scheduler.runners.iter().position(|runner| runner.takes(&task.spec.work)) {
            Some(runner) => {
                self.running.insert(of, runner);
                self.scheduler.runners[runner].start(task, self.reports.clone());
            }
            None => self.ended.push(Ended { of, outcome: Outcome::impossible("NoExecutor", "no executor takes this task") }),
        }
    }

    /// Looks again at tasks whose deliveries began nothing: they came twice, or the tasks were cancelled meanwhile.
    async fn refresh(&mut self, nos: Vec<i64>) -> Result<()> {
        let nos: Vec<i64> = nos
            .into_iter()
            .filter(|no| !self.attempts.get(no).is_some_and(|attempt| self.running.contains_key(&AttemptOf { no: *no, attempt: *attempt })))
            .collect();
        for no in &nos {
            self.attempts.remove(no);
            self.board.withdraw(*no);
        }
        let pending = store::pending(&self.scheduler.db, &nos).await?;
        pending.into_iter().filter(|pending| !pending.cancelled).for_each(|pending| self.admit(pending));
        Ok(())
    }

    async fn explain(&mut self, unfit: Vec<Unfit>) -> Result<()> {
        steps::explain(&self.scheduler, unfit).await
    }

    /// Reads the settings of queues, and what this machine has.
    async fn configure(&mut self) -> Result<()> {
        let settings = self.scheduler.queue_settings().await?;
        let config = &self.scheduler.config;
        self.board.configure(Capacity { slots: config.worker_pool_size, nodes: vec![config.capacity] }, settings);
        Ok(())
    }

    /// Goes on with attempts of this node that an earlier process began.
    async fn adopt(&mut self) -> Result<()> {
        let tasks = store::running_on(&self.scheduler.db, &self.scheduler.node).await?;
        let mut by_runner: HashMap<usize, Vec<Task>> = HashMap::new();
        for task in tasks {
            match self.scheduler.runners.iter().position(|runner| runner.takes(&task.spec.work)) {
                Some(runner) => by_runner.entry(runner).or_default().push(task),
                None => self.ended.push(Ended { of: AttemptOf::from(&task), outcome: Outcome::lost("no executor takes it any more") }),
            }
        }
        for (runner, tasks) in by_runner {
            let found = self.scheduler.runners[runner].adopt(&tasks, self.reports.clone()).await?;
            for (task, found) in tasks.into_iter().zip(found) {
                let of = AttemptOf::from(&task);
                self.running.insert(of, runner);
                self.attempts.insert(of.no, of.attempt);
                self.board.resume(entry(Pending::from(&task)));
                match found {
                    Started::Running if task.cancelled_by.is_some() => self.stop(of),
                    Started::Running => {}
                    Started::Lost => self.ended.push(Ended { of, outcome: Outcome::lost("the server that ran it stopped") }),
                }
            }
        }
        Ok(())
    }

    /// Fills memory with what is unfinished.
    async fn fill(&mut self) -> Result<()> {
        let mut after = 0;
        loop {
            let page = store::unfinished(&self.scheduler.db, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.no;
            page.into_iter().for_each(|pending| self.admit(pending));
        }
    }
}

fn entry(pending: Pending) -> Entry {
    Entry {
        task: pending.no,
        namespace: pending.namespace,
        queue: pending.queue,
        rank: pending.rank,
        since: pending.due_at,
        concurrency: pending.concurrency,
        demand: pending.demand,
    }
}
