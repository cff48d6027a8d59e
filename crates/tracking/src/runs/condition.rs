//! Comparisons of a search of runs as SQL about `runs r`.

use mcplane_core::Result;

use super::types::{NAME_TAG, RunStatus};
use crate::filter::like::{self, Case};
use crate::filter::{Comparison, DatasetKey, Field, Operator, Value};
use crate::query::{Args, NEVER, View, unexpected};
use crate::tags::hash;

/// The tag of an input that tells what its dataset was for.
const CONTEXT_TAG: &str = "mlflow.data.context";

/// Where a search looks.
#[derive(Debug)]
pub(super) struct Scope {
    /// The database's numbers of experiments; there is one at least.
    pub(super) experiments: Vec<i64>,
    pub(super) view: View,
    /// All runs in question, if they are few.
    pub(super) few: Option<Vec<i64>>,
}

/// `alias` is of the experiments that are searched.
pub(super) fn in_experiments(args: &mut Args, alias: &str, scope: &Scope) -> String {
    // Few runs are found by their numbers; `+` keeps SQLite from walking all runs of the experiment instead.
    let sign = if scope.few.is_some() { "+" } else { "" };
    match scope.experiments.as_slice() {
        // A list of one would cost the order that the index has.
        [one] => format!("{sign}{alias}.experiment = {}", args.bind(*one)),
        many => format!("{sign}{alias}.experiment IN {}", args.numbers(many)),
    }
}

/// Values of parameters and tags with more characters are not in the order of the index.
const LONGEST_IN_ORDER: usize = 250;

/// Whether a value is in the index that has an order, in the words of that index.
pub(super) fn short(alias: &str) -> String {
    format!("length({alias}.value) <= {LONGEST_IN_ORDER}")
}

/// Whether a value is in the index of long ones, in the words of that index.
pub(super) fn long(alias: &str) -> String {
    format!("length({alias}.value) > {LONGEST_IN_ORDER}")
}

/// Query for the numbers of all runs that satisfy a comparison, if there is an index for it.
pub(super) fn probe(args: &mut Args, scope: &Scope, comparison: &Comparison) -> Result<Option<String>> {
    let Comparison { field, op, value } = comparison;
    let (table, key) = match (field, op) {
        (Field::Metric(_), Operator::Ne) => return Ok(None),
        (Field::Metric(key), _) => {
            let experiments = in_experiments(args, "m", scope);
            let key = args.bind(key.as_str());
            let value = args.number("m.value", *op, value)?;
            let sql = "SELECT m.run FROM metric_latest m WHERE";
            return Ok(Some(format!("{sql} {experiments} AND m.key = {key} AND m.nan = 0 AND {value}")));
        }
        (Field::Param(key), Operator::Eq) => ("run_params", key.as_str()),
        (Field::Tag(key), Operator::Eq) => ("run_tags", key.as_str()),
        (Field::Attribute("run_name"), Operator::Eq) => ("run_tags", NAME_TAG),
        _ => return Ok(None),
    };
    let Value::Text(text) = value else { return Err(unexpected()) };
    let experiments = in_experiments(args, "x", scope);
    let key = args.bind(key);
    let equal = if text.chars().count() > LONGEST_IN_ORDER {
        let hash = args.bind(hash(text));
        format!("x.hash = {hash} AND {} AND {}", args.text("x.value", *op, value)?, long("x"))
    } else {
        // In the order of the index, which has no others.
        format!("{} AND {}", args.text(&args.sortable("x.value"), *op, value)?, short("x"))
    };
    Ok(Some(format!("SELECT x.run FROM {table} x WHERE {experiments} AND x.key = {key} AND {equal}")))
}

/// What a run must satisfy.
pub(super) fn condition(args: &mut Args, comparison: &Comparison) -> Result<String> {
    let Comparison { field, op, value } = comparison;
    match field {
        Field::Metric(key) => {
            let key = args.bind(key.as_str());
            let number = args.number("m.value", *op, value)?;
            // A NaN differs from every number, and compares with none.
            let number = match op {
                Operator::Ne => format!("(m.nan = 1 OR {number})"),
                _ => format!("m.nan = 0 AND {number}"),
            };
            Ok(format!("EXISTS (SELECT 1 FROM metric_latest m WHERE m.run = r.no AND m.key = {key} AND {number})"))
        }
        Field::Param(key) => entry_of_run(args, "run_params", key, *op, value),
        Field::Tag(key) => entry_of_run(args, "run_tags", key, *op, value),
        Field::Attribute("run_name") => entry_of_run(args, "run_tags", NAME_TAG, *op, value),
        Field::Attribute("status") => status(*op, value),
        Field::Attribute("start_time") => args.number("r.started_at", *op, value),
        Field::Attribute("end_time") => args.number("r.ended_at", *op, value),
        Field::Attribute(name) => args.text(column(name)?, *op, value),
        Field::Dataset(key) => dataset(args, *key, *op, value),
        _ => Err(unexpected()),
    }
}

