//! Rules that no compiled pipeline of the corpus shows.

use std::collections::BTreeMap;

use super::*;
use crate::values::Bindings;
use serde_json::json;

/// A pipeline with these tasks; `comp-leaf` takes an optional `x` and gives `Output`, `comp-strict` needs `x`.
fn plan(tasks: Value, more: Value) -> Arc<Plan> {
    let output = json!({"parameters": {"Output": {"parameterType": "STRING"}}});
    let leaf = |spec: Value| json!({"executorLabel": "e", "inputDefinitions": {"parameters": {"x": spec}}, "outputDefinitions": output});
    let mut components = json!({
        "comp-leaf": leaf(json!({"parameterType": "STRING", "isOptional": true})),
        "comp-strict": leaf(json!({"parameterType": "STRING", "literals": ["a", "b"]})),
    });
    for (name, component) in more.as_object().unwrap() {
        components[name] = component.clone();
    }
    let document = json!({
        "schemaVersion": "2.1.0",
        "pipelineInfo": {"name": "p"},
        "root": {
            "dag": {"tasks": tasks},
            "inputDefinitions": {"parameters": {"in": {"parameterType": "STRING", "isOptional": true}}},
        },
        "components": components,
        "deploymentSpec": {"executors": {"e": {"container": {"image": "i", "command": ["run"]}}}},
    });
    Arc::new(Plan::from_values(document, &Value::Null).unwrap())
}

fn task(component: &str, more: Value) -> Value {
    let mut task = json!({"componentRef": {"name": component}});
    task.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    task
}

/// Inputs of a task: a constant condition, so that it is skipped.
fn never() -> Value {
    json!({
        "inputs": {"parameters": {"go": {"runtimeValue": {"constant": false}}}},
        "triggerPolicy": {"condition": "inputs.parameter_values['go'] == true"},
    })
}

