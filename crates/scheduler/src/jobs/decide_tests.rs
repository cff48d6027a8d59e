use proptest::prelude::*;
use serde_json::json;

use super::*;

const NOW: Timestamp = 1_700_000_000_000;

fn spec(fields: serde_json::Value) -> JobSpec {
    let mut spec = json!({"template": {}});
    for (field, value) in fields.as_object().unwrap() {
        spec[field] = value.clone();
    }
    super::super::kind::set_defaults(&mut spec);
    serde_json::from_value(spec).unwrap()
}

fn piece(no: i64, index: i64, state: State) -> Piece {
    let finished_at = state.is_final().then_some(NOW);
    Piece { no, index, state, cancelled: state == State::Cancelled, dropped: false, hopeless: false, finished_at }
}

fn first(spec: &JobSpec, pieces: &[Piece]) -> Decision {
    decide(spec, &JobStatus::default(), false, pieces, NOW)
}

fn made(decision: &Decision) -> Vec<(i64, usize)> {
    decision.create.iter().map(|pod| (pod.index, pod.ordinal)).collect()
}

fn condition<'a>(status: &'a JobStatus, kind: &str) -> Option<(&'a str, &'a str)> {
    let found = status.conditions.iter().flatten().find(|condition| condition.type_ == kind)?;
    Some((found.status.as_str(), found.reason.as_deref().unwrap_or_default()))
}

#[test]
fn as_many_pods_as_are_wanted() {
    use State::{Ready, Running, Succeeded};
    for (fields, states, expected) in [
        (json!({}), &[][..], 1),
        (json!({}), &[Running][..], 0),
        (json!({"parallelism": 3}), &[][..], 3),
        (json!({"parallelism": 3, "completions": 2}), &[][..], 2),
        (json!({"parallelism": 3, "completions": 5}), &[Succeeded, Running][..], 2),
        (json!({"parallelism": 3, "completions": 5}), &[Succeeded, Succeeded, Succeeded, Ready][..], 1),
        (json!({"parallelism": 3}), &[Succeeded, Running][..], 0),
        (json!({"parallelism": 0, "completions": 2}), &[][..], 0),
    ] {
        let pieces: Vec<Piece> = (1..).zip(states).map(|(no, state)| piece(no, 0, *state)).collect();
        let decision = first(&spec(fields.clone()), &pieces);
        assert_eq!((decision.create.len(), decision.cancel.len()), (expected, 0), "{fields} {states:?}");
    }
}

#[test]
fn ordinals_count_all_pods_there_ever_were() {
    let pieces = [piece(1, 0, State::Succeeded), piece(2, 0, State::Failed)];
    let decision = first(&spec(json!({"parallelism": 2, "completions": 3})), &pieces);
    assert_eq!(made(&decision), [(0, 2), (0, 3)]);
}

#[test]
fn less_parallelism_ends_what_waits_first() {
    let pieces = [piece(1, 0, State::Running), piece(2, 0, State::Running), piece(3, 0, State::Ready)];
    let decision = first(&spec(json!({"parallelism": 1, "completions": 9})), &pieces);
    assert_eq!((decision.cancel, decision.create), (vec![3, 2], vec![]));
}

#[test]
fn failures_wait_longer_each_time_and_end_with_the_limit() {
    let job = spec(json!({"backoffLimit": 2}));
    for (failures, waits) in [(1, 10_000), (2, 20_000)] {
        let pieces: Vec<Piece> = (1..=failures).map(|no| piece(no, 0, State::Failed)).collect();
        let decision = first(&job, &pieces);
        assert_eq!(decision.create[0].not_before, Some(NOW + waits), "{failures}");
        assert_eq!(decide(&job, &decision.status, false, &pieces, NOW + 3_600_000).create[0].not_before, None);
    }
    let pieces: Vec<Piece> = (1..=3).map(|no| piece(no, 0, State::Failed)).collect();
    let decision = first(&job, &pieces);
    assert_eq!(condition(&decision.status, "Failed"), Some(("True", "BackoffLimitExceeded")));
    assert_eq!(condition(&decision.status, "FailureTarget"), Some(("True", "BackoffLimitExceeded")));
    assert_eq!(decision.status.failed, Some(3));
    assert_eq!(decision.happened, [Happened::Failed(BACKOFF.0, BACKOFF.1)]);
    assert_eq!(delay(u32::MAX, Some(0), 0), Some(MOST_BACKOFF_MS));
}

