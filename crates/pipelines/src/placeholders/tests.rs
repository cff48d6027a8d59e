use std::sync::Arc;

use super::*;
use crate::ir::{ArtifactSpec, ParameterSpec};
use crate::run::Context;
use crate::values::{ArtifactType, DeclaredOutput, ParameterType};
use proptest::prelude::*;
use serde_json::json;

struct World {
    context: Context,
    inputs: Bindings,
    declared: Inputs,
    outputs: DeclaredOutputs,
    executor_input: Value,
}

fn world() -> World {
    let artifact = |name: &str, uri: &str| Artifact {
        name: name.into(),
        uri: uri.into(),
        artifact_type: ArtifactType { schema_title: "system.Model".into(), ..Default::default() },
        metadata: json!({"acc": 0.5, "tag": "a"}).as_object().unwrap().clone(),
        custom_path: None,
    };
    let parameters = json!({
        "n": 2, "f": 0.1, "s": "it's \"{{$}}\"", "b": true, "l": [1, {"a": 2}], "null": null,
    });
    let optional = |parameter_type| ParameterSpec {
        parameter_type,
        default: None,
        optional: true,
        literals: Vec::new(),
        description: String::new(),
    };
    let single = ArtifactSpec { artifact_type: ArtifactType::default(), list: false, optional: true };
    World {
        context: Context {
            run_id: "id-1".into(),
            run_name: "p-abc".into(),
            display_name: "My run".into(),
            pipeline_root: "/root".into(),
            created_at: "2026-01-01T00:00:00Z".into(),
            ..Context::default()
        },
        inputs: Bindings {
            parameters: parameters.as_object().unwrap().iter().map(|(k, v)| (k.clone(), Arc::new(v.clone()))).collect(),
            artifacts: [("m".to_owned(), Arc::new(vec![artifact("m", "s3://b/m"), artifact("n", "/n")]))].into(),
        },
        declared: Inputs {
            parameters: [("absent".to_owned(), optional(ParameterType::String))].into(),
            artifacts: [("none".to_owned(), single)].into(),
        },
        outputs: DeclaredOutputs {
            output_file: "/t/out.json".into(),
            parameters: [(
                "o".to_owned(),
                DeclaredOutput { parameter_type: ParameterType::String, path: "/t/o".into() },
            )]
            .into(),
            artifacts: [("a".to_owned(), artifact("a", "/t/a"))].into(),
        },
        executor_input: json!({"inputs": {"parameterValues": {"s": "{{$}}"}}}),
    }
}

