//! A run that is interrupted anywhere ends as one that is not.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use mcplane_pipelines::ir::Plan;
use mcplane_pipelines::run::{Event, NodeId, State};
use serde_json::Map;

use super::traces::names;
use super::world::{World, plan};

/// What a run amounts to: each node's state, inputs and outputs, and its own end.
type Ending = (BTreeMap<NodeId, String>, Option<(State, Option<String>)>);

pub(super) fn result(world: &World) -> Ending {
    let nodes = world.records.iter().map(|(node, record)| {
        let mut record = record.clone();
        record.sequence = 0;
        record.canceled_at = None;
        (node.clone(), serde_json::to_string(&record).unwrap())
    });
    (nodes.collect(), world.finished.clone())
}

fn plans() -> impl Iterator<Item = (String, Arc<Plan>)> {
    names().into_iter().map(|name| (name.clone(), plan(&name)))
}

fn start(plan: &Arc<Plan>) -> World {
    World::start(plan.clone(), Map::new())
}

#[test]
fn a_crash_after_any_step_changes_nothing() {
    for (name, plan) in plans() {
        let whole = start(&plan).complete();
        for crash in 0..=whole.done.len() {
            let mut world = start(&plan);
            for _ in 0..crash {
                world.perform(0);
            }
            world.crash();
            let world = world.complete();
            assert_eq!(result(&world), result(&whole), "{name} after {crash}");
            let once: HashSet<&NodeId> = world.done.iter().collect();
            assert_eq!(once.len(), world.done.len(), "{name} after {crash}");
        }
    }
}

#[test]
fn crashes_after_every_step_change_nothing() {
    for (name, plan) in plans() {
        let whole = start(&plan).complete();
        let mut world = start(&plan);
        while !world.work.is_empty() {
            world.crash();
            world.perform(0);
        }
        world.crash();
        assert_eq!(result(&world), result(&whole), "{name}");
        assert_eq!(world.done, whole.done, "{name}");
    }
}

#[test]
fn a_canceled_run_ends_after_a_crash_too() {
    for (name, plan) in plans() {
        let steps = start(&plan).complete().done.len();
        for at in 0..steps {
            let mut world = start(&plan);
            for _ in 0..at {
                world.perform(0);
            }
            if world.finished.is_some() {
                continue;
            }
            let effects = world.run.handle(Event::Cancel);
            let mut crashed = start(&plan);
            crashed.done = world.done.clone();
            crashed.records = world.records.clone();
            // The crash comes when only the records are durable.
            for effect in &effects {
                if let mcplane_pipelines::run::Effect::Record(record) = effect {
                    crashed.records.insert(record.node.clone(), record.clone());
                }
            }
            crashed.crash();
            world.carry_out(effects);
            for world in [&world, &crashed] {
                let state = world.finished.as_ref().map(|(state, _)| *state);
                assert!(matches!(state, Some(State::Canceled | State::Failed)), "{name} at {at}: {state:?}");
                assert!(world.work.is_empty() && world.records.values().all(|record| record.state.is_final()));
            }
            assert_eq!(result(&world), result(&crashed), "{name} at {at}");
        }
    }
}
