//! What the driver is asked to run.

use std::time::Duration;

use mcplane_pipelines::run::{Event, Run, State, Step};
use serde_json::{Value, json};

use super::world::{Work, World, context, plan};

/// The first steps of a pipeline.
fn steps(name: &str, arguments: Value) -> Vec<Step> {
    let world = World::of(name, arguments);
    let steps = world.work.into_iter().map(|work| match work {
        Work::Step(step) => *step,
        Work::Import(import) => panic!("{} is no step", import.node),
    });
    steps.collect()
}

#[test]
fn executor_inputs_are_the_sdks() {
    let [step] = steps("artifacts", json!({}))
        .into_iter()
        .filter(|step| step.task == "write")
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    let root = &step.task_root;
    assert!(root.starts_with("/artifacts/artifacts/run-1/write/") && root.len() == 33 + 16, "{root}");
    assert_eq!(
        step.executor_input,
        json!({
            "inputs": {"parameterValues": {"content": "hello"}},
            "outputs": {
                "artifacts": {"data": {"artifacts": [{
                    "name": "data",
                    "type": {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"},
                    "uri": format!("{root}/data"),
                    "metadata": {},
                }]}},
                "outputFile": format!("{root}/output_metadata.json"),
            },
        })
    );
    let [step] = steps("chain", json!({"a": 2.0})).try_into().unwrap();
    assert_eq!(step.executor_input["inputs"]["parameterValues"].to_string(), r#"{"a":2,"b":2}"#);
    let path = format!("{}/.parameters/Output", step.task_root);
    assert_eq!(step.executor_input["outputs"]["parameters"], json!({"Output": {"outputFile": path}}));
    assert_eq!(step.image, "python:3.11");
    assert_eq!(step.command[..2], ["sh", "-c"]);
    assert!(step.command[2].contains("python3 -m pip install"));
}

#[test]
fn roots_with_a_scheme_keep_it() {
    let mut context = context();
    context.pipeline_root = "s3://bucket/prefix/?region=x".into();
    let (_, effects) = Run::start(plan("chain"), context, serde_json::Map::new()).unwrap();
    let step = effects.into_iter().find_map(|effect| match effect {
        mcplane_pipelines::run::Effect::Execute(step) => Some(step),
        _ => None,
    });
    let step = step.unwrap();
    assert!(step.task_root.starts_with("s3://bucket/prefix/chain/run-1/add/"), "{}", step.task_root);
    assert!(step.outputs.output_file.starts_with("/s3/bucket/prefix/chain/"), "{}", step.outputs.output_file);
}

#[test]
fn retries_and_resources_are_passed_on() {
    let mut steps = steps("retries", json!({}));
    steps.sort_by_key(|step| step.task.clone());
    let [fails, once] = steps.try_into().unwrap();
    assert_eq!((once.retry.max_retries, once.retry.factor), (2, 2.0));
    assert_eq!(once.retry.max_backoff, Duration::from_secs(3600));
    assert_eq!((fails.retry.max_retries, fails.retry.factor), (1, 3.0));
    assert_eq!((fails.retry.wait_after(1), fails.retry.wait_after(2)), (Some(Duration::from_secs(1)), None));

    let [step] = self::steps("resources", json!({"memory": "1Gi"})).try_into().unwrap();
    assert_eq!((step.resources.cpu_request.as_str(), step.resources.cpu_limit.as_str()), ("500m", "2"));
    assert_eq!(step.resources.memory_limit, "1Gi");
    let accelerator = (step.resources.accelerator_type.as_str(), step.resources.accelerator_count.as_str());
    assert_eq!(accelerator, ("nvidia.com/gpu", "1"));
    assert_eq!(step.env, [("MODE".to_owned(), "fast".to_owned())]);
}

#[test]
fn platform_settings_are_resolved() {
    let [step] = steps("kubernetes_settings", json!({"secret": "given"})).try_into().unwrap();
    let kubernetes = &step.platforms["kubernetes"];
    assert_eq!(kubernetes["secretAsEnv"][0]["secretNameParameter"], "fixed");
    assert_eq!(kubernetes["secretAsEnv"][1]["secretNameParameter"], "given");
    assert_eq!(kubernetes["nodeSelector"]["labels"], json!({"disk": "ssd"}));
}

#[test]
fn fingerprints_tell_work_apart() {
    let prints = |arguments: Value| {
        let steps = steps("caching", arguments);
        let print = |task: &str| steps.iter().find(|step| step.task == task).and_then(|step| step.fingerprint.clone());
        (print("text"), print("text-3"), print("text-4"))
    };
    let (first, off, keyed) = prints(json!({}));
    assert_eq!(off, None);
    assert_eq!(first.as_ref().map(|print| (print.pipeline.as_str(), print.digest.len())), Some(("caching", 64)));
    assert_eq!(prints(json!({})), (first.clone(), None, keyed.clone()));
    let (other, _, same) = prints(json!({"value": "b"}));
    assert_ne!(other, first);
    assert_eq!(same, keyed, "a key of one's own stands for the inputs");
}

#[test]
fn a_hit_takes_the_place_of_the_step() {
    let mut world = World::of("caching", json!({"value": "v"}));
    let at = world.work.iter().position(|work| work.node().as_str() == "root/text").unwrap();
    let Some(Work::Step(step)) = world.work.remove(at) else { panic!("a step") };
    let mut outputs = step.inputs.as_ref().clone();
    outputs.parameters = [("Output".to_owned(), outputs.parameters["value"].clone())].into();
    let effects = world.run.handle(Event::CacheHit { node: step.node, outputs });
    world.carry_out(effects);
    let world = world.complete();
    let record = &world.records[&"root/text".into()];
    assert!(record.cached && record.state == State::Succeeded);
    assert_eq!(world.output("root/text-2"), "v");
    assert_eq!(world.done.len(), 3);
}

#[test]
fn imports_say_what_to_bring_in() {
    let world = World::of("importer", json!({"note": "daily"}));
    let imports: Vec<_> = world
        .work
        .iter()
        .filter_map(|work| match work {
            Work::Import(import) => Some(import),
            Work::Step(_) => None,
        })
        .collect();
    let [fixed] = imports.as_slice() else { panic!("{imports:?}") };
    assert_eq!((fixed.artifact.uri.as_str(), fixed.reimport), ("s3://bucket/key", true));
    assert_eq!(fixed.artifact.metadata["rows"], 3);
    let world = world.complete();
    let record = &world.records[&"root/importer-2".into()];
    let artifact = &record.outputs.artifacts["artifact"][0];
    assert_eq!(artifact.uri, "/data/in.csv");
    assert_eq!(Value::Object(artifact.metadata.clone()), json!({"note": "daily", "nested": {"label": "label"}}));
    assert_eq!(world.output("root/uri-of-2"), "/data/in.csv");
}

#[test]
fn arguments_are_checked() {
    let refused = |name: &str, arguments: Value| {
        let Value::Object(arguments) = arguments else { unreachable!() };
        let error = Run::start(plan(name), context(), arguments).unwrap_err();
        assert_eq!(error.http_status(), 400);
        error.to_string()
    };
    assert!(refused("chain", json!({"c": 1})).contains("no parameter \"c\": it has a, b"));
    assert!(refused("chain", json!({"a": 1.5})).contains("\"a\": expected NUMBER_INTEGER, got NUMBER_DOUBLE"));
    assert!(refused("chain", json!({"a": "1"})).contains("got STRING"));
    assert!(refused("loop_parameter", json!({"items": "x"})).contains("expected LIST"));
}
