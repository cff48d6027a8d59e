//! From what a task left behind to typed outputs.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Artifact, Bindings, ParameterType, convert, excerpt, normalized, parse_bool};

/// The outputs that a component declares, with where its task is told to put them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DeclaredOutputs {
    /// Absolute path of the `ExecutorOutput` that the task may write.
    pub output_file: String,
    /// Parameters by name.
    pub parameters: BTreeMap<String, DeclaredOutput>,
    /// Artifacts by name, as provisioned: a type and an URI under the task root.
    pub artifacts: BTreeMap<String, Artifact>,
}

/// An output parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredOutput {
    /// Its type.
    pub parameter_type: ParameterType,
    /// Absolute path of the file that the task may write instead of `ExecutorOutput`.
    pub path: String,
}

/// The outputs of a task that ended well: `executor_output` is the text of its `ExecutorOutput` file, `texts` what it
/// wrote to the files of single parameters; both may be missing. The error is a sentence for the task's status.
///
/// As KFP's launcher: the `ExecutorOutput` goes before a file; a STRING is taken raw, numbers are trimmed, a BOOLEAN is
/// what Go's `ParseBool` takes, LIST and STRUCT are JSON; a declared parameter in neither place fails the task.
/// Artifacts are the provisioned ones with the task's URI, metadata (key by key), name and custom path over them; content
/// at a custom path is to be brought to the URI.
pub fn read_outputs(
    declared: &DeclaredOutputs,
    executor_output: Option<&str>,
    texts: &BTreeMap<String, String>,
) -> Result<Bindings, String> {
    let output = match executor_output.filter(|text| !text.trim().is_empty()) {
        Some(text) => parse(text)?,
        None => Map::new(),
    };
    let values = section(&output, "parameterValues", "parameter_values")?;
    let mut parameters = BTreeMap::new();
    for (name, output) in &declared.parameters {
        let value = match (values.and_then(|values| values.get(name)), texts.get(name)) {
            (Some(value), _) if !value.is_null() => convert(Arc::new(normalized(value.clone())), output.parameter_type),
            (_, Some(text)) => from_text(output.parameter_type, text).map(Arc::new),
            _ => return Err(format!("failed to read output parameter {name:?}: the task wrote no value for it")),
        };
        let value = value.map_err(|reason| format!("failed to read output parameter {name:?}: {reason}"))?;
        parameters.insert(name.clone(), value);
    }
    let lists = section(&output, "artifacts", "artifacts")?;
    let mut artifacts = BTreeMap::new();
    for (name, provisioned) in &declared.artifacts {
        let said = lists.and_then(|lists| lists.get(name)?.get("artifacts")?.as_array()).map_or(&[][..], Vec::as_slice);
        let list = if said.is_empty() {
            vec![provisioned.clone()]
        } else {
            said.iter().map(|artifact| merge(provisioned, artifact)).collect()
        };
        artifacts.insert(name.clone(), Arc::new(list));
    }
    Ok(Bindings { parameters, artifacts })
}

fn parse(text: &str) -> Result<Map<String, Value>, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(output)) => Ok(output),
        Ok(_) => Err("the task's output file is JSON, but not an object".to_owned()),
        Err(error) => Err(format!("the task's output file is not JSON: {error}")),
    }
}

fn section<'a>(
    output: &'a Map<String, Value>,
    camel: &str,
    snake: &str,
) -> Result<Option<&'a Map<String, Value>>, String> {
    match output.get(camel).or_else(|| output.get(snake)) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(entries)) => Ok(Some(entries)),
        Some(_) => Err(format!("{camel} in the task's output file is not an object")),
    }
}

/// The value in the text of an output parameter's file.
fn from_text(of: ParameterType, text: &str) -> Result<Value, String> {
    let wrong = || format!("{:?} is not a {}", excerpt(text), of.name());
    let value = match of {
        ParameterType::String => return Ok(Value::String(text.to_owned())),
        ParameterType::Boolean => return parse_bool(text.trim()).map(Value::Bool).ok_or_else(wrong),
        ParameterType::NumberDouble | ParameterType::NumberInteger => number(text.trim()).ok_or_else(wrong)?,
        _ => normalized(serde_json::from_str(text).map_err(|_| wrong())?),
    };
    convert(Arc::new(value), of).map(Arc::unwrap_or_clone).map_err(|_| wrong())
}

/// Exact where it is a 64-bit integer, otherwise what a float is.
fn number(text: &str) -> Option<Value> {
    if let Ok(integer) = text.parse::<i64>() {
        return Some(integer.into());
    }
    let float: f64 = text.parse().ok()?;
    serde_json::Number::from_f64(float).map(|number| normalized(Value::Number(number)))
}

