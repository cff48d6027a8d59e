//! Any graph, any order of ends, any crashes: the same end, and nothing twice.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use mcplane_pipelines::ir::Plan;
use mcplane_pipelines::run::{Event, NodeId, NodeKind, State};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::crashes::result;
use super::world::World;

#[derive(Debug, Clone)]
struct Task {
    shape: Shape,
    /// Bit `i` stands for the `i`th task before this one.
    upstream: u8,
    ignores_failures: bool,
}

#[derive(Debug, Clone)]
enum Shape {
    Leaf { fails: bool },
    Condition(bool, Vec<Task>),
    Loop { items: usize, limit: usize, dag: Vec<Task> },
    Nested(Vec<Task>),
}

fn tasks() -> impl Strategy<Value = Vec<Task>> {
    let task = |shape: BoxedStrategy<Shape>| {
        let task = (shape, any::<u8>(), prop::bool::weighted(0.2));
        let task = task.prop_map(|(shape, upstream, ignores_failures)| Task { shape, upstream, ignores_failures });
        prop::collection::vec(task, 1..5).boxed()
    };
    let leaf = prop::bool::weighted(0.15).prop_map(|fails| Shape::Leaf { fails }).boxed();
    let mut dag = task(leaf.clone());
    for _ in 0..2 {
        let shape = prop_oneof![
            4 => leaf.clone(),
            1 => (any::<bool>(), dag.clone()).prop_map(|(holds, dag)| Shape::Condition(holds, dag)),
            1 => (0_usize..4, 0_usize..3, dag.clone()).prop_map(|(items, limit, dag)| Shape::Loop { items, limit, dag }),
            1 => dag.prop_map(Shape::Nested),
        ];
        dag = task(shape.boxed());
    }
    dag
}

/// The document of the tasks.
fn document(tasks: &[Task]) -> Value {
    let output = json!({"parameters": {"Output": {"parameterType": "NUMBER_INTEGER"}}});
    let input =
        json!({"parameters": {"a": {"parameterType": "NUMBER_INTEGER", "isOptional": true, "defaultValue": 0.0}}});
    let leaf = json!({"executorLabel": "exec", "inputDefinitions": input, "outputDefinitions": output});
    let mut components = Map::from_iter([("comp-leaf".to_owned(), leaf.clone()), ("comp-fail".to_owned(), leaf)]);
    let root = dag(tasks, &mut components);
    json!({
        "schemaVersion": "2.1.0",
        "pipelineInfo": {"name": "random"},
        "root": {"dag": root},
        "components": components,
        "deploymentSpec": {"executors": {"exec": {"container": {"image": "none", "command": ["true"]}}}},
    })
}

fn dag(tasks: &[Task], components: &mut Map<String, Value>) -> Value {
    let mut spec = Map::new();
    for (at, task) in tasks.iter().enumerate() {
        let before: Vec<usize> = (0..at).filter(|before| task.upstream & 1 << before != 0).collect();
        let mut one = json!({"dependentTasks": before.iter().map(|at| format!("t{at}")).collect::<Vec<_>>()});
        if task.ignores_failures {
            one["triggerPolicy"] = json!({"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"});
        }
        let component = match &task.shape {
            Shape::Leaf { fails } => {
                let leaf = before.iter().find(|before| matches!(tasks[**before].shape, Shape::Leaf { .. }));
                if let Some(leaf) = leaf {
                    let output = json!({"producerTask": format!("t{leaf}"), "outputParameterKey": "Output"});
                    one["inputs"] = json!({"parameters": {"a": {"taskOutputParameter": output}}});
                }
                if *fails { "comp-fail" } else { "comp-leaf" }.to_owned()
            }
            Shape::Condition(holds, inner) => {
                one["inputs"] = json!({"parameters": {"go": {"runtimeValue": {"constant": holds}}}});
                one["triggerPolicy"]["condition"] = json!("inputs.parameter_values['go'] == true");
                nested(inner, components)
            }
            Shape::Loop { items, limit, dag } => {
                let items = Value::from_iter(0..*items).to_string();
                one["parameterIterator"] = json!({"items": {"raw": items}, "itemInput": "item"});
                one["iteratorPolicy"] = json!({"parallelismLimit": limit});
                nested(dag, components)
            }
            Shape::Nested(inner) => nested(inner, components),
        };
        one["componentRef"] = json!({"name": component});
        spec.insert(format!("t{at}"), one);
    }
    json!({ "tasks": spec })
}

