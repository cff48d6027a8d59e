//! Searches for models and versions.

use mcplane_core::{Error, Grant, Result};
use mcplane_db::Dialect;

use super::types::{ModelVersion, PROMPT_TAG, Query, RegisteredModel};
use super::{store, version_store};
use crate::Tracking;
use crate::filter::page::PageToken;
use crate::filter::{Comparison, Field, Operator, Order, Value, model_versions, registered_models};
use crate::query::direction;
use crate::statement::Statement;

/// One page of a search.
#[derive(Debug)]
pub struct Page<T> {
    /// What it holds.
    pub items: Vec<T>,
    /// Where the next page starts, if there is one.
    pub next_page_token: Option<String>,
}

impl Tracking {
    /// The models that fit, with their latest versions. Prompts are left out unless they are asked for.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for what is no query.
    pub async fn search_models(&self, grant: &Grant, query: &Query) -> Result<Page<RegisteredModel>> {
        let comparisons = registered_models::parse(&query.filter)?;
        let orders = registered_models::parse_order_by(&query.order_by)?;
        let mut view = self.db.snapshot().await?;
        let mut sql = Search::new(view.dialect(), &Columns::MODELS, store::COLUMNS, "registered_models m");
        sql.scope(grant.namespace()?);
        sql.compare(&comparisons);
        sql.order(&orders, &[("m.name", true)]);
        let page = sql.page(query)?;
        let models =
            view.fetch(sql.statement.text, sql.statement.args).await?.iter().map(store::read).collect::<Result<_>>()?;
        let (models, next_page_token) = page.cut(models);
        let mut items = store::assemble(&mut view, models).await?;
        let numbers: Vec<i64> = items.iter().map(|model| model.no).collect();
        let mut latest = version_store::latest_of(&mut view, &numbers).await?;
        latest.sort_by_key(|version| version.stage.name());
        for version in latest {
            if let Some(model) = items.iter_mut().find(|model| model.no == version.model_no) {
                model.latest.push(version);
            }
        }
        Ok(Page { items, next_page_token })
    }

    /// The versions that fit. Those of prompts are left out unless they are asked for.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for what is no query.
    pub async fn search_versions(&self, grant: &Grant, query: &Query) -> Result<Page<ModelVersion>> {
        if query.max_results < 1 {
            return Err(Error::bad_request(format!(
                "Invalid value for max_results. It must be a positive integer, but got {}",
                query.max_results
            )));
        }
        let comparisons = model_versions::parse(&query.filter)?;
        let orders = model_versions::parse_order_by(&query.order_by)?;
        let mut view = self.db.snapshot().await?;
        let columns = version_store::COLUMNS;
        let mut sql = Search::new(view.dialect(), &Columns::VERSIONS, columns, version_store::FROM);
        sql.scope(grant.namespace()?);
        sql.statement.text.push_str(" AND v.deleted = 0");
        sql.compare(&comparisons);
        let usual: &[_] = if orders.is_empty() { &[("v.updated_at", false)] } else { &[] };
        sql.order(&orders, &[usual, &[("m.name", true), ("v.version", false)]].concat());
        let page = sql.page(query)?;
        let versions = view
            .fetch(sql.statement.text, sql.statement.args)
            .await?
            .iter()
            .map(version_store::read)
            .collect::<Result<_>>()?;
        let (versions, next_page_token) = page.cut(versions);
        Ok(Page { items: version_store::with_tags(&mut view, versions).await?, next_page_token })
    }
}

/// Where the fields of a search are.
struct Columns {
    namespace: &'static str,
    attributes: &'static [(&'static str, &'static str)],
    /// Rows of tags `t` that belong to a row.
    tags: &'static str,
    /// Rows of tags `t` of which one makes a row a prompt's.
    prompts: &'static str,
}

impl Columns {
    const MODELS: Self = Self {
        namespace: "m.namespace",
        attributes: &[("name", "m.name"), ("last_updated_timestamp", "m.updated_at")],
        tags: "registered_model_tags t WHERE t.model = m.no",
        prompts: "registered_model_tags t WHERE t.model = m.no",
    };
    const VERSIONS: Self = Self {
        namespace: "v.namespace",
        attributes: &[
            ("name", "m.name"),
            ("version_number", "v.version"),
            ("run_id", "v.run_id"),
            ("source_path", "v.source"),
            ("creation_timestamp", "v.created_at"),
            ("last_updated_timestamp", "v.updated_at"),
        ],
        tags: "model_version_tags t WHERE t.model = v.model AND t.version = v.version",
        prompts: "model_version_tags t WHERE t.model = v.model",
    };

