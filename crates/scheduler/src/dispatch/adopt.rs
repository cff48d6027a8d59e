//! What an engine, or a server that waits for the lead, finds of its node's attempts.

use std::collections::HashMap;

use mcplane_core::Result;

use super::runner::{Reports, Started};
use crate::scheduler::Scheduler;
use crate::tasks::store;
use crate::tasks::{AttemptOf, Outcome, Task};

/// An attempt of this node that had begun.
#[derive(Debug)]
pub(super) struct Adopted {
    pub(super) task: Task,
    /// Place of its runner.
    pub(super) runner: Option<usize>,
    /// How it ended, if nothing of it runs any more and nobody else will tell.
    pub(super) end: Option<Outcome>,
}

/// Goes on with the attempts of this node that an earlier engine or process began; their ends are told to `reports`. One that
/// never came to be started is started now, for its row says that it has begun; one that is to end is told so.
pub(super) async fn adopt(scheduler: &Scheduler, reports: &Reports) -> Result<Vec<Adopted>> {
    let mut adopted = Vec::new();
    let mut by_runner: HashMap<usize, Vec<Task>> = HashMap::new();
    for task in store::running_on(&scheduler.db, &scheduler.node).await? {
        match scheduler.runner(&task) {
            Some(runner) => by_runner.entry(runner).or_default().push(task),
            None => {
                let end = Some(Outcome::lost("no executor takes it any more"));
                adopted.push(Adopted { task, runner: None, end });
            }
        }
    }
    // Asked even without a task: what runs here and is no task's newest attempt is ended.
    for (at, runner) in scheduler.runners.iter().enumerate() {
        let tasks = by_runner.remove(&at).unwrap_or_default();
        let found = runner.adopt(&tasks, reports.clone()).await?;
        for (task, found) in tasks.into_iter().zip(found) {
            let (of, unwanted) = (AttemptOf::from(&task), task.cancelled_by.is_some());
            let mut end = None;
            match found {
                Started::Running if unwanted => runner.stop(of),
                Started::Running => {}
                Started::Never if unwanted => end = Some(Outcome::lost("it never began")),
                Started::Never => runner.start(task.clone(), reports.clone()),
                Started::Lost => end = Some(Outcome::lost("the server that ran it stopped")),
            }
            adopted.push(Adopted { task, runner: Some(at), end });
        }
    }
    Ok(adopted)
}
