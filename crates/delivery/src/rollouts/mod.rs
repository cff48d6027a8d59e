//! How a version goes out: by stages, watched, and back by itself when it is worse. Its core is pure: [`State::step`] takes the time
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
//! - `wanted` and `target` say, without I/O, which version of a service should go out and what its traffic does; `service` makes
//!   each change one transaction with what was decided; `controller` follows objects and time.
//! - What is not allowed in a phase is refused with a sentence and changes nothing.

pub mod controller;
mod held;
pub mod http;
mod judge;
mod kind;
mod machine;
#[cfg(test)]
mod replays;
pub mod service;
mod spec;
pub mod store;
mod target;
mod wanted;

pub use held::{Held, Holdings, Holds, Laid, Next};
pub use judge::{Comparison, Judgement, Measured, Metric, Sample, Verdict, judge};
pub use kind::Rollout;
pub use machine::{Command, Effect, Event, Phase, Refused, State};
pub use spec::{Analysis, Promote, RolloutSpec, StageSpec};
