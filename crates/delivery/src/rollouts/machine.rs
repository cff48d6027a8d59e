//! The states of a rollout.

use std::fmt;

use mcplane_core::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Judgement, Promote, RolloutSpec, Verdict};

/// Where a rollout is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// A stage is on its way.
    Progressing,
    /// A stage is over, and a person must say that it goes on.
    Waiting,
    /// Somebody stopped it for a while, or nothing could be said for too long.
    Paused,
    /// The version has all of the traffic, and is the stable one now.
    Succeeded,
    /// The traffic went back to the stable version.
    RolledBack,
}

/// What a person says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Nothing goes forward.
    Pause,
    /// It goes on.
    Resume,
    /// To the next stage now, whatever time and verdict say.
    Promote,
    /// To the last stage now: all of the traffic.
    Override,
    /// Back to the stable version.
    Abort,
    /// From the first stage again, after it went back.
    Retry,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// An interval is over.
    Look(Judgement),
    /// A person said something.
    Command(Command),
}

/// What has to be done, in the transaction that keeps the state.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// The traffic follows the stage of this index.
    Stage(usize),
    /// All of the traffic goes to this version.
    All(String),
    /// A line for the audit log and the events of the object.
    Record {
        /// One word.
        action: &'static str,
        /// The sentence, with the numbers.
        message: String,
    },
}

/// A rollout. Kept in the object's status.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Where it is.
    pub phase: Phase,
    /// The index of the stage.
    pub stage: usize,
    /// The version that goes out.
    pub version: String,
    /// The version that it takes the place of, and where it goes back to.
    pub stable: String,
    /// When the stage began.
    pub since: Timestamp,
    /// The newest verdict.
    pub verdict: Option<Verdict>,
    /// Why it is where it is.
    pub message: String,
}

/// A command that the phase does not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    command: Command,
    phase: Phase,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hint = match self.phase {
            Phase::Progressing => "it is on its way",
            Phase::Waiting => "it waits to be promoted",
            Phase::Paused => "it is paused; resume, promote or abort it",
            Phase::Succeeded => "it is complete; give the service another version",
            Phase::RolledBack => "it went back; retry it, or give the service another version",
        };
        write!(f, "a rollout that is {:?} can't {:?}: {hint}", self.phase, self.command)
    }
}

impl std::error::Error for Refused {}

impl State {
    /// A rollout of `spec.version` begins, beside what is stable now.
    pub fn begin(spec: &RolloutSpec, stable: &str, now: Timestamp) -> (Self, Vec<Effect>) {
        let state = Self {
            phase: Phase::Progressing,
            stage: 0,
            version: spec.version.clone(),
            stable: stable.to_owned(),
            since: now,
            verdict: None,
            message: format!("{} goes out beside {stable}", spec.version),
        };
        let record = Effect::Record { action: "Started", message: state.message.clone() };
        (state, vec![Effect::Stage(0), record])
    }

    /// What becomes of it. A refused command changes nothing.
    pub fn step(&self, spec: &RolloutSpec, now: Timestamp, event: Event) -> Result<(Self, Vec<Effect>), Refused> {
        match event {
            Event::Look(judgement) => Ok(self.look(spec, now, &judgement)),
            Event::Command(command) => self.command(spec, now, command),
        }
    }

