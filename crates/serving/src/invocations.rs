//! MLflow's `POST /invocations`: rows by column, lists of rows, or tensors, as JSON or CSV.
//!
//! <https://mlflow.org/docs/latest/genai/serving/> describes the four keys. A table goes to a model in one of two ways:
//! each column to the input of its name, or, if the model has a single input of several columns, all of them side by
//! side in their order.

use std::collections::HashMap;

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::engine::TensorSpec;
use crate::oip::{Mistake, nested, write_string};
use crate::tensor::{Data, Tensor, elements};

/// A table as it was sent.
#[derive(Debug, Default)]
struct Table {
    columns: Vec<String>,
    /// Cells, row by row.
    rows: Vec<Vec<Value>>,
}

/// Makes the model's inputs of a body.
///
/// # Errors
/// A sentence about whatever the model can't be asked with.
pub(crate) fn decode(body: &[u8], is_csv: bool, specs: &[TensorSpec]) -> Result<Vec<Tensor>, Mistake> {
    if is_csv {
        return from_table(&csv(body)?, specs);
    }
    let body: Map<String, Value> =
        serde_json::from_slice(body).map_err(|error| format!("the body is no JSON object: {error}"))?;
    let keys = ["dataframe_split", "dataframe_records", "instances", "inputs"];
    let mut given = keys.iter().filter_map(|key| body.get(*key).map(|value| (*key, value)));
    let (Some((key, value)), None) = (given.next(), given.next()) else {
        return Err(format!("the body must have exactly one of {keys:?}"));
    };
    match (key, value) {
        ("dataframe_split", value) => from_table(&split(value)?, specs),
        ("dataframe_records", value) => from_table(&records(value)?, specs),
        ("instances", Value::Array(rows)) if rows.iter().any(Value::is_object) => from_table(&records(value)?, specs),
        (_, Value::Object(named)) => specs
            .iter()
            .map(|spec| {
                let value = named.get(&spec.name).ok_or_else(|| format!("input {:?} is missing", spec.name))?;
                from_lists(value, spec)
            })
            .collect(),
        (_, value) => match specs {
            [spec] => Ok(vec![from_lists(value, spec)?]),
            _ => Err(format!("the model has {} inputs: give each by name", specs.len())),
        },
    }
}

fn split(value: &Value) -> Result<Table, Mistake> {
    let wrong = || "dataframe_split must be an object with columns and data".to_owned();
    let rows = value.get("data").and_then(Value::as_array).ok_or_else(wrong)?;
    let rows: Vec<Vec<Value>> =
        rows.iter().map(|row| row.as_array().cloned().ok_or_else(wrong)).collect::<Result<_, _>>()?;
    let columns = match value.get("columns") {
        None => (0..rows.first().map_or(0, Vec::len)).map(|index| index.to_string()).collect(),
        Some(columns) => columns.as_array().ok_or_else(wrong)?.iter().map(name).collect(),
    };
    Ok(Table { columns, rows })
}

/// A column's name; frames may have numbers for names.
fn name(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Rows as objects. The columns are those of the first row; a row that lacks one has a gap.
fn records(value: &Value) -> Result<Table, Mistake> {
    let wrong = || "records must be a list of objects".to_owned();
    let all = value.as_array().ok_or_else(wrong)?;
    let all: Vec<_> = all.iter().map(|row| row.as_object().ok_or_else(wrong)).collect::<Result<_, _>>()?;
    let columns: Vec<String> = all.first().map(|row| row.keys().cloned().collect()).unwrap_or_default();
    let cell = |row: &Map<String, Value>, column: &String| row.get(column).cloned().unwrap_or(Value::Null);
    Ok(Table {
        rows: all.iter().map(|row| columns.iter().map(|column| cell(row, column)).collect()).collect(),
        columns,
    })
}

/// Comma-separated values with a head, quoted as RFC 4180 says.
fn csv(body: &[u8]) -> Result<Table, Mistake> {
    let text = std::str::from_utf8(body).map_err(|_| "the body is not UTF-8".to_owned())?;
    let (mut lines, mut line, mut field, mut quoted, mut started) =
        (Vec::new(), Vec::new(), String::new(), false, false);
    let mut characters = text.strip_prefix('\u{feff}').unwrap_or(text).chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' if quoted || field.is_empty() => {
                quoted = !quoted;
                started = true;
            }
            ',' if !quoted => line.push(std::mem::take(&mut field)),
            '\r' if !quoted && characters.peek() == Some(&'\n') => {}
            '\n' if !quoted => {
                if started || !field.is_empty() || !line.is_empty() {
                    line.push(std::mem::take(&mut field));
                    lines.push(std::mem::take(&mut line));
                }
                started = false;
            }
            other => field.push(other),
        }
    }
    if quoted {
        return Err("the last quote is not closed".to_owned());
    }
    if started || !field.is_empty() || !line.is_empty() {
        line.push(field);
        lines.push(line);
    }
    let mut lines = lines.into_iter();
    let columns = lines.next().ok_or("there is no head with the names of the columns")?;
    let cell = |text: String| if text.is_empty() { Value::Null } else { Value::String(text) };
    Ok(Table { columns, rows: lines.map(|line| line.into_iter().map(cell).collect()).collect() })
}

