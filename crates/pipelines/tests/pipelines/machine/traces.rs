//! What each pipeline of the corpus does, and in particular what is easily got wrong.

use mcplane_pipelines::run::State;
use serde_json::{Value, json};

use super::world::{World, corpus};

/// Every pipeline of the corpus, by name.
pub(super) fn names() -> Vec<String> {
    let entries = std::fs::read_dir(corpus()).unwrap();
    let names = entries
        .filter_map(|entry| entry.unwrap().file_name().into_string().unwrap().strip_suffix(".yaml").map(str::to_owned));
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

fn completed(name: &str, arguments: Value) -> World {
    World::of(name, arguments).complete()
}

#[test]
fn every_pipeline_leaves_its_trace() {
    let names = names();
    assert!(names.len() >= 30, "{}", names.len());
    for name in names {
        let trace = completed(&name, json!({})).trace();
        let path = corpus().join(format!("{name}.trace"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &trace).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap();
        assert!(golden == trace, "{name} does something else than its trace says:\n{trace}");
    }
}

#[test]
fn integers_stay_integers() {
    let world = completed("chain", json!({"a": 4.0}));
    assert_eq!(world.output("root/text"), "sum=16");
    assert_eq!(world.output("root"), "sum=16");
    let world = completed("channels", json!({}));
    assert_eq!(world.output("root/text"), "hello world: 4 at 3, 0.5");
    assert_eq!(world.output("root/show"), r#"{"count":4,"fixed":1,"label":"c4","rate":3}"#);
    assert_eq!(world.output("root/join"), "world,4,end");
}

#[test]
fn values_that_look_like_placeholders_stay() {
    let world = completed("one_pass", json!({}));
    assert_eq!(world.output("root/text-3"), "<{{$}} {{$.inputs.parameters['value']}}>");
    assert_eq!(world.finished, Some((State::Succeeded, None)));
}

#[test]
fn nothing_passes_through_pipelines() {
    let world = completed("optionals", json!({}));
    let said = |node: &str| world.output(node);
    assert_eq!(said("root/optional"), "None 7");
    assert_eq!(said("root/optional-2"), "None 5");
    assert_eq!(said("root/inner/optional"), "None 7");
    assert_eq!(said("root/inner-2/optional"), "None 7");
    assert_eq!(said("root/inner-3/optional"), "given 5");
    let world = completed("optionals", json!({"text": "t", "count": null}));
    assert_eq!(world.output("root/inner-2/optional"), "t 7");
}

#[test]
fn conditions_choose() {
    for (count, chosen) in [(50, "many"), (5, "some"), (1, "few")] {
        let world = completed("branches", json!({"count": count}));
        assert_eq!(world.output("root"), chosen);
        let skipped = world.records.values().filter(|record| record.state == State::Skipped).count();
        assert_eq!(skipped, 2, "{count}");
    }
    for (yes, content) in [(true, "heads"), (false, "tails")] {
        assert_eq!(completed("one_of_artifacts", json!({"yes": yes})).output("root/read"), content);
    }
}

#[test]
fn loops_collect() {
    assert_eq!(completed("collected", json!({"count": 4})).output("root"), 10);
    assert_eq!(completed("collected", json!({"count": 0})).output("root"), 0);
    assert_eq!(completed("loop_empty", json!({})).output("root/join"), "");
    let world = completed("loop_nested", json!({}));
    let collected = &world.records[&"root/join".into()].inputs.parameters["items"];
    assert_eq!(**collected, json!([[11, 12, 13], [21, 22, 23]]));
    let said: Vec<Value> = ["2[0]/for-loop-3[0]", "2[0]/for-loop-3[1]", "2[1]/for-loop-3[0]"]
        .iter()
        .map(|at| completed("loop_of_lists", json!({})).output(&format!("root/for-loop-{at}/text")))
        .collect();
    assert_eq!(said, ["x1", "x2", "y3"]);
    assert_eq!(completed("collected_artifacts", json!({})).output("root/read-all"), "ax,ay,bx,by");
    assert_eq!(completed("loop_parameter", json!({"items": []})).finished, Some((State::Succeeded, None)));
}

#[test]
fn limits_hold() {
    let world = completed("loop_limited", json!({}));
    assert_eq!(world.widest, 2);
    assert_eq!(world.done.len(), 10);
}

#[test]
fn exit_tasks_are_told() {
    let world = completed("exit_handler", json!({}));
    assert_eq!(world.output("root/status-of"), "COMPLETE exit-handler-1");
    let world = completed("exit_after_failure", json!({}));
    assert_eq!(world.output("root/status-of"), "FAILED exit-handler-1");
    assert_eq!(world.state("root/exit-handler-1/text"), State::Skipped);
    let (state, error) = world.finished.clone().unwrap();
    assert_eq!(state, State::Failed);
    assert_eq!(error.unwrap(), "exit-handler-1 failed: fail failed: boom");
}

#[test]
fn failures_stop_what_has_not_started() {
    let world = completed("fail_fast", json!({}));
    assert_eq!(world.state("root/text"), State::Succeeded);
    assert_eq!(world.state("root/text-2"), State::Skipped);
    assert!(world.error("root/text-2").contains("failed before"));
    let world = completed("loop_failure", json!({}));
    assert_eq!(world.done.len(), 1);
    assert_eq!(world.finished.unwrap().1.unwrap(), "for-loop-2 failed: for-loop-2[0] failed: fail failed: a");
    let world = completed("missing_output", json!({}));
    assert!(world.error("root/silent").contains("output parameter \"out\""));
    let world = completed("ignore_failure", json!({}));
    assert_eq!(world.output("root/fallible"), "fallback");
    assert_eq!(world.state("root"), State::Failed);
}

#[test]
fn a_run_calls_itself_what_it_is() {
    let world = completed("constants", json!({}));
    let said: Vec<Value> =
        ["", "-2", "-3", "-4", "-5", "-6"].iter().map(|n| world.output(&format!("root/text{n}"))).collect();
    assert_eq!(said, ["Nightly", "constants/nightly-x7", "run-1", "text-4", "/workspace/file", "from /artifacts"]);
}