/// Runs with every step succeeding but those of tasks called `bad`; each node's state, and why.
fn outcome(plan: Arc<Plan>, arguments: Value) -> BTreeMap<String, (State, String)> {
    let context = Context { run_id: "r".into(), pipeline_root: "/root".into(), ..Context::default() };
    let Value::Object(arguments) = arguments else { unreachable!() };
    let (mut run, mut effects) = Run::start(plan, context, arguments).unwrap();
    let mut nodes = BTreeMap::new();
    let mut finished = false;
    while !effects.is_empty() {
        for effect in std::mem::take(&mut effects) {
            match effect {
                Effect::Record(record) => {
                    nodes.insert(record.node.to_string(), (record.state, record.error.unwrap_or_default()));
                }
                Effect::Execute(step) => {
                    let outcome = if step.task.starts_with("bad") {
                        Outcome::Failed { message: "bad luck".into(), exit_code: Some(3) }
                    } else {
                        let parameters = [("Output".to_owned(), Arc::new(json!("done")))].into();
                        Outcome::Succeeded(Bindings { parameters, ..Bindings::default() })
                    };
                    effects.extend(run.handle(Event::Ended { node: step.node, outcome }));
                }
                Effect::Finish { state, .. } => {
                    assert_eq!(state, run.state());
                    finished = true;
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(finished);
    nodes
}

fn state(nodes: &BTreeMap<String, (State, String)>, node: &str) -> State {
    nodes[&format!("root/{node}")].0
}

#[test]
fn what_depends_on_a_skipped_task_is_skipped() {
    let tasks = json!({
        "skipped": task("comp-leaf", never()),
        "next": task("comp-leaf", json!({"dependentTasks": ["skipped"]})),
        "later": task("comp-leaf", json!({"dependentTasks": ["next"]})),
        "taker": task("comp-leaf", json!({"inputs": {"parameters": {
            "x": {"taskOutputParameter": {"producerTask": "skipped", "outputParameterKey": "Output"}},
        }}})),
        "free": task("comp-leaf", json!({})),
    });
    let nodes = outcome(plan(tasks, json!({})), json!({}));
    for skipped in ["skipped", "next", "later", "taker"] {
        assert_eq!(state(&nodes, skipped), State::Skipped, "{skipped}");
    }
    assert_eq!(state(&nodes, "free"), State::Succeeded);
    assert_eq!(nodes["root"].0, State::Succeeded, "a skip is no failure");
}

#[test]
fn exit_tasks_need_something_that_ran() {
    let completed = |upstream: Value| {
        task(
            "comp-leaf",
            json!({"dependentTasks": upstream, "triggerPolicy": {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}}),
        )
    };
    let tasks = json!({
        "bad": task("comp-leaf", json!({})),
        "ran": task("comp-leaf", json!({})),
        "skipped": task("comp-leaf", never()),
        "after-skipped": completed(json!(["skipped"])),
        "after-both": completed(json!(["skipped", "ran"])),
        "after-bad": completed(json!(["bad"])),
        "after-exit": task("comp-leaf", json!({"dependentTasks": ["after-bad"]})),
    });
    let nodes = outcome(plan(tasks, json!({})), json!({}));
    assert_eq!(state(&nodes, "after-skipped"), State::Skipped);
    assert_eq!(state(&nodes, "after-both"), State::Succeeded);
    assert_eq!(state(&nodes, "after-bad"), State::Succeeded);
    assert_eq!(state(&nodes, "after-exit"), State::Skipped, "nothing new starts after a failure");
    assert_eq!(nodes["root"], (State::Failed, "bad failed: bad luck (exit code 3)".to_owned()));
}

#[test]
fn what_can_not_be_resolved_fails_without_running() {
    let constant = |value: Value| json!({"inputs": {"parameters": {"x": {"runtimeValue": {"constant": value}}}}});
    for (task_of, reason) in [
        (task("comp-strict", json!({})), "input \"x\" is required and has no value"),
        (task("comp-strict", json!({"inputs": {"parameters": {"x": {"componentInputParameter": "in"}}}})), "required"),
        (task("comp-strict", constant(json!("c"))), "input \"x\": \"c\" is not one of \"a\", \"b\""),
        (
            task("comp-leaf", json!({"triggerPolicy": {"condition": "inputs.parameter_values['y'] == 1"}})),
            "its condition can't be evaluated: there is no input \"y\"",
        ),
        (
            task(
                "comp-leaf",
                json!({"inputs": {"parameters": {"x": {
                    "runtimeValue": {"constant": "{}"}, "parameterExpressionSelector": "parseJson(string_value)[\"k\"]",
                }}}}),
            ),
            "input \"x\": there is no \"k\"",
        ),
    ] {
        let nodes = outcome(plan(json!({"t": task_of}), json!({})), json!({}));
        let (state, error) = &nodes["root/t"];
        assert_eq!(*state, State::Failed);
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn one_of_none_is_an_error_for_who_needs_it() {
    let output = |task: &str| json!({"taskOutputParameter": {"producerTask": task, "outputParameterKey": "Output"}});
    let selector = |task: &str| json!({"producerSubtask": task, "outputParameterKey": "Output"});
    let branches = json!({
        "dag": {
            "tasks": {"a": task("comp-leaf", never()), "b": task("comp-leaf", never())},
            "outputs": {"parameters": {"Output": {"valueFromOneof": {"parameterSelectors": [selector("a"), selector("b")]}}}},
        },
        "outputDefinitions": {"parameters": {"Output": {"parameterType": "STRING"}}},
    });
    let tasks = json!({
        "branches": task("comp-branches", json!({})),
        "taker": task("comp-strict", json!({"inputs": {"parameters": {"x": output("branches")}}})),
        "lenient": task("comp-leaf", json!({"inputs": {"parameters": {"x": output("branches")}}})),
    });
    let nodes = outcome(plan(tasks, json!({"comp-branches": branches})), json!({}));
    assert_eq!(state(&nodes, "branches"), State::Succeeded);
    assert_eq!(state(&nodes, "lenient"), State::Succeeded);
    let expected = "input \"x\" is the output \"Output\" of task \"branches\", which did not make it";
    assert_eq!(nodes["root/taker"], (State::Failed, expected.to_owned()));
}

#[test]
fn loops_take_the_text_of_a_list() {
    let over = json!({
        "inputs": {"parameters": {"list": {"componentInputParameter": "in"}}},
        "parameterIterator": {"items": {"inputParameter": "list"}, "itemInput": "x"},
    });
    let plan = plan(json!({"each": task("comp-leaf", over)}), json!({}));
    let nodes = outcome(plan.clone(), json!({"in": "[1, \"two\"]"}));
    assert_eq!(state(&nodes, "each[1]"), State::Succeeded);
    assert_eq!(nodes.len(), 4);
    let nodes = outcome(plan.clone(), json!({"in": "[]"}));
    assert_eq!(state(&nodes, "each"), State::Succeeded);
    let nodes = outcome(plan.clone(), json!({"in": "one"}));
    assert_eq!(nodes["root/each"].1, "\"list\" is to be iterated over and is no list: one");
    let nodes = outcome(plan, json!({}));
    assert!(nodes["root/each"].1.contains("is no list"), "{}", nodes["root/each"].1);
}

#[test]
fn exit_tasks_do_not_run_when_a_run_is_canceled() {
    let tasks = json!({
        "work": task("comp-leaf", json!({})),
        "exit": task("comp-leaf", json!({"dependentTasks": ["work"], "triggerPolicy": {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}})),
    });
    let context = Context { run_id: "r".into(), ..Context::default() };
    let (mut run, _) = Run::start(plan(tasks, json!({})), context, Map::new()).unwrap();
    let effects = run.handle(Event::Cancel);
    assert!(matches!(&effects[0], Effect::Record(record) if record.state == State::Canceling));
    let work = NodeId::from("root/work");
    assert_eq!(effects[1], Effect::Cancel { node: work.clone() });
    assert_eq!(run.handle(Event::Cancel), []);
    assert_eq!(run.handle(Event::Ended { node: "root/nothing".into(), outcome: Outcome::Canceled }), []);
    let effects = run.handle(Event::Ended { node: work, outcome: Outcome::Canceled });
    assert!(effects.iter().all(|effect| !matches!(effect, Effect::Execute(_))));
    let Some(Effect::Finish { state, .. }) = effects.last() else { panic!("{effects:?}") };
    assert_eq!((*state, run.state()), (State::Canceled, State::Canceled));
}

#[test]
fn a_step_that_fails_while_its_run_is_canceled_leaves_it_canceled() {
    let tasks = json!({
        "work": task("comp-leaf", json!({})),
        "next": task("comp-leaf", json!({"dependentTasks": ["work"]})),
    });
    let context = Context { run_id: "r".into(), ..Context::default() };
    let (mut run, _) = Run::start(plan(tasks, json!({})), context, Map::new()).unwrap();
    run.handle(Event::Cancel);
    let outcome = Outcome::Failed { message: "the server went away".into(), exit_code: Some(1) };
    let effects = run.handle(Event::Ended { node: "root/work".into(), outcome });
    let Some(Effect::Finish { state, .. }) = effects.last() else { panic!("{effects:?}") };
    assert_eq!((*state, run.state()), (State::Canceled, State::Canceled));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Record(record) if record.state == State::Failed)));
}

#[test]
fn runs_do_not_grow_without_bounds() {
    let each = |component: &str, items: usize| {
        task(
            component,
            json!({"parameterIterator": {"items": {"raw": Value::from_iter(0..items).to_string()}, "itemInput": "x"}}),
        )
    };
    let over = |nodes: &BTreeMap<String, (State, String)>, node: &str| {
        assert_eq!(nodes[node].0, State::Failed);
        assert!(nodes[node].1.contains("more than the 200000 tasks and iterations"), "{}", nodes[node].1);
    };
    let nodes = outcome(plan(json!({"each": each("comp-leaf", MAX_NODES)}), json!({})), json!({}));
    over(&nodes, "root/each");
    assert_eq!(nodes.len(), 2);
    // A graph of many tasks in each of many iterations.
    let many = (0..1000).map(|at| (format!("t{at}"), task("comp-leaf", json!({}))));
    let wide = json!({
        "dag": {"tasks": Value::Object(many.collect())},
        "inputDefinitions": {"parameters": {"x": {"parameterType": "STRING", "isOptional": true}}},
    });
    let wide = plan(json!({"each": each("comp-wide", 300)}), json!({"comp-wide": wide}));
    let mut run = Run::new(wide, Context { run_id: "r".into(), ..Context::default() });
    run.begin(Map::new()).unwrap();
    assert_eq!(run.nodes.len(), 302 + 199 * 1000);
    assert_eq!(run.nodes[1].state, State::Running, "what started before goes on");
}

#[test]
fn waits_between_attempts_grow_to_a_limit() {
    use std::time::Duration;
    let policy = RetryPolicy {
        max_retries: 4,
        backoff: Duration::from_secs(1),
        factor: 3.0,
        max_backoff: Duration::from_secs(10),
    };
    let waits: Vec<Option<u64>> = (0..6).map(|failed| policy.wait_after(failed).map(|wait| wait.as_secs())).collect();
    assert_eq!(waits, [None, Some(1), Some(3), Some(9), Some(10), None]);
    let endless = RetryPolicy { max_retries: u32::MAX, factor: f64::MAX, ..policy };
    assert_eq!(endless.wait_after(u32::MAX), Some(policy.max_backoff));
}