/// The column of an attribute that is a text.
pub(super) fn column(attribute: &str) -> Result<&'static str> {
    match attribute {
        "run_id" => Ok("r.id"),
        "run_name" => Ok("r.name"),
        "user_id" => Ok("r.user_id"),
        "artifact_uri" => Ok("r.artifact_uri"),
        _ => Err(unexpected()),
    }
}

fn entry_of_run(args: &mut Args, table: &str, key: &str, op: Operator, value: &Value) -> Result<String> {
    let not = if op == Operator::IsNull { "NOT " } else { "" };
    let entry = entry(args, key, op, value)?;
    Ok(format!("{not}EXISTS (SELECT 1 FROM {table} x WHERE x.run = r.no AND {entry})"))
}

/// What an entry `x` with a key, a value and its hash satisfies.
fn entry(args: &mut Args, key: &str, op: Operator, value: &Value) -> Result<String> {
    let key = format!("x.key = {}", args.bind(key));
    match (op, value) {
        (Operator::IsNull | Operator::IsNotNull, _) => Ok(key),
        (Operator::Eq, Value::Text(text)) => {
            let hash = args.bind(hash(text));
            Ok(format!("{key} AND x.hash = {hash} AND {}", args.text("x.value", op, value)?))
        }
        _ => Ok(format!("{key} AND {}", args.text("x.value", op, value)?)),
    }
}

/// Statuses are texts for clients and numbers in the database.
fn status(op: Operator, value: &Value) -> Result<String> {
    let Value::Text(text) = value else { return Err(unexpected()) };
    let meant = |status: &RunStatus| match op {
        Operator::Eq => status.name() == text,
        Operator::Ne => status.name() != text,
        Operator::Like => like::matches(status.name(), text, Case::Sensitive),
        Operator::ILike => like::matches(status.name(), text, Case::Insensitive),
        _ => false,
    };
    let numbers: Vec<String> =
        RunStatus::ALL.into_iter().filter(meant).map(|status| (status as i64).to_string()).collect();
    Ok(if numbers.is_empty() { NEVER.to_owned() } else { format!("r.status IN ({})", numbers.join(", ")) })
}

fn dataset(args: &mut Args, key: DatasetKey, op: Operator, value: &Value) -> Result<String> {
    const INPUTS: &str = "EXISTS (SELECT 1 FROM dataset_inputs i";
    let column = match key {
        DatasetKey::Name => "d.name",
        DatasetKey::Digest => "d.digest",
        DatasetKey::Context => {
            let tag = args.bind(CONTEXT_TAG);
            let value = args.text("t.value", op, value)?;
            let tags = "JOIN dataset_input_tags t ON t.input = i.no";
            return Ok(format!("{INPUTS} {tags} WHERE i.run = r.no AND t.key = {tag} AND {value})"));
        }
    };
    let value = args.text(column, op, value)?;
    Ok(format!("{INPUTS} JOIN datasets d ON d.no = i.dataset WHERE i.run = r.no AND {value})"))
}

#[cfg(test)]
mod tests {
    use mcplane_db::Dialect;

    use super::*;
    use crate::filter::runs::parse;

    fn sql(filter: &str) -> String {
        let mut args = Args::new(Dialect::Sqlite);
        let comparisons = parse(filter).unwrap();
        comparisons.iter().map(|comparison| condition(&mut args, comparison).unwrap()).collect::<Vec<_>>().join(" AND ")
    }

    #[test]
    fn texts_of_clients_are_arguments() {
        let sql = sql("params.`a'b` = 'it''s' AND tags.x LIKE '%y%' AND run_id IN ('1', '2')");
        assert!(!sql.contains('\'') && !sql.contains('%'), "{sql}");
    }

    #[test]
    fn statuses_are_compared_as_texts() {
        assert_eq!(sql("status = 'FINISHED'"), "r.status IN (3)");
        assert_eq!(sql("status = 'finished'"), NEVER);
        assert_eq!(sql("status ILIKE 'f%'"), "r.status IN (3, 4)");
        assert_eq!(sql("status != 'RUNNING'"), "r.status IN (2, 3, 4, 5)");
    }
}
