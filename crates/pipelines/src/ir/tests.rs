use serde_json::{Value, json};

use super::*;

/// A pipeline of two tasks, `a` and then `b`, which may be broken.
fn document() -> Value {
    json!({
        "schemaVersion": "2.1.0",
        "pipelineInfo": {"name": "p", "description": "d"},
        "defaultPipelineRoot": "/root",
        "root": {
            "inputDefinitions": {"parameters": {
                "n": {"parameterType": "NUMBER_INTEGER", "defaultValue": 3.0},
                "color": {"parameterType": "STRING", "literals": ["red", "green"], "isOptional": true},
                "must": {"parameterType": "STRUCT"},
            }},
            "dag": {"tasks": {
                "a": {"componentRef": {"name": "comp-a"}, "inputs": {"parameters": {"x": {"componentInputParameter": "n"}}}},
                "b": {
                    "componentRef": {"name": "comp-a"},
                    "inputs": {"parameters": {"x": {"taskOutputParameter": {"producerTask": "a", "outputParameterKey": "Output"}}}},
                },
            }},
        },
        "components": {"comp-a": {
            "executorLabel": "exec-a",
            "inputDefinitions": {"parameters": {"x": {"parameterType": "NUMBER_INTEGER"}}},
            "outputDefinitions": {"parameters": {"Output": {"parameterType": "NUMBER_INTEGER"}}},
        }},
        "deploymentSpec": {"executors": {"exec-a": {"container": {"image": "i"}}}},
    })
}

fn read(document: &Value) -> Result<Plan> {
    Plan::parse(&document.to_string())
}

/// What is said of the document with a value put in place.
fn refused(pointer: &str, value: Value) -> String {
    let mut document = document();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    document.pointer_mut(parent).unwrap()[key] = value;
    let error = read(&document).unwrap_err();
    assert_eq!(error.http_status(), 400, "{pointer}");
    error.to_string()
}

#[test]
fn a_plan_says_what_it_takes() {
    let plan = read(&document()).unwrap();
    assert_eq!((plan.name(), plan.display_name(), plan.description()), ("p", "p", "d"));
    assert_eq!(plan.default_pipeline_root(), Some("/root"));
    let inputs = &plan.inputs().parameters;
    assert_eq!(inputs["n"].default.as_deref(), Some(&json!(3)));
    assert!(inputs["n"].optional && inputs["color"].optional && !inputs["must"].optional);
    assert_eq!(inputs["color"].literals, [json!("red"), json!("green")]);
    assert_eq!(plan.spec(), &document());
}

#[test]
fn edges_follow_data_although_nobody_says_so() {
    let plan = read(&document()).unwrap();
    let dag = plan.components[plan.root].dag().unwrap();
    let (a, b) = (dag.index["a"], dag.index["b"]);
    assert_eq!((&dag.tasks[b].upstream, &dag.tasks[a].downstream), (&vec![a], &vec![b]));
}

#[test]
fn names_may_be_snake_case() {
    fn snake(value: &Value) -> Value {
        match value {
            Value::Object(object) => {
                let name = |key: &String| {
                    let letters =
                        key.chars().map(|c| if c.is_uppercase() { format!("_{}", c.to_lowercase()) } else { c.into() });
                    // Names that are the pipeline's own are not touched.
                    if key == "Output" { key.clone() } else { letters.collect() }
                };
                Value::Object(object.iter().map(|(key, value)| (name(key), snake(value))).collect())
            }
            Value::Array(items) => items.iter().map(snake).collect(),
            other => other.clone(),
        }
    }
    let text = json!({"pipeline_spec": snake(&document()), "platform_spec": {"platforms": {"kubernetes": {
        "pipeline_config": {"workspace": {"size": "1Gi"}},
        "deployment_spec": {"executors": {"exec-a": {"nodeSelector": {}}}},
    }}}});
    let plan = Plan::parse(&text.to_string()).unwrap();
    assert_eq!(plan.components.len(), 2);
    assert_eq!(plan.pipeline_config("kubernetes").unwrap()["workspace"]["size"], "1Gi");
    let types::Body::Container(container) = &plan.components[0].body else { panic!("a container") };
    assert!(container.platforms["kubernetes"].get("nodeSelector").is_some());
}

