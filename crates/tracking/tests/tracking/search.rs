//! Searches of runs and experiments.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mcplane_db::{Arg, Dialect, Tx};
use serde_json::{Value, json};

use crate::rig::{Api, Store};

impl Api {
    /// A run of that name with metrics, parameters and tags.
    async fn logged(&self, experiment: &str, name: &str, start: i64, logged: Value) -> String {
        let body =
            json!({"experiment_id": experiment, "start_time": start, "run_name": name, "user_id": format!("u{name}")});
        let run = self.ok("runs/create", body).await["run"]["info"]["run_id"].as_str().unwrap().to_owned();
        let entries = |what: &str| logged[what].as_object().cloned().unwrap_or_default().into_iter();
        let pairs =
            |what: &str| entries(what).map(|(key, value)| json!({"key": key, "value": value})).collect::<Vec<_>>();
        let metrics: Vec<Value> =
            entries("m").map(|(key, value)| json!({"key": key, "value": value, "timestamp": 1, "step": 0})).collect();
        let batch = json!({"run_id": run, "metrics": metrics, "params": pairs("p"), "tags": pairs("t")});
        self.ok("runs/log-batch", batch).await;
        run
    }

    /// Names of the runs that a search finds, one letter each.
    async fn found(&self, search: Value) -> String {
        let page = self.ok("runs/search", search).await;
        let runs = page["runs"].as_array().into_iter().flatten();
        runs.map(|run| run["info"]["run_name"].as_str().unwrap().to_owned()).collect()
    }
}

async fn some_runs(api: &Api) -> [String; 3] {
    let first = api.experiment("first").await;
    let second = api.experiment("second").await;
    let a = api.logged(&first, "a", 1, json!({"m": {"x": 1, "n": "NaN"}, "p": {"lr": "0.1"}, "t": {"k": "Val"}})).await;
    let b = api.logged(&first, "b", 2, json!({"m": {"x": 2, "n": 1}, "p": {"lr": "0.2"}, "t": {"k": "val"}})).await;
    api.logged(&first, "c", 3, json!({"m": {"x": "NaN", "n": 0}})).await;
    api.logged(&first, "d", 4, json!({})).await;
    api.logged(&second, "f", 5, json!({"m": {"x": 1.5}})).await;
    let z = api.logged(&first, "z", 6, json!({"m": {"x": 9}})).await;
    api.ok("runs/delete", json!({"run_id": z})).await;
    api.ok("runs/update", json!({"run_id": b, "status": "FINISHED", "end_time": 100})).await;
    [first, second, a]
}

