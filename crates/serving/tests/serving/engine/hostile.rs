//! Files that are no models, or lie.

use mcplane_serving::engine::Engine;
use mcplane_serving::engine::tabular::Tabular;
use mcplane_serving::tensor::{Data, Tensor};
use proptest::prelude::*;

use super::{bytes, names};

/// Loads what may be anything, and asks it if it loads. What matters is that it returns.
fn try_it(bytes: &[u8]) {
    let Ok(model) = Tabular.load(bytes) else { return };
    let zeros = |rows: usize| {
        model.inputs().iter().map(move |spec| {
            let shape: Vec<usize> = spec.shape.iter().map(|length| length.unwrap_or(rows)).collect();
            let count = mcplane_serving::tensor::elements(&shape).filter(|&count| count < 100_000)?;
            Tensor::new(shape, Data::zeros(spec.datatype, count)).ok()
        })
    };
    for rows in [0, 3] {
        if let Some(inputs) = zeros(rows).collect::<Option<Vec<_>>>() {
            let _ = model.infer(&inputs);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn broken_models_are_refused(
        model in 0..1_000_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let names = names();
        let mut bytes = bytes(&names[model % names.len()]);
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        try_it(&bytes);
    }

    #[test]
    fn noise_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        try_it(&bytes);
    }
}

#[test]
fn every_prefix_of_a_model_is_refused_or_runs() {
    for name in ["columns_logistic", "hand_class_2_one_none_0_false", "isolation"] {
        let bytes = bytes(name);
        for end in (0..bytes.len()).step_by(if bytes.len() > 4_000 { 37 } else { 1 }) {
            try_it(&bytes[..end]);
        }
    }
}

/// A protobuf field with a length.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut length = content.len();
    let mut made = vec![number << 3 | 2];
    while length >= 0x80 {
        made.push(length as u8 | 0x80);
        length >>= 7;
    }
    made.push(length as u8);
    made.extend_from_slice(content);
    made
}

fn number_field(number: u8, value: u8) -> [u8; 2] {
    [number << 3, value]
}

fn ints(name: &str, values: &[u8]) -> Vec<u8> {
    let content = [field(1, name.as_bytes()), field(8, values), vec![0xa0, 1, 7]].concat();
    field(5, &content)
}

fn floats(name: &str, values: &[f32]) -> Vec<u8> {
    let packed: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    field(5, &[field(1, name.as_bytes()), field(7, &packed), vec![0xa0, 1, 6]].concat())
}

fn texts(name: &str, values: &[&str]) -> Vec<u8> {
    let values: Vec<u8> = values.iter().flat_map(|value| field(9, value.as_bytes())).collect();
    field(5, &[field(1, name.as_bytes()), values, vec![0xa0, 1, 8]].concat())
}

fn value_info(field_number: u8, name: &str) -> Vec<u8> {
    let open = field(1, &[]);
    let tensor = [number_field(1, 1).to_vec(), field(2, &[open.clone(), open].concat())].concat();
    field(field_number, &[field(1, name.as_bytes()), field(2, &field(1, &tensor))].concat())
}

fn model(nodes: &[Vec<u8>]) -> Vec<u8> {
    let nodes: Vec<u8> = nodes.iter().flat_map(|node| field(1, node)).collect();
    let graph = [nodes, value_info(11, "X"), value_info(12, "Y")].concat();
    let ml = field(8, &[field(1, b"ai.onnx.ml"), number_field(2, 3).to_vec()].concat());
    let standard = field(8, &number_field(2, 17));
    [field(7, &graph), ml, standard].concat()
}

fn node(kind: &str, inputs: &[&str], outputs: &[&str]) -> Vec<u8> {
    let inputs: Vec<u8> = inputs.iter().flat_map(|name| field(1, name.as_bytes())).collect();
    let outputs: Vec<u8> = outputs.iter().flat_map(|name| field(2, name.as_bytes())).collect();
    [inputs, outputs, field(4, kind.as_bytes())].concat()
}