impl World {
    fn with<T>(&self, body: impl FnOnce(&Scope<'_>) -> T) -> T {
        let constants =
            Constants { context: &self.context, resource_name: "p-abc", task_name: "train", task_id: "0123" };
        body(&Scope {
            constants: &constants,
            inputs: &self.inputs,
            declared: &self.declared,
            outputs: Some(&self.outputs),
            executor_input: Some(&self.executor_input),
            executor_input_text: OnceCell::new(),
        })
    }

    fn substitute(&self, text: &str) -> String {
        self.with(|scope| scope.substitute(text).into_owned())
    }

    fn arguments(&self, elements: &[&str]) -> Vec<String> {
        let elements: Vec<String> = elements.iter().map(|element| (*element).to_owned()).collect();
        self.with(|scope| arguments(&elements, scope).unwrap())
    }
}

#[test]
fn every_placeholder_has_its_text() {
    let world = world();
    for (text, expected) in [
        ("{{$.inputs.parameters['n']}}", "2"),
        ("a{{$.inputs.parameters['f']}}b{{$.inputs.parameters[\"b\"]}}", "a0.1btrue"),
        ("{{$.inputs.parameters['l']}}", r#"[1,{"a":2}]"#),
        ("{{$.inputs.parameters['null']}}|{{$.inputs.parameters['absent']}}|", "||"),
        ("{{$.inputs.artifacts['m'].uri}} {{$.inputs.artifacts['m'].path}}", "s3://b/m /s3/b/m"),
        ("{{$.inputs.artifacts['m'].metadata['acc']}}", "0.5"),
        ("{{$.inputs.artifacts['m'].metadata}}", r#"{"acc":0.5,"tag":"a"}"#),
        ("{{$.inputs.artifacts['none'].path}}", ""),
        ("{{$.outputs.parameters['o'].output_file}}", "/t/o"),
        ("{{$.outputs.artifacts['a'].uri}}={{$.outputs.artifacts['a'].path}}", "/t/a=/t/a"),
        ("{{$.outputs.output_file}}{{$.outputMetadataUri}}", "/t/out.json/t/out.json"),
        ("{{$.pipeline_job_name}} {{$.pipeline_job_resource_name}}", "My run p-abc"),
        ("{{$.pipeline_job_uuid}} {{$.pipeline_task_name}} {{$.pipeline_task_uuid}}", "id-1 train 0123"),
        ("{{$.pipeline_job_create_time_utc}}", "2026-01-01T00:00:00Z"),
        ("{{$.pipeline_job_schedule_time_utc}}", "2026-01-01T00:00:00Z"),
        ("{{$.workspace_path}}/x {{$.pipeline_root}}", "/kfp-workspace/x /root"),
    ] {
        assert_eq!(world.substitute(text), expected, "{text}");
    }
}

#[test]
fn what_is_no_placeholder_stays() {
    let world = world();
    for text in [
        "{{$.inputs.parameters['unknown']}}",
        "{{$.inputs.parameters['n'].json_escape[1]}}",
        "{{$.pipeline_google_cloud_location}}",
        "{{$.inputs.parameters['n'}} {{$ {{$.",
        "{{$.a.b.c.d.e.f.g}}",
        "${{n}} {{n}}",
    ] {
        assert_eq!(world.substitute(text), text);
    }
    assert_eq!(world.substitute("{{$.{{$.inputs.parameters['n']}}"), "{{$.2");
}

#[test]
fn one_pass_only() {
    let world = world();
    assert_eq!(world.substitute("{{$}}"), r#"{"inputs":{"parameterValues":{"s":"{{$}}"}}}"#);
    assert_eq!(world.substitute("<{{$.inputs.parameters['s']}}>"), "<it's \"{{$}}\">");
}

#[test]
fn structures_become_any_number_of_arguments() {
    let world = world();
    let present = r#"{"IfPresent": {"InputName": "s", "Then": ["--s", "{{$.inputs.parameters['s']}}"], "Else": "no"}}"#;
    assert_eq!(world.arguments(&["x", present]), ["x", "--s", "it's \"{{$}}\""]);
    for name in ["absent", "null", "unknown", "none"] {
        let absent = format!(r#"{{"IfPresent": {{"InputName": "{name}", "Then": "yes", "Else": ["a", "b"]}}}}"#);
        assert_eq!(world.arguments(&[&absent]), ["a", "b"], "{name}");
    }
    assert_eq!(world.arguments(&[r#"{"IfPresent": {"InputName": "none", "Then": "yes"}}"#]), [""; 0]);
    assert_eq!(world.arguments(&[r#"{"IfPresent": {"InputName": "m", "Then": "yes"}}"#]), ["yes"]);
    let concat = r#"{"Concat": ["a=", "{{$.inputs.parameters['s']}}", {"IfPresent": {"InputName": "n", "Then": {"Concat": [",", "{{$.inputs.parameters['n']}}"]}}}]}"#;
    assert_eq!(world.arguments(&[concat]), ["a=it's \"{{$}}\",2"]);
    assert_eq!(world.arguments(&[r#"{"Concat": []}"#]), [""]);
    assert_eq!(world.arguments(&[r#"{"IfPresent": broken"#]), [r#"{"IfPresent": broken"#]);
}

#[test]
fn constants_keep_types_where_they_are_one_parameter() {
    let world = world();
    let constant = json!({"k-{{$.inputs.parameters['n']}}": ["{{$.inputs.parameters['n']}}", "n={{$.inputs.parameters['n']}}", 1, null]});
    assert_eq!(world.with(|scope| scope.constant(&constant)), json!({"k-2": [2, "n=2", 1, null]}));
}

proptest! {
    #[test]
    fn any_text_is_substituted(text in "\\PC{0,80}") {
        let world = world();
        if !text.contains("{{$") {
            prop_assert_eq!(world.substitute(&text), text.clone());
        }
        world.with(|scope| arguments(&[text.clone(), format!("{{\"Concat\": [{text}]}}")], scope)).ok();
    }

    #[test]
    fn near_placeholders_are_substituted(
        parts in prop::collection::vec(prop::sample::select(vec![
            "{{$", "}}", ".", "inputs", ".parameters", "['n']", "['", "']", "[\"", "{{$}}", "é", "{", ".inputs.artifacts",
            "{\"IfPresent\":", "{\"InputName\": \"n\"", "\"Then\":", "}", ",",
        ]), 0..20)
    ) {
        let text = parts.concat();
        let world = world();
        world.substitute(&text);
        world.with(|scope| arguments(std::slice::from_ref(&text), scope)).ok();
        let joined: String = scan::parts(&text).map(|part| match part {
            Part::Text(text) => text,
            Part::Placeholder { whole, .. } => whole,
        }).collect();
        prop_assert_eq!(joined, text);
    }
}
