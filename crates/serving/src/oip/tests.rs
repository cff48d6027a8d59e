//! Requests that are right, wrong and hostile.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::engine::TensorSpec;
use crate::tensor::{Data, Datatype, Tensor};

fn spec(name: &str, datatype: Datatype, shape: &[Option<usize>]) -> TensorSpec {
    TensorSpec { name: name.to_owned(), datatype, shape: shape.to_vec(), labels: Vec::new() }
}

/// Reads one input of a datatype and any shape of two dimensions.
fn read(datatype: Datatype, shape: &str, data: &str) -> Result<Data, Mistake> {
    let body = format!(r#"{{"inputs":[{{"name":"x","datatype":"{datatype}","shape":{shape},"data":{data}}}]}}"#);
    let inputs = [spec("x", datatype, &[None, None])];
    let mut request = decode(&Bytes::from(body), None, &inputs, &inputs)?;
    Ok(request.inputs.remove(0).into_parts().1)
}

fn raw(json: &str, more: &[u8], json_length: usize, datatype: Datatype) -> Result<Data, Mistake> {
    let inputs = [spec("x", datatype, &[None])];
    let body = Bytes::from([json.as_bytes(), more].concat());
    let mut request = decode(&body, Some(json_length), &inputs, &inputs)?;
    Ok(request.inputs.remove(0).into_parts().1)
}

#[test]
fn data_may_be_flat_or_nested_as_the_shape_says() {
    let wanted = Ok(Data::I64(vec![1, 2, 3, 4]));
    assert_eq!(read(Datatype::Int64, "[2,2]", "[1, 2,3 ,4]"), wanted);
    assert_eq!(read(Datatype::Int64, "[2,2]", "[[1,2],\n[3,4]]"), wanted);
    for data in ["[[1,2,3],[4]]", "[[1,2],3,4]", "[1,[2,3,4]]", "[[[1,2],[3,4]]]", "[[1,2],[3,4],[]]", "[[1,2]]"] {
        assert!(read(Datatype::Int64, "[2,2]", data).is_err(), "{data}");
    }
    assert_eq!(read(Datatype::Int64, "[2,0]", "[[],[]]"), Ok(Data::I64(vec![])));
    assert_eq!(read(Datatype::Int64, "[0,7]", "[]"), Ok(Data::I64(vec![])));
}

#[test]
fn integers_are_exact_or_refused() {
    let big = "[9223372036854775807,-9223372036854775808]";
    assert_eq!(read(Datatype::Int64, "[1,2]", big), Ok(Data::I64(vec![i64::MAX, i64::MIN])));
    assert_eq!(read(Datatype::Uint64, "[1,1]", "[18446744073709551615]"), Ok(Data::U64(vec![u64::MAX])));
    assert_eq!(read(Datatype::Uint8, "[1,1]", "[255]"), Ok(Data::U8(vec![255])));
    assert_eq!(read(Datatype::Int32, "[1,2]", "[1.0,-2e3]"), Ok(Data::I32(vec![1, -2000])));
    assert_eq!(read(Datatype::Uint8, "[1,1]", "[300]").unwrap_err(), "input \"x\": 300 is no UINT8");
    for (datatype, value) in [
        (Datatype::Uint8, "-1"),
        (Datatype::Int8, "128"),
        (Datatype::Int64, "9223372036854775808"),
        (Datatype::Int64, "1.5"),
        (Datatype::Int64, "1e30"),
        (Datatype::Int64, "null"),
        (Datatype::Int64, "\"1\""),
        (Datatype::Int64, "true"),
        (Datatype::Int64, "{\"a\":[1]}"),
    ] {
        assert!(read(datatype, "[1,1]", &format!("[{value}]")).is_err(), "{datatype} {value}");
    }
}

#[test]
fn floats_are_nearest_or_refused() {
    assert_eq!(read(Datatype::Fp32, "[1,3]", "[0.1,-0,16777217]"), Ok(Data::F32(vec![0.1, -0.0, 16_777_216.0])));
    assert_eq!(read(Datatype::Fp64, "[1,1]", "[5e-324]"), Ok(Data::F64(vec![5e-324])));
    assert_eq!(read(Datatype::Fp16, "[1,2]", "[1,65504]"), Ok(Data::F16(vec![0x3c00, 0x7bff])));
    assert_eq!(read(Datatype::Bf16, "[1,1]", "[1]"), Ok(Data::Bf16(vec![0x3f80])));
    let Ok(Data::F32(values)) = read(Datatype::Fp32, "[1,3]", "[null,\"Infinity\",\"-Infinity\"]") else { panic!() };
    assert!(values[0].is_nan() && values[1..] == [f32::INFINITY, f32::NEG_INFINITY]);
    for (datatype, value) in [
        (Datatype::Fp32, "1e39"),
        (Datatype::Fp64, "1e400"),
        (Datatype::Fp16, "65520"),
        (Datatype::Bf16, "3.5e38"),
        (Datatype::Fp32, "\"1\""),
        (Datatype::Fp32, "\"inf\""),
        (Datatype::Fp32, "NaN"),
    ] {
        assert!(read(datatype, "[1,1]", &format!("[{value}]")).is_err(), "{datatype} {value}");
    }
}

#[test]
fn booleans_and_strings_are_read() {
    assert_eq!(read(Datatype::Bool, "[1,3]", "[true,false,1]"), Ok(Data::Bool(vec![true, false, true])));
    assert!(read(Datatype::Bool, "[1,1]", "[2]").is_err());
    let texts = ["", "a,]\"[b", "ü\n"].map(Bytes::from).to_vec();
    assert_eq!(read(Datatype::Bytes, "[3,1]", r#"["","a,]\"[b","\u00fc\n"]"#), Ok(Data::Bytes(texts)));
    assert!(read(Datatype::Bytes, "[1,1]", "[1]").unwrap_err().contains("elements are strings"));
    assert!(read(Datatype::Bytes, "[1,1]", r#"["\ud800"]"#).is_err());
}

#[test]
fn shapes_that_lie_cost_nothing() {
    assert!(read(Datatype::Fp32, "[1000000,1000000]", "[1]").unwrap_err().contains("larger than what is answered"));
    assert!(read(Datatype::Fp32, "[134217728,1]", "[1]").unwrap_err().contains("elements"));
    assert!(read(Datatype::Fp32, "[-1,2]", "[1,2]").unwrap_err().contains("negative"));
    assert!(read(Datatype::Fp32, "[9223372036854775807,9223372036854775807]", "[]").is_err());
    assert!(read(Datatype::Fp32, "[1,2,3]", "[1,2,3,4,5,6]").unwrap_err().contains("must have shape [-1, -1]"));
    assert!(read(Datatype::Fp32, "[1,2]", "[1,2,3]").unwrap_err().contains("more than the 2 elements"));
    assert!(read(Datatype::Fp32, "[1,2]", "[1]").unwrap_err().contains("means 2 elements"));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(read(Datatype::Fp32, "[1,1]", &deep).is_err());
}

#[test]
fn requests_must_fit_the_model() {
    let inputs = [spec("a", Datatype::Fp32, &[None]), spec("b", Datatype::Int64, &[Some(1)])];
    let outputs = [spec("y", Datatype::Fp32, &[None]), spec("z", Datatype::Fp32, &[None])];
    let ask = |body: &str| decode(&Bytes::from(body.to_owned()), None, &inputs, &outputs);
    let a = r#"{"name":"a","datatype":"FP32","shape":[1],"data":[1]}"#;
    let b = r#"{"name":"b","datatype":"INT64","shape":[1],"data":[2]}"#;
    let good = ask(&format!(
        r#"{{"id":"7","inputs":[{b},{a}],"outputs":[{{"name":"z","parameters":{{"binary_data":true}}}},{{"name":"y"}}]}}"#
    ));
    let good = good.unwrap();
    assert_eq!(good.id.as_deref(), Some("7"));
    assert_eq!(good.inputs[0].data(), &Data::F32(vec![1.0]));
    assert_eq!(good.outputs, [Wanted { output: 1, binary: true }, Wanted { output: 0, binary: false }]);
    let all = ask(&format!(r#"{{"inputs":[{a},{b}],"parameters":{{"binary_data_output":true}}}}"#)).unwrap();
    assert_eq!(all.outputs, [Wanted { output: 0, binary: true }, Wanted { output: 1, binary: true }]);
    for (body, message) in [
        (format!(r#"{{"inputs":[{a}]}}"#), "input \"b\" is missing"),
        (format!(r#"{{"inputs":[{a},{a},{b}]}}"#), "given twice"),
        (
            r#"{"inputs":[{"name":"c","datatype":"FP32","shape":[1],"data":[1]}]}"#.to_owned(),
            "no input \"c\"; it has [\"a\", \"b\"]",
        ),
        (format!(r#"{{"inputs":[{a},{b}],"outputs":[{{"name":"w"}}]}}"#), "no output \"w\""),
        (r#"{"inputs":[{"name":"a","datatype":"FP33","shape":[1],"data":[1]}]}"#.to_owned(), "no datatype \"FP33\""),
        (r#"{"inputs":[{"name":"a","datatype":"FP64","shape":[1],"data":[1]}]}"#.to_owned(), "must be FP32, got FP64"),
        (r#"{"inputs":[{"name":"a","datatype":"FP32","shape":[1]}]}"#.to_owned(), "neither data"),
        (r#"{"inputs":[],"inputs":[]}"#.to_owned(), "duplicate field"),
        ("{}".to_owned(), "missing field `inputs`"),
        ("[".to_owned(), "no request"),
        (String::new(), "no request"),
        (r#"{"inputs":[{"name":"a","datatype":"FP32","shape":[1],"data":7}]}"#.to_owned(), "data must be a list"),
    ] {
        let error = ask(&body).unwrap_err();
        assert!(error.contains(message), "{error} for {body}");
    }
}

#[test]
fn binary_tensors_lie_behind_the_json() {
    let json = r#"{"inputs":[{"name":"x","datatype":"INT32","shape":[2],"parameters":{"binary_data_size":8}}]}"#;
    let data = [1, 0, 0, 0, 255, 255, 255, 255];
    assert_eq!(raw(json, &data, json.len(), Datatype::Int32), Ok(Data::I32(vec![1, -1])));
    assert!(raw(json, &data[..7], json.len(), Datatype::Int32).unwrap_err().contains("ends before its 8 bytes"));
    assert!(
        raw(json, &[&data[..], &[0]].concat(), json.len(), Datatype::Int32).unwrap_err().contains("1 bytes behind")
    );
    assert!(raw(json, &data, json.len() + 9, Datatype::Int32).unwrap_err().contains("but the body has"));
    let odd = json.replace("[2]", "[3]");
    assert!(raw(&odd, &data, odd.len(), Datatype::Int32).unwrap_err().contains("takes 12 bytes"));
    let huge = json.replace(":8}", ":18446744073709551615}");
    assert!(raw(&huge, &data, huge.len(), Datatype::Int32).is_err());

    let json = r#"{"inputs":[{"name":"x","datatype":"BYTES","shape":[2],"parameters":{"binary_data_size":9}}]}"#;
    let texts = Data::Bytes(vec![Bytes::from("a"), Bytes::new()]);
    assert_eq!(raw(json, b"\x01\0\0\0a\0\0\0\0", json.len(), Datatype::Bytes), Ok(texts));
    assert!(
        raw(json, b"\x01\0\0\0a\xff\xff\xff\xff", json.len(), Datatype::Bytes).unwrap_err().contains("end before 2")
    );
}

#[test]
fn answers_are_json_with_bytes_behind() {
    let specs = [spec("y", Datatype::Fp32, &[None]), spec("z", Datatype::Bytes, &[None])];
    let numbers = Data::F32(vec![0.1, f32::NAN, f32::NEG_INFINITY]);
    let tensors = [
        Tensor::new(vec![3], numbers).unwrap(),
        Tensor::new(vec![1, 1], Data::Bytes(vec![Bytes::from("\"ä")])).unwrap(),
    ];
    let text = encode(("m", "2"), Some("i"), &[Wanted { output: 0, binary: false }], &specs, &tensors);
    assert_eq!(text.json_length, None);
    assert_eq!(
        String::from_utf8(text.body).unwrap(),
        r#"{"model_name":"m","model_version":"2","id":"i","outputs":[{"name":"y","datatype":"FP32","shape":[3],"data":[0.1,null,"-Infinity"]}]}"#
    );
    let both = [Wanted { output: 1, binary: true }, Wanted { output: 1, binary: false }];
    let mixed = encode(("m", "2"), None, &both, &specs, &tensors);
    let (json, raw) = mixed.body.split_at(mixed.json_length.unwrap());
    assert_eq!(raw, b"\x03\0\0\0\"\xc3\xa4");
    let json: serde_json::Value = serde_json::from_slice(json).unwrap();
    assert_eq!(json["outputs"][0]["parameters"]["binary_data_size"], 7);
    assert_eq!(json["outputs"][1]["data"][0], "\"ä");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Every number comes back through text, flat and nested, and through bytes.
    #[test]
    fn numbers_come_back(values in prop::collection::vec(any::<f32>().prop_filter("JSON", |value| value.is_finite()), 0..40), longs in prop::collection::vec(any::<i64>(), 1..20)) {
        let tensors = [
            Tensor::new(vec![values.len(), 1], Data::F32(values)).unwrap(),
            Tensor::new(vec![1, longs.len()], Data::I64(longs)).unwrap(),
        ];
        let specs = [spec("x", Datatype::Fp32, &[None, None]), spec("l", Datatype::Int64, &[None, None])];
        for binary in [false, true] {
            let wanted = [0, 1].map(|output| Wanted { output, binary });
            let made = encode(("m", "1"), None, &wanted, &specs, &tensors);
            // An answer becomes a request when its outputs are called inputs.
            let split = made.json_length.unwrap_or(made.body.len());
            let json = std::str::from_utf8(&made.body[..split]).unwrap().replace("\"outputs\"", "\"inputs\"");
            let body = Bytes::from([json.as_bytes(), &made.body[split..]].concat());
            let request = decode(&body, Some(json.len()), &specs, &specs).unwrap();
            prop_assert_eq!(&request.inputs[..], &tensors[..]);
        }
        let mut text = Vec::new();
        nested(&tensors[0], &mut text);
        let shape = format!("{:?}", tensors[0].shape());
        prop_assert_eq!(read(Datatype::Fp32, &shape, std::str::from_utf8(&text).unwrap()), Ok(tensors[0].data().clone()));
    }

    #[test]
    fn anything_is_answered(body in "\\PC{0,200}", cut in 0..300_usize) {
        let specs = [spec("x", Datatype::Bytes, &[None])];
        let _ = decode(&Bytes::from(body), Some(cut), &specs, &specs);
    }

    #[test]
    fn any_data_is_answered(data in "[\\[\\],\"\\\\0-9.eE tfnul{}:-]{0,60}", shape in prop::collection::vec(0..4_i64, 0..4)) {
        for datatype in Datatype::ALL {
            let _ = read(datatype, &format!("{shape:?}"), &data);
        }
    }
}
