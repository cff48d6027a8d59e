//! Platform settings with inputs in them: `secretNameParameter: {componentInputParameter: name}`.

use serde_json::{Map, Value};

use super::Sibling;
use crate::ir::types::Dag;
use crate::values::Bindings;

/// The settings with every reference to a parameter replaced by its value; what leads nowhere becomes null. Nesting is
/// bounded by the document's.
pub(crate) fn platforms<'a>(
    settings: &Map<String, Value>,
    dag: Option<&Dag>,
    inputs: &Bindings,
    sibling: &impl Fn(usize) -> Option<Sibling<'a>>,
) -> Map<String, Value> {
    settings.iter().map(|(key, value)| (key.clone(), resolve(value, dag, inputs, sibling))).collect()
}

fn resolve<'a>(
    value: &Value,
    dag: Option<&Dag>,
    inputs: &Bindings,
    sibling: &impl Fn(usize) -> Option<Sibling<'a>>,
) -> Value {
    match value {
        Value::Array(items) => items.iter().map(|item| resolve(item, dag, inputs, sibling)).collect(),
        Value::Object(object) => {
            let field = |camel: &str, snake: &str| object.get(camel).or_else(|| object.get(snake));
            if let Some(Value::String(name)) = field("componentInputParameter", "component_input_parameter") {
                return inputs.parameters.get(name).map(|value| Value::clone(value)).unwrap_or_default();
            }
            if let Some(runtime @ Value::Object(_)) = field("runtimeValue", "runtime_value") {
                return runtime.get("constant").cloned().unwrap_or_default();
            }
            if let Some(output @ Value::Object(_)) = field("taskOutputParameter", "task_output_parameter") {
                let text = |camel: &str, snake: &str| output.get(camel).or_else(|| output.get(snake))?.as_str();
                let task = text("producerTask", "producer_task").and_then(|task| dag?.index.get(task));
                let outputs = task.and_then(|task| sibling(*task)).map(|sibling| sibling.outputs);
                let key = text("outputParameterKey", "output_parameter_key").unwrap_or_default();
                return outputs
                    .and_then(|outputs| outputs.parameters.get(key))
                    .map(|value| Value::clone(value))
                    .unwrap_or_default();
            }
            Value::Object(platforms(object, dag, inputs, sibling))
        }
        scalar => scalar.clone(),
    }
}
