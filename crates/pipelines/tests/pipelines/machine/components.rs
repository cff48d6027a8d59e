//! What the components of the corpus do, without Python and without a shell.

use std::collections::BTreeMap;

use mcplane_pipelines::run::{Outcome, Step};
use mcplane_pipelines::values::{read_outputs, text};
use serde_json::{Map, Value, json};

/// Contents of files by path.
pub(super) type Files = BTreeMap<String, String>;

/// Does what the step's command would do.
pub(super) fn execute(step: &Step, files: &mut Files) -> Outcome {
    let done = match function(step) {
        Some(name) => python(name, step, files).map(|output| (Some(output.to_string()), BTreeMap::new())),
        None => Ok((None, shell(step, files))),
    };
    let outputs = done.and_then(|(output, texts)| read_outputs(&step.outputs, output.as_deref(), &texts));
    match outputs {
        Ok(outputs) => Outcome::Succeeded(outputs),
        Err(message) => Outcome::Failed { message, exit_code: None },
    }
}

/// The function of a lightweight component, whose arguments are the same for all.
fn function(step: &Step) -> Option<&str> {
    let [flag, input, name_flag, name] = step.args.as_slice() else { return None };
    if flag != "--executor_input" || name_flag != "--function_to_execute" {
        return None;
    }
    let told: Value = serde_json::from_str(input).unwrap();
    assert_eq!(told, step.executor_input, "{{$}} is the executor input");
    Some(name)
}

fn python(name: &str, step: &Step, files: &mut Files) -> Result<Value, String> {
    let inputs = &step.executor_input["inputs"];
    let parameter = |name: &str| inputs["parameterValues"][name].clone();
    let string = |name: &str| parameter(name).as_str().unwrap().to_owned();
    let integer = |name: &str| {
        let value = parameter(name);
        value.as_i64().ok_or_else(|| format!("{value} is no int"))
    };
    let content = |files: &Files, artifact: &Value| files[artifact["uri"].as_str().unwrap()].clone();
    let place = |name: &str| step.executor_input["outputs"]["artifacts"][name]["artifacts"][0].clone();
    let mut artifacts = Map::new();
    let mut values = Map::new();
    let output = match name {
        "text" | "fallible" => parameter("value"),
        "integer" => json!(integer("value")?),
        "number" => parameter("value").is_number().then(|| parameter("value")).ok_or("no float")?,
        "flag" => parameter("value").is_boolean().then(|| parameter("value")).ok_or("no bool")?,
        "add" => json!(integer("a")? + integer("b")?),
        "join" => json!(flat(&parameter("items")).join(&string("separator"))),
        "total" => json!(parameter("items").as_array().unwrap().iter().map(|item| item.as_i64().unwrap()).sum::<i64>()),
        "numbers" => (0..integer("count")?).map(Value::from).collect(),
        "pairs" => (0..integer("count")?).map(|i| json!({"label": format!("n{i}"), "size": i})).collect(),
        "show" => json!(parameter("value").to_string()),
        "fail" => return Err(string("message")),
        "optional" => {
            let text = parameter("text");
            json!(format!("{} {}", text.as_str().unwrap_or("None"), integer("count")?))
        }
        "write" => {
            let mut data = place("data");
            files.insert(data["uri"].as_str().unwrap().to_owned(), string("content"));
            data["metadata"]["length"] = json!(string("content").len());
            artifacts.insert("data".to_owned(), json!({"artifacts": [data]}));
            Value::Null
        }
        "read" => json!(content(files, &inputs["artifacts"]["data"]["artifacts"][0])),
        "read_all" => {
            let list = inputs["artifacts"]["data"]["artifacts"].as_array().unwrap();
            json!(list.iter().map(|one| content(files, one)).collect::<Vec<_>>().join(","))
        }
        "uri_of" => inputs["artifacts"]["data"]["artifacts"][0]["uri"].clone(),
        "train" => {
            values.insert("loss".to_owned(), json!(parameter("rate").as_f64().unwrap() / 2.0));
            values.insert("steps".to_owned(), json!(3.0));
            let mut model = place("model");
            model["metadata"]["framework"] = json!("none");
            artifacts.insert("model".to_owned(), json!({"artifacts": [model]}));
            Value::Null
        }
        "place" => {
            let root = step.outputs.output_file.rsplit_once('/').unwrap().0;
            let (mut first, mut second) = (place("first"), place("second"));
            first["uri"] = json!(format!("{root}/elsewhere"));
            second["custom_path"] = json!(format!("{root}/own"));
            files.insert(format!("{root}/elsewhere"), "elsewhere".to_owned());
            // The driver brings it there.
            files.insert(second["uri"].as_str().unwrap().to_owned(), "own".to_owned());
            artifacts.insert("first".to_owned(), json!({"artifacts": [first]}));
            artifacts.insert("second".to_owned(), json!({"artifacts": [second]}));
            Value::Null
        }
        "status_of" => {
            let status = parameter("status");
            assert!(!status["pipelineJobResourceName"].as_str().unwrap().is_empty());
            json!(format!("{} {}", text(&status["state"]), text(&status["pipelineTaskName"])))
        }
        other => panic!("the table has no component {other}"),
    };
    if !output.is_null() {
        values.insert("Output".to_owned(), output);
    }
    Ok(json!({"parameterValues": values, "artifacts": artifacts}))
}

fn flat(items: &Value) -> Vec<String> {
    match items {
        Value::Array(items) => items.iter().flat_map(flat).collect(),
        scalar => vec![text(scalar).into_owned()],
    }
}

/// The container components, by what their commands make of their arguments.
fn shell(step: &Step, files: &mut Files) -> BTreeMap<String, String> {
    let args: Vec<&str> = step.args.iter().map(String::as_str).collect();
    let path = |name: &str| step.outputs.parameters[name].path.as_str();
    let told = match step.component.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '-') {
        "comp-make" => {
            assert_eq!(args[1], step.outputs.artifacts["data"].uri);
            assert_eq!(args[2], path("length"));
            files.insert(args[1].to_owned(), args[0].to_owned());
            vec![("length", args[0].len().to_string())]
        }
        "comp-use" => vec![("same", format!("{} {}", files[args[0]], args[2]))],
        "comp-files" => vec![
            ("s", " raw\n".to_owned()),
            ("i", "42\n".to_owned()),
            ("f", "2.50\n".to_owned()),
            ("b", "True\n".to_owned()),
            ("l", "[1, 2.0]\n".to_owned()),
            ("d", "{\"a\": 1.0}\n".to_owned()),
        ],
        "comp-leaf" => {
            let before = step.executor_input["inputs"]["parameterValues"]["a"].as_i64().unwrap();
            vec![("Output", (before + 1).to_string())]
        }
        // Without its output a task fails.
        "comp-choose" => vec![("out", args.iter().map(|arg| format!("{arg}|")).collect())],
        "comp-silent" | "comp-fail" => vec![],
        other => panic!("the table has no component {other}"),
    };
    told.into_iter().map(|(name, text)| (name.to_owned(), text)).collect()
}
