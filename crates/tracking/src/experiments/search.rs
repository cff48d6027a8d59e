//! Which experiments a search finds, and in which order.

use mcplane_core::{Grant, Result};

use super::store;
use super::types::Experiment;
use crate::Tracking;
use crate::filter::{self, Comparison, Field, Operator, Order, Value};
use crate::query::{ALWAYS, Args, NEVER, View, direction, unexpected};
use crate::tags::check_text;

/// A search of experiments.
#[derive(Debug, Clone, Default)]
pub struct ExperimentSearch {
    /// What the client filters by.
    pub filter: String,
    /// What the client sorts by.
    pub order_by: Vec<String>,
    /// Active or deleted experiments.
    pub view: View,
    /// How many experiments come before the page.
    pub offset: u64,
    /// Experiments of the page at most.
    pub limit: usize,
}

impl Tracking {
    /// A page of the experiments that a search finds, and whether more follow.
    ///
    /// # Errors
    /// [`mcplane_core::Error::BadRequest`] for a filter or an order that can't be read.
    pub async fn search_experiments(&self, grant: &Grant, search: ExperimentSearch) -> Result<(Vec<Experiment>, bool)> {
        check_text(&search.filter)?;
        search.order_by.iter().try_for_each(|order| check_text(order))?;
        let comparisons = filter::experiments::parse(&search.filter)?;
        let orders = filter::experiments::parse_order_by(&search.order_by)?;
        self.ensure_default(grant).await?;
        let mut args = Args::new(self.db.dialect());
        let mut conditions = vec![format!("namespace = {}", args.bind(grant.namespace()?))];
        match search.view {
            View::Active => conditions.push("deleted = 0".to_owned()),
            View::Deleted => conditions.push("deleted = 1".to_owned()),
            View::All => {}
        }
        for comparison in &comparisons {
            conditions.push(condition(&mut args, comparison)?);
        }
        let (columns, conditions, order) = (store::COLUMNS, conditions.join(" AND "), order(&args, &orders)?);
        let limit = args.bind(search.limit as i64 + 1);
        let offset = args.bind(search.offset.min(i64::MAX as u64).cast_signed());
        let sql = format!(
            "SELECT {columns} FROM experiments e WHERE {conditions} ORDER BY {order} LIMIT {limit} OFFSET {offset}"
        );
        let rows = self.db.fetch(sql, args.into_args()).await?;
        let mut found = rows.iter().map(store::read).collect::<Result<Vec<_>>>()?;
        let more = found.len() > search.limit;
        found.truncate(search.limit);
        Ok((store::with_tags(&self.db, found).await?, more))
    }
}

fn condition(args: &mut Args, Comparison { field, op, value }: &Comparison) -> Result<String> {
    match field {
        Field::Attribute("name") => args.text("name", *op, value),
        Field::Attribute("experiment_id") => id(args, *op, value),
        Field::Attribute("creation_time") => args.number("created_at", *op, value),
        Field::Attribute("last_update_time") => args.number("updated_at", *op, value),
        Field::Tag(key) => {
            let key = args.bind(key.as_str());
            let (not, and) = match op {
                Operator::IsNull => ("NOT ", String::new()),
                Operator::IsNotNull => ("", String::new()),
                _ => ("", format!(" AND {}", args.text("t.value", *op, value)?)),
            };
            Ok(format!(
                "{not}EXISTS (SELECT 1 FROM experiment_tags t WHERE t.experiment = e.no AND t.key = {key}{and})"
            ))
        }
        _ => Err(unexpected()),
    }
}

/// Ids are texts for clients and numbers in the database; numbers beyond 64 bits are nobody's.
fn id(args: &mut Args, op: Operator, value: &Value) -> Result<String> {
    let number = |text: &String| text.parse::<i64>().ok();
    Ok(match (op, value) {
        (Operator::Eq | Operator::Ne, Value::Text(text)) => match number(text) {
            Some(number) => format!("id {} {}", op.as_str(), args.bind(number)),
            None => if op == Operator::Ne { ALWAYS } else { NEVER }.to_owned(),
        },
        (Operator::In | Operator::NotIn, Value::TextList(texts)) => {
            let numbers: Vec<i64> = texts.iter().filter_map(number).collect();
            format!("id {} {}", op.as_str(), args.numbers(&numbers))
        }
        _ => return Err(unexpected()),
    })
}

/// What follows `ORDER BY`. The newest come first unless the client says otherwise.
fn order(args: &Args, orders: &[Order]) -> Result<String> {
    if orders.is_empty() {
        return Ok("created_at DESC, id ASC".to_owned());
    }
    let mut terms = Vec::with_capacity(orders.len() + 1);
    let mut by_id = false;
    for Order { field, ascending } in orders {
        let column = match field {
            Field::Attribute("name") => args.sortable("name"),
            Field::Attribute("experiment_id") => "id".to_owned(),
            Field::Attribute("creation_time") => "created_at".to_owned(),
            Field::Attribute("last_update_time") => "updated_at".to_owned(),
            _ => return Err(unexpected()),
        };
        by_id |= column == "id";
        terms.push(format!("{column} {}", direction(*ascending)));
    }
    if !by_id {
        terms.push("id DESC".to_owned());
    }
    Ok(terms.join(", "))
}

#[cfg(test)]
mod tests {
    use mcplane_db::Dialect;

    use super::*;

    #[test]
    fn orders_end_with_the_id() {
        let order = |by: &[&str]| {
            let by: Vec<String> = by.iter().map(|by| (*by).to_owned()).collect();
            order(&Args::new(Dialect::Sqlite), &filter::experiments::parse_order_by(&by).unwrap()).unwrap()
        };
        assert_eq!(order(&[]), "created_at DESC, id ASC");
        assert_eq!(order(&["name"]), "name ASC, id DESC");
        assert_eq!(order(&["experiment_id", "creation_time DESC"]), "id ASC, created_at DESC");
    }
}
