//! The rules of evaluation datasets.

use std::collections::HashMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::future::BoxFuture;
use mcplane_core::{Error, Grant, Result};
use mcplane_db::Tx;
use mcplane_objects::audit;
use serde_json::Value;
use uuid::Uuid;

use super::records::{self, NewRecord, USER};
use super::store;
use crate::Tracking;
use crate::experiments::{self, ExperimentId};
use crate::filter::page::PageToken;
use crate::filter::{Field, evaluation_datasets as grammar};
use crate::query::{Args, MOST_RESULTS, direction, not_positive, unexpected};
use crate::tags::{Tag, check_length, check_text};

/// Longest name and longest key of a tag, and longest value of a tag, in characters.
const LONGEST: (usize, usize) = (255, 5000);

/// An evaluation dataset, without its records.
#[derive(Debug, Clone)]
pub struct EvaluationDataset {
    /// The database's own number.
    pub(crate) no: i64,
    /// Unique in the namespace.
    pub id: String,
    /// Not unique.
    pub name: String,
    /// JSON: the fields of records and their types; unknown before there is a record.
    pub schema: Option<String>,
    /// How many records there are.
    pub records: i64,
    /// Changes with every change of records.
    pub digest: String,
    /// Milliseconds since the epoch.
    pub created_at: i64,
    /// Milliseconds since the epoch.
    pub updated_at: i64,
    /// Who made it, if the client said so.
    pub created_by: Option<String>,
    /// Who changed it, if the client said so.
    pub updated_by: Option<String>,
    /// Sorted by key.
    pub tags: Vec<Tag>,
}

/// A search of datasets.
#[derive(Debug, Clone, Default)]
pub(super) struct Search {
    pub(super) experiments: Vec<String>,
    pub(super) filter: String,
    pub(super) order_by: Vec<String>,
    pub(super) most: i64,
    pub(super) page_token: String,
}