fn nested(tasks: &[Task], components: &mut Map<String, Value>) -> String {
    let dag = dag(tasks, components);
    let name = format!("comp-{}", components.len());
    let inputs = json!({"parameters": {"item": {"parameterType": "NUMBER_INTEGER", "isOptional": true}}});
    components.insert(name.clone(), json!({"dag": dag, "inputDefinitions": inputs}));
    name
}

/// Which of the work under way ends next, whatever order it was asked for in.
fn next(world: &World, seed: u64) -> usize {
    let rank = |node: &NodeId| {
        let mut hasher = DefaultHasher::new();
        (seed, node).hash(&mut hasher);
        hasher.finish()
    };
    (0..world.work.len()).min_by_key(|at| rank(world.work[*at].node())).unwrap()
}

/// Drives a run to its end; after each step the world may do something.
fn drive(plan: &Arc<Plan>, seed: u64, mut between: impl FnMut(&mut World, usize)) -> World {
    let mut world = World::start(plan.clone(), Map::new());
    between(&mut world, 0);
    while !world.work.is_empty() {
        let at = next(&world, seed);
        world.perform(at);
        let done = world.done.len();
        between(&mut world, done);
    }
    world
}

fn check(world: &World) {
    assert!(world.finished.is_some());
    let once: HashSet<&NodeId> = world.done.iter().collect();
    assert_eq!(once.len(), world.done.len(), "a step ran twice");
    assert!(world.records.values().all(|record| record.state.is_final()));
    let failed =
        |kind: NodeKind| world.records.values().any(|record| record.kind == kind && record.state == State::Failed);
    assert_eq!(failed(NodeKind::Container), world.state("root") == State::Failed, "a failure is the run's");
    // Every part of a graph that ran is accounted for, and skipped graphs have no parts.
    for record in world.records.values() {
        if let Some(parent) = &record.parent {
            assert_ne!(world.records[parent].state, State::Skipped);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn runs_end_the_same_whatever_interrupts_them(tasks in tasks(), seed in any::<u64>()) {
        let plan = Arc::new(Plan::from_values(document(&tasks), &Value::Null).unwrap());
        let whole = drive(&plan, seed, |_, _| ());
        check(&whole);
        let always = drive(&plan, seed, |world, _| world.crash());
        check(&always);
        prop_assert_eq!(result(&always), result(&whole));
        prop_assert_eq!(&always.done, &whole.done);
        let now_and_then = drive(&plan, seed, |world, done| {
            if (seed >> (done % 64)) & 1 == 1 {
                world.crash();
            }
        });
        prop_assert_eq!(result(&now_and_then), result(&whole));
    }

    #[test]
    fn canceled_runs_end(tasks in tasks(), seed in any::<u64>(), after in 0_usize..6) {
        let plan = Arc::new(Plan::from_values(document(&tasks), &Value::Null).unwrap());
        let world = drive(&plan, seed, |world, done| {
            if done == after && world.finished.is_none() {
                let effects = world.run.handle(Event::Cancel);
                world.carry_out(effects);
                assert!(world.work.is_empty() && world.finished.is_some());
            }
        });
        prop_assert!(world.finished.is_some());
        let mut restored = drive(&plan, seed, |_, _| ());
        restored.records = world.records.clone();
        restored.crash();
        prop_assert_eq!(result(&restored), result(&world));
    }
}