#[test]
fn a_job_that_can_not_run_here_is_given_up_at_once() {
    let job = spec(json!({"backoffLimit": 6}));
    let decision = first(&job, &[Piece { hopeless: true, ..piece(1, 0, State::Failed) }]);
    assert_eq!(condition(&decision.status, "Failed"), Some(("True", "ErrImageNeverPull")));
    assert_eq!(decision.happened, [Happened::Failed(NOTHING_RUNS.0, NOTHING_RUNS.1)]);
}

#[test]
fn a_failed_job_ends_what_runs_before_it_is_over() {
    let job = spec(json!({"backoffLimit": 0, "parallelism": 2, "completions": 4}));
    let pieces = [piece(1, 0, State::Failed), piece(2, 0, State::Running)];
    let decision = first(&job, &pieces);
    assert_eq!((decision.cancel.as_slice(), condition(&decision.status, "Failed")), (&[2][..], None));
    let ended = [piece(1, 0, State::Failed), Piece { dropped: true, ..piece(2, 0, State::Cancelled) }];
    let after = decide(&job, &decision.status, false, &ended, NOW + 5_000);
    assert_eq!(condition(&after.status, "Failed"), Some(("True", "BackoffLimitExceeded")));
    assert_eq!(after.status.failed, Some(1), "what the job ended itself is no failure");
}

#[test]
fn success_is_told_once_nothing_runs() {
    let job = spec(json!({"parallelism": 2, "completions": 1}));
    let decision = first(&job, &[piece(1, 0, State::Succeeded)]);
    assert_eq!(condition(&decision.status, "Complete"), Some(("True", "CompletionsReached")));
    assert_eq!(decision.happened, [Happened::Completed]);
    assert!(decision.status.completion_time.is_some() && decision.status.start_time.is_some());
    let pool = spec(json!({"parallelism": 2}));
    let decision = first(&pool, &[piece(1, 0, State::Succeeded), piece(2, 0, State::Running)]);
    assert!((decision.create.is_empty(), decision.cancel.is_empty()) == (true, true) && decision.happened.is_empty());
    let decision = first(&pool, &[piece(1, 0, State::Succeeded), piece(2, 0, State::Succeeded)]);
    assert_eq!(decision.happened, [Happened::Completed]);
}

#[test]
fn a_deadline_ends_the_job() {
    let job = spec(json!({"activeDeadlineSeconds": 10}));
    let running = [piece(1, 0, State::Running)];
    let decision = first(&job, &running);
    assert_eq!((decision.again_at, decision.cancel.len()), (Some(NOW + 10_000), 0));
    let late = decide(&job, &decision.status, false, &running, NOW + 10_000);
    assert_eq!(late.cancel, [1]);
    assert_eq!(condition(&late.status, "FailureTarget"), Some(("True", "DeadlineExceeded")));
}

#[test]
fn a_suspended_job_rests_and_resumes() {
    let mut job = spec(json!({"suspend": true, "activeDeadlineSeconds": 10}));
    let decision = first(&job, &[piece(1, 0, State::Running)]);
    assert_eq!((decision.cancel.as_slice(), decision.create.len()), (&[1][..], 0));
    assert_eq!(condition(&decision.status, "Suspended"), Some(("True", "JobSuspended")));
    assert_eq!((decision.status.start_time.as_ref(), decision.happened), (None, vec![Happened::Suspended]));
    job.suspend = Some(false);
    let ended = [Piece { dropped: true, ..piece(1, 0, State::Cancelled) }];
    let later = decide(&job, &decision.status, false, &ended, NOW + 60_000);
    assert_eq!(condition(&later.status, "Suspended"), Some(("False", "JobResumed")));
    assert_eq!((made(&later), later.again_at), (vec![(0, 1)], Some(NOW + 70_000)));
    assert_eq!(later.status.failed, None);
}

#[test]
fn indexes_are_made_up_one_by_one() {
    let job = spec(json!({"completionMode": "Indexed", "completions": 5, "parallelism": 3}));
    let pieces = [
        piece(1, 0, State::Succeeded),
        piece(2, 1, State::Failed),
        piece(3, 2, State::Running),
        piece(4, 3, State::Succeeded),
        piece(5, 4, State::Succeeded),
    ];
    let decision = first(&job, &pieces);
    assert_eq!(made(&decision), [(1, 1)]);
    assert_eq!(decision.status.completed_indexes.as_deref(), Some("0,3,4"));
    let smaller = spec(json!({"completionMode": "Indexed", "completions": 2, "parallelism": 2}));
    assert_eq!(first(&smaller, &pieces).cancel, [3], "an index that is not wanted any more");
}

