//! The join itself.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array as _, RecordBatch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use mcplane_core::{Error, Result};

use super::columns::{kind, times};
use super::gather::{Gathered, gather};
use super::keys::{Keys, NONE};
use super::spec::{Events, View};
use super::steps::{Fact, Steps};
use super::times::{Unit, finest};
use crate::tables::{Batches, fault};

/// Events with their features, batch by batch.
pub struct Joined {
    schema: SchemaRef,
    events: Batches,
    views: Vec<Gathered>,
    next: usize,
    total: usize,
}

impl Joined {
    /// The columns of the events, and behind them the features of each view.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The events.
    pub fn events(&self) -> usize {
        self.total
    }

    /// By view, the events that have features of it.
    pub fn matched(&self) -> Vec<u64> {
        self.views.iter().map(Gathered::matched).collect()
    }

    fn complete(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let mut columns = batch.columns().to_vec();
        for view in &self.views {
            columns.extend(view.columns(self.next, batch.num_rows())?);
        }
        self.next += batch.num_rows();
        RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(Error::internal)
    }
}

impl fmt::Debug for Joined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Joined").field("events", &self.total).finish_non_exhaustive()
    }
}

impl Iterator for Joined {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.events.next() {
            Some(batch) => Some(batch.and_then(|batch| self.complete(&batch))),
            None if self.next < self.total => {
                self.next = self.total;
                Some(Err(Error::bad_request("the events changed while they were read")))
            }
            None => None,
        }
    }
}

/// Joins the features of `views` to `events`. What is found is decided before the first batch is given out.
///
/// # Errors
/// [`Error::BadRequest`] for columns that are missing, of the wrong type or named twice in the result, and for tables that
/// can't be read.
pub fn join(events: &Events, views: &[View]) -> Result<Joined> {
    let schema = schema(events, views)?;
    let unit = unit(events, views)?;
    let seen = Seen::read(events, views, unit)?;
    let views = views.iter().map(|view| look_up(view, &seen, unit)).collect::<Result<Vec<_>>>()?;
    let names: Vec<&str> = events.table.schema().fields().iter().map(|field| field.name().as_str()).collect();
    let total = seen.times.len();
    Ok(Joined { schema, events: events.table.scan(&names)?, views, next: 0, total })
}

fn schema(events: &Events, views: &[View]) -> Result<SchemaRef> {
    let mut fields: Vec<Field> = events.table.schema().fields().iter().map(|field| field.as_ref().clone()).collect();
    let mut names: HashSet<String> = fields.iter().map(|field| field.name().clone()).collect();
    for view in views {
        view.check()?;
        for feature in &view.facts.features {
            let name = format!("{}{feature}", view.prefix);
            if !names.insert(name.clone()) {
                return Err(fault(
                    view.table.name(),
                    format!("the result would have two columns called {name:?}: give the view's features a prefix"),
                ));
            }
            fields.push(Field::new(name, kind(&*view.table, feature)?.clone(), true));
        }
    }
    Ok(Arc::new(Schema::new(fields)))
}

fn unit(events: &Events, views: &[View]) -> Result<Unit> {
    let mut columns = vec![(&events.table, events.timestamp.as_str())];
    for view in views {
        columns.push((&view.table, &view.facts.timestamp_column));
        columns.extend(view.facts.created_timestamp_column.as_deref().map(|created| (&view.table, created)));
    }
    let kinds: Vec<_> =
        columns.iter().map(|(table, name)| Ok((table.name(), *name, kind(&***table, name)?))).collect::<Result<_>>()?;
    finest(kinds.into_iter())
}

/// What the events ask.
struct Seen {
    /// When each happened; of those without a time, nothing is looked up.
    times: Vec<i64>,
    latest: i64,
    /// By set of entity columns, the entities and that of each event.
    entities: Vec<(Vec<String>, Keys, Vec<u32>)>,
}

impl Seen {
    fn read(events: &Events, views: &[View], unit: Unit) -> Result<Self> {
        let table = &*events.table;
        let mut seen = Self { times: vec![], latest: i64::MIN, entities: vec![] };
        for view in views {
            if !seen.entities.iter().any(|(columns, ..)| columns == view.event_columns()) {
                seen.entities.push((view.event_columns().to_vec(), Keys::new(table, view.event_columns())?, vec![]));
            }
        }
        let mut names = vec![events.timestamp.as_str()];
        names.extend(views.iter().flat_map(View::event_columns).map(String::as_str));
        for batch in table.scan(&names)? {
            let batch = batch?;
            let times = times(table, &batch, &events.timestamp, unit)?;
            for (columns, keys, ids) in &mut seen.entities {
                let start = ids.len();
                keys.intern(table, &batch, columns, ids)?;
                for (at, id) in ids[start..].iter_mut().enumerate() {
                    if times.is_null(at) {
                        *id = NONE;
                    }
                }
            }
            seen.latest = times.iter().flatten().fold(seen.latest, i64::max);
            seen.times.extend_from_slice(times.values());
        }
        Ok(seen)
    }
}

/// Finds the row of a view that each event sees, and the values in it.
fn look_up(view: &View, seen: &Seen, unit: Unit) -> Result<Gathered> {
    let entities = seen.entities.iter().find(|(columns, ..)| columns == view.event_columns());
    let (_, keys, ids) = entities.ok_or_else(|| Error::internal("a view without entities"))?;
    let table = &*view.table;
    keys.check(table, &view.facts.entities, view.event_columns())?;
    let (facts, total) = facts(view, keys, seen.latest, unit)?;
    let steps = Steps::new(facts, keys.len(), view.ttl().map(|ttl| unit.count(ttl)));
    let rows = ids.iter().zip(&seen.times).map(|(key, time)| steps.at(*key, *time).unwrap_or(NONE)).collect();
    drop(steps);
    gather(table, &view.facts.features, rows, total)
}

/// The rows that some event could see, and how many there are in all.
fn facts(view: &View, keys: &Keys, latest: i64, unit: Unit) -> Result<(Vec<Fact>, usize)> {
    let (table, facts) = (&*view.table, &view.facts);
    let created_column = facts.created_timestamp_column.as_deref();
    let mut names: Vec<&str> = facts.entities.iter().map(String::as_str).collect();
    names.push(&facts.timestamp_column);
    names.extend(created_column);
    let (mut found, mut total) = (Vec::new(), 0_usize);
    for batch in table.scan(&names)? {
        let batch = batch?;
        if total + batch.num_rows() > NONE as usize {
            return Err(fault(table.name(), "a view may have at most four billion rows"));
        }
        let ids = keys.find(table, &batch, &facts.entities)?;
        let happened = times(table, &batch, &facts.timestamp_column, unit)?;
        let created = created_column.map(|name| times(table, &batch, name, unit)).transpose()?;
        for (at, id) in ids.into_iter().enumerate() {
            let unknown = happened.is_null(at) || created.as_ref().is_some_and(|created| created.is_null(at));
            if id == NONE || unknown {
                continue;
            }
            let created = created.as_ref().map(|created| created.value(at));
            let fact = Fact::new(id, (total + at) as u32, happened.value(at), created);
            if fact.visible() <= latest {
                found.push(fact);
            }
        }
        total += batch.num_rows();
    }
    Ok((found, total))
}
