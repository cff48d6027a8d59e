//! Past states against a model that keeps them all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mcplane_core::Result;
use mcplane_db::{Arg, Db, Dialect, Operation};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::store::{Store, unit};

/// Namespace and name to body.
type State = BTreeMap<(String, String), String>;

pub(crate) async fn undoing_gives_every_past_state(store: Store) {
    const RESOURCES: [&str; 2] = ["configmaps", "secrets"];
    let db = store.open().await;
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    // The state of each resource at each revision; revision 1 is the empty beginning.
    let mut past: Vec<[State; 2]> = vec![Default::default(), Default::default()];
    while past.len() < 300 {
        let mut steps = Vec::new();
        for _ in 0..random.random_range(1..6) {
            let mut now = past[past.len() - 1].clone();
            let which = random.random_range(0..2);
            let key = (format!("ns{}", random.random_range(0..3)), format!("n{}", random.random_range(0..8)));
            let previous = now[which].get(&key).cloned();
            let revision = past.len();
            let (operation, body) = match (&previous, random.random_bool(0.3)) {
                (Some(last), true) => (Operation::Deleted, last.clone()),
                (Some(_), false) => (Operation::Updated, format!("{{\"r\":{revision}}}")),
                (None, _) => (Operation::Created, format!("{{\"r\":{revision}}}")),
            };
            match operation {
                Operation::Deleted => drop(now[which].remove(&key)),
                _ => drop(now[which].insert(key.clone(), body.clone())),
            }
            past.push(now);
            steps.push((RESOURCES[which], key, operation, body, previous));
        }
        apply(&db, steps).await.unwrap();
    }
    let head = past.len() - 1;
    assert_eq!(db.feed().revision(), head as i64);
    for (which, resource) in RESOURCES.iter().enumerate() {
        for revision in 1..=head {
            let within = ["", "ns0", "ns1", "absent"][random.random_range(0..4)];
            let mut snapshot = db.snapshot().await.unwrap();
            let undo = db.undo_since(&mut snapshot, resource, within, revision as i64).await.unwrap();
            assert!(undo.is_sorted_by_key(|change| (change.namespace.clone(), change.name.clone())));
            let mut state = past[head][which].clone();
            for change in undo {
                assert!(within.is_empty() || within == &*change.namespace);
                let key = (change.namespace.to_string(), change.name.to_string());
                match change.previous {
                    Some(body) => drop(state.insert(key, body.to_string())),
                    None => drop(state.remove(&key)),
                }
            }
            let inside = |state: &State| -> State {
                state.clone().into_iter().filter(|((ns, _), _)| within.is_empty() || ns == within).collect()
            };
            assert_eq!(inside(&state), inside(&past[revision][which]), "{resource} at {revision} in {within:?}");
        }
    }
}

type Step = (&'static str, (String, String), Operation, String, Option<String>);

async fn apply(db: &Db, steps: Vec<Step>) -> Result<()> {
    db.write(unit(move |tx| {
        Box::pin(async move {
            for (resource, (namespace, name), operation, body, previous) in steps {
                let key = [resource, &namespace, &name].map(Arc::<str>::from);
                let body: Arc<str> = body.into();
                tx.change((&key[0], &key[1], &key[2]), operation, |_| body, previous.map(Into::into)).await?;
            }
            Ok(())
        })
    }))
    .await
}

pub(crate) async fn undoing_uses_the_index_and_stays_linear(store: Store) {
    const CHANGES: usize = 30_000;
    let db = store.open().await;
    for chunk in 0..CHANGES / 3000 {
        let steps = (0..3000).map(|number| {
            let (resource, key) = (["a", "b", "c"][number % 3], ("ns".to_owned(), format!("{chunk}-{}", number / 6)));
            (resource, key, Operation::Updated, "{}".to_owned(), Some("{}".to_owned()))
        });
        apply(&db, steps.collect()).await.unwrap();
    }
    let started = Instant::now();
    let mut snapshot = db.snapshot().await.unwrap();
    let undo = db.undo_since(&mut snapshot, "a", "", 1).await.unwrap();
    let took = started.elapsed();
    assert_eq!(undo.len(), CHANGES / 6);
    println!("undoing {} changes took {took:?}", CHANGES / 3);
    assert!(took < Duration::from_secs(5), "{took:?}");

    store.administer("ANALYZE").await;
    let recent = CHANGES as i64 - 100;
    let plan = explain(&db, recent).await;
    match store.dialect() {
        Dialect::Sqlite => {
            assert!(plan.contains("USING INDEX changes_by_resource (resource=? AND revision>?)"), "{plan}");
            assert!(plan.contains("SEARCH changes USING INTEGER PRIMARY KEY (rowid=?)"), "{plan}");
        }
        Dialect::Postgres => assert!(!plan.contains("Seq Scan"), "{plan}"),
    }
}

async fn explain(db: &Db, revision: i64) -> String {
    let (explain, column) = match db.dialect() {
        Dialect::Sqlite => ("EXPLAIN QUERY PLAN", 3),
        Dialect::Postgres => ("EXPLAIN", 0),
    };
    let sql = format!("{explain} {}", mcplane_db::undo_query(false));
    let rows = db.fetch(sql, vec![Arg::from("a"), Arg::from(revision)]).await.unwrap();
    rows.iter().map(|row| format!("{}\n", row.text(column).unwrap())).collect()
}