fn merge(provisioned: &Artifact, said: &Value) -> Artifact {
    let mut artifact = provisioned.clone();
    let text =
        |names: [&str; 2]| names.iter().find_map(|name| said.get(name)?.as_str()).filter(|text| !text.is_empty());
    if let Some(name) = text(["name", "name"]) {
        name.clone_into(&mut artifact.name);
    }
    if let Some(uri) = text(["uri", "uri"]) {
        uri.clone_into(&mut artifact.uri);
    }
    artifact.custom_path = text(["custom_path", "customPath"]).map(str::to_owned).or(artifact.custom_path);
    if let Some(Value::Object(metadata)) = said.get("metadata") {
        artifact.metadata.extend(metadata.iter().map(|(key, value)| (key.clone(), normalized(value.clone()))));
    }
    artifact
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn declared(of: ParameterType) -> DeclaredOutputs {
        let output = DeclaredOutput { parameter_type: of, path: "/t/x".into() };
        DeclaredOutputs { parameters: [("x".to_owned(), output)].into(), ..DeclaredOutputs::default() }
    }

    fn read(of: ParameterType, output: Option<&str>, text: Option<&str>) -> Result<Value, String> {
        let texts = text.map(|text| ("x".to_owned(), text.to_owned())).into_iter().collect();
        read_outputs(&declared(of), output, &texts).map(|bindings| bindings.parameters["x"].as_ref().clone())
    }

    #[test]
    fn files_are_read_by_type() {
        use ParameterType::*;
        for (of, text, expected) in [
            (String, " 1 \n", json!(" 1 \n")),
            (String, "", json!("")),
            (NumberInteger, " 42\n", json!(42)),
            (NumberInteger, "2.0", json!(2)),
            (NumberInteger, "9223372036854775807", json!(i64::MAX)),
            (NumberDouble, "1e3\n", json!(1000)),
            (NumberDouble, "0.5", json!(0.5)),
            (Boolean, "True", json!(true)),
            (Boolean, "f\n", json!(false)),
            (List, "[1, 2.0, {\"a\": 3.0}]", json!([1, 2, {"a": 3}])),
            (Struct, "{\"a\": 1.5}", json!({"a": 1.5})),
        ] {
            assert_eq!(read(of, None, Some(text)).unwrap(), expected, "{of:?} {text:?}");
        }
        for (of, text) in [
            (NumberInteger, "2.5"),
            (NumberInteger, "two"),
            (NumberDouble, "nan"),
            (NumberDouble, ""),
            (Boolean, "yes"),
            (Boolean, "tRUE"),
            (List, "{}"),
            (Struct, "[]"),
            (Struct, "{'a': 1}"),
        ] {
            let message = read(of, None, Some(text)).unwrap_err();
            assert!(message.contains("output parameter \"x\"") && message.contains(of.name()), "{message}");
        }
    }

    #[test]
    fn the_executor_output_goes_before_the_file() {
        use ParameterType::*;
        let output = r#"{"parameterValues": {"x": 2.0, "undeclared": 1}}"#;
        assert_eq!(read(NumberInteger, Some(output), Some("7")).unwrap(), json!(2));
        assert_eq!(read(NumberInteger, Some(r#"{"parameterValues": {"x": null}}"#), Some("7")).unwrap(), json!(7));
        assert_eq!(read(String, Some(output), None).unwrap(), json!("2"));
        assert!(read(NumberInteger, Some("{}"), None).unwrap_err().contains("wrote no value"));
        assert!(read(NumberInteger, Some("{"), None).unwrap_err().contains("not JSON"));
        assert!(read(NumberInteger, Some("[]"), None).unwrap_err().contains("not an object"));
        assert!(read(Boolean, Some(output), None).unwrap_err().contains("expected BOOLEAN, got NUMBER_INTEGER"));
    }

    #[test]
    fn artifacts_are_merged_over_what_was_provisioned() {
        let provisioned = Artifact {
            name: "model".into(),
            uri: "/root/model".into(),
            metadata: json!({"a": 1, "b": 2}).as_object().unwrap().clone(),
            ..Artifact::default()
        };
        let declared =
            DeclaredOutputs { artifacts: [("model".to_owned(), provisioned.clone())].into(), ..Default::default() };
        let none = read_outputs(&declared, None, &BTreeMap::new()).unwrap();
        assert_eq!(none.artifacts["model"].as_slice(), std::slice::from_ref(&provisioned));
        let output = r#"{"artifacts": {"model": {"artifacts": [
            {"name": "", "uri": "s3://b/k", "metadata": {"b": 3.0, "c": "x"}, "custom_path": "/c"}]}}}"#;
        let some = read_outputs(&declared, Some(output), &BTreeMap::new()).unwrap();
        let artifact = &some.artifacts["model"][0];
        assert_eq!((artifact.name.as_str(), artifact.uri.as_str()), ("model", "s3://b/k"));
        assert_eq!(Value::Object(artifact.metadata.clone()), json!({"a": 1, "b": 3, "c": "x"}));
        assert_eq!(artifact.path(), "/c");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".*", output in ".*", index in 1_u64..9) {
            let of = ParameterType::from_json(&json!(index)).unwrap();
            let _ = read(of, Some(&output), Some(&text));
            let _ = read(of, None, Some(&text));
        }
    }
}
