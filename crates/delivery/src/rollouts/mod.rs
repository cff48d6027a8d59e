//! How a version goes out: by stages, watched, and back by itself when it is worse. Pure: [`State::step`] takes the time
//! and what happened and gives the next state and what has to be done; [`judge()`] takes what both versions did and gives a
//! verdict.
//!
//! - A stage is an audience and a share. It ends when its time is over and the verdict allows it, or by hand.
//! - The new version is compared with the stable one *at the same time*, so that a bad hour for both is no fault of either.
//!   The comparison may be looked at at each interval without making errors more probable ([`Comparison::alpha`]).
//! - **Worse** goes back to the stable version at once, also while a gate waits or somebody paused. **Too little traffic** is
//!   neither success nor failure: it waits. **Inconclusive** waits too. Both ask a person when they last too long.
//! - The stable version is what was serving when the rollout began; a rollout that ended keeps it, so that going back always
//!   has an address.
//! - What is not allowed in a phase is refused with a sentence and changes nothing.

mod judge;
mod machine;
#[cfg(test)]
mod replays;
mod spec;

pub use judge::{Comparison, Judgement, Measured, Metric, Sample, Verdict, judge};
pub use machine::{Command, Effect, Event, Phase, Refused, State};
pub use spec::{Analysis, Promote, RolloutSpec, StageSpec};