impl Tracking {
    /// Makes a dataset.
    pub(super) async fn create_evaluation_dataset(
        &self,
        grant: &Grant,
        name: &str,
        tags: Vec<Tag>,
        experiments: &[ExperimentId],
    ) -> Result<EvaluationDataset> {
        check_length("name", LONGEST.0, name)?;
        check_text(name)?;
        tags.iter().try_for_each(check_tag)?;
        let numbers: Vec<i64> = experiments.iter().map(|id| id.0).collect();
        let user = tags.iter().find(|tag| tag.key == USER).map(|tag| tag.value.clone());
        let (grant, name) = (grant.clone(), name.to_owned());
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    tx.lock().await?;
                    let now = tx.now();
                    let mut dataset = EvaluationDataset {
                        no: 0,
                        id: format!("d-{}", Uuid::new_v4().simple()),
                        digest: records::digest(&name, now),
                        name,
                        schema: None,
                        records: 0,
                        created_at: now,
                        updated_at: now,
                        created_by: user.clone(),
                        updated_by: user,
                        tags,
                    };
                    dataset.no = store::insert(tx, grant.namespace()?, &dataset).await?;
                    store::put_tags(tx, dataset.no, &dataset.tags).await?;
                    store::add_experiments(tx, dataset.no, &numbers).await?;
                    tx.audit(audit::entry(&grant, "create", &dataset.id, "allowed", 200, ""));
                    Ok(dataset)
                })
            })
            .await
    }

    /// A dataset with its tags.
    pub(super) async fn evaluation_dataset(&self, grant: &Grant, id: &str) -> Result<EvaluationDataset> {
        store::get(&self.db, grant.namespace()?, id).await?.ok_or_else(|| missing(id))
    }

    /// Deletes a dataset, if it is there.
    pub(super) async fn delete_evaluation_dataset(&self, grant: &Grant, id: &str) -> Result<()> {
        let (grant, id) = (grant.clone(), id.to_owned());
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    tx.lock().await?;
                    let Some(dataset) = store::find(tx, grant.namespace()?, &id).await? else { return Ok(()) };
                    store::delete(tx, dataset.no).await?;
                    tx.audit(audit::entry(&grant, "delete", &id, "allowed", 200, ""));
                    Ok(())
                })
            })
            .await
    }

    /// The datasets that a search finds, and the token of the next page.
    pub(super) async fn search_evaluation_datasets(
        &self,
        grant: &Grant,
        search: &Search,
    ) -> Result<(Vec<EvaluationDataset>, Option<String>)> {
        let Some(most) = u64::try_from(search.most).ok().filter(|most| *most > 0) else {
            return Err(not_positive(search.most));
        };
        if search.most > MOST_RESULTS {
            let message =
                format!("Invalid value {most} for parameter 'max_results' supplied. It must be at most {MOST_RESULTS}");
            return Err(Error::bad_request(message));
        }
        let experiments = ids(&search.experiments)?;
        let offset = PageToken::decode(&search.page_token)?.offset;
        let mut args = Args::new(self.db.dialect());
        let mut conditions = vec![format!("d.namespace = {}", args.bind(grant.namespace()?))];
        if !experiments.is_empty() {
            let list = args.numbers(&experiments);
            conditions.push(format!(
                "d.no IN (SELECT dataset FROM evaluation_dataset_experiments WHERE experiment IN {list})"
            ));
        }
        for comparison in grammar::parse(&search.filter)? {
            conditions.push(match &comparison.field {
                Field::Attribute(name @ ("created_time" | "last_update_time")) => {
                    args.number(column(name), comparison.op, &comparison.value)?
                }
                Field::Attribute(name) => args.text(column(name), comparison.op, &comparison.value)?,
                Field::Tag(key) => {
                    let key = args.bind(key.as_str());
                    let value = args.text("g.value", comparison.op, &comparison.value)?;
                    format!("EXISTS (SELECT 1 FROM evaluation_dataset_tags g WHERE g.dataset = d.no AND g.key = {key} AND {value})")
                }
                _ => return Err(unexpected()),
            });
        }
        let mut order = Vec::new();
        for clause in grammar::parse_order_by(&search.order_by)? {
            let Field::Attribute(name) = clause.field else { return Err(unexpected()) };
            order.push(format!("{} {}", column(name), direction(clause.ascending)));
        }
        if order.is_empty() {
            order.push("d.created_at DESC".to_owned());
        }
        order.push("d.id ASC".to_owned());
        let (conditions, order) = (conditions.join(" AND "), order.join(", "));
        let (limit, offset_place) = (args.bind(search.most + 1), args.bind(i64::try_from(offset).unwrap_or(i64::MAX)));
        let columns = store::COLUMNS;
        let sql = format!(
            "SELECT {columns} FROM evaluation_datasets d WHERE {conditions} ORDER BY {order} LIMIT {limit} OFFSET {offset_place}"
        );
        let rows = self.db.fetch(sql, args.into_args()).await?;
        let mut found = rows.iter().map(store::read).collect::<Result<Vec<_>>>()?;
        let more = found.len() as u64 > most;
        found.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        let next = more.then(|| PageToken { offset: offset.saturating_add(most) }.encode());
        Ok((store::with_tags(&self.db, found).await?, next))
    }

    /// Sets tags.
    pub(super) async fn set_evaluation_dataset_tags(&self, grant: &Grant, id: &str, tags: Vec<Tag>) -> Result<()> {
        tags.iter().try_for_each(check_tag)?;
        let missing = Error::Missing(format!("Could not find evaluation dataset with ID {id}"));
        self.change_dataset(grant, id, missing, move |dataset, tx| {
            Box::pin(async move { store::put_tags(tx, dataset.no, &tags).await })
        })
        .await
    }

    /// Removes a tag, if it is there.
    pub(super) async fn remove_evaluation_dataset_tag(&self, grant: &Grant, id: &str, key: &str) -> Result<()> {
        let (scope, id, key) = (grant.namespace()?.to_owned(), id.to_owned(), key.to_owned());
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    tx.lock().await?;
                    match store::find(tx, &scope, &id).await? {
                        Some(dataset) => store::remove_tag(tx, dataset.no, &key).await,
                        None => Ok(()),
                    }
                })
            })
            .await
    }

    /// Adds records, or merges them into those with the same inputs; tells how many of each.
    pub(super) async fn put_evaluation_records(
        &self,
        grant: &Grant,
        id: &str,
        records: Vec<NewRecord>,
    ) -> Result<(usize, usize)> {
        self.change_dataset(grant, id, missing(id), move |mut dataset, tx| {
            Box::pin(async move {
                let now = tx.now();
                let hashes: Vec<&str> = records.iter().map(|record| record.hash.as_str()).collect();
                let mut bodies: HashMap<String, Value> = store::records_by_hash(tx, dataset.no, &hashes).await?;
                let mut updated = 0;
                for record in &records {
                    if let Some(body) = bodies.get_mut(&record.hash) {
                        updated += 1;
                        record.merge_into(body, now);
                    } else {
                        let record_id = format!("dr-{}", Uuid::new_v4().simple());
                        bodies.insert(record.hash.clone(), record.body(&dataset.id, &record_id, now));
                    }
                }
                store::put_records(tx, dataset.no, &bodies).await?;
                dataset.schema = records::schema(dataset.schema.as_deref(), &records);
                dataset.digest = records::digest(&dataset.name, now);
                dataset.updated_at = now;
                dataset.updated_by = records.iter().rev().find_map(|record| record.user().map(str::to_owned));
                store::update(tx, &dataset).await?;
                Ok((records.len() - updated, updated))
            })
        })
        .await
    }

    /// Deletes records; tells how many.
    pub(super) async fn remove_evaluation_records(&self, grant: &Grant, id: &str, records: Vec<String>) -> Result<u64> {
        self.change_dataset(grant, id, missing(id), move |dataset, tx| {
            Box::pin(async move {
                let ids: Vec<&str> = records.iter().map(String::as_str).collect();
                let removed = store::remove_records(tx, dataset.no, &ids).await?;
                store::update(tx, &dataset).await?;
                Ok(removed)
            })
        })
        .await
    }

    /// A page of records, and the token of the next.
    pub(super) async fn evaluation_records(
        &self,
        grant: &Grant,
        id: &str,
        most: i64,
        token: &str,
    ) -> Result<(Vec<Value>, Option<String>)> {
        let most = most.clamp(1, MOST_RESULTS);
        let place = place(token)?;
        let dataset = self.evaluation_dataset(grant, id).await?;
        let mut found = store::records(&self.db, dataset.no, (place.0, &place.1), most + 1).await?;
        let more = i64::try_from(found.len()).is_ok_and(|length| length > most);
        found.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        let last = found.last().filter(|_| more).map(|record| {
            let (at, id) = (&record["created_time"], record["dataset_record_id"].as_str().unwrap_or_default());
            BASE64_STANDARD.encode(format!("{at}:{id}"))
        });
        Ok((found, last))
    }

    /// The experiments of a dataset.
    pub(super) async fn experiments_of_dataset(&self, grant: &Grant, id: &str) -> Result<Vec<i64>> {
        store::experiments(&self.db, grant.namespace()?, id).await
    }

    /// Adds a dataset to experiments, or removes it from them.
    pub(super) async fn set_dataset_experiments(
        &self,
        grant: &Grant,
        id: &str,
        list: &[String],
        add: bool,
    ) -> Result<EvaluationDataset> {
        let numbers = ids(list)?;
        let scope = grant.namespace()?.to_owned();
        let missing = Error::Missing(format!("Dataset '{id}' not found"));
        self.ensure_default(grant).await?;
        self.change_dataset(grant, id, missing, move |mut dataset, tx| {
            Box::pin(async move {
                let changed = if add {
                    for number in &numbers {
                        if experiments::store::find(tx, &scope, ExperimentId(*number)).await?.is_none() {
                            return Err(Error::Missing(format!("No Experiment with id={number}")));
                        }
                    }
                    store::add_experiments(tx, dataset.no, &numbers).await?;
                    true
                } else {
                    store::remove_experiments(tx, dataset.no, &numbers).await? > 0
                };
                if changed {
                    dataset.updated_at = tx.now();
                }
                store::update(tx, &dataset).await
            })
        })
        .await?;
        self.evaluation_dataset(grant, id).await
    }

    /// Finds a dataset and changes it in one transaction.
    async fn change_dataset<T, F>(&self, grant: &Grant, id: &str, missing: Error, change: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(EvaluationDataset, &'t mut Tx) -> BoxFuture<'t, Result<T>> + Send + 'static,
    {
        let (scope, id) = (grant.namespace()?.to_owned(), id.to_owned());
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    tx.lock().await?;
                    let dataset = store::find(tx, &scope, &id).await?.ok_or(missing)?;
                    change(dataset, tx).await
                })
            })
            .await
    }
}

