//! Which of the ready tasks runs next, and where. Pure: a [`Board`] holds the window of ready tasks and what runs; time and
//! capacity come in with each question, nothing here does I/O. It can be rebuilt from rows at any moment.
//!
//! **Between namespaces** the board is fair by weight, with start-time fair queueing. A namespace has a tag; the one with
//! the lowest tag among those that have something startable goes next, and its tag grows by the cost of the task over its
//! weight. The cost is the dominant share of the task's demand in the cluster (CPU, memory or GPU, whatever is the
//! greatest part), at least one slot; a task that ran for longer than [`Settings::quantum_ms`] costs as much again for
//! each quantum, when it ends. A namespace that had nothing startable begins at the current virtual time: nobody saves up.
//! *Bound*: over any time in which two namespaces a and b both have something that fits, what they are charged over their
//! weights, W/w, differs by at most c/w(a) + c/w(b), where c is the greatest charge of one task. *No starvation*: before a
//! namespace with something that fits is served, another of weight w' is charged at most w'·c/w + c.
//! Queues share within their namespace in the same way.
//!
//! **Within a queue** the lowest [`rank`] goes first: older before younger, where each step of priority counts as a fixed
//! time of waiting. The order of two tasks never changes, so an index can serve it, and a task waits only for those that
//! became ready at most 9 steps after it.
//!
//! **Limits** (running tasks of a key, queue, namespace, of all) and fit decide *before* anything is cut off: what cannot
//! start now stands aside and blocks nobody. A task that would fit an empty node but was passed over for
//! [`Settings::reserve_after_ms`] reserves the node where least is missing; others start there only with what the reserved
//! task does not need, so it starts when enough of what runs there has ended. A task that fits no node even when empty is
//! reported once.
//!
//! **Cost**: choosing takes O(log n + nodes) a choice, and each distinct demand of a queue that does not fit is looked at once
//! a call; everything else O(log n), a change of the nodes O(n).

mod board;
mod clock;
mod namespace;
mod place;
mod queue;
#[cfg(test)]
mod tests;
mod types;

pub use board::Board;
pub use types::{
    Capacity, Choice, Demand, Depth, Entry, NamespaceRule, Node, QueueRule, Settings, Unfit, UnfitReason, rank,
};