fn from_table(table: &Table, specs: &[TensorSpec]) -> Result<Vec<Tensor>, Mistake> {
    if let Some((index, row)) = table.rows.iter().enumerate().find(|(_, row)| row.len() != table.columns.len()) {
        return Err(format!("row {index} has {} cells for {} columns", row.len(), table.columns.len()));
    }
    let places: HashMap<&str, usize> =
        table.columns.iter().enumerate().map(|(place, name)| (name.as_str(), place)).collect();
    if let [spec] = specs
        && !places.contains_key(spec.name.as_str())
    {
        let width = table.columns.len();
        let cells = table.rows.iter().flatten();
        return Ok(vec![checked(spec, vec![table.rows.len(), width], cells)?]);
    }
    let column = |spec: &TensorSpec| {
        let missing = || format!("column {:?} is missing; the table has {:?}", spec.name, table.columns);
        let place = *places.get(spec.name.as_str()).ok_or_else(missing)?;
        let shape = if spec.shape.len() > 1 { vec![table.rows.len(), 1] } else { vec![table.rows.len()] };
        checked(spec, shape, table.rows.iter().map(|row| &row[place]))
    };
    specs.iter().map(column).collect()
}

/// A tensor of nested lists, whose shape is that of the lists.
fn from_lists(value: &Value, spec: &TensorSpec) -> Result<Tensor, Mistake> {
    let mut shape = Vec::new();
    let mut level = value;
    while let Value::Array(list) = level {
        shape.push(list.len());
        let Some(first) = list.first() else { break };
        level = first;
    }
    // A list of numbers is a column where a model wants rows of one.
    let mut cells = Vec::new();
    leaves(value, &shape, &mut cells)
        .map_err(|()| format!("input {:?}: lists of one level differ in length", spec.name))?;
    if shape.len() + 1 == spec.shape.len() && spec.shape.last() == Some(&Some(1)) {
        shape.push(1);
    }
    checked(spec, shape, cells.into_iter())
}

fn leaves<'a>(value: &'a Value, shape: &[usize], all: &mut Vec<&'a Value>) -> Result<(), ()> {
    match (value, shape) {
        (Value::Array(list), [length, inner @ ..]) if list.len() == *length => {
            list.iter().try_for_each(|one| leaves(one, inner, all))
        }
        (Value::Array(_), _) | (_, [_, ..]) => Err(()),
        (value, []) => {
            all.push(value);
            Ok(())
        }
    }
}

fn checked<'a>(
    spec: &TensorSpec,
    shape: Vec<usize>,
    cells: impl Iterator<Item = &'a Value>,
) -> Result<Tensor, Mistake> {
    let count = elements(&shape).ok_or_else(|| format!("input {:?}: there are too many elements", spec.name))?;
    let mut data = Data::with_capacity(spec.datatype, count);
    for (index, cell) in cells.enumerate() {
        let wrong = || format!("input {:?}: element {index} is {cell}, which is no {}", spec.name, spec.datatype);
        put(&mut data, cell).ok_or_else(wrong)?;
    }
    let tensor = Tensor::new(shape, data).map_err(|message| format!("input {:?}: {message}", spec.name))?;
    spec.mismatch(&tensor).map_or(Ok(tensor), Err)
}

/// A whole number; tables with gaps, and CSV, have it as a float or text.
fn whole(cell: &Value) -> Option<i64> {
    let exact = |value: f64| (value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0).then_some(value as i64);
    match cell {
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().and_then(exact)),
        Value::String(text) => text.trim().parse().ok(),
        Value::Bool(value) => Some(i64::from(*value)),
        _ => None,
    }
}

fn float(cell: &Value) -> Option<f64> {
    match cell {
        Value::Null => Some(f64::NAN),
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Bool(value) => Some(f64::from(u8::from(*value))),
        _ => None,
    }
}

/// Appends a cell as the type that the model wants; `None` if it is none.
fn put(data: &mut Data, cell: &Value) -> Option<()> {
    match data {
        Data::Bool(all) => all.push(match cell {
            Value::Bool(value) => *value,
            Value::String(text) => text.trim().to_ascii_lowercase().parse().ok()?,
            other => matches!(whole(other)?, 1),
        }),
        Data::I64(all) => all.push(whole(cell)?),
        Data::I32(all) => all.push(i32::try_from(whole(cell)?).ok()?),
        Data::F64(all) => all.push(float(cell)?),
        Data::F32(all) => {
            let value = float(cell)?;
            all.push(Some(value as f32).filter(|single| single.is_infinite() == value.is_infinite())?);
        }
        Data::Bytes(all) => all.push(match cell {
            Value::String(text) => Bytes::copy_from_slice(text.as_bytes()),
            Value::Null => Bytes::new(),
            other => Bytes::from(other.to_string()),
        }),
        _ => return None,
    }
    Some(())
}

