//! The join against its definition.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Date32Array, Int32Array, RecordBatch, TimestampMillisecondArray, TimestampSecondArray};
use mcplane_core::units::HumanDuration;
use mcplane_features::join::{Events, View, join};
use mcplane_features::tables::{ParquetOutput, Table, open};
use proptest::prelude::*;

use crate::tables::{batch, facts, memory, micros, numbers, rows, texts};

fn events(table: Arc<dyn Table>) -> Events {
    Events { table, timestamp: "at".to_owned() }
}

fn view(table: Arc<dyn Table>, entities: &[&str], features: &[&str]) -> View {
    View { table, facts: facts(entities, features), on: vec![], prefix: String::new() }
}

/// A row of a view: entity, when it became true and known, and a value that tells it from others.
#[derive(Debug, Clone)]
struct Row {
    entity: Option<i64>,
    at: Option<i64>,
    created: Option<i64>,
    value: Option<i64>,
}

#[derive(Debug, Clone)]
struct Case {
    events: Vec<(Option<i64>, Option<i64>)>,
    rows: Vec<Row>,
    late: bool,
    ttl: Option<i64>,
    textual: bool,
    batch: usize,
}

fn case() -> impl Strategy<Value = Case> {
    let some = |range: std::ops::Range<i64>| proptest::option::weighted(0.9, range);
    let row = (some(0..4), some(-3..9), some(-3..12), proptest::option::weighted(0.8, 0..1000_i64))
        .prop_map(|(entity, at, created, value)| Row { entity, at, created, value });
    (
        proptest::collection::vec((some(0..5), some(-3..12)), 0..25),
        proptest::collection::vec(row, 0..40),
        any::<bool>(),
        proptest::option::of(0..6_i64),
        any::<bool>(),
        1..9_usize,
    )
        .prop_map(|(events, rows, late, ttl, textual, batch)| Case { events, rows, late, ttl, textual, batch })
}

impl Case {
    fn entities(&self, entities: impl Iterator<Item = Option<i64>>) -> ArrayRef {
        if self.textual {
            let names: Vec<Option<String>> = entities.map(|entity| entity.map(|entity| format!("e{entity}"))).collect();
            texts(names.iter().map(Option::as_deref).collect())
        } else {
            numbers(entities.collect())
        }
    }

    fn tables(&self) -> (RecordBatch, RecordBatch) {
        let seconds: ArrayRef = Arc::new(TimestampSecondArray::from_iter(self.events.iter().map(|(_, at)| *at)));
        let asked = batch(&[
            ("entity", self.entities(self.events.iter().map(|(entity, _)| *entity))),
            ("at", seconds),
            ("no", numbers((0..self.events.len() as i64).map(Some).collect())),
        ]);
        let created =
            self.rows.iter().map(|row| row.created.map(|at| at * 1000)).collect::<TimestampMillisecondArray>();
        let known = batch(&[
            ("value", numbers(self.rows.iter().map(|row| row.value).collect())),
            ("created", Arc::new(created)),
            ("at", micros(self.rows.iter().map(|row| row.at.map(|at| at * 1_000_000)).collect())),
            ("entity", self.entities(self.rows.iter().map(|row| row.entity))),
        ]);
        (asked, known)
    }

    /// The definition: every row is looked at for every event.
    fn expected(&self, (entity, at): &(Option<i64>, Option<i64>)) -> Option<&Row> {
        let (entity, at) = (entity.as_ref()?, at.as_ref()?);
        let seen = self.rows.iter().enumerate().filter(|(_, row)| {
            let known = !self.late || row.created.is_some_and(|created| created <= *at);
            let happened = row.at.is_some_and(|row| row <= *at && self.ttl.is_none_or(|ttl| row >= at - ttl));
            row.entity == Some(*entity) && known && happened
        });
        let rank = |(no, row): &(usize, &Row)| (row.at, if self.late { row.created } else { None }, *no);
        seen.max_by_key(rank).map(|(_, row)| row)
    }