#[test]
fn errors_name_the_place() {
    let task = "pipelineSpec.root.dag.tasks['a']";
    for (pointer, value, expected) in [
        ("/schemaVersion", json!("2.0.0"), "pipelineSpec.schemaVersion: \"2.0.0\" is not supported".to_owned()),
        ("/schemaVersion", Value::Null, "pipelineSpec.schemaVersion: must be given".to_owned()),
        ("/pipelineInfo/name", json!(""), "pipelineSpec.pipelineInfo.name: must be given".to_owned()),
        ("/root/dag", Value::Null, "pipelineSpec.root: has neither a dag nor an executorLabel".to_owned()),
        ("/root/dag/tasks", json!({}), "pipelineSpec.root.dag.tasks: a DAG must have a task".to_owned()),
        ("/root/dag/tasks", json!([]), "pipelineSpec.root.dag.tasks: expected an object".to_owned()),
        (
            "/root/dag/tasks/a/componentRef",
            json!({"name": "x"}),
            format!("{task}.componentRef.name: there is no component \"x\""),
        ),
        ("/root/dag/tasks/a/dependentTasks", json!(["x"]), format!("{task}.dependentTasks[0]: there is no task \"x\"")),
        (
            "/root/dag/tasks/a/dependentTasks",
            json!(["b"]),
            "pipelineSpec.root.dag.tasks: tasks wait for each other: a, b".to_owned(),
        ),
        ("/root/dag/tasks/a/dependentTasks", json!(["a"]), "tasks wait for each other: a, b".to_owned()),
        (
            "/root/dag/tasks/a/inputs/parameters/x",
            json!({"componentInputParameter": "y"}),
            format!(
                "{task}.inputs.parameters['x'].componentInputParameter: the component has no input parameter \"y\""
            ),
        ),
        (
            "/root/dag/tasks/a/inputs/parameters/x",
            json!({}),
            format!("{task}.inputs.parameters['x']: must have one of"),
        ),
        (
            "/root/dag/tasks/b/inputs/parameters/x/taskOutputParameter/outputParameterKey",
            json!("Nope"),
            "task \"b\": its input comes from the output parameter \"Nope\" of task \"a\"".to_owned(),
        ),
        ("/root/dag/tasks/a/triggerPolicy", json!({"condition": "1 +"}), format!("{task}.triggerPolicy.condition: ")),
        (
            "/root/dag/tasks/a/triggerPolicy",
            json!({"strategy": "SOME"}),
            format!("{task}.triggerPolicy.strategy: expected"),
        ),
        (
            "/root/dag/tasks/a/parameterIterator",
            json!({"items": {"raw": "{}"}, "itemInput": "x"}),
            format!("{task}.parameterIterator.items.raw: expected a JSON list"),
        ),
        (
            "/root/dag/tasks/a/parameterIterator",
            json!({"items": {"raw": "[]"}, "itemInput": "y"}),
            "task \"a\": its component has no input \"y\"".to_owned(),
        ),
        (
            "/root/dag/tasks/a/retryPolicy",
            json!({"backoffDuration": "1h"}),
            "backoffDuration: expected seconds".to_owned(),
        ),
        (
            "/root/dag/tasks/a/retryPolicy",
            json!({"maxRetryCount": -1}),
            "maxRetryCount: expected a whole number".to_owned(),
        ),
        (
            "/root/dag/outputs",
            json!({"parameters": {"o": {"valueFromParameter": {"producerSubtask": "z"}}}}),
            "there is no task \"z\"".to_owned(),
        ),
        (
            "/root/dag/outputs",
            json!({"parameters": {"o": {"valueFromParameter": {"producerSubtask": "a", "outputParameterKey": "z"}}}}),
            "output parameter \"o\" comes from no task's output".to_owned(),
        ),
        (
            "/components/comp-a/executorLabel",
            json!("x"),
            "components['comp-a'].executorLabel: there is no executor \"x\"".to_owned(),
        ),
        (
            "/deploymentSpec/executors/exec-a",
            json!({"customJob": {}}),
            "only container and importer executors".to_owned(),
        ),
        ("/deploymentSpec/executors/exec-a", json!({"container": {}}), "container.image: must be given".to_owned()),
        (
            "/root/inputDefinitions/parameters/n",
            json!({"parameterType": "X"}),
            "parameterType: is not a parameter type".to_owned(),
        ),
        (
            "/root/inputDefinitions/parameters/n",
            json!({"parameterType": "NUMBER_INTEGER", "defaultValue": 1.5}),
            "parameters['n'].defaultValue: expected NUMBER_INTEGER, got NUMBER_DOUBLE".to_owned(),
        ),
        (
            "/root/inputDefinitions/parameters/color",
            json!({"parameterType": "STRING", "literals": ["red"], "defaultValue": "blue"}),
            "\"blue\" is not one of \"red\"".to_owned(),
        ),
        (
            "/components/comp-a/outputDefinitions/parameters",
            json!({"../x": {"parameterType": "STRING"}}),
            "can't be a file's".to_owned(),
        ),
    ] {
        let message = refused(pointer, value);
        assert!(message.contains(&expected), "{pointer}: {message}\n  expected {expected}");
    }
    let renamed = json!({"../up": {"componentRef": {"name": "comp-a"}}});
    assert!(refused("/root/dag/tasks", renamed).contains("can't be a file's"));
}