fn tree(yes: &[u8], no: &[u8]) -> Vec<u8> {
    let lists = [
        ints("nodes_treeids", &[0, 0, 0]),
        ints("nodes_nodeids", &[0, 1, 2]),
        ints("nodes_featureids", &[0, 0, 0]),
        ints("nodes_truenodeids", yes),
        ints("nodes_falsenodeids", no),
        texts("nodes_modes", &["BRANCH_LEQ", "BRANCH_LEQ", "LEAF"]),
        floats("nodes_values", &[0.0; 3]),
        field(7, b"ai.onnx.ml"),
    ];
    model(&[[node("TreeEnsembleRegressor", &["X"], &["Y"]), lists.concat()].concat()])
}

fn refusal(bytes: &[u8]) -> String {
    Tabular.load(bytes).expect_err("the model is broken").to_string()
}

#[test]
fn trees_that_are_no_trees_are_refused() {
    assert!(Tabular.load(&tree(&[1, 2, 0], &[2, 2, 0])).is_ok(), "leaves may be shared");
    assert!(refusal(&tree(&[1, 0, 0], &[2, 2, 0])).contains("reached on two ways"), "a cycle to the root");
    assert!(refusal(&tree(&[1, 1, 0], &[2, 2, 0])).contains("reached on two ways"), "a branch that leads to itself");
    assert!(refusal(&tree(&[1, 2, 0], &[1, 2, 0])).contains("reached on two ways"), "a branch with two parents");
    assert!(refusal(&tree(&[1, 9, 0], &[2, 2, 0])).contains("there is no node 9 in tree 0"));
    assert!(refusal(&tree(&[1, 2], &[2, 2, 0])).contains("nodes_truenodeids 2"));
}

#[test]
fn graphs_that_lie_are_refused() {
    assert_eq!(refusal(b""), "not a valid ONNX model: there is no graph in it");
    let cycle = model(&[node("Add", &["X", "Y"], &["Z"]), node("Add", &["Z", "X"], &["Y"])]);
    assert!(refusal(&cycle).contains("no earlier node makes"));
    assert!(refusal(&model(&[node("Relu", &["X"], &["Z"])])).contains("no node makes the output \"Y\""));
    assert!(refusal(&model(&[node("Relu", &["X"], &["Y"]), node("Relu", &["X"], &["Y"])])).contains("made twice"));
    let unknown = refusal(&model(&[node("Frobnicate", &["X"], &["Y"])]));
    assert!(unknown.contains("operator Frobnicate of ai.onnx version 17, wanted by node \"Y\""), "{unknown}");
    let missing = Tabular.load(&model(&[node("Add", &["X"], &["Z"]), node("MatMul", &["X"], &["Y"])])).unwrap();
    let input = Tensor::new(vec![1, 1], Data::F32(vec![0.0])).unwrap();
    assert!(missing.infer(&[input]).unwrap_err().to_string().contains("input 1 is missing"));
}

/// A small file that asks for endless memory: each node makes its output twice as long as its input.
#[test]
fn a_small_file_can_not_ask_for_endless_memory() {
    let mut nodes = Vec::new();
    let names: Vec<String> = (0..60).map(|index| format!("v{index}")).collect();
    for index in 0..60 {
        let from = if index == 0 { "X" } else { &names[index - 1] };
        let to = if index == 59 { "Y" } else { &names[index] };
        let axis = field(5, &[field(1, b"axis"), number_field(3, 0).to_vec(), vec![0xa0, 1, 2]].concat());
        nodes.push([node("Concat", &[from, from], &[to]), axis].concat());
    }
    let model = Tabular.load(&model(&nodes)).unwrap();
    let input = Tensor::new(vec![1, 1_000], Data::F32(vec![0.0; 1_000])).unwrap();
    let error = model.infer(&[input]).unwrap_err().to_string();
    assert!(error.contains("too large") || error.contains("too much memory"), "{error}");
}
