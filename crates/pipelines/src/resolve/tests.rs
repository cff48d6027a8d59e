use super::*;
use crate::ir::types::{Dag, OutputArtifact, Outputs, Source};
use crate::values::{Artifact, ArtifactType};
use std::collections::BTreeMap;

fn artifact(name: &str) -> Artifact {
    Artifact { name: name.into(), uri: format!("/{name}"), ..Artifact::default() }
}

fn bindings(parameters: Value, artifacts: &[&str]) -> Bindings {
    let Value::Object(parameters) = parameters else { unreachable!() };
    let list = artifacts.iter().map(|name| artifact(name)).collect::<Vec<_>>();
    Bindings {
        parameters: parameters.into_iter().map(|(name, value)| (name, Arc::new(value))).collect(),
        artifacts: if list.is_empty() { BTreeMap::new() } else { [("a".to_owned(), Arc::new(list))].into() },
    }
}

/// A component of a loop that gives `p` and `a`.
fn looped() -> Component {
    let artifact = OutputArtifact { artifact_type: ArtifactType::default(), metadata: Map::new() };
    Component {
        name: "loop".into(),
        inputs: Inputs::default(),
        outputs: Outputs {
            parameters: [("p".to_owned(), ParameterType::List)].into(),
            artifacts: [("a".to_owned(), artifact)].into(),
        },
        body: Body::Dag(Dag::default()),
        inherited: Default::default(),
    }
}

#[test]
fn loops_give_lists_in_order_without_gaps() {
    let inner = [bindings(json!({"p": 1}), &["x"]), bindings(json!({}), &[]), bindings(json!({"p": 3}), &["y", "z"])];
    let collected = collect(&looped(), inner.iter());
    assert_eq!(*collected.parameters["p"], json!([1, 3]));
    assert_eq!(*collected.artifacts["a"], [artifact("x"), artifact("y"), artifact("z")]);
    // One level for each loop; artifacts stay flat.
    let outer = collect(&looped(), [collected.clone(), collected].iter());
    assert_eq!(*outer.parameters["p"], json!([[1, 3], [1, 3]]));
    assert_eq!(outer.artifacts["a"].len(), 6);
    let empty = collect(&looped(), [].iter());
    assert_eq!((&*empty.parameters["p"], empty.artifacts["a"].len()), (&json!([]), 0));
}

#[test]
fn graphs_give_the_first_output_that_there_is() {
    let source = |task| Source { task, key: "p".into() };
    let dag = Dag {
        parameters: [
            ("one".to_owned(), vec![source(0)]),
            ("any".to_owned(), vec![source(0), source(1), source(2)]),
            ("none".to_owned(), vec![source(0)]),
        ]
        .into(),
        ..Dag::default()
    };
    let outputs = [bindings(json!({}), &[]), bindings(json!({"p": "b"}), &[]), bindings(json!({"p": "c"}), &[])];
    let sibling = |task: usize| Sibling { key: "t", state: State::Succeeded, outputs: &outputs[task], error: None };
    let given = of_dag(&dag, sibling);
    assert_eq!(given, bindings(json!({"any": "b"}), &[]));
}

#[test]
fn members_that_the_sdk_lost_are_found() {
    let around = bindings(json!({"x": {"k": 1, "n": null}, "x-subvar-k": null, "y-subvar-k": "own"}), &[]).parameters;
    let found = |name: &str| of_around(name, &around).map(|value| Value::clone(&value));
    assert_eq!(found("x-subvar-k"), Some(json!(1)));
    assert_eq!(found("y-subvar-k"), Some(json!("own")));
    assert_eq!(found("x-subvar-missing"), None);
    assert_eq!(found("z-subvar-k"), None);
}

#[test]
fn statuses_say_what_kfp_says() {
    let context = crate::run::Context { run_id: "r".into(), display_name: "d".into(), ..Default::default() };
    let constants = Constants { context: &context, resource_name: "p/n", task_name: "exit", task_id: "0" };
    let nothing = Bindings::default();
    let status = |state, error| final_status(&Sibling { key: "body", state, outputs: &nothing, error }, &constants);
    let succeeded = json!({
        "state": "COMPLETE", "pipelineJobName": "d", "pipelineJobUuid": "r", "pipelineJobResourceName": "p/n",
        "pipelineTaskName": "body", "error": {},
    });
    assert_eq!(status(State::Succeeded, None), succeeded);
    let failed = status(State::Failed, Some("why"));
    assert_eq!((&failed["state"], &failed["error"]), (&json!("FAILED"), &json!({"code": 9, "message": "why"})));
}