#[test]
fn components_do_not_hold_themselves_and_nest_within_bounds() {
    let inner = |name: String| json!({"dag": {"tasks": {"t": {"componentRef": {"name": name}}}}});
    let chain = |levels: usize, last: &str| {
        let mut document = document();
        let components = document["components"].as_object_mut().unwrap();
        for level in 1..levels {
            let next = if level + 1 == levels { last.to_owned() } else { format!("c{}", level + 1) };
            components.insert(format!("c{level}"), inner(next));
        }
        document["root"]["dag"]["tasks"] = json!({"t": {"componentRef": {"name": "c1"}}});
        document
    };
    let looped = read(&chain(4, "c1")).unwrap_err().to_string();
    assert!(looped.contains("components['c1'] holds itself"), "{looped}");
    let leaf = json!({"executorLabel": "exec-a"});
    let mut deep = chain(MAX_DEPTH + 1, "leaf");
    deep["components"]["leaf"] = leaf.clone();
    assert!(read(&deep).is_ok());
    let mut deeper = chain(5000, "leaf");
    deeper["components"]["leaf"] = leaf;
    assert!(read(&deeper).unwrap_err().to_string().contains("nest more than the 32 levels"));
}

#[test]
fn sizes_are_bounded() {
    assert_eq!(Plan::parse(&" ".repeat(MAX_BYTES + 1)).unwrap_err().http_status(), 413);
    let mut many = document();
    let tasks = (0..=MAX_TASKS).map(|at| (format!("t{at}"), json!({"componentRef": {"name": "comp-a"}})));
    many["root"]["dag"]["tasks"] = Value::Object(tasks.collect());
    assert!(read(&many).unwrap_err().to_string().contains("10001 tasks, which is more than the 10000 allowed"));
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    /// Pointers to every value of a document.
    fn pointers(at: &str, value: &Value, found: &mut Vec<String>) {
        found.push(at.to_owned());
        match value {
            Value::Object(object) => {
                object.iter().for_each(|(key, value)| pointers(&format!("{at}/{key}"), value, found))
            }
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(key, value)| pointers(&format!("{at}/{key}"), value, found));
            }
            _ => {}
        }
    }

    proptest! {
        #[test]
        fn any_change_is_read_or_refused(at in any::<prop::sample::Index>(), with in 0_usize..8) {
            let mut document = document();
            let mut places = Vec::new();
            pointers("", &document, &mut places);
            let values =
                [json!(null), json!(1), json!(-1.5), json!("a"), json!([]), json!({}), json!({"a": {}}), json!([{"a": 1}])];
            *document.pointer_mut(at.get(&places).as_str()).unwrap() = values[with].clone();
            if let Err(error) = read(&document) {
                prop_assert_eq!(error.http_status(), 400);
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,80}") {
            prop_assert!(Plan::parse(&text).is_err());
        }
    }
}
