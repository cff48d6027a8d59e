//! Searches for models.

use mcplane_core::{Error, Grant, Result};
use mcplane_db::Arg;

use super::store;
use super::types::{DatasetFilter, LoggedModel, ModelSearch};
use crate::Tracking;
use crate::experiments::ExperimentId;
use crate::filter::logged_models::{OrderBy, parse, parse_order_by};
use crate::filter::page::LoggedModelsToken;
use crate::filter::{Comparison, Field, Order};
use crate::statement::Statement;

/// Models in an answer unless the client says how many.
const USUAL: i64 = 100;
/// Most models in an answer; what is beyond comes with the next page.
const MOST: i64 = 10_000;

impl Tracking {
    /// A page of the models that fit, and the token of the next page if there is one.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for what is no query, or a token of another one.
    pub async fn search_logged_models(
        &self,
        grant: &Grant,
        search: ModelSearch,
    ) -> Result<(Vec<LoggedModel>, Option<String>)> {
        if search.datasets.iter().any(|dataset| dataset.name.is_empty()) {
            return Err(Error::bad_request("`dataset_name` in the `datasets` clause must be specified."));
        }
        let offset = offset(&search)?;
        let most = if search.most > 0 { search.most.min(MOST) } else { USUAL };
        let mut view = self.db.snapshot().await?;
        let text = format!("SELECT {} FROM {}", store::COLUMNS, store::FROM);
        let mut sql = Statement::new(view.dialect(), text);
        build(&mut sql, grant.namespace()?, &search)?;
        let (limit, skip) = (sql.bind(most + 1), sql.bind(i64::try_from(offset).unwrap_or(i64::MAX)));
        sql.add(format_args!(" LIMIT ${limit} OFFSET ${skip}"));
        let mut models: Vec<_> =
            view.fetch(sql.text, sql.args).await?.iter().map(store::read).collect::<Result<_>>()?;
        let length = usize::try_from(most).unwrap_or(usize::MAX);
        let next = (models.len() > length).then(|| LoggedModelsToken {
            experiment_ids: Some(search.experiments),
            filter: search.filter,
            order_by: search.order_by,
            offset: offset.saturating_add(most.unsigned_abs()),
        });
        models.truncate(length);
        Ok((store::assemble(&mut view, models).await?, next.map(|token| token.encode())))
    }
}

fn offset(search: &ModelSearch) -> Result<u64> {
    if search.page_token.is_empty() {
        return Ok(0);
    }
    let token = LoggedModelsToken::decode(&search.page_token)?;
    token.check(&search.experiments, search.filter.as_deref(), search.order_by.as_deref())?;
    Ok(token.offset)
}

/// Adds the rest of the query to `SELECT … FROM …`, but for the page.
fn build(sql: &mut Statement, namespace: &str, search: &ModelSearch) -> Result<()> {
    let comparisons = parse(search.filter.as_deref().unwrap_or_default())?;
    let clauses = search.order_by.as_deref().unwrap_or_default();
    let orders = parse_order_by(clauses)?;
    let ids: Vec<i64> =
        search.experiments.iter().map(|id| ExperimentId::parse(id).map(|id| id.0)).collect::<Result<_>>()?;
    let (namespace, ids) = (sql.bind(namespace), sql.bind(Arg::list(&ids)));
    let list = sql.dialect().numbers(ids);
    sql.add(format_args!(" WHERE m.namespace = ${namespace} AND m.deleted = 0"));
    // By number, so that the index on models is used.
    sql.add(format_args!(
        " AND m.experiment IN (SELECT no FROM experiments WHERE namespace = ${namespace} AND id IN {list})"
    ));
    for comparison in &comparisons {
        sql.text.push_str(" AND ");
        compare(sql, comparison, &search.datasets);
    }
    let measured = comparisons.iter().any(|comparison| matches!(comparison.field, Field::Metric(_)));
    if !search.datasets.is_empty() && !measured {
        sql.text.push_str(" AND EXISTS (SELECT 1 FROM logged_model_metrics p WHERE p.model = m.no");
        on_datasets(sql, &search.datasets);
        sql.text.push(')');
    }
    order(sql, &orders, clauses);
    Ok(())
}