pub(crate) async fn runs_are_filtered(store: Store) {
    let api = store.start().await;
    let [first, second, a] = some_runs(&api).await;
    for (filter, expected) in [
        ("", "dcba"),
        ("metrics.x > 1", "b"),
        ("metrics.x != 1", "cb"),
        ("metrics.n = 0", "c"),
        ("metrics.n != 0", "ba"),
        ("metrics.n < 5", "cb"),
        ("metrics.x > 1e400", ""),
        ("params.lr = '0.1'", "a"),
        ("params.lr != '0.1'", "b"),
        ("params.lr LIKE '0.%'", "ba"),
        ("params.lr IS NULL", "dc"),
        ("params.lr IS NOT NULL", "ba"),
        ("tags.k = 'val'", "b"),
        ("tags.k LIKE 'v%'", "b"),
        ("tags.k ILIKE 'v%'", "ba"),
        ("status != 'FINISHED'", "dca"),
        ("status ILIKE 'fin%'", "b"),
        ("status = 'finished'", ""),
        ("start_time > 1.5", "dcb"),
        ("end_time != 1", "b"),
        ("run_name = 'a'", "a"),
        ("run_name ILIKE 'A'", "a"),
        ("user_id != 'ua'", "dcb"),
        ("artifact_uri LIKE 'mlflow%'", "dcba"),
        ("metrics.x > 0 and params.lr = '0.1'", "a"),
        ("params.lr = '0.1' and metrics.x > 1", ""),
        ("datasets.name != 'd'", ""),
        ("dataset.context = 'train'", ""),
    ] {
        assert_eq!(api.found(json!({"experiment_ids": [first], "filter": filter})).await, expected, "{filter}");
    }
    for (filter, expected) in [("run_id = 'A'", "a"), ("run_id NOT IN ('A')", "dcb"), ("run_id IN ('A', 'x')", "a")] {
        let filter = filter.replace('A', &a);
        assert_eq!(api.found(json!({"experiment_ids": [first], "filter": filter})).await, expected, "{filter}");
    }
    assert_eq!(api.found(json!({"experiment_ids": [second, first], "filter": "metrics.x >= 1"})).await, "fba");
    for (view, expected) in [("ALL", "zdcba"), ("DELETED_ONLY", "z"), ("ACTIVE_ONLY", "dcba")] {
        assert_eq!(api.found(json!({"experiment_ids": [first], "run_view_type": view})).await, expected);
    }
    assert_eq!(api.found(json!({})).await, "");
    let other = [("x-mlflow-workspace", "other"), ("content-type", "application/json")];
    let body = json!({"experiment_ids": [first]}).to_string().into_bytes();
    let theirs = api.send(axum::http::Method::POST, "/api/2.0/mlflow/runs/search", &other, body).await;
    assert_eq!(theirs.json(), json!({}), "experiments of other namespaces are not searched");
    for (body, message) in [
        (json!({"filter": "metrics.x > 0 or metrics.x < 1"}), "Invalid clause(s) in filter string: 'or'"),
        (json!({"experiment_ids": ["abc"]}), "Invalid experiment ID 'abc'. Experiment ID must be a valid integer."),
        (
            json!({"max_results": 0}),
            "Invalid value 0 for parameter 'max_results' supplied. It must be a positive integer",
        ),
        (
            json!({"max_results": 50_001}),
            "Invalid value 50001 for parameter 'max_results' supplied:  Hint: Value was of type",
        ),
        (json!({"page_token": "zzz"}), "Invalid page token, could not base64-decode"),
    ] {
        let (status, _, text) = api.fails("runs/search", body).await;
        assert_eq!((status, &text[..message.len().min(text.len())]), (400, message));
    }
}

pub(crate) async fn runs_are_sorted_and_paged(store: Store) {
    let api = store.start().await;
    let [first, second, _] = some_runs(&api).await;
    for (order, expected) in [
        (json!(["metrics.x"]), "abcd"),
        (json!(["metrics.x DESC"]), "bacd"),
        (json!(["metrics.n"]), "cbad"),
        (json!(["metrics.n DESC", "start_time ASC"]), "bcad"),
        (json!(["metrics.nope"]), "dcba"),
        (json!(["params.lr DESC", "metrics.x"]), "bacd"),
        (json!(["tags.k"]), "abdc"),
        (json!(["end_time"]), "bdca"),
        (json!(["end_time DESC"]), "bdca"),
        (json!(["status"]), "bdca"),
        (json!(["user_id DESC"]), "dcba"),
        (json!(["start_time"]), "abcd"),
    ] {
        let search = json!({"experiment_ids": [first], "order_by": order});
        assert_eq!(api.found(search).await, expected, "{order}");
        // Pages of each size put together are the same, whichever way they are found.
        for size in 1..4 {
            let mut search = json!({"experiment_ids": [first], "order_by": order, "max_results": size});
            let mut names = String::new();
            loop {
                names += &api.found(search.clone()).await;
                let page = api.ok("runs/search", search.clone()).await;
                let Some(token) = page.get("next_page_token") else { break };
                search["page_token"] = token.clone();
            }
            assert_eq!(names, expected, "{order} by {size}");
        }
    }
    for (filter, expected) in
        [("metrics.x > 1", "b"), ("metrics.x != 1", "bc"), ("metrics.x <= 1 AND metrics.n != 5", "a")]
    {
        let search = json!({"experiment_ids": [first], "filter": filter, "order_by": ["metrics.x"]});
        assert_eq!(api.found(search).await, expected, "{filter}");
    }
    let both = json!({"experiment_ids": [first, second], "order_by": ["metrics.x"]});
    assert_eq!(api.found(both).await, "afbcd");
    let few = json!({"experiment_ids": [first], "order_by": ["metrics.x DESC"], "filter": "metrics.n > -1"});
    assert_eq!(api.found(few).await, "bc");
}

