//! onnxruntime as the server loads it: the library of its Python package.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use mcplane_serving::engine::onnxruntime::OnnxRuntime;
use mcplane_serving::engine::tabular::Tabular;
use mcplane_serving::engine::{Engine, Engines, InferError, LoadError, Model};
use mcplane_serving::tensor::{Data, Tensor};
use mcplane_testkit::python::onnxruntime_library;

use super::{BEYOND, SHAPELESS, bytes, check, names};

/// A process opens it once.
static ENGINES: LazyLock<Engines> =
    LazyLock::new(|| Engines { onnxruntime: Some(OnnxRuntime::open(&onnxruntime_library(), LONGEST).unwrap()) });
/// Many times what any model of the tests takes, but for one.
const LONGEST: Duration = Duration::from_secs(2);

fn onnxruntime() -> &'static OnnxRuntime {
    ENGINES.onnxruntime.as_ref().unwrap()
}

fn load(name: &str) -> Arc<dyn Model> {
    onnxruntime().load(&bytes(name)).unwrap()
}

#[test]
fn answers_are_those_of_its_own_language() {
    let names = names().into_iter().filter(|name| name != SHAPELESS);
    let differences: Vec<_> = names.flat_map(|name| check(onnxruntime(), &name)).collect();
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn it_runs_what_the_built_in_engine_does_not() {
    for name in names().into_iter().filter(|name| name != SHAPELESS) {
        let model = ENGINES.load(&bytes(&name)).unwrap();
        let expected = if BEYOND.contains(&name.as_str()) { "onnxruntime_onnx" } else { "onnx_tabular" };
        assert_eq!(model.platform(), expected, "{name}");
        let labels = |model: &dyn Model| -> Vec<_> { model.outputs().iter().map(|spec| spec.labels.clone()).collect() };
        assert_eq!(labels(&*load(&name)), labels(&*model), "{name}");
    }
    let error = Engines::default().load(&bytes("convolution")).unwrap_err().to_string();
    assert!(error.contains("operator Conv of ai.onnx") && error.contains("serving.onnxruntime-library"), "{error}");
}

#[test]
fn classes_keep_their_order() {
    let row = [Tensor::new(vec![1, 2], Data::F32(vec![0.25, 0.75])).unwrap()];
    for model in [Tabular.load(&bytes("classes")).unwrap(), load("classes")] {
        assert_eq!(model.outputs()[0].labels, ["no", "maybe"], "{}", model.platform());
        assert_eq!(model.infer(&row).unwrap(), row, "{}", model.platform());
    }
}

#[test]
fn a_run_ends_in_time() {
    let model = load("endless");
    let row = Tensor::new(vec![1], Data::F32(vec![0.0])).unwrap();
    let error = model.infer(&[row]).unwrap_err();
    assert_eq!(error, InferError::TooLong(LONGEST));
    assert_eq!(mcplane_core::Error::from(error).http_status(), 504);
}

#[test]
fn every_type_goes_there_and_back() {
    let all = [
        Data::Bool(vec![true, false]),
        Data::U8(vec![0, u8::MAX]),
        Data::U16(vec![0, u16::MAX]),
        Data::U32(vec![0, u32::MAX]),
        Data::U64(vec![0, u64::MAX]),
        Data::I8(vec![i8::MIN, i8::MAX]),
        Data::I16(vec![i16::MIN, i16::MAX]),
        Data::I32(vec![i32::MIN, i32::MAX]),
        Data::I64(vec![i64::MIN, (1 << 53) + 1]),
        Data::F16(vec![0x3c00, 0x7c00]),
        Data::Bf16(vec![0x3f80, 0xff80]),
        Data::F32(vec![f32::MIN_POSITIVE, f32::INFINITY]),
        Data::F64(vec![f64::MIN_POSITIVE, -0.1]),
        Data::Bytes(vec!["".into(), "São Paulo".into()]),
    ];
    let given: Vec<Tensor> = all.into_iter().map(|data| Tensor::new(vec![2], data).unwrap()).collect();
    for model in [Tabular.load(&bytes("identities")).unwrap(), load("identities")] {
        assert_eq!(model.inputs().len(), given.len());
        assert_eq!(model.infer(&given).unwrap(), given, "{}", model.platform());
        let none: Vec<_> =
            given.iter().map(|tensor| Tensor::new(vec![0], Data::zeros(tensor.datatype(), 0)).unwrap()).collect();
        assert_eq!(model.infer(&none).unwrap(), none, "{}", model.platform());
    }
}

#[test]
fn wrong_inputs_are_refused_in_words() {
    let model = load("convolution");
    assert_eq!(model.inputs()[0].shape, [None, Some(3), Some(16), Some(16)]);
    let wrong = Tensor::new(vec![1, 3, 8, 8], Data::F32(vec![0.0; 192])).unwrap();
    let error = model.infer(&[wrong]).unwrap_err();
    assert_eq!(error.to_string(), "input \"X\" must have shape [-1, 3, 16, 16], got [1, 3, 8, 8]");
    assert_eq!(model.infer(&[]).unwrap_err().to_string(), "the model takes 1 inputs, got 0");

    let mut given: Vec<Tensor> = load("identities")
        .inputs()
        .iter()
        .map(|spec| Tensor::new(vec![1], Data::zeros(spec.datatype, 1)).unwrap())
        .collect();
    for text in [&b"\xff"[..], b"a\0b"] {
        *given.last_mut().unwrap() = Tensor::new(vec![1], Data::Bytes(vec![text.to_vec().into()])).unwrap();
        let error = load("identities").infer(&given).unwrap_err();
        assert!(matches!(&error, InferError::Input(_)), "{error}");
    }
}

#[test]
fn what_is_no_model_is_refused() {
    let whole = bytes("convolution");
    for broken in [&whole[..whole.len() / 2], b"", b"\x08\x09", b"no model"] {
        let error = onnxruntime().load(broken).unwrap_err();
        assert!(matches!(error, LoadError::Malformed(_) | LoadError::Library(_)), "{error}");
    }
    let unknown = onnxruntime().load(&bytes(SHAPELESS)).unwrap_err().to_string();
    assert!(unknown.contains("\"X\" is not a tensor of known rank"), "{unknown}");
    // An initializer that says that its content is in a file beside the model: `TensorProto.data_location`, 14.
    let elsewhere = [&whole[..], &[7 << 3 | 2, 4, 5 << 3 | 2, 2, 14 << 3, 1]].concat();
    let error = onnxruntime().load(&elsewhere).unwrap_err();
    assert!(error.to_string().contains("in another file"), "{error}");
    // The same within a graph whose field number, 7, is 2²⁹ + 7 for who reads more than 32 bits of it.
    let hidden = [&whole[..], &[0xba, 0x80, 0x80, 0x80, 0x10, 6, 5 << 3 | 2, 2, 14 << 3, 1, 0, 0]].concat();
    let error = onnxruntime().load(&hidden).unwrap_err();
    assert!(error.to_string().contains("a field has a number"), "{error}");
}

#[test]
fn answers_may_be_asked_for_by_many_at_a_time() {
    let model = load("knn");
    let row = Tensor::new(vec![1, 6], Data::F32(vec![0.5; 6])).unwrap();
    let expected = model.infer(std::slice::from_ref(&row)).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    assert_eq!(model.infer(std::slice::from_ref(&row)).unwrap(), expected);
                }
            });
        }
    });
}

#[test]
fn a_process_opens_the_library_once() {
    LazyLock::force(&ENGINES);
    let again = OnnxRuntime::open(&onnxruntime_library(), LONGEST).unwrap_err().to_string();
    assert!(again.contains("only one environment"), "{again}");
}
