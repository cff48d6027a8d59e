//! What of objects a rollout is about: the versions of an InferenceService or of a VirtualService. Pure.

use serde_json::Value;

use super::held::{Held, Holdings, Laid, Next};
use super::wanted::{Candidate, Versions};
use super::{Phase, RolloutSpec, State};
use crate::routes::Override;

/// The versions of an InferenceService, by its status.
pub(super) fn of_service(service: &Value) -> Versions {
    let status = &service["status"];
    let loaded = status["revisions"].as_array().into_iter().flatten().filter(|one| one["state"] == "Loaded");
    let ready = loaded.filter_map(|one| {
        let name = one["name"].as_str()?.to_owned();
        Some(Candidate { number: one["number"].as_u64().or_else(|| number_of(&name))?, name })
    });
    let serving = status["components"]["predictor"]["latestRolledoutRevision"].as_str();
    Versions { ready: ready.collect(), serving: serving.filter(|name| !name.is_empty()).map(str::to_owned) }
}

/// The number at the end of a revision's name: 3 of `fraud-predictor-00003`.
pub(super) fn number_of(revision: &str) -> Option<u64> {
    revision.rsplit('-').next()?.parse().ok()
}

/// The subsets of the rule of a VirtualService that has `version`, of which the one with the greatest weight serves; and the
/// host of the rule, as the gateway calls it.
pub(super) fn of_virtual_service(service: &Value, version: &str) -> (Versions, String) {
    let subset = |route: &Value| route["destination"]["subset"].as_str().unwrap_or_default().to_owned();
    let rules = service["spec"]["http"].as_array().into_iter().flatten();
    let routes = rules.filter_map(|rule| rule["route"].as_array());
    let Some(rule) = routes.into_iter().find(|rule| rule.iter().any(|route| subset(route) == version)) else {
        return (Versions::default(), String::new());
    };
    let weight = |route: &Value| route["weight"].as_u64().unwrap_or(0);
    let others = rule.iter().filter(|route| subset(route) != version);
    let serving = others.rev().max_by_key(|route| weight(route)).map(subset);
    let host =
        rule.iter().find(|route| subset(route) == version).and_then(|route| route["destination"]["host"].as_str());
    let namespace = service["metadata"]["namespace"].as_str().unwrap_or_default();
    let host = match host.unwrap_or_default() {
        short if !short.contains('.') => format!("{short}.{namespace}"),
        long => long.to_owned(),
    };
    let ready = rule.iter().map(|route| Candidate { number: 0, name: subset(route) }).collect();
    (Versions { ready, serving }, host)
}

/// Percent of traffic that the version of a rollout has now, besides its audience.
pub(super) fn weight(spec: &RolloutSpec, state: &State) -> u32 {
    match state.phase {
        Phase::Succeeded => 100,
        Phase::RolledBack => 0,
        _ => spec.stages.get(state.stage).map_or(0, |stage| stage.weight),
    }
}

/// Adds what a rollout says of traffic: of a service always, once something serves; of a virtual service, once it began.
pub(super) fn hold(
    holdings: &mut Holdings,
    namespace: &str,
    spec: &RolloutSpec,
    state: Option<(&RolloutSpec, &State)>,
    stable: &str,
) {
    let moving = state.filter(|(_, state)| !state.is_over());
    let stage = moving.and_then(|(spec, state)| Some((spec.stages.get(state.stage)?, state)));
    let namespace = namespace.to_owned();
    if spec.service.is_empty() {
        let Some((begun, state)) = state else { return };
        let audiences = stage.map(|(stage, _)| stage.audiences()).unwrap_or_default();
        let (version, stable) = (state.version.clone(), state.stable.clone());
        let stage = Override { version, stable, audiences, weight: weight(begun, state) };
        holdings.virtual_services.push(Laid { namespace, virtual_service: spec.virtual_service.clone(), stage });
        return;
    }
    let taken = holdings.services.iter().any(|held| held.namespace == namespace && held.service == spec.service);
    let Some(stable) = number_of(stable).filter(|_| !taken) else { return };
    let next = stage.and_then(|(stage, state)| {
        Some(Next { number: number_of(&state.version)?, audiences: stage.audiences(), weight: stage.weight })
    });
    holdings.services.push(Held { namespace, service: spec.service.clone(), stable, next });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::rollouts::StageSpec;

    #[test]
    fn versions_are_read_of_objects() {
        let service = json!({"status": {
            "components": {"predictor": {"latestRolledoutRevision": "fraud-predictor-00001"}},
            "revisions": [
                {"name": "fraud-predictor-00001", "number": 1, "state": "Loaded"},
                {"name": "fraud-predictor-00002", "number": 2, "state": "FailedToLoad"},
                {"name": "fraud-predictor-00003", "number": 3, "state": "Loaded"},
            ],
        }});
        let versions = of_service(&service);
        assert_eq!(versions.ready.iter().map(|one| one.number).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(versions.serving.as_deref(), Some("fraud-predictor-00001"));
        assert_eq!(of_service(&json!({})), Versions::default());
        let to = |subset: &str, weight: u64| json!({"destination": {"host": "user-service", "subset": subset}, "weight": weight});
        let virtual_service = json!({"metadata": {"namespace": "lab"}, "spec": {"http": [
            {"route": [to("a", 1)]}, {"route": [to("v1", 90), to("v2", 10), to("v0", 0)]},
        ]}});
        let (versions, host) = of_virtual_service(&virtual_service, "v2");
        assert_eq!((versions.serving.as_deref(), host.as_str()), (Some("v1"), "user-service.lab"));
        assert_eq!(of_virtual_service(&virtual_service, "v9").0, Versions::default());
    }

    #[test]
    fn traffic_follows_the_stage() {
        let stage = |weight| StageSpec { weight, ..StageSpec::default() };
        let version = "s-predictor-00002".to_owned();
        let spec =
            RolloutSpec { service: "s".into(), version, stages: vec![stage(10), stage(100)], ..RolloutSpec::default() };
        let stable = "s-predictor-00001";
        let (mut state, _) = State::begin(&spec, stable, 0);
        let held = |state: Option<&State>, stable: &str| {
            let mut holdings = Holdings::default();
            hold(&mut holdings, "lab", &spec, state.map(|state| (&spec, state)), stable);
            let held = holdings.services.remove(0);
            (held.stable, held.next.map(|next| (next.number, next.weight)))
        };
        assert_eq!(held(None, stable), (1, None));
        assert_eq!(held(Some(&state), stable), (1, Some((2, 10))));
        state.phase = Phase::Paused;
        assert_eq!(held(Some(&state), stable), (1, Some((2, 10))));
        state.phase = Phase::RolledBack;
        assert_eq!((held(Some(&state), stable), weight(&spec, &state)), ((1, None), 0));
        state.phase = Phase::Succeeded;
        assert_eq!((held(Some(&state), &spec.version), weight(&spec, &state)), ((2, None), 100));

        let spec = RolloutSpec { virtual_service: "v".into(), service: String::new(), ..spec.clone() };
        let mut holdings = Holdings::default();
        hold(&mut holdings, "lab", &spec, None, "v1");
        assert_eq!(holdings, Holdings::default(), "the virtual service speaks for itself");
        hold(&mut holdings, "lab", &spec, Some((&spec, &state)), "v1");
        assert_eq!(holdings.virtual_services[0].stage.weight, 100);
    }
}
