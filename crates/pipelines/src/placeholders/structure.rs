//! `IfPresent` and `Concat`.

use serde_json::{Map, Value};

use super::Scope;

/// Elements of a command, each of which becomes none, one or several arguments.
pub(crate) fn arguments(elements: &[String], scope: &Scope<'_>) -> Result<Vec<String>, String> {
    let mut arguments = Vec::with_capacity(elements.len());
    for element in elements {
        match structure(element) {
            Some(structure) => expand(&structure, scope, &mut arguments)?,
            None => arguments.push(scope.substitute(element).into_owned()),
        }
    }
    Ok(arguments)
}

/// The object in an element that is a structure.
fn structure(element: &str) -> Option<Value> {
    let inner = element.trim_start().strip_prefix('{')?.trim_start();
    if !inner.starts_with("\"IfPresent\"") && !inner.starts_with("\"Concat\"") {
        return None;
    }
    serde_json::from_str(element).ok()
}

fn expand(value: &Value, scope: &Scope<'_>, arguments: &mut Vec<String>) -> Result<(), String> {
    match value {
        Value::Null => {}
        Value::String(text) => arguments.push(scope.substitute(text).into_owned()),
        Value::Array(items) => {
            for item in items {
                expand(item, scope, arguments)?;
            }
        }
        Value::Object(object) => match (object.get("IfPresent"), object.get("Concat")) {
            (Some(Value::Object(choice)), None) => expand(chosen(choice, scope)?, scope, arguments)?,
            (None, Some(Value::Array(items))) => {
                let mut joined = Vec::new();
                for item in items {
                    expand(item, scope, &mut joined)?;
                }
                arguments.push(joined.concat());
            }
            _ => return Err("an object in the command is neither IfPresent nor Concat".to_owned()),
        },
        other => arguments.push(other.to_string()),
    }
    Ok(())
}

fn chosen<'a>(choice: &'a Map<String, Value>, scope: &Scope<'_>) -> Result<&'a Value, String> {
    let field = |camel, snake| choice.get(camel).or_else(|| choice.get(snake));
    let name = field("InputName", "inputName").and_then(Value::as_str);
    let name = name.ok_or("IfPresent in the command names no input")?;
    let branch = if scope.present(name) { field("Then", "then") } else { field("Else", "else") };
    Ok(branch.unwrap_or(&Value::Null))
}