#[test]
fn indexes_fail_on_their_own() {
    let fields = json!({"completionMode": "Indexed", "completions": 3, "parallelism": 3, "backoffLimitPerIndex": 1});
    let job = spec(fields.clone());
    let mut pieces = vec![piece(1, 0, State::Failed), piece(2, 0, State::Failed), piece(3, 1, State::Succeeded)];
    let decision = first(&job, &pieces);
    assert_eq!(made(&decision), [(2, 0)]);
    assert_eq!(decision.status.failed_indexes.as_deref(), Some("0"));
    pieces.push(piece(4, 2, State::Succeeded));
    assert_eq!(condition(&first(&job, &pieces).status, "Failed"), Some(("True", "FailedIndexes")));
    let mut strict = fields;
    strict["maxFailedIndexes"] = 0.into();
    let decision = first(&spec(strict), &pieces[..3]);
    assert_eq!(condition(&decision.status, "Failed"), Some(("True", "MaxFailedIndexesExceeded")));
}

#[test]
fn a_finished_job_goes_in_its_time() {
    let job = spec(json!({"ttlSecondsAfterFinished": 60}));
    let pieces = [piece(1, 0, State::Succeeded)];
    let decision = first(&job, &pieces);
    assert_eq!((decision.again_at, decision.delete), (Some(NOW + 60_000), false));
    let early = decide(&job, &decision.status, false, &pieces, NOW + 59_000);
    assert_eq!((early.again_at, early.delete), (Some(NOW + 60_000), false));
    let late = decide(&job, &decision.status, false, &pieces, NOW + 60_000);
    assert!(late.delete && late.status == decision.status);
    assert!(!decide(&job, &decision.status, true, &pieces, NOW + 60_000).delete, "it goes already");
}

#[test]
fn a_job_that_is_deleted_makes_nothing() {
    let decision =
        decide(&spec(json!({"parallelism": 3})), &JobStatus::default(), true, &[piece(1, 0, State::Ready)], NOW);
    assert_eq!((decision.cancel, decision.create, decision.happened), (vec![1], vec![], vec![]));
}

#[derive(Debug, Clone)]
enum Step {
    Begin(usize),
    End(usize, bool),
    Delete(usize),
    Parallelism(i32),
    Suspend(bool),
    Wait(i64),
    /// The decision is made again, by somebody who crashed before anything was done, or after all was.
    Again,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => any::<usize>().prop_map(Step::Begin),
        6 => (any::<usize>(), prop::bool::weighted(0.7)).prop_map(|(which, well)| Step::End(which, well)),
        1 => any::<usize>().prop_map(Step::Delete),
        1 => (0..5_i32).prop_map(Step::Parallelism),
        1 => any::<bool>().prop_map(Step::Suspend),
        1 => (0..100_000_i64).prop_map(Step::Wait),
        1 => Just(Step::Again),
    ]
}

fn any_spec() -> impl Strategy<Value = JobSpec> {
    let counts = (prop::option::of(0..6_i32), 0..5_i32, 0..4_i32, any::<bool>());
    (counts, prop::option::of(0..2_i32), prop::option::of(1..200_i64)).prop_map(
        |((completions, parallelism, backoff, indexed), per_index, deadline)| {
            let mut fields = json!({"parallelism": parallelism, "backoffLimit": backoff});
            if let Some(completions) = completions {
                fields["completions"] = completions.into();
                if indexed {
                    fields["completionMode"] = "Indexed".into();
                    fields["backoffLimitPerIndex"] = json!(per_index);
                }
            }
            fields["activeDeadlineSeconds"] = json!(deadline);
            spec(fields)
        },
    )
}

/// What the store would hold.
#[derive(Default)]
struct World {
    pieces: Vec<Piece>,
    keys: std::collections::BTreeSet<(i64, usize)>,
    status: JobStatus,
    now: Timestamp,
}

impl World {
    fn unfinished(&self) -> usize {
        self.pieces.iter().filter(|piece| !piece.state.is_final()).count()
    }

