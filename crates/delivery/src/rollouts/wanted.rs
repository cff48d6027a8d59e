//! Which version should go out. Pure.

use super::target::number_of;
use super::{Phase, RolloutSpec, State};

/// A version that could serve, with its place in the order of versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Its number: newer is greater. Subsets of virtual services have none.
    pub number: u64,
    /// Its name.
    pub name: String,
}

/// The versions of what a rollout is of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Versions {
    /// Those that are ready for requests.
    pub ready: Vec<Candidate>,
    /// The one that serves, as long as no rollout has said which.
    pub serving: Option<String>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Nothing is there yet.
    Nothing,
    /// It stays with what is.
    Stay {
        /// The version that serves.
        stable: String,
    },
    /// A version goes out.
    Begin {
        /// Which.
        version: String,
        /// Beside this one.
        stable: String,
    },
}

/// The version that serves, as far as the rollout knows.
pub(super) fn stable<'a>(state: Option<&'a State>, versions: &'a Versions) -> Option<&'a str> {
    match state {
        Some(state) if state.phase == Phase::Succeeded => Some(&state.version),
        Some(state) => Some(&state.stable),
        None => versions
            .serving
            .as_deref()
            .or_else(|| versions.ready.iter().min_by_key(|one| one.number).map(|one| one.name.as_str())),
    }
}

/// Which version should go out: the one that is named, or the newest that is ready. A version that went back does not try
/// again by itself, and a newer one takes the place of one that is on its way.
pub(super) fn wanted(spec: &RolloutSpec, state: Option<&State>, versions: &Versions) -> Wanted {
    let Some(stable) = stable(state, versions) else { return Wanted::Nothing };
    let stay = Wanted::Stay { stable: stable.to_owned() };
    // The one that serves may be on its way to be loaded again.
    let listed = |name: &str| versions.ready.iter().find(|one| one.name == name).map(|one| one.number);
    let number = |name: &str| listed(name).or_else(|| number_of(name));
    let candidate = if spec.version.is_empty() {
        versions.ready.iter().max_by_key(|one| one.number)
    } else {
        versions.ready.iter().find(|one| one.name == spec.version)
    };
    let Some(candidate) = candidate else { return stay };
    let tried = state.is_some_and(|state| state.version == candidate.name);
    let older = spec.version.is_empty() && number(stable).is_some_and(|number| number > candidate.number);
    if candidate.name == stable || tried || older {
        return stay;
    }
    Wanted::Begin { version: candidate.name.clone(), stable: stable.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(numbers: &[u64]) -> Versions {
        let ready = numbers.iter().map(|number| Candidate { number: *number, name: format!("v{number}") }).collect();
        Versions { ready, serving: None }
    }

    fn state(phase: Phase, version: &str) -> State {
        let (mut state, _) = State::begin(&RolloutSpec { version: version.into(), ..RolloutSpec::default() }, "v1", 0);
        state.phase = phase;
        state
    }

    fn begin(version: &str, stable: &str) -> Wanted {
        Wanted::Begin { version: version.into(), stable: stable.into() }
    }

    fn stay(stable: &str) -> Wanted {
        Wanted::Stay { stable: stable.into() }
    }

    #[test]
    fn the_newest_goes_out_once() {
        let spec = RolloutSpec { service: "s".into(), ..RolloutSpec::default() };
        assert_eq!(wanted(&spec, None, &versions(&[])), Wanted::Nothing);
        assert_eq!(wanted(&spec, None, &versions(&[1])), stay("v1"));
        assert_eq!(wanted(&spec, None, &versions(&[1, 2])), begin("v2", "v1"));
        let serving = Versions { serving: Some("v2".into()), ..versions(&[1, 2]) };
        assert_eq!(wanted(&spec, None, &serving), stay("v2"));
        for (phase, expected) in [
            (Phase::Progressing, stay("v1")),
            (Phase::Paused, stay("v1")),
            (Phase::RolledBack, stay("v1")),
            (Phase::Succeeded, stay("v2")),
        ] {
            assert_eq!(wanted(&spec, Some(&state(phase, "v2")), &versions(&[1, 2])), expected, "{phase:?}");
        }
        assert_eq!(wanted(&spec, Some(&state(Phase::RolledBack, "v2")), &versions(&[1, 2, 3])), begin("v3", "v1"));
        assert_eq!(wanted(&spec, Some(&state(Phase::Progressing, "v2")), &versions(&[1, 2, 3])), begin("v3", "v1"));
        assert_eq!(wanted(&spec, Some(&state(Phase::Succeeded, "v2")), &versions(&[1, 2, 3])), begin("v3", "v2"));
        let gone = state(Phase::Succeeded, "v-3");
        assert_eq!(wanted(&spec, Some(&gone), &versions(&[1, 2])), stay("v-3"));
    }

    #[test]
    fn a_named_version_goes_out_when_it_is_ready() {
        let spec = RolloutSpec { version: "v2".into(), ..RolloutSpec::default() };
        assert_eq!(wanted(&spec, None, &versions(&[1])), stay("v1"));
        assert_eq!(wanted(&spec, None, &versions(&[1, 2, 3])), begin("v2", "v1"));
        let back = RolloutSpec { version: "v1".into(), ..RolloutSpec::default() };
        assert_eq!(wanted(&back, Some(&state(Phase::Succeeded, "v3")), &versions(&[1, 3])), begin("v1", "v3"));
    }
}