/// Writes the answer: the output itself if there is one, else each by name.
pub(crate) fn encode(specs: &[TensorSpec], tensors: &[Tensor]) -> Vec<u8> {
    let mut json = b"{\"predictions\":".to_vec();
    if let [tensor] = tensors {
        nested(tensor, &mut json);
    } else {
        for (index, (spec, tensor)) in specs.iter().zip(tensors).enumerate() {
            json.push(if index > 0 { b',' } else { b'{' });
            write_string(&spec.name, &mut json);
            json.push(b':');
            nested(tensor, &mut json);
        }
        json.push(b'}');
    }
    json.push(b'}');
    json
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Datatype;

    fn spec(name: &str, datatype: Datatype, shape: &[Option<usize>]) -> TensorSpec {
        TensorSpec { name: name.to_owned(), datatype, shape: shape.to_vec(), labels: Vec::new() }
    }

    fn matrix() -> Vec<TensorSpec> {
        vec![spec("X", Datatype::Fp32, &[None, Some(2)])]
    }

    fn columns() -> Vec<TensorSpec> {
        vec![spec("age", Datatype::Fp32, &[None, Some(1)]), spec("city", Datatype::Bytes, &[None, Some(1)])]
    }

    #[test]
    fn four_forms_mean_the_same() {
        let wanted = vec![Tensor::new(vec![2, 2], Data::F32(vec![1.0, 2.0, 3.0, 4.5])).unwrap()];
        for body in [
            r#"{"dataframe_split":{"columns":["a","b"],"data":[[1,2],[3,4.5]]}}"#,
            r#"{"dataframe_split":{"data":[[1,2],[3,4.5]]}}"#,
            r#"{"dataframe_records":[{"a":1,"b":2},{"b":4.5,"a":3}]}"#,
            r#"{"instances":[[1,2],[3,4.5]]}"#,
            r#"{"instances":[{"a":1,"b":2},{"a":3,"b":4.5}],"params":{}}"#,
            r#"{"inputs":[[1,2],[3,4.5]]}"#,
            r#"{"inputs":{"X":[[1,2],[3,4.5]]}}"#,
        ] {
            assert_eq!(decode(body.as_bytes(), false, &matrix()).as_ref(), Ok(&wanted), "{body}");
        }
        assert_eq!(decode(b"a,b\r\n1,2\r\n\"3\",4.5\n", true, &matrix()), Ok(wanted));
    }

    #[test]
    fn columns_go_to_inputs_of_their_name() {
        let body = r#"{"dataframe_split":{"columns":["city","age"],"data":[["Oslo",1],[null,null]]}}"#;
        let made = decode(body.as_bytes(), false, &columns()).unwrap();
        let Data::F32(ages) = made[0].data() else { panic!() };
        assert!(ages[0] == 1.0 && ages[1].is_nan());
        assert_eq!(made[1].data(), &Data::Bytes(vec![Bytes::from("Oslo"), Bytes::new()]));
        let from_csv = decode("city,age\n\"O,\"\"s\"\"\",1\n".as_bytes(), true, &columns()).unwrap();
        assert_eq!(from_csv[1].data(), &Data::Bytes(vec![Bytes::from("O,\"s\"")]));
        let named = decode(br#"{"inputs":{"age":[1,2],"city":["a","b"]}}"#, false, &columns()).unwrap();
        assert_eq!(named[0].shape(), [2, 1]);
    }

    #[test]
    fn mistakes_are_named() {
        for (body, message) in [
            ("[]", "no JSON object"),
            ("{}", "exactly one of"),
            (r#"{"inputs":[],"instances":[]}"#, "exactly one of"),
            (r#"{"dataframe_split":{"columns":["a"],"data":[[1,2]]}}"#, "row 0 has 2 cells for 1 columns"),
            (r#"{"dataframe_split":[1]}"#, "must be an object"),
            (r#"{"dataframe_records":[1]}"#, "list of objects"),
            (r#"{"inputs":[[1,2],[3]]}"#, "differ in length"),
            (r#"{"inputs":[[1,2,3]]}"#, "must have shape [-1, 2], got [1, 3]"),
            (r#"{"inputs":[["a","b"]]}"#, "element 0 is \"a\", which is no FP32"),
            (r#"{"inputs":[[1e39,0]]}"#, "which is no FP32"),
        ] {
            let error = decode(body.as_bytes(), false, &matrix()).unwrap_err();
            assert!(error.contains(message), "{error} for {body}");
        }
        assert!(decode(b"", true, &matrix()).unwrap_err().contains("no head"));
        assert!(decode(b"a,b\n1,\"2", true, &matrix()).unwrap_err().contains("not closed"));
        assert!(
            decode(br#"{"dataframe_split":{"columns":["x"],"data":[[1]]}}"#, false, &columns())
                .unwrap_err()
                .contains("column \"age\" is missing")
        );
    }
}
