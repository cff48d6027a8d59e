//! What the machine costs, beside what other local engines take from one step to the next above the spawn of a process:
//! kfp.local 4 to 23 ms, Prefect 17 ms. `cargo bench -p mcplane-pipelines --bench machine`
//!
//! A step is one node of work: its inputs resolved, its command substituted, its records made, its end handled.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a benchmark")]

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mcplane_pipelines::ir::Plan;
use mcplane_pipelines::run::{Context, Effect, Event, NodeId, Outcome, Record, Run, State};
use mcplane_pipelines::values::Bindings;
use serde_json::{Map, Value, json};

/// The least that a peer takes for a step.
const PEER: Duration = Duration::from_millis(4);
/// What this project allows itself.
const LIMIT: Duration = Duration::from_millis(1);

fn main() {
    let text = include_str!("../tests/pipelines/corpus/deep.yaml");
    let started = Instant::now();
    let rounds = 20;
    for _ in 0..rounds {
        Plan::parse(text).unwrap();
    }
    println!("parse a document of {} KiB: {:.2?}", text.len() >> 10, started.elapsed() / rounds);

    for length in [100, 1000] {
        measure(&format!("chain of {length}"), chain(length), length);
    }
    let mut per_step = Vec::new();
    for items in [1000, 10_000] {
        per_step.push(measure(&format!("loop of {items}"), fan_out(items, 0), items));
    }
    println!("a step of the loop of 10000 costs {:.2} of one of the loop of 1000", per_step[1] / per_step[0]);
    measure("loop of 10000, 8 at a time", fan_out(10_000, 8), 10_000);
}

/// Runs a plan to its end and restores it once; seconds for a step.
fn measure(name: &str, document: Value, steps: usize) -> f64 {
    let plan = Arc::new(Plan::from_values(document, &Value::Null).unwrap());
    let context = Context { run_id: "run".into(), pipeline_root: "/root".into(), ..Context::default() };
    let mut records: BTreeMap<NodeId, Record> = BTreeMap::new();
    let started = Instant::now();
    let (mut run, effects) = Run::start(plan.clone(), context.clone(), Map::new()).unwrap();
    let mut effects = VecDeque::from(effects);
    let mut done = 0;
    while let Some(effect) = effects.pop_front() {
        match effect {
            Effect::Record(record) => {
                records.insert(record.node.clone(), record);
            }
            Effect::Execute(step) => {
                done += 1;
                let parameters = [("Output".to_owned(), Arc::new(Value::from(done)))].into();
                let outcome = Outcome::Succeeded(Bindings { parameters, ..Bindings::default() });
                effects.extend(run.handle(Event::Ended { node: step.node, outcome }));
            }
            Effect::Finish { state, .. } => assert_eq!(state, State::Succeeded),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(done, steps);
    let step = started.elapsed() / u32::try_from(steps).unwrap();
    let started = Instant::now();
    let (restored, _) = Run::restore(plan, context, Map::new(), records.into_values()).unwrap();
    assert_eq!(restored.state(), State::Succeeded);
    let restore = started.elapsed();
    println!(
        "{name}: {step:.2?} a step, {:.3} of the limit, 1/{:.0} of the quickest peer; restored whole in {restore:.2?}",
        step.as_secs_f64() / LIMIT.as_secs_f64(),
        PEER.as_secs_f64() / step.as_secs_f64(),
    );
    step.as_secs_f64()
}

/// Tasks that take each other's outputs.
fn chain(length: usize) -> Value {
    let task = |at: usize| {
        let source = match at {
            0 => json!({"runtimeValue": {"constant": 0}}),
            _ => {
                json!({"taskOutputParameter": {"producerTask": format!("t{}", at - 1), "outputParameterKey": "Output"}})
            }
        };
        (format!("t{at}"), json!({"componentRef": {"name": "comp-leaf"}, "inputs": {"parameters": {"x": source}}}))
    };
    document(Value::Object((0..length).map(task).collect()), json!({}))
}

/// A loop over a list, and a task that collects.
fn fan_out(items: usize, limit: usize) -> Value {
    let item = json!({"parameters": {"item": {"parameterType": "NUMBER_INTEGER"}}});
    let body = json!({
        "dag": {
            "tasks": {"t": {
                "componentRef": {"name": "comp-leaf"},
                "inputs": {"parameters": {"x": {"componentInputParameter": "item"}}},
            }},
            "outputs": {"parameters": {"all": {"valueFromParameter": {"producerSubtask": "t", "outputParameterKey": "Output"}}}},
        },
        "inputDefinitions": item,
        "outputDefinitions": {"parameters": {"all": {"parameterType": "LIST"}}},
    });
    let each = json!({
        "componentRef": {"name": "comp-body"},
        "parameterIterator": {"items": {"raw": Value::from_iter(0..items).to_string()}, "itemInput": "item"},
        "iteratorPolicy": {"parallelismLimit": limit},
    });
    document(json!({"each": each}), json!({"comp-body": body}))
}

/// Every step has the command of a lightweight component, with a source text of 4 KiB.
fn document(tasks: Value, more: Value) -> Value {
    let mut components = json!({"comp-leaf": {
        "executorLabel": "e",
        "inputDefinitions": {"parameters": {"x": {"parameterType": "NUMBER_INTEGER"}}},
        "outputDefinitions": {"parameters": {"Output": {"parameterType": "NUMBER_INTEGER"}}},
    }});
    components.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({
        "schemaVersion": "2.1.0",
        "pipelineInfo": {"name": "bench"},
        "root": {"dag": {"tasks": tasks}},
        "components": components,
        "deploymentSpec": {"executors": {"e": {"container": {
            "image": "python",
            "command": ["sh", "-c", "python3 -m pip install; \"$0\" \"$@\"", "sh", "-ec", "x".repeat(4096)],
            "args": ["--executor_input", "{{$}}", "--function_to_execute", "f"],
        }}}},
    })
}