    fn apply(&mut self, job: &JobSpec) -> Decision {
        let decision = decide(job, &self.status, false, &self.pieces, self.now);
        for no in &decision.cancel {
            let piece = self.pieces.iter_mut().find(|piece| piece.no == *no).expect("a task that there is");
            assert!(!piece.cancelled, "nothing is cancelled twice");
            (piece.cancelled, piece.dropped) = (true, true);
            if piece.state != State::Running {
                (piece.state, piece.finished_at) = (State::Cancelled, Some(self.now));
            }
        }
        for pod in &decision.create {
            assert!(self.keys.insert((pod.index, pod.ordinal)), "each key is new");
            let no = i64::try_from(self.pieces.len()).unwrap() + 1;
            self.pieces.push(piece(no, pod.index, State::Ready));
        }
        self.status = decision.status.clone();
        decision
    }

    fn finished(&self) -> bool {
        condition(&self.status, "Complete").is_some() || condition(&self.status, "Failed").is_some()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_a_job_keeps_its_word(job in any_spec(), steps in prop::collection::vec(step(), 0..80)) {
        let (mut job, mut world) = (job, World { now: NOW, ..World::default() });
        let (mut told, mut most) = (0, job.parallelism.unwrap_or(1));
        for step in steps {
            // Twice, because what did not run yet is over as soon as it is cancelled.
            for _ in 0..2 {
                let before = world.finished();
                let decision = world.apply(&job);
                let ends = |what: &&Happened| matches!(what, Happened::Completed | Happened::Failed(..));
                told += decision.happened.iter().filter(ends).count();
                prop_assert!(!before || decision.create.is_empty(), "what is over makes nothing");
            }
            prop_assert!(told <= 1, "an end is told once");
            prop_assert!(world.unfinished() <= usize::try_from(most).unwrap(), "never more than may");
            let active = world.pieces.iter().filter(|piece| !piece.state.is_final() && !piece.cancelled).count();
            if job.suspend == Some(true) || world.finished() {
                prop_assert_eq!(active, 0);
            }
            let again = decide(&job, &world.status, false, &world.pieces, world.now);
            prop_assert_eq!((again.happened.len(), again.cancel.len()), (0, 0), "what was done is not done again");
            let open: Vec<usize> = (0..world.pieces.len()).filter(|at| !world.pieces[*at].state.is_final()).collect();
            let pick = |which: usize| (!open.is_empty()).then(|| open[which % open.len()]);
            match step {
                Step::Begin(which) => {
                    if let Some(at) = pick(which).filter(|at| !world.pieces[*at].cancelled) {
                        world.pieces[at].state = State::Running;
                    }
                }
                Step::End(which, well) => {
                    if let Some(at) = pick(which) {
                        let piece = &mut world.pieces[at];
                        piece.finished_at = Some(world.now);
                        piece.state = match (piece.cancelled, well) {
                            (true, _) => State::Cancelled,
                            (false, true) => State::Succeeded,
                            (false, false) => State::Failed,
                        };
                    }
                }
                Step::Delete(which) => {
                    if let Some(at) = pick(which).filter(|at| !world.pieces[*at].cancelled) {
                        let Piece { no, index, .. } = world.pieces[at];
                        world.pieces[at] = piece(no, index, State::Cancelled);
                    }
                }
                Step::Parallelism(to) => {
                    job.parallelism = Some(to);
                    most = most.max(to);
                }
                Step::Suspend(is) => job.suspend = Some(is),
                Step::Wait(ms) => world.now += ms,
                Step::Again => drop(world.apply(&job)),
            }
        }
        // Left alone and doing well, every job comes to its end.
        (job.suspend, job.parallelism) = (Some(false), Some(2));
        for _ in 0..40 {
            world.apply(&job);
            world.now += 1_000_000;
            let now = world.now;
            for piece in world.pieces.iter_mut().filter(|piece| !piece.state.is_final()) {
                piece.state = if piece.cancelled { State::Cancelled } else { State::Succeeded };
                piece.finished_at = Some(now);
            }
        }
        prop_assert!(world.finished(), "{:?}", world.status);
        let failed = usize::try_from(world.status.failed.unwrap_or(0)).unwrap();
        if condition(&world.status, "Complete").is_some() && job.backoff_limit_per_index.is_none() {
            prop_assert!(failed <= usize::try_from(job.backoff_limit.unwrap()).unwrap());
        }
        if job.completions.is_some() && condition(&world.status, "Complete").is_some() {
            prop_assert!(world.status.succeeded.unwrap_or(0) >= job.completions.unwrap());
        }
    }
}
