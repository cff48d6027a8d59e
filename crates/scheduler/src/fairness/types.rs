//! What goes into the board and comes out.

use std::sync::Arc;

use mcplane_core::Timestamp;

/// The order of tasks in a queue, lowest first: each of the ten steps of priority (0–9, 9 is the most urgent) counts as
/// `step_ms` of waiting. It depends on nothing that changes, so it can be a column with an index.
///
/// *Bound*: a task of priority p waits only for tasks that became ready at most `(9 - p) * step_ms` after it.
pub fn rank(ready_at: Timestamp, priority: u8, step_ms: i64) -> i64 {
    ready_at.saturating_sub(step_ms.saturating_mul(i64::from(priority.min(9))))
}

/// What a task needs of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Demand {
    /// Thousandths of a CPU.
    pub cpu_milli: u64,
    /// Bytes.
    pub memory: u64,
    /// Whole devices.
    pub gpu: u32,
}

impl Demand {
    /// Whether this fits into what is free.
    pub fn fits(&self, free: &Self) -> bool {
        self.cpu_milli <= free.cpu_milli && self.memory <= free.memory && self.gpu <= free.gpu
    }

    /// Both together.
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            cpu_milli: self.cpu_milli.saturating_add(other.cpu_milli),
            memory: self.memory.saturating_add(other.memory),
            gpu: self.gpu.saturating_add(other.gpu),
        }
    }

    /// What is left without `other`, nothing less than none.
    pub fn minus(&self, other: &Self) -> Self {
        Self {
            cpu_milli: self.cpu_milli.saturating_sub(other.cpu_milli),
            memory: self.memory.saturating_sub(other.memory),
            gpu: self.gpu.saturating_sub(other.gpu),
        }
    }
}

/// A task that is ready to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The task's id.
    pub task: i64,
    /// Whose it is.
    pub namespace: Arc<str>,
    /// Its queue in the namespace.
    pub queue: Arc<str>,
    /// Its place in the queue, see [`rank`]; the lower id breaks a tie.
    pub rank: i64,
    /// Tasks of a namespace with the same key share a limit of running ones.
    pub key: Option<Arc<str>>,
    /// What it needs.
    pub demand: Demand,
}

/// A machine that runs tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Node {
    /// What it has when nothing runs.
    pub total: Demand,
    /// What is free now.
    pub free: Demand,
}

/// What can be used now. [`Board::choose`](super::Board::choose) takes from it what it gives out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Capacity {
    /// How many more tasks may run at once, on all nodes together.
    pub slots: u32,
    /// The nodes, in an order that stays while they do.
    pub nodes: Vec<Node>,
}

/// Start this task there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// Which task.
    pub task: i64,
    /// Index into [`Capacity::nodes`].
    pub node: usize,
}

/// A task that no node could run even when empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unfit {
    /// Which task.
    pub task: i64,
    /// What there is too little of.
    pub reason: UnfitReason,
}

/// What there is too little of on every node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnfitReason {
    /// CPUs.
    InsufficientCpu,
    /// Memory.
    InsufficientMemory,
    /// GPUs.
    InsufficientGpu,
}

impl UnfitReason {
    /// The reason of a Pod's condition.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InsufficientCpu => "InsufficientCpu",
            Self::InsufficientMemory => "InsufficientMemory",
            Self::InsufficientGpu => "InsufficientGpu",
        }
    }
}

/// What holds for the whole board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How long a task that would fit an empty node is passed over before a node is kept for it.
    pub reserve_after_ms: i64,
    /// How many nodes may be kept at once.
    pub reservations: usize,
    /// How many tasks of one key run at once, where nothing else is said.
    pub key_limit: u32,
    /// A task that runs longer is charged for each such time again; 0 charges each task once.
    pub quantum_ms: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { reserve_after_ms: 60_000, reservations: 1, key_limit: 1, quantum_ms: 60_000 }
    }
}

/// What holds for a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamespaceRule {
    /// Its part of the whole beside the others'; 0 counts as 1.
    pub weight: u32,
    /// How many of its tasks run at once at most.
    pub limit: Option<u32>,
}

impl Default for NamespaceRule {
    fn default() -> Self {
        Self { weight: 1, limit: None }
    }
}

/// What holds for a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueRule {
    /// Its part of the namespace beside the other queues'; 0 counts as 1.
    pub weight: u32,
    /// How many of its tasks run at once at most.
    pub limit: Option<u32>,
    /// Whether nothing of it starts.
    pub paused: bool,
}

impl Default for QueueRule {
    fn default() -> Self {
        Self { weight: 1, limit: None, paused: false }
    }
}

/// How much there is of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Depth {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The queue.
    pub queue: Arc<str>,
    /// Tasks of the window that wait, whether they could start or not.
    pub ready: usize,
    /// Tasks that run.
    pub running: usize,
}