    fn of(&self, attribute: &str) -> &'static str {
        // The grammar knows no other attributes than those above.
        self.attributes.iter().find(|(name, _)| *name == attribute).map_or("NULL", |(_, column)| column)
    }
}

/// A query of the registry on its way to the database.
struct Search<'c> {
    columns: &'c Columns,
    statement: Statement,
}

impl<'c> Search<'c> {
    fn new(dialect: Dialect, columns: &'c Columns, wanted: &str, from: &str) -> Self {
        Self { columns, statement: Statement::new(dialect, format!("SELECT {wanted} FROM {from} WHERE ")) }
    }

    fn scope(&mut self, namespace: &str) {
        let at = self.statement.bind(namespace);
        let column = self.columns.namespace;
        self.statement.add(format_args!("{column} = ${at}"));
    }

    fn compare(&mut self, comparisons: &[Comparison]) {
        let of_prompts = asks_for_prompts(comparisons);
        for comparison in comparisons {
            match &comparison.field {
                // What is no prompt has no such tag, so that comparing it would find nothing.
                Field::Tag(key) if key == PROMPT_TAG && !of_prompts => {}
                Field::Tag(key) => {
                    let at = self.statement.bind(key.as_str());
                    let tags = self.columns.tags;
                    self.statement.add(format_args!(" AND EXISTS (SELECT 1 FROM {tags} AND t.key = ${at}"));
                    self.condition("t.value", comparison);
                    self.statement.text.push(')');
                }
                Field::Attribute(name) => self.condition(self.columns.of(name), comparison),
                // The grammar of the registry has no other fields.
                _ => self.statement.text.push_str(" AND 1 = 0"),
            }
        }
        if !of_prompts {
            let at = self.statement.bind(PROMPT_TAG);
            let prompts = self.columns.prompts;
            self.statement
                .add(format_args!(" AND NOT EXISTS (SELECT 1 FROM {prompts} AND t.key = ${at} AND t.value = 'true')"));
        }
    }

    fn condition(&mut self, column: &str, Comparison { op, value, .. }: &Comparison) {
        self.statement.text.push_str(" AND ");
        self.statement.condition(column, *op, value);
    }

    /// Orders by what is asked for, then by the columns of `more` that are not in it.
    fn order(&mut self, orders: &[Order], more: &[(&'static str, bool)]) {
        let asked = orders.iter().filter_map(|order| match order.field {
            Field::Attribute(name) => Some((self.columns.of(name), order.ascending)),
            _ => None,
        });
        let mut columns: Vec<(&str, bool)> = asked.collect();
        for extra in more {
            if !columns.iter().any(|(column, _)| *column == extra.0) {
                columns.push(*extra);
            }
        }
        let columns: Vec<String> =
            columns.into_iter().map(|(column, ascending)| format!("{column} {}", direction(ascending))).collect();
        let columns = columns.join(", ");
        self.statement.add(format_args!(" ORDER BY {columns}"));
    }

    fn page(&mut self, query: &Query) -> Result<Cut> {
        let cut = Cut { offset: PageToken::decode(&query.page_token)?.offset, length: query.max_results };
        let offset = i64::try_from(cut.offset).unwrap_or(i64::MAX);
        let (limit, offset) = (self.statement.bind(cut.length + 1), self.statement.bind(offset));
        self.statement.add(format_args!(" LIMIT ${limit} OFFSET ${offset}"));
        Ok(cut)
    }
}

/// A search says nothing of prompts unless its first comparison of their tag wants them.
fn asks_for_prompts(comparisons: &[Comparison]) -> bool {
    let first = comparisons.iter().find(|comparison| comparison.field == Field::Tag(PROMPT_TAG.to_owned()));
    first.is_some_and(|Comparison { op, value, .. }| match (op, value) {
        (Operator::Eq, Value::Text(text)) => text.eq_ignore_ascii_case("true"),
        (Operator::Ne, Value::Text(text)) => text.eq_ignore_ascii_case("false"),
        _ => false,
    })
}

/// Where a page is cut from the rows.
struct Cut {
    offset: u64,
    length: i64,
}

impl Cut {
    fn cut<T>(self, mut rows: Vec<T>) -> (Vec<T>, Option<String>) {
        let length = usize::try_from(self.length).unwrap_or(0);
        let more = rows.len() > length;
        rows.truncate(length);
        let offset = self.offset.saturating_add(self.length.unsigned_abs());
        (rows, more.then(|| PageToken { offset }.encode()))
    }
}
