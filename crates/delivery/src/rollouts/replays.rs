//! Twenty rollouts of a version that is worse, and twenty of one that is not, from seeded chance.

use mcplane_monitoring::statistics::{Moments, Share};

use super::{Effect, Event, Phase, Promote, RolloutSpec, Sample, StageSpec, State, judge};

/// Uniform draws from SplitMix64.
struct Chance(u64);

impl Chance {
    fn draw(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 * 2f64.powi(-53)
    }
}

#[derive(Clone, Copy)]
struct Version {
    errors: f64,
    mean_ms: f64,
    accuracy: f64,
}

const STABLE: Version = Version { errors: 0.01, mean_ms: 40.0, accuracy: 0.96 };
/// Requests of an interval.
const REQUESTS: u64 = 4_000;

fn serve(sample: &mut Sample, version: Version, chance: &mut Chance, requests: u64) {
    for _ in 0..requests {
        let failed = chance.draw() < version.errors;
        sample.errors = Share::new(sample.errors.count + u64::from(failed), sample.errors.of + 1);
        sample.latency.add(-version.mean_ms * (1.0 - chance.draw()).ln());
        // Half of the labels are there in time.
        if chance.draw() < 0.5 {
            let right = chance.draw() < version.accuracy;
            sample.right = Share::new(sample.right.count + u64::from(right), sample.right.of + 1);
        }
    }
}

fn spec() -> RolloutSpec {
    let stage =
        |weight| StageSpec { weight, duration: "5m".into(), promote: Promote::Automatic, ..StageSpec::default() };
    RolloutSpec {
        virtual_service: "s".into(),
        version: "v2".into(),
        stages: vec![stage(25), stage(50), stage(100)],
        ..RolloutSpec::default()
    }
}

/// Plays a rollout to its end. Gives the final phase and after how many looks it was reached.
fn replay(seed: u64, version: Version) -> (Phase, u64) {
    let (spec, mut chance) = (spec(), Chance(seed));
    let (mut state, _) = State::begin(&spec, "v1", 0);
    let mut samples = [Sample::default(); 2];
    for look in 1..=200 {
        let share = u64::from(spec.stages[state.stage].weight);
        let new = REQUESTS * share / 100;
        serve(&mut samples[0], version, &mut chance, new);
        serve(&mut samples[1], STABLE, &mut chance, REQUESTS - new);
        let judgement = judge(&samples[0], &samples[1], &spec.analysis.comparison);
        let now = look as i64 * spec.analysis.interval_ms();
        let (next, effects) = state.step(&spec, now, Event::Look(judgement)).unwrap();
        if effects.iter().any(|effect| matches!(effect, Effect::Stage(_))) {
            // Numbers are those of a stage; the stable version's stay when it gets none any more.
            let stays = spec.stages[next.stage].weight == 100;
            samples = [Sample::default(), if stays { samples[1] } else { Sample::default() }];
        }
        state = next;
        if state.is_over() {
            return (state.phase, look);
        }
    }
    (state.phase, 200)
}

#[test]
fn a_worse_version_goes_back_within_one_interval() {
    for worse in
        [Version { errors: 0.06, ..STABLE }, Version { mean_ms: 65.0, ..STABLE }, Version { accuracy: 0.84, ..STABLE }]
    {
        for seed in 0..20 {
            assert_eq!(replay(seed, worse), (Phase::RolledBack, 1), "seed {seed}");
        }
    }
}

#[test]
fn an_equal_version_never_goes_back() {
    let ends: Vec<Phase> = (0..20).map(|seed| replay(seed, STABLE).0).collect();
    assert!(ends.iter().all(|phase| *phase != Phase::RolledBack), "{ends:?}");
    let done = ends.iter().filter(|phase| **phase == Phase::Succeeded).count();
    assert!(done >= 15, "{done} of 20 went out by themselves");
}

#[test]
fn without_traffic_nothing_is_said() {
    let nothing = judge(&Sample::default(), &Sample::default(), &spec().analysis.comparison);
    assert_eq!(nothing.verdict, super::Verdict::TooLittleTraffic);
    let (state, _) = State::begin(&spec(), "v1", 0);
    let (state, effects) = state.step(&spec(), 400_000, Event::Look(nothing)).unwrap();
    assert_eq!((state.phase, effects.len()), (Phase::Progressing, 0));
    assert_eq!(Moments::default().variance(), None);
}
