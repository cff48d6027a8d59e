//! From text to the values of its documents.

use mcplane_apimachinery::codec::{json, yaml};
use mcplane_core::{Error, Result};
use serde_json::Value;

/// The `PipelineSpec`, and the `PlatformSpec` or null.
pub(super) fn read(text: &str) -> Result<(Value, Value)> {
    let mut documents = if text.trim_start().starts_with('{') {
        vec![json::decode(text.as_bytes()).map_err(|error| about_pipeline(&error, 1))?.value]
    } else {
        yaml_documents(text)?
    };
    if documents.len() > 2 {
        return Err(Error::bad_request(format!(
            "the pipeline has {} documents; a PipelineSpec and at most one PlatformSpec are allowed",
            documents.len()
        )));
    }
    let second = if documents.len() == 2 { documents.pop() } else { None };
    let Some(first) = documents.pop() else {
        return Err(Error::bad_request("the pipeline is empty: give what kfp.compiler.Compiler().compile() writes"));
    };
    unwrap(first, second)
}

/// Takes `{pipeline_spec, platform_spec}` apart.
fn unwrap(first: Value, second: Option<Value>) -> Result<(Value, Value)> {
    let Value::Object(mut object) = first else {
        return Err(Error::bad_request(
            "the pipeline must be an object: give what kfp.compiler.Compiler().compile() writes",
        ));
    };
    let Some(spec) = object.remove("pipeline_spec").or_else(|| object.remove("pipelineSpec")) else {
        return Ok((Value::Object(object), second.unwrap_or_default()));
    };
    let platforms = object.remove("platform_spec").or_else(|| object.remove("platformSpec"));
    match (platforms, second) {
        (Some(_), Some(_)) => Err(Error::bad_request("the pipeline has two platform specs: keep one")),
        (platforms, second) => Ok((spec, platforms.or(second).unwrap_or_default())),
    }
}

/// A line that starts with `---` ends a document wherever it stands: within scalars too it is forbidden.
fn yaml_documents(text: &str) -> Result<Vec<Value>> {
    let mut documents = Vec::new();
    let (mut start, mut offset) = (0, 0);
    let mut chunks = Vec::new();
    for line in text.split_inclusive('\n') {
        let marker =
            line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
        if marker && offset > start {
            chunks.push(&text[start..offset]);
            start = offset;
        }
        offset += line.len();
    }
    chunks.push(&text[start..]);
    for chunk in chunks {
        let content = |line: &str| {
            let line = line.strip_prefix("---").unwrap_or(line).trim();
            !line.is_empty() && !line.starts_with('#') && line != "..."
        };
        if chunk.lines().any(content) {
            let decoded =
                yaml::decode(chunk.as_bytes()).map_err(|error| about_pipeline(&error, documents.len() + 1))?;
            documents.push(decoded.value);
        }
    }
    Ok(documents)
}

fn about_pipeline(error: &Error, document: usize) -> Error {
    let reason = error.to_string();
    let reason = reason.strip_prefix("the request body ").unwrap_or(&reason);
    let which = if document > 1 { " (second document)" } else { "" };
    Error::bad_request(format!("the pipeline{which} {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn documents_are_told_apart() {
        let expected = (json!({"a": 1}), json!({"platforms": {}}));
        for text in [
            "# c\na: 1\n---\nplatforms: {}\n",
            "---\na: 1\n---\nplatforms: {}\n---\n",
            "pipeline_spec: {a: 1}\nplatform_spec: {platforms: {}}",
            r#"{"pipelineSpec": {"a": 1}, "platformSpec": {"platforms": {}}}"#,
            "pipeline_spec: {a: 1}\n--- \nplatforms: {}\n",
        ] {
            assert_eq!(read(text).unwrap(), expected, "{text}");
        }
        assert_eq!(read("a: |\n  x\n  ---\n  y\n").unwrap(), (json!({"a": "x\n---\ny\n"}), Value::Null));
    }

    #[test]
    fn what_is_no_pipeline_is_refused() {
        for (text, reason) in [
            ("", "the pipeline is empty"),
            ("---\n# nothing\n", "the pipeline is empty"),
            ("- a", "must be an object"),
            ("a: 1\n---\nb: 1\n---\nc: 1\n", "has 3 documents"),
            ("a: [", "the pipeline is not valid YAML"),
            ("a: 1\n---\nb: [\n", "the pipeline (second document) is not valid YAML"),
            ("{\"a\": }", "the pipeline is not valid JSON"),
            ("pipeline_spec: {}\nplatform_spec: {}\n---\na: 1\n", "two platform specs"),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.http_status(), 400);
            assert!(error.to_string().contains(reason), "{text:?}: {error}");
        }
    }
}