fn column(attribute: &str) -> &'static str {
    match attribute {
        "created_time" => "d.created_at",
        "last_update_time" => "d.updated_at",
        "created_by" => "d.created_by",
        "last_updated_by" => "d.updated_by",
        _ => "d.name",
    }
}

fn ids(texts: &[String]) -> Result<Vec<i64>> {
    texts.iter().map(|text| ExperimentId::parse(text).map(|id| id.0)).collect()
}

/// Where a page of records starts: behind a time and an id.
fn place(token: &str) -> Result<(i64, String)> {
    if token.is_empty() {
        return Ok((i64::MIN, String::new()));
    }
    let text = BASE64_STANDARD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let place = text.and_then(|text| {
        let (at, id) = text.split_once(':')?;
        Some((at.parse().ok()?, id.to_owned()))
    });
    let place = place.ok_or_else(|| Error::bad_request("Invalid page token"))?;
    check_text(&place.1)?;
    Ok(place)
}

fn check_tag(tag: &Tag) -> Result<()> {
    check_length("key", LONGEST.0, &tag.key)?;
    check_length("value", LONGEST.1, &tag.value)?;
    check_text(&tag.key)?;
    check_text(&tag.value)
}

fn missing(id: &str) -> Error {
    Error::Missing(format!("Evaluation dataset with id '{id}' not found"))
}
