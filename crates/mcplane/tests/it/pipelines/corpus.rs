//! Every pipeline of the corpus, run for real: in Python, with the packages that it asks for.

use mcplane_testkit::{Backend, Server};
use serde_json::{Value, json};

use super::{begin, call, compiled, detail, ended, outputs, server, steps};

/// A pipeline, its arguments, how it ends, and what tasks give.
type Case = (&'static str, Value, &'static str, Vec<(&'static str, Value)>);

fn cases() -> Vec<Case> {
    let none = || json!({});
    vec![
        (
            "artifacts",
            none(),
            "SUCCEEDED",
            vec![("read", json!(["hello"])), ("number", json!([0.25])), ("text", json!(["3 steps"]))],
        ),
        ("branches", none(), "SUCCEEDED", vec![("text-3", json!([])), ("text-4", json!(["some"]))]),
        ("branches", json!({"count": 50}), "SUCCEEDED", vec![("text-4", json!(["many"]))]),
        ("branches", json!({"count": 0}), "SUCCEEDED", vec![("text-4", json!(["few"]))]),
        ("caching", none(), "SUCCEEDED", vec![("text", json!(["a"])), ("text-2", json!(["a"]))]),
        ("chain", none(), "SUCCEEDED", vec![("add-2", json!([13])), ("text", json!(["sum=13"]))]),
        (
            "channels",
            none(),
            "SUCCEEDED",
            vec![
                ("text", json!(["hello world: 4 at 3, 0.5"])),
                ("show", json!([r#"{"count":4,"fixed":1,"label":"c4","rate":3}"#])),
                ("join", json!(["world,4,end"])),
            ],
        ),
        ("collected", none(), "SUCCEEDED", vec![("total", json!([10]))]),
        ("collected_artifacts", none(), "SUCCEEDED", vec![("read-all", json!(["ax,ay,bx,by"]))]),
        (
            "condition",
            none(),
            "SUCCEEDED",
            vec![
                ("text", json!(["more"])),
                ("text-2", json!([])),
                ("text-3", json!(["red 5"])),
                ("text-4", json!(["small"])),
                ("text-5", json!([])),
            ],
        ),
        ("constants", none(), "SUCCEEDED", vec![("text-4", json!(["text-4"]))]),
        ("container", none(), "SUCCEEDED", vec![("use", json!([{"same": "<a \"quoted\" name-> 18"}]))]),
        ("deep", none(), "SUCCEEDED", vec![("total", json!([13])), ("add", json!([113, 6, 7]))]),
        (
            "exit_after_failure",
            none(),
            "FAILED",
            vec![("status-of", json!(["FAILED exit-handler-1"])), ("text", json!([]))],
        ),
        ("exit_handler", none(), "SUCCEEDED", vec![("status-of", json!(["COMPLETE exit-handler-1"]))]),
        ("fail_fast", none(), "FAILED", vec![]),
        ("get_uri", none(), "SUCCEEDED", vec![("read", json!(["elsewhere"])), ("read-2", json!(["own"]))]),
        ("ignore_failure", none(), "FAILED", vec![("fallible", json!(["fallback"]))]),
        (
            "importer",
            none(),
            "SUCCEEDED",
            vec![("uri-of", json!(["s3://bucket/key"])), ("uri-of-2", json!(["/data/in.csv"]))],
        ),
        ("kubernetes_settings", none(), "SUCCEEDED", vec![("text", json!(["x"]))]),
        ("loop_artifacts", none(), "SUCCEEDED", vec![("read", json!(["a", "b"]))]),
        ("loop_condition", none(), "SUCCEEDED", vec![("text", json!(["big 5", "big 9"]))]),
        ("loop_empty", none(), "SUCCEEDED", vec![("join", json!([""])), ("add", json!([]))]),
        ("loop_failure", none(), "FAILED", vec![("text", json!([]))]),
        ("loop_limited", none(), "SUCCEEDED", vec![("text-2", json!(["a!", "b!", "c!", "d!", "e!"]))]),
        ("loop_nested", none(), "SUCCEEDED", vec![("join", json!(["11,12,13,21,22,23"]))]),
        ("loop_of_lists", none(), "SUCCEEDED", vec![("text", json!(["x1", "x2", "y3"]))]),
        ("loop_parameter", json!({"items": [5, 6]}), "SUCCEEDED", vec![("add", json!([15, 16]))]),
        ("loop_static", none(), "SUCCEEDED", vec![("text", json!(["a", "b", "c"]))]),
        (
            "loop_structs",
            none(),
            "SUCCEEDED",
            vec![("text", json!(["1", "2"])), ("text-2", json!(["n0", "n1"])), ("text-3", json!(["0", "1"]))],
        ),
        ("missing_output", none(), "FAILED", vec![("text", json!([]))]),
        ("nested", none(), "SUCCEEDED", vec![("read", json!(["m3"])), ("text", json!(["3"]))]),
        ("one_of_artifacts", none(), "SUCCEEDED", vec![("read", json!(["tails"]))]),
        ("one_pass", none(), "SUCCEEDED", vec![("text-3", json!(["<{{$}} {{$.inputs.parameters['value']}}>"]))]),
        (
            "optionals",
            none(),
            "SUCCEEDED",
            vec![("optional", json!(["None 7", "given 5", "None 7", "None 7"])), ("optional-2", json!(["None 5"]))],
        ),
        ("order", none(), "SUCCEEDED", vec![("text-3", json!(["3"]))]),
        (
            "output_files",
            none(),
            "SUCCEEDED",
            vec![
                ("text", json!([" raw\n"])),
                ("integer", json!([42])),
                ("number", json!([2.5])),
                ("flag", json!([true])),
                ("join", json!(["1,2"])),
                ("show", json!([r#"{"a":1}"#])),
            ],
        ),
        (
            "parameter_types",
            none(),
            "SUCCEEDED",
            vec![
                ("text", json!(["it's \"quoted\" {{$}} \\ end"])),
                ("integer", json!([3])),
                ("number", json!([2])),
                ("flag", json!([true])),
                ("join", json!(["1,2,x"])),
                ("show", json!([r#"{"a":1,"b":[2.5,{"c":3}]}"#])),
            ],
        ),
        ("resources", none(), "SUCCEEDED", vec![("text", json!(["x"]))]),
        ("retries", none(), "FAILED", vec![("text", json!(["once"]))]),
    ]
}

#[test]
fn every_pipeline_runs() {
    let server = server(Backend::Sqlite);
    for (name, key) in [("fixed", "key"), ("from-parameter", "password")] {
        let secret = json!({"metadata": {"name": name}, "stringData": {key: "s3cret"}});
        assert_eq!(call(&server, "POST", "/api/v1/namespaces/default/secrets", &secret).0, 201);
    }
    let cases = cases();
    let names: Vec<String> =
        cases.iter().enumerate().map(|(index, case)| format!("{}-{index}", case.0.replace('_', "-"))).collect();
    for (name, (pipeline, parameters, ..)) in names.iter().zip(&cases) {
        begin(&server, name, &json!({"pipelineSpec": compiled(pipeline), "parameters": parameters}));
    }
    let mut wrong = Vec::new();
    for (name, (_, _, state, expected)) in names.iter().zip(&cases) {
        let status = ended(&server, name);
        let detail = detail(&server, name);
        if status["state"] != *state {
            wrong.push(format!("{name}: {}: {}", status["state"], status["message"]));
            continue;
        }
        for (task, expected) in expected {
            let given = Value::from(outputs(&detail, task));
            if given != *expected {
                wrong.push(format!("{name}: {task} gave {given} instead of {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    environments_are_made_once(&server);
    what_was_done_is_taken(&server);
    attempts_are_repeated(&server, &names);
}

/// All functions of the corpus want the same packages.
fn environments_are_made_once(server: &Server) {
    let all = std::fs::read_dir(server.data_dir().join("environments")).unwrap();
    let names: Vec<String> = all.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let made = names.iter().filter(|name| name.len() == 64).count();
    assert_eq!(made, 1, "{names:?}");
}

/// A second run takes what the first did, but for the task that wants none of it, and unless the files are gone.
fn what_was_done_is_taken(server: &Server) {
    begin(server, "again", &json!({"pipelineSpec": compiled("caching")}));
    ended(server, "again");
    let again = detail(server, "again");
    let cached: Vec<bool> = ["text", "text-2", "text-3"]
        .iter()
        .map(|task| steps(&again, task).any(|step| step["cached"] == true))
        .collect();
    assert_eq!(cached, [true, true, false], "{again}");
    begin(server, "anew", &json!({"pipelineSpec": compiled("caching"), "enableCache": false}));
    let status = ended(server, "anew");
    assert_eq!((&status["state"], &status["steps"]["cached"]), (&json!("SUCCEEDED"), &json!(0)));

    begin(server, "files-1", &json!({"pipelineSpec": compiled("artifacts")}));
    ended(server, "files-1");
    let first = detail(server, "files-1");
    let write = steps(&first, "write").next().unwrap();
    assert_eq!(write["cached"], true, "{write}");
    let uri = write["outputs"]["artifacts"]["data"][0]["uri"].as_str().unwrap().to_owned();
    std::fs::remove_file(&uri).unwrap();
    begin(server, "files-2", &json!({"pipelineSpec": compiled("artifacts")}));
    assert_eq!(ended(server, "files-2")["state"], "SUCCEEDED");
    let second = detail(server, "files-2");
    let write = steps(&second, "write").next().unwrap();
    assert!(write["cached"] != true, "a file that is gone is made again: {write}");
}

/// What fails is tried as often as it should be.
fn attempts_are_repeated(server: &Server, names: &[String]) {
    let name = names.iter().find(|name| name.starts_with("retries")).unwrap();
    let detail = detail(server, name);
    let failed = steps(&detail, "fail").next().unwrap();
    let task = failed["taskId"].as_str().unwrap();
    let (_, task) = call(server, "GET", &format!("/tasks/v1/namespaces/default/tasks/{task}"), &Value::Null);
    assert_eq!((&task["attempt"], &task["state"]), (&json!(2), &json!("failed")), "{task}");
    assert!(failed["error"].as_str().unwrap().contains("after 2 attempts"), "{failed}");
}
