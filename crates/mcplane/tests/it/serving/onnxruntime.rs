//! Models beyond the built-in engine, by the library that the operator names.

use std::process::Command;

use mcplane_testkit::Backend;
use mcplane_testkit::http::get;
use mcplane_testkit::process::run;
use mcplane_testkit::python::onnxruntime_library;
use serde_json::{Value, json};

use super::rig::Rig;

#[test]
fn a_network_is_served_where_the_library_is_named() {
    let setting = format!("serving.onnxruntime-library={}", onnxruntime_library().display());
    let rig = Rig::start(Backend::Sqlite, &["--set", &setting]);
    for (name, file) in [("images", "convolution"), ("iris", "forest_names")] {
        rig.register(name, "v1.0.0", file);
        rig.apply(name, &format!("models:/{name}/1"));
        rig.ready(name);
    }
    let platform = |name: &str| {
        let answer = get(rig.server.data_plane(), &format!("/v2/models/{name}")).expect("an answer");
        let told: Value = serde_json::from_slice(&answer.body).expect("metadata");
        told["platform"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!((platform("images").as_str(), platform("iris").as_str()), ("onnxruntime_onnx", "onnx_tabular"));

    let image = |pixels: usize| {
        let tensor = json!({"name": "X", "datatype": "FP32", "shape": [1, 3, 16, 16], "data": vec![0.5; pixels]});
        rig.ask("127.0.0.1", "/v2/models/images/infer", &json!({"inputs": [tensor]}).to_string())
    };
    let answer = image(3 * 16 * 16);
    assert_eq!((answer.status, answer.header("x-mcplane-version")), (200, "images-predictor-00001"), "{answer:?}");
    let outputs = answer.outputs();
    let sum: f64 = outputs[0]["data"].as_array().expect("numbers").iter().filter_map(Value::as_f64).sum();
    assert!(outputs[0]["shape"] == json!([1, 4]) && (sum - 1.0).abs() < 1e-6, "{outputs}");
    let wrong = image(7);
    assert_eq!(wrong.status, 400, "{wrong:?}");
}

#[test]
fn a_library_that_cannot_be_opened_is_told_of_at_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = folder.path().join("libonnxruntime.so");
    std::fs::write(&text, "no library").expect("a file");
    for library in ["/nowhere/libonnxruntime.so", text.to_str().expect("a path")] {
        let mut server = Command::new(env!("CARGO_BIN_EXE_mcplane"));
        server.args(["server", "--listen", "127.0.0.1:0", "--data-dir"]).arg(folder.path().join("data"));
        server.args(["--set", &format!("serving.onnxruntime-library={library}")]);
        let told = run(&mut server, None).err();
        assert!(told.contains("serving.onnxruntime-library") && told.contains(library), "{told}");
    }
}