pub(crate) async fn values_of_any_length_are_sorted(store: Store) {
    let api = store.start().await;
    let experiment = api.experiment("long").await;
    let long = |end: char| "x".repeat(300) + &end.to_string();
    for (name, start, p) in [("a", 1, long('b')), ("b", 2, long('a')), ("c", 3, "x".into()), ("d", 4, "y".into())] {
        api.logged(&experiment, name, start, json!({"p": {"p": p, "q": "same"}, "t": {"t": "1"}})).await;
    }
    let e = api.logged(&experiment, "e", 5, json!({})).await;
    let found = async |filter: &str, order: &str| {
        api.found(json!({"experiment_ids": [experiment], "filter": filter, "order_by": [order]})).await
    };
    assert_eq!(found("", "params.p").await, "cbade");
    assert_eq!(found("", "params.p DESC").await, "dabce");
    assert_eq!(found("", "params.q").await, "dcbae", "ties are broken by the start");
    assert_eq!(found("", "params.q DESC").await, "dcbae");
    assert_eq!(found(&format!("params.p = '{}'", long('a')), "params.q").await, "b");
    assert_eq!(found(&format!("params.p != '{}'", long('a')), "params.q").await, "dca");
    // What changes its value changes its place, from the one index to the other too.
    for (value, expected) in
        [("0".to_owned(), "edcba"), ("2".to_owned(), "dcbae"), (long('a'), "dcbae"), ("1".to_owned(), "edcba")]
    {
        api.ok("runs/set-tag", json!({"run_id": e, "key": "t", "value": value})).await;
        assert_eq!(found("", "tags.t").await, expected, "{value}");
        assert!(found(&format!("tags.t = '{value}'"), "tags.t").await.contains('e'), "{value}");
    }
}

/// Pages far into an order are those of the whole list, whichever end they are read from.
pub(crate) async fn deep_pages_are_those_of_the_whole(store: Store) {
    const RUNS: usize = 9000;
    let api = store.start().await;
    let experiment = api.experiment("deep").await;
    let whose = format!("SELECT no FROM experiments WHERE namespace = 'default' AND id = {experiment}");
    let no = api.db.fetch(whose, vec![]).await.unwrap()[0].int(0).unwrap();
    api.db.write(move |tx| Box::pin(many_runs(tx, no, RUNS))).await.unwrap();
    for (order, view) in [
        (json!(["params.p"]), "ACTIVE_ONLY"),
        (json!(["params.p DESC", "metrics.m"]), "ALL"),
        (json!(["metrics.m DESC"]), "ACTIVE_ONLY"),
        (json!(["attributes.end_time DESC"]), "ACTIVE_ONLY"),
    ] {
        let search =
            json!({"experiment_ids": [experiment], "order_by": order, "run_view_type": view, "max_results": 50_000});
        let whole = names(&api.ok("runs/search", search.clone()).await);
        assert_eq!(whole.len(), if view == "ALL" { RUNS } else { RUNS - RUNS.div_ceil(100) });
        for offset in [1500, 4990, 5000, 5240, 7200, 9000] {
            let mut page = search.clone();
            page["max_results"] = 60.into();
            page["page_token"] = STANDARD.encode(json!({"offset": offset}).to_string()).into();
            let found = names(&api.ok("runs/search", page.clone()).await);
            let expected: Vec<String> = whole.iter().skip(offset).take(60).cloned().collect();
            assert_eq!(found, expected, "{order} from {offset}");
            if offset != 5000 {
                continue;
            }
            page["filter"] = "params.q LIKE 'al%' AND params.r IS NOT NULL".into();
            let has_r = |name: &&String| name.parse::<usize>().unwrap() % 50 != 0;
            let expected: Vec<&String> = whole.iter().filter(has_r).skip(offset).take(60).collect();
            assert_eq!(names(&api.ok("runs/search", page).await).iter().collect::<Vec<_>>(), expected);
        }
    }
}