/// The column of an attribute. All models that are found are active, and none has a message.
fn column(attribute: &str) -> &'static str {
    match attribute {
        "artifact_location" => "m.artifact_uri",
        "creation_timestamp_ms" => "m.created_at",
        "last_updated_timestamp_ms" => "m.updated_at",
        "experiment_id" => "CAST(e.id AS TEXT)",
        "lifecycle_stage" => "'active'",
        "model_id" => "m.id",
        "model_type" => "m.model_type",
        "name" => "m.name",
        "source_run_id" => "m.source_run",
        "status" => "CAST(m.status AS TEXT)",
        _ => "CAST(NULL AS TEXT)",
    }
}

fn compare(sql: &mut Statement, Comparison { field, op, value }: &Comparison, datasets: &[DatasetFilter]) {
    let (table, key) = match field {
        Field::Metric(key) => ("logged_model_metrics", key),
        Field::Param(key) => ("logged_model_params", key),
        Field::Tag(key) => ("logged_model_tags", key),
        Field::Attribute(name) => return sql.condition(column(name), *op, value),
        // The grammar of logged models has no other fields.
        _ => return sql.text.push_str("1 = 0"),
    };
    let at = sql.bind(key.as_str());
    sql.add(format_args!("EXISTS (SELECT 1 FROM {table} p WHERE p.model = m.no AND p.key = ${at} AND "));
    sql.condition("p.value", *op, value);
    if matches!(field, Field::Metric(_)) && !datasets.is_empty() {
        on_datasets(sql, datasets);
    }
    sql.text.push(')');
}

/// Only points `p` on one of the datasets.
fn on_datasets(sql: &mut Statement, datasets: &[DatasetFilter]) {
    sql.text.push_str(" AND (");
    for (index, DatasetFilter { name, digest }) in datasets.iter().enumerate() {
        let or = if index == 0 { "" } else { " OR " };
        let at = sql.bind(name.as_str());
        sql.add(format_args!("{or}(p.dataset_name = ${at}"));
        if let Some(digest) = digest {
            let at = sql.bind(digest.as_str());
            sql.add(format_args!(" AND p.dataset_digest = ${at}"));
        }
        sql.text.push(')');
    }
    sql.text.push(')');
}

/// Adds the order. What a model lacks comes last in both directions.
fn order(sql: &mut Statement, orders: &[Order], clauses: &[OrderBy]) {
    sql.text.push_str(" ORDER BY ");
    for (Order { field, ascending }, clause) in orders.iter().zip(clauses) {
        match field {
            Field::Metric(key) => latest(sql, key, clause),
            // By number, not by its text.
            Field::Attribute("experiment_id") => sql.text.push_str("e.id"),
            Field::Attribute("status") => sql.text.push_str("m.status"),
            Field::Attribute(name) => sql.text.push_str(column(name)),
            // The grammar of logged models has no other fields.
            _ => sql.text.push('1'),
        }
        sql.text.push_str(if *ascending { " ASC NULLS LAST, " } else { " DESC NULLS LAST, " });
    }
    sql.text.push_str("m.created_at DESC, m.id ASC");
}

/// The value of a model's latest point of a metric, perhaps only of those on a dataset.
fn latest(sql: &mut Statement, key: &str, clause: &OrderBy) {
    let at = sql.bind(key);
    sql.add(format_args!(
        "(SELECT p.value FROM logged_model_metrics p JOIN runs r ON r.no = p.run WHERE p.model = m.no AND p.key = ${at}"
    ));
    for (column, wanted) in [("dataset_name", &clause.dataset_name), ("dataset_digest", &clause.dataset_digest)] {
        if let Some(wanted) = wanted {
            let at = sql.bind(wanted.as_str());
            sql.add(format_args!(" AND p.{column} = ${at}"));
        }
    }
    sql.text.push_str(" ORDER BY p.recorded_at DESC, p.step DESC, r.id ASC, p.value DESC LIMIT 1)");
}
