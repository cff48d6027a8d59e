//! Which attempts there are, and which fence each task has reached. Pure.

use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use uuid::Uuid;

/// Fences of tasks without attempts that are remembered, against messages that come late.
const REMEMBERED: usize = 100_000;

#[derive(Debug, Default)]
pub(super) struct Ledger {
    attempts: HashMap<Uuid, Entry>,
    fences: HashMap<i64, Fence>,
    /// Tasks whose last attempt was forgotten, the oldest first.
    bare: VecDeque<i64>,
}

#[derive(Debug)]
struct Entry {
    task: i64,
    state: State,
}

#[derive(Debug)]
enum State {
    /// No process yet; whether it is to be stopped as soon as there is one.
    Starting {
        stop: bool,
    },
    Running(Arc<OwnedFd>),
    Ended {
        reported: bool,
    },
}

#[derive(Debug)]
struct Fence {
    highest: i64,
    attempts: usize,
}

/// What becomes of an assignment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission {
    New,
    Known,
    /// The highest fence of the task.
    Fenced(i64),
}

impl Ledger {
    pub(super) fn admit(&mut self, attempt: Uuid, task: i64, fence: i64) -> Admission {
        if self.attempts.contains_key(&attempt) {
            return Admission::Known;
        }
        // Two attempts of one number can't both be right, and the other one was first.
        if let Some(known) = self.fences.get(&task).filter(|known| known.highest >= fence) {
            return Admission::Fenced(known.highest);
        }
        self.insert(attempt, task, fence, State::Starting { stop: false });
        Admission::New
    }

    /// Adds an attempt that was found, of whatever fence.
    pub(super) fn adopt(&mut self, attempt: Uuid, task: i64, fence: i64, process: Option<Arc<OwnedFd>>) {
        let state = process.map_or(State::Ended { reported: true }, State::Running);
        self.insert(attempt, task, fence, state);
    }

    fn insert(&mut self, attempt: Uuid, task: i64, fence: i64, state: State) {
        if self.attempts.insert(attempt, Entry { task, state }).is_none() {
            let known = self.fences.entry(task).or_insert(Fence { highest: fence, attempts: 0 });
            known.highest = known.highest.max(fence);
            known.attempts += 1;
        }
    }

    /// The attempt has a process now; whether it was told to stop meanwhile.
    pub(super) fn run(&mut self, attempt: Uuid, process: Arc<OwnedFd>) -> bool {
        let Some(entry) = self.attempts.get_mut(&attempt) else { return false };
        let stop = matches!(entry.state, State::Starting { stop: true });
        entry.state = State::Running(process);
        stop
    }

    /// The process to stop, if there is one by now.
    pub(super) fn stop(&mut self, attempt: Uuid) -> Option<Arc<OwnedFd>> {
        match &mut self.attempts.get_mut(&attempt)?.state {
            State::Starting { stop } => {
                *stop = true;
                None
            }
            State::Running(process) => Some(process.clone()),
            State::Ended { .. } => None,
        }
    }

    pub(super) fn end(&mut self, attempt: Uuid, reported: bool) {
        if let Some(entry) = self.attempts.get_mut(&attempt) {
            entry.state = State::Ended { reported };
        }
    }

    pub(super) fn knows(&self, attempt: Uuid) -> bool {
        self.attempts.contains_key(&attempt)
    }

    /// Whether an attempt has ended; `None` if there is none.
    pub(super) fn ended(&self, attempt: Uuid) -> Option<bool> {
        self.attempts.get(&attempt).map(|entry| matches!(entry.state, State::Ended { .. }))
    }

    /// Attempts that nobody waits for any more.
    pub(super) fn settled(&self) -> Vec<Uuid> {
        let settled = self.attempts.iter().filter(|(_, entry)| matches!(entry.state, State::Ended { reported: true }));
        settled.map(|(attempt, _)| *attempt).collect()
    }

    /// Drops an attempt. The fence of its task is remembered, for a while.
    pub(super) fn forget(&mut self, attempt: Uuid) {
        let Some(entry) = self.attempts.remove(&attempt) else { return };
        let Some(fence) = self.fences.get_mut(&entry.task) else { return };
        fence.attempts -= 1;
        if fence.attempts == 0 {
            self.bare.push_back(entry.task);
        }
        while self.bare.len() > REMEMBERED {
            let oldest = self.bare.pop_front();
            if let Some(task) = oldest.filter(|task| self.fences.get(task).is_some_and(|fence| fence.attempts == 0)) {
                self.fences.remove(&task);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    #[test]
    fn a_lower_or_equal_fence_is_refused_and_a_repeat_is_known() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.admit(id(1), 7, 2), Admission::New);
        assert_eq!(ledger.admit(id(1), 7, 2), Admission::Known);
        assert_eq!(ledger.admit(id(2), 7, 1), Admission::Fenced(2));
        assert_eq!(ledger.admit(id(2), 7, 2), Admission::Fenced(2));
        assert_eq!(ledger.admit(id(2), 8, 1), Admission::New);
        ledger.forget(id(1));
        assert_eq!(ledger.admit(id(3), 7, 1), Admission::Fenced(2), "remembered");
        assert_eq!(ledger.admit(id(3), 7, 3), Admission::New);
    }

    #[test]
    fn a_stop_before_the_process_is_kept() {
        let mut ledger = Ledger::default();
        ledger.admit(id(1), 1, 1);
        assert!(ledger.stop(id(1)).is_none());
        let process = Arc::new(OwnedFd::from(std::fs::File::open("/dev/null").unwrap()));
        assert!(ledger.run(id(1), process));
        assert!(ledger.stop(id(1)).is_some());
        assert_eq!(ledger.ended(id(1)), Some(false));
        ledger.end(id(1), false);
        assert!(ledger.settled().is_empty());
        ledger.end(id(1), true);
        assert_eq!((ledger.settled(), ledger.ended(id(1))), (vec![id(1)], Some(true)));
    }

    #[test]
    fn memory_of_fences_is_bounded() {
        let mut ledger = Ledger::default();
        for task in 0..REMEMBERED as i64 + 10 {
            ledger.admit(id(task as u128), task, 5);
            ledger.forget(id(task as u128));
        }
        assert_eq!((ledger.fences.len(), ledger.bare.len()), (REMEMBERED, REMEMBERED));
        assert_eq!(ledger.admit(id(1), 0, 1), Admission::New);
    }
}