    /// Whether nothing changes any more by itself.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Succeeded | Phase::RolledBack)
    }

    fn look(&self, spec: &RolloutSpec, now: Timestamp, judgement: &Judgement) -> (Self, Vec<Effect>) {
        if self.is_over() {
            return (self.clone(), Vec::new());
        }
        let next = Self { verdict: Some(judgement.verdict), ..self.clone() };
        if judgement.verdict == Verdict::Worse {
            return next.back(now, "RolledBack", format!("{} is worse: {}", self.version, judgement.reason()));
        }
        let Some(stage) = spec.stages.get(self.stage).filter(|_| self.phase == Phase::Progressing && !spec.paused)
        else {
            return (next, Vec::new());
        };
        let age = now - self.since;
        if age < stage.duration_ms() {
            return (next, Vec::new());
        }
        match (stage.promote, judgement.verdict) {
            (Promote::Manual, _) => next.rest(Phase::Waiting, "Waiting", format!("stage {:?} is over", stage.name)),
            (Promote::Automatic, Verdict::Better | Verdict::Same) => {
                next.forward(spec, now, &format!("{:?}: {}", judgement.verdict, judgement.reason()))
            }
            (Promote::Automatic, verdict) if age >= stage.duration_ms() + spec.analysis.patience_ms() => {
                let message = format!("{verdict:?} for {}: {}", spec.analysis.patience, judgement.reason());
                next.rest(Phase::Paused, "Paused", message)
            }
            _ => (next, Vec::new()),
        }
    }

    fn command(&self, spec: &RolloutSpec, now: Timestamp, command: Command) -> Result<(Self, Vec<Effect>), Refused> {
        use Phase::{Paused, Progressing, RolledBack, Succeeded, Waiting};
        let by_hand = "by hand";
        Ok(match (command, self.phase) {
            (Command::Pause, Progressing | Waiting) => self.rest(Paused, "Paused", by_hand.to_owned()),
            // Time that was spent paused does not count for the stage.
            (Command::Resume, Paused) => {
                Self { since: now, ..self.clone() }.rest(Progressing, "Resumed", by_hand.to_owned())
            }
            (Command::Promote, Progressing | Waiting | Paused) => self.forward(spec, now, by_hand),
            (Command::Override, Progressing | Waiting | Paused) => {
                Self { stage: spec.stages.len(), ..self.clone() }.forward(spec, now, by_hand)
            }
            (Command::Abort, Progressing | Waiting | Paused) => self.back(now, "Aborted", by_hand.to_owned()),
            // Complete, and found bad later: the version before is still known.
            (Command::Abort, Succeeded) => self.back(now, "Aborted", "by hand, after it was complete".to_owned()),
            (Command::Retry, RolledBack) => Self::begin(spec, &self.stable, now),
            (command, phase) => return Err(Refused { command, phase }),
        })
    }

    fn forward(&self, spec: &RolloutSpec, now: Timestamp, why: &str) -> (Self, Vec<Effect>) {
        let stage = self.stage + 1;
        if let Some(next) = spec.stages.get(stage) {
            let message = format!("stage {:?}, {} %: {why}", next.name, next.weight);
            let record = Effect::Record { action: "Promoted", message: message.clone() };
            let state = Self { phase: Phase::Progressing, stage, since: now, message, ..self.clone() };
            return (state, vec![Effect::Stage(stage), record]);
        }
        let message = format!("{} has all of the traffic: {why}", self.version);
        let record = Effect::Record { action: "Succeeded", message: message.clone() };
        let last = spec.stages.len().saturating_sub(1);
        let state = Self { phase: Phase::Succeeded, stage: last, since: now, message, ..self.clone() };
        (state, vec![Effect::All(self.version.clone()), record])
    }

    fn back(&self, now: Timestamp, action: &'static str, message: String) -> (Self, Vec<Effect>) {
        let record = Effect::Record { action, message: format!("back to {}: {message}", self.stable) };
        let state = Self { phase: Phase::RolledBack, since: now, message, ..self.clone() };
        (state, vec![Effect::All(self.stable.clone()), record])
    }

    /// Another phase of the same stage; traffic stays.
    fn rest(&self, phase: Phase, action: &'static str, message: String) -> (Self, Vec<Effect>) {
        let record = Effect::Record { action, message: message.clone() };
        (Self { phase, message, ..self.clone() }, vec![record])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rollouts::StageSpec;

    fn spec() -> RolloutSpec {
        let stage = |name: &str, weight, promote| StageSpec {
            name: name.to_owned(),
            weight,
            duration: "1m".to_owned(),
            promote,
            ..StageSpec::default()
        };
        RolloutSpec {
            virtual_service: "user-service".into(),
            version: "v2".into(),
            stages: vec![
                stage("some", 10, Promote::Automatic),
                stage("half", 50, Promote::Manual),
                stage("all", 100, Promote::Automatic),
            ],
            ..RolloutSpec::default()
        }
    }

    fn look(verdict: Verdict) -> Event {
        Event::Look(Judgement { verdict, metrics: Vec::new() })
    }

    #[test]
    fn a_version_goes_out() {
        let spec = spec();
        let (state, effects) = State::begin(&spec, "v1", 0);
        assert_eq!(effects[0], Effect::Stage(0));
        let step = |state: &State, now, event| state.step(&spec, now, event).unwrap();
        let (state, effects) = step(&state, 59_999, look(Verdict::Same));
        assert_eq!((state.stage, effects.len()), (0, 0), "its time is not over");
        let (state, effects) = step(&state, 60_000, look(Verdict::TooLittleTraffic));
        assert_eq!((state.stage, effects.len()), (0, 0), "nobody came");
        let (state, effects) = step(&state, 61_000, look(Verdict::Same));
        assert_eq!((state.stage, &effects[0]), (1, &Effect::Stage(1)));
        let (state, _) = step(&state, 121_000, look(Verdict::Better));
        assert_eq!(state.phase, Phase::Waiting);
        let (state, effects) = step(&state, 130_000, Event::Command(Command::Promote));
        assert_eq!((state.stage, state.phase, &effects[0]), (2, Phase::Progressing, &Effect::Stage(2)));
        let (state, effects) = step(&state, 190_000, look(Verdict::Same));
        assert_eq!((state.phase, &effects[0]), (Phase::Succeeded, &Effect::All("v2".into())));
        let refused = state.step(&spec, 200_000, Event::Command(Command::Promote)).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "a rollout that is Succeeded can't Promote: it is complete; give the service another version"
        );
        let (_, effects) = step(&state, 200_000, Event::Command(Command::Abort));
        assert_eq!(effects[0], Effect::All("v1".into()));
    }

    #[test]
    fn no_verdict_for_too_long_asks_a_person() {
        let spec = spec();
        let (state, _) = State::begin(&spec, "v1", 0);
        let (state, effects) = state.step(&spec, 60_000 + 3_600_000, look(Verdict::Inconclusive)).unwrap();
        assert_eq!((state.phase, effects.len()), (Phase::Paused, 1));
        let (state, _) = state.step(&spec, 5_000_000, Event::Command(Command::Resume)).unwrap();
        assert_eq!((state.phase, state.since), (Phase::Progressing, 5_000_000));
        let paused = RolloutSpec { paused: true, ..spec };
        let (state, _) = state.step(&paused, 9_000_000, look(Verdict::Same)).unwrap();
        assert_eq!(state.stage, 0);
        let (state, _) = state.step(&paused, 9_000_001, look(Verdict::Worse)).unwrap();
        assert_eq!(state.phase, Phase::RolledBack, "worse goes back whoever paused");
    }

    fn any_event() -> impl Strategy<Value = Event> {
        use Command::{Abort, Override, Pause, Promote, Resume, Retry};
        let verdicts =
            [Verdict::Better, Verdict::Same, Verdict::Worse, Verdict::TooLittleTraffic, Verdict::Inconclusive];
        prop_oneof![
            prop::sample::select(verdicts.to_vec()).prop_map(look),
            prop::sample::select(vec![Pause, Resume, Promote, Override, Abort, Retry]).prop_map(Event::Command),
        ]
    }

    proptest! {
        #[test]
        fn no_way_but_the_allowed(events in prop::collection::vec((any_event(), 0i64..120_000), 0..60)) {
            let spec = spec();
            let (mut state, _) = State::begin(&spec, "v1", 0);
            let mut now = 0;
            for (event, wait) in events {
                now += wait;
                let before = state.clone();
                let Ok((next, effects)) = state.step(&spec, now, event.clone()) else {
                    prop_assert!(matches!(event, Event::Command(_)), "a look is never refused");
                    continue;
                };
                let traffic: Vec<&Effect> = effects.iter().filter(|e| !matches!(e, Effect::Record { .. })).collect();
                let moved = before.phase != next.phase || before.stage != next.stage;
                prop_assert!(traffic.len() <= 1);
                prop_assert!(!moved || effects.iter().any(|e| matches!(e, Effect::Record { .. })), "nothing moves unrecorded");
                prop_assert!(next.stage < spec.stages.len());
                prop_assert_eq!((next.version.as_str(), next.stable.as_str()), ("v2", "v1"));
                match &event {
                    Event::Look(judgement) => {
                        prop_assert!(next.stage <= before.stage + 1, "no stage is skipped by itself");
                        prop_assert!(!before.is_over() || next == before);
                        if !before.is_over() && judgement.verdict == Verdict::Worse {
                            prop_assert_eq!(next.phase, Phase::RolledBack);
                            prop_assert_eq!(traffic, [&Effect::All("v1".to_owned())]);
                        } else if next.stage > before.stage || next.phase == Phase::Succeeded && before.phase != next.phase {
                            prop_assert!(matches!(judgement.verdict, Verdict::Better | Verdict::Same));
                            prop_assert_eq!(before.phase, Phase::Progressing);
                        }
                    }
                    Event::Command(Command::Abort) => prop_assert_eq!(traffic, [&Effect::All("v1".to_owned())]),
                    Event::Command(Command::Pause | Command::Resume) => prop_assert!(traffic.is_empty()),
                    Event::Command(_) => prop_assert_eq!(traffic.len(), 1),
                }
                state = next;
            }
        }
    }
}