    fn view(&self, table: Arc<dyn Table>) -> View {
        let mut view = view(table, &["entity"], &["value"]);
        view.facts.created_timestamp_column = self.late.then(|| "created".to_owned());
        view.facts.ttl = self.ttl.map(|ttl| HumanDuration(Duration::from_secs(ttl.unsigned_abs())));
        view
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nothing_from_after_an_event_leaks_and_nothing_known_is_missed(case in case()) {
        let (asked, known) = case.tables();
        let view = case.view(memory("view", &known, case.batch));
        let mut twice = view.clone();
        twice.prefix = "again_".to_owned();
        let joined = join(&events(memory("events", &asked, 10 - case.batch)), &[view, twice]).unwrap();
        prop_assert_eq!(joined.events(), case.events.len());
        let shown = |value: Option<i64>| value.map_or("-".to_owned(), |value| value.to_string());
        let expected: Vec<String> = case.events.iter().map(|event| shown(case.expected(event).and_then(|row| row.value))).collect();
        let matched = case.events.iter().filter(|event| case.expected(event).is_some()).count() as u64;
        prop_assert_eq!(joined.matched(), [matched, matched]);
        let found = rows(joined);
        prop_assert_eq!(found.len(), expected.len());
        for (no, (found, expected)) in found.iter().zip(&expected).enumerate() {
            // Behind entity and time are the event's number, in the order of the events, and the value by both views.
            let end = format!(" {no} {expected} {expected}");
            prop_assert!(found.ends_with(&end), "event {}: {} instead of {}", no, found, end);
        }
    }
}

#[test]
fn late_corrections_are_seen_once_they_are_known() {
    let known = batch(&[
        ("entity", numbers(vec![Some(1); 3])),
        ("at", micros(vec![Some(10), Some(10), Some(20)])),
        ("created", micros(vec![Some(10), Some(30), Some(25)])),
        ("value", numbers(vec![Some(1), Some(2), Some(3)])),
    ]);
    let asked =
        batch(&[("entity", numbers(vec![Some(1); 6])), ("at", micros([9, 10, 24, 25, 29, 31].map(Some).to_vec()))]);
    let mut view = view(memory("view", &known, 2), &["entity"], &["value"]);
    view.facts.created_timestamp_column = Some("created".to_owned());
    let value = |view: &View| -> Vec<String> {
        let joined = join(&events(memory("events", &asked, 4)), std::slice::from_ref(view)).unwrap();
        rows(joined).iter().map(|row| row.rsplit(' ').next().unwrap().to_owned()).collect()
    };
    // The correction of the row at 10 comes at 30, when the row at 20 is known already.
    assert_eq!(value(&view), ["-", "1", "1", "3", "3", "3"]);
    // Who does not say when rows became known, gets the last of those that are true at the same time.
    view.facts.created_timestamp_column = None;
    assert_eq!(value(&view), ["-", "2", "3", "3", "3", "3"]);
}

#[test]
fn entities_may_have_several_columns_and_other_names() {
    let known = batch(&[
        ("airport", texts(vec![Some("JFK"), Some("JFK"), Some("LGA")])),
        ("terminal", numbers(vec![Some(1), Some(2), Some(1)])),
        ("at", micros(vec![Some(0); 3])),
        ("wind", texts(vec![Some("a"), Some("b"), Some("c")])),
    ]);
    let terminals: ArrayRef = Arc::new(Int32Array::from(vec![2, 1, 1, 1]));
    let asked = batch(&[
        ("at", Arc::new(Date32Array::from(vec![1, 1, 1, -1]))),
        ("origin", texts(vec![Some("JFK"), Some("LGA"), None, Some("JFK")])),
        ("gate", terminals),
    ]);
    let mut view = view(memory("view", &known, 2), &["airport", "terminal"], &["wind"]);
    view.on = vec!["origin".to_owned(), "gate".to_owned()];
    let joined = join(&events(memory("events", &asked, 3)), &[view]).unwrap();
    assert_eq!(rows(joined), ["1970-01-02 JFK 2 b", "1970-01-02 LGA 1 c", "1970-01-02 - 1 -", "1969-12-31 JFK 1 -",]);
}

#[test]
fn files_are_joined_like_memory() {
    let directory = tempfile::tempdir().unwrap();
    let csv = directory.path().join("events.csv");
    std::fs::write(&csv, "entity,at,note\n1,2013-01-01T05:00:00Z,\"a, b\"\n2,2013-01-01T06:00:00Z,\n1,,c\n").unwrap();
    let known = batch(&[
        ("entity", numbers(vec![Some(1), Some(2)])),
        ("at", micros(vec![Some(1_357_016_400_000_000), Some(1_357_020_000_000_001)])),
        ("value", texts(vec![Some("x"), Some("too late")])),
    ]);
    let parquet = directory.path().join("view.parquet");
    let said = serde_json::to_string(&facts(&["entity"], &["value"])).unwrap();
    let mut output = ParquetOutput::create(&parquet, known.schema(), &[("mcplane.feature-view", said)]).unwrap();
    output.write(&known).unwrap();
    output.finish().unwrap();
    let view = View::of_table(open(&parquet).unwrap()).unwrap();
    let joined = join(&events(open(&csv).unwrap()), &[view]).unwrap();
    assert_eq!(rows(joined), ["1 2013-01-01T05:00:00 a, b x", "2 2013-01-01T06:00:00 - -", "1 - c -",]);
    assert!(View::of_table(open(&csv).unwrap()).unwrap_err().to_string().contains("does not say what its columns are"));
}

#[test]
fn mistakes_are_told_precisely() {
    let known = batch(&[
        ("entity", numbers(vec![Some(1)])),
        ("at", micros(vec![Some(1)])),
        ("value", numbers(vec![Some(1)])),
        ("name", texts(vec![Some("a")])),
    ]);
    let asked =
        batch(&[("entity", numbers(vec![Some(1)])), ("at", micros(vec![Some(1)])), ("value", numbers(vec![None]))]);
    let told = |change: fn(&mut View)| {
        let mut view = view(memory("v.parquet", &known, 1), &["entity"], &["value"]);
        change(&mut view);
        join(&events(memory("e.csv", &asked, 1)), &[view]).unwrap_err().to_string()
    };
    for (change, words) in [
        (
            (|_| ()) as fn(&mut View),
            "v.parquet: the result would have two columns called \"value\": give the view's features a prefix",
        ),
        (
            |view| view.facts.features = vec!["nil".into()],
            "v.parquet: there is no column \"nil\"; it has entity, at, value, name",
        ),
        (|view| view.facts.features.clear(), "needs a column besides entity"),
        (|view| view.facts.entities.clear(), "needs a column that names the entity"),
        (
            |view| {
                view.prefix = "p_".into();
                view.on = vec!["a".into(), "b".into()]
            },
            "as many columns are needed",
        ),
        (
            |view| {
                view.prefix = "p_".into();
                view.facts.timestamp_column = "value".into()
            },
            "v.parquet: column \"value\" is Int64, and must be a timestamp or a date",
        ),
        (
            |view| {
                view.prefix = "p_".into();
                view.facts.timestamp_column = "name".into()
            },
            "v.parquet: column \"name\":",
        ),
        (
            |view| {
                view.prefix = "p_".into();
                view.facts.entities = vec!["name".into()];
                view.on = vec!["entity".into()]
            },
            "they can't be equal",
        ),
        (
            |view| {
                view.prefix = "p_".into();
                view.facts.entities = vec!["at".into()];
                view.on = vec!["entity".into()]
            },
            "entities are named by integers, text, booleans or dates",
        ),
        (
            |view| {
                view.prefix = "p_".into();
                view.on = vec!["elsewhere".into()]
            },
            "e.csv: there is no column \"elsewhere\"",
        ),
    ] {
        let message = told(change);
        assert!(message.contains(words), "{message}");
    }
}