/// Runs named by their numbers: of a parameter few values, of a metric NaNs and none at all; each hundredth is deleted.
async fn many_runs(tx: &mut Tx, experiment: i64, runs: usize) -> mcplane_core::Result<()> {
    let (mut rows, mut params, mut metrics) = (vec![], vec![], vec![]);
    for n in 0..runs as i64 {
        let (id, name, start) = (format!("{:032x}", n * 7919 % 10_007), n.to_string(), n / 3);
        let ended = if n % 4 == 0 { None } else { Some(n % 50) };
        let deleted = (n % 100 == 0).then_some(1);
        rows.extend([n + 1_000_000, experiment].map(Arg::from));
        rows.extend([format!("{id}{n}"), "default".into(), name, "u".into(), String::new()].map(Arg::from));
        rows.extend([Arg::from(1), start.into(), ended.into(), deleted.into()]);
        for (key, value, without) in
            [("q", "all".to_owned(), n < 0), ("p", (n % 30).to_string(), n % 7 == 0), ("r", n.to_string(), n % 50 == 0)]
        {
            if !without {
                params.extend([Arg::from(n + 1_000_000), key.into(), value.into()]);
                params.extend([0, experiment, start].map(Arg::from));
            }
        }
        if n % 10 != 0 {
            let nan = i64::from(n % 10 == 1);
            metrics.extend([
                Arg::from(n + 1_000_000),
                "m".into(),
                experiment.into(),
                ((n % 40) as f64).into(),
                nan.into(),
            ]);
            metrics.extend([0, 0, 1, 0, 0].map(Arg::from));
        }
    }
    let columns =
        "no, experiment, id, namespace, name, user_id, artifact_uri, status, started_at, ended_at, deleted_at";
    tx.execute_rows(&format!("INSERT INTO runs ({columns})"), 11, rows, "").await?;
    tx.execute_rows("INSERT INTO run_params (run, key, value, hash, experiment, started_at)", 6, params, "").await?;
    let columns = "run, key, experiment, value, nan, step, recorded_at, points, chunks, closed_to";
    tx.execute_rows(&format!("INSERT INTO metric_latest ({columns})"), 10, metrics, "").await?;
    // What PostgreSQL does by itself within a minute; without it plans are those of empty tables.
    let analyze = matches!(tx.dialect(), Dialect::Postgres).then_some("ANALYZE runs, run_params, metric_latest");
    if let Some(analyze) = analyze {
        tx.execute(analyze, vec![]).await?;
    }
    Ok(())
}

fn names(page: &Value) -> Vec<String> {
    let runs = page["runs"].as_array().into_iter().flatten();
    runs.map(|run| run["info"]["run_name"].as_str().unwrap().to_owned()).collect()
}

pub(crate) async fn experiments_are_searched(store: Store) {
    let api = store.start().await;
    for name in ["ea", "eb", "Ec"] {
        api.experiment(name).await;
    }
    api.ok("experiments/set-experiment-tag", json!({"experiment_id": "1", "key": "t", "value": "V"})).await;
    api.ok("experiments/delete", json!({"experiment_id": "3"})).await;
    let names = |page: Value| -> Vec<String> {
        let found = page["experiments"].as_array().into_iter().flatten();
        found.map(|experiment| experiment["name"].as_str().unwrap().to_owned()).collect()
    };
    let search = async |filter: &str, order: &str, view: &str| {
        let body = json!({"max_results": 9, "filter": filter, "order_by": [order], "view_type": view});
        names(api.ok("experiments/search", body).await)
    };
    for (filter, expected) in [
        ("", vec!["Default", "ea", "eb"]),
        ("name LIKE 'e%'", vec!["ea", "eb"]),
        ("name ILIKE 'E%'", vec!["ea", "eb"]),
        ("tags.t = 'V'", vec!["ea"]),
        ("tags.t IS NULL AND name LIKE 'e%'", vec!["eb"]),
        ("experiment_id IN ('1', '2')", vec!["ea", "eb"]),
        ("experiment_id != '99999999999999999999'", vec!["Default", "ea", "eb"]),
        ("last_update_time < 1", vec![]),
    ] {
        assert_eq!(search(filter, "name", "ACTIVE_ONLY").await, expected, "{filter}");
    }
    assert_eq!(search("", "name DESC", "ALL").await, ["eb", "ea", "Ec", "Default"]);
    assert_eq!(search("", "experiment_id", "DELETED_ONLY").await, ["Ec"]);
    let page = api.read("experiments/search?max_results=2&order_by=name").await;
    let token = page["next_page_token"].as_str().unwrap().to_owned();
    assert_eq!(names(page), ["Default", "ea"]);
    let last = api.read(&format!("experiments/search?max_results=2&order_by=name&page_token={token}")).await;
    assert_eq!((last.get("next_page_token"), names(last.clone())), (None, vec!["eb".to_owned()]));
    let (_, _, message) = api.fails("experiments/search", json!({})).await;
    assert_eq!(message, "Invalid value 0 for parameter 'max_results' supplied. It must be a positive integer");
}
