//! Traces, their spans and what is said of them.

use axum::http::Method;
use serde_json::{Value, json};

use crate::rig::{Answer, Api, Store};

const TRACES: &str = "/api/3.0/mlflow/traces";

fn info(id: &str) -> Value {
    json!({"trace": {"trace_info": {
        "trace_id": id,
        "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}},
        "request_time": "2026-11-22T20:19:20.001Z",
        "execution_duration": "0.084s",
        "state": "OK",
        "request_preview": "q",
        "trace_metadata": {"mlflow.trace.sizeStats": "{\"num_spans\": 2}", "mlflow.trace.tokenUsage": "{\"total_tokens\": 7.0}"},
        "tags": {"mlflow.traceName": "plan", "t": "v"},
    }}})
}

/// A message of the protocol: fields of bytes, and one of eight bytes for a time.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length > 127 {
        out.push((length & 127) as u8 | 128);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend(bytes);
    out
}

fn time(number: u8, ms: u64) -> Vec<u8> {
    let mut out = vec![number << 3 | 1];
    out.extend((ms * 1_000_000).to_le_bytes());
    out
}

fn attribute(key: &str, value: &str) -> Vec<u8> {
    field(9, &[field(1, key.as_bytes()), field(2, &field(1, value.as_bytes()))].concat())
}

/// A request with one span.
fn export(trace: u8, span: u8, parent: &[u8], name: &str, ms: (u64, u64)) -> Vec<u8> {
    let span = [
        field(1, &[trace; 16]),
        field(2, &[span; 8]),
        field(4, parent),
        field(5, name.as_bytes()),
        time(7, ms.0),
        time(8, ms.1),
        attribute("mlflow.spanType", "LLM"),
        attribute("mlflow.spanInputs", name),
    ];
    field(1, &field(2, &field(2, &span.concat())))
}

async fn send(api: &Api, body: Vec<u8>, headers: &[(&str, &str)]) -> Answer {
    let all: Vec<_> = [("content-type", "application/x-protobuf")].iter().chain(headers).copied().collect();
    api.send(Method::POST, "/v1/traces", &all, body).await
}

const HERE: [(&str, &str); 1] = [("x-mlflow-experiment-id", "0")];

pub(crate) async fn traces_live_and_die(store: Store) {
    let api = store.start().await;
    let made = api.post(TRACES, &info("tr-1")).await.json()["trace"]["trace_info"].clone();
    assert_eq!(
        (&made["request_time"], &made["execution_duration"]),
        (&json!("2026-11-22T20:19:20.001Z"), &json!("0.084s"))
    );
    assert_eq!(made["tags"]["mlflow.artifactLocation"], json!("mlflow-artifacts:/0/traces/tr-1/artifacts"));
    assert_eq!(made["trace_metadata"]["mlflow.trace.tokenUsage"], json!("{\"total_tokens\": 7}"));
    assert_eq!(made["trace_metadata"]["mlflow.trace.infoFinalized"], json!("true"));
    assert_eq!(api.get(&format!("{TRACES}/tr-1")).await.json()["trace"]["trace_info"], made);

    let tags = format!("{TRACES}/tr-1/tags");
    assert_eq!(api.json(Method::PATCH, &tags, &json!({"key": "a", "value": "b"})).await.status, 200);
    assert_eq!(api.json(Method::DELETE, &tags, &json!({"key": "t"})).await.status, 200);
    let again = api.json(Method::DELETE, &tags, &json!({"key": "t"})).await.error();
    assert_eq!((again.0, again.2.as_str()), (404, "No trace tag with key 't' for trace with ID 'tr-1'"));
    let system = json!({"key": "mlflow.trace.spansLocation", "value": "x"});
    assert!(
        api.json(Method::PATCH, &tags, &system).await.error().2.ends_with("is immutable and cannot be set on a trace.")
    );
    let batch = api.post(&format!("{TRACES}/batchGetInfos"), &json!({"trace_ids": ["tr-9", "tr-1"]})).await.json();
    assert_eq!(batch["trace_infos"][0]["tags"]["a"], json!("b"));
    assert_eq!(batch["trace_infos"].as_array().unwrap().len(), 1);

    let run = api.run().await;
    api.ok("traces/link-to-run", json!({"trace_ids": ["tr-1", "tr-9"], "run_id": run})).await;
    assert_eq!(api.post(TRACES, &info("tr-2")).await.status, 200);
    let gone = api.ok("traces/delete-traces", json!({"experiment_id": "0", "request_ids": ["tr-1", "tr-9"]})).await;
    assert_eq!(gone, json!({"traces_deleted": 1}));
    assert_eq!(api.get(&format!("{TRACES}/tr-1")).await.error().2, "Trace with ID 'tr-1' not found.");
    let until = json!({"experiment_id": "0", "max_timestamp_millis": 1_795_378_760_001_i64, "max_traces": 5});
    assert_eq!(api.ok("traces/delete-traces", until).await, json!({"traces_deleted": 1}));
    let nothing = api.fails("traces/delete-traces", json!({"experiment_id": "0"})).await;
    assert_eq!(nothing.2, "Either `max_timestamp_millis` or `trace_ids` must be specified.");
    let nowhere = info("tr-3").to_string().replace("\"experiment_id\":\"0\"", "\"experiment_id\":\"77\"");
    let nowhere = serde_json::from_str(&nowhere).unwrap();
    assert_eq!(api.post(TRACES, &nowhere).await.error().2, "No Experiment with id=77 exists");
}

pub(crate) async fn spans_come_before_or_after(store: Store) {
    let api = store.start().await;
    let id = format!("tr-{}", "07".repeat(16));
    let child = send(&api, export(7, 2, &[1; 8], "child", (20, 30)), &HERE).await;
    assert_eq!((child.status, child.headers["content-type"].to_str().unwrap()), (200, "application/x-protobuf"));
    let early = api.get(&format!("{TRACES}/{id}")).await.json()["trace"]["trace_info"].clone();
    assert_eq!((&early["state"], &early["execution_duration"]), (&json!("IN_PROGRESS"), &json!("0.010s")));

    // The client tells of the trace: two spans, of which one is there.
    let told = info(&id);
    assert_eq!(api.post(TRACES, &told).await.status, 200);
    let get = format!("{TRACES}/get?trace_id={id}");
    assert!(api.get(&get).await.error().2.contains("is not fully exported yet"));
    let partial = api.get(&format!("{get}&allow_partial=true")).await.json()["trace"]["spans"].clone();
    assert_eq!(partial.as_array().unwrap().len(), 1);

    assert_eq!(send(&api, export(7, 1, &[], "root", (10, 40)), &HERE).await.status, 200);
    let trace = api.get(&get).await.json()["trace"].clone();
    assert_eq!(trace["trace_info"]["request_time"], json!("2026-11-22T20:19:20.001Z"), "what the client told stays");
    assert_eq!(trace["trace_info"]["request_preview"], json!("q"));
    assert_eq!(trace["trace_info"]["tags"]["mlflow.trace.spansLocation"], json!("TRACKING_STORE"));
    assert_eq!((&trace["spans"][0]["name"], &trace["spans"][1]["name"]), (&json!("root"), &json!("child")));
    assert_eq!(trace["spans"][1]["parent_span_id"], json!("AQEBAQEBAQE="));
    let request_id = json!({"key": "mlflow.traceRequestId", "value": {"string_value": id}});
    assert!(trace["spans"][0]["attributes"].as_array().unwrap().contains(&request_id));
    // The same span again replaces the first.
    assert_eq!(send(&api, export(7, 1, &[], "renamed", (10, 40)), &HERE).await.status, 200);
    let batch = api.get(&format!("{TRACES}/batchGet?trace_ids={id}")).await.json()["traces"][0]["spans"].clone();
    assert_eq!((batch.as_array().unwrap().len(), &batch[0]["name"]), (2, &json!("renamed")));

    let file = api.get(&format!("/ajax-api/3.0/mlflow/get-trace-artifact?request_id={id}")).await.json();
    assert_eq!(file["spans"][0]["attributes"]["mlflow.spanType"], json!("\"LLM\""));
}

pub(crate) async fn exports_are_checked(store: Store) {
    let api = store.start().await;
    let detail = |answer: Answer| (answer.status, answer.json()["detail"].as_str().unwrap_or_default().to_owned());
    let body = export(9, 1, &[], "root", (10, 40));
    assert_eq!(send(&api, body.clone(), &[]).await.status, 422);
    let json = api.send(Method::POST, "/v1/traces", &[HERE[0], ("content-type", "text/plain")], body.clone()).await;
    assert!(detail(json).1.starts_with("Invalid Content-Type: text/plain. Expected: application/x-protobuf"));
    let refused = [
        (vec![], None, "Invalid OpenTelemetry format - no spans found"),
        (b"garbage".to_vec(), None, "Invalid OpenTelemetry format"),
        (body.clone(), Some("gzip"), "Failed to decompress gzip payload"),
        (body.clone(), Some("br"), "Unsupported Content-Encoding: br"),
    ];
    for (body, encoding, message) in refused {
        let headers: Vec<_> = HERE.into_iter().chain(encoding.map(|encoding| ("content-encoding", encoding))).collect();
        assert_eq!(detail(send(&api, body, &headers).await), (400, message.to_owned()));
    }
    let nameless = detail(send(&api, field(1, &field(2, &field(2, &field(5, b"no ids")))), &HERE).await);
    assert_eq!(nameless, (422, "Cannot convert OpenTelemetry span to MLflow span".to_owned()));
    let nowhere = send(&api, body.clone(), &[("x-mlflow-experiment-id", "88")]).await.error();
    assert_eq!((nowhere.0, nowhere.2.as_str()), (404, "No Experiment with id=88 exists"));
    let other = [HERE[0], ("x-mlflow-workspace", "other")];
    assert_eq!(send(&api, body, &other).await.status, 200);
    let id = format!("tr-{}", "09".repeat(16));
    assert_eq!(api.get(&format!("{TRACES}/{id}")).await.status, 404, "a trace is of its workspace");
    let theirs = api.send(Method::GET, &format!("{TRACES}/{id}"), &[("x-mlflow-workspace", "other")], vec![]).await;
    assert_eq!(theirs.json()["trace"]["trace_info"]["state"], json!("OK"));
}

pub(crate) async fn traces_are_assessed(store: Store) {
    let api = store.start().await;
    api.post(TRACES, &info("tr-1")).await;
    let path = format!("{TRACES}/tr-1/assessments");
    let source = json!({"source_type": "HUMAN", "source_id": "ann"});
    let first = json!({"assessment": {"assessment_name": "good", "feedback": {"value": true}, "source": source}});
    let first = api.post(&path, &first).await.json()["assessment"].clone();
    let id = first["assessment_id"].as_str().unwrap();
    assert_eq!((&first["valid"], &first["feedback"]), (&json!(true), &json!({"value": true})));
    let second = json!({"assessment": {"assessment_name": "good", "feedback": {"value": 0.5}, "source": source, "overrides": id}});
    let second = api.post(&path, &second).await.json()["assessment"].clone();
    let valid = async || api.get(&format!("{path}/{id}")).await.json()["assessment"]["valid"].clone();
    assert_eq!(valid().await, json!(false), "what is overridden counts no longer");
    let newer = format!("{path}/{}", second["assessment_id"].as_str().unwrap());
    let change =
        json!({"assessment": {"rationale": "why", "feedback": {"value": 1}}, "update_mask": "rationale,feedback"});
    let changed = api.json(Method::PATCH, &newer, &change).await.json()["assessment"].clone();
    assert_eq!((&changed["rationale"], &changed["feedback"]["value"]), (&json!("why"), &json!(1.0)));
    let wrong = json!({"assessment": {"expectation": {"value": 1}}, "update_mask": "expectation"});
    assert_eq!(
        api.json(Method::PATCH, &newer, &wrong).await.error().2,
        "Cannot update expectation value on a Feedback assessment."
    );
    let shown = api.get(&format!("{TRACES}/tr-1")).await.json()["trace"]["trace_info"]["assessments"].clone();
    assert_eq!(shown.as_array().unwrap().len(), 2);
    assert_eq!(api.json(Method::DELETE, &newer, &json!({})).await.status, 200);
    assert_eq!(valid().await, json!(true));
    assert_eq!(api.get(&newer).await.error().0, 404);
    let missing = api.get(&format!("{TRACES}/tr-9/assessments/a")).await.error();
    assert_eq!(missing.2, "Trace with request_id 'tr-9' not found");
}

pub(crate) async fn traces_are_found(store: Store) {
    let api = store.start().await;
    for (id, second, state, name, team) in [
        ("tr-a", 1, "OK", "plan", Some("blue")),
        ("tr-b", 2, "ERROR", "PLAN b", Some("red")),
        ("tr-c", 3, "OK", "ask", None),
    ] {
        let mut trace = info(id);
        let told = &mut trace["trace"]["trace_info"];
        told["request_time"] = json!(format!("2026-11-22T20:19:0{second}Z"));
        told["execution_duration"] = json!(format!("{second}s"));
        told["state"] = json!(state);
        told["trace_metadata"] = json!({"mlflow.trace.session": "s", "n": id});
        told["tags"] = json!({"mlflow.traceName": name});
        if let Some(team) = team {
            told["tags"]["team"] = json!(team);
        }
        assert_eq!(api.post(TRACES, &trace).await.status, 200);
    }
    let search = async |filter: &str, order_by: &[&str]| {
        let location = json!({"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}});
        let body = json!({"locations": [location], "filter": filter, "order_by": order_by});
        let answer = api.post(&format!("{TRACES}/search"), &body).await;
        assert_eq!(answer.status, 200, "{filter}: {}", answer.text());
        let found = answer.json()["traces"].as_array().cloned().unwrap_or_default();
        found.iter().map(|trace| trace["trace_id"].as_str().unwrap()[3..].to_owned()).collect::<Vec<_>>().concat()
    };
    assert_eq!(search("", &[]).await, "cba", "the newest first");
    for (filter, found) in [
        ("trace.status = 'OK'", "ca"),
        ("status IN ('ERROR')", "b"),
        ("tags.team = 'blue'", "a"),
        ("tags.team != 'blue'", "b"),
        ("tags.team IS NULL", "c"),
        ("tags.team IS NOT NULL", "ba"),
        ("name LIKE 'pl%'", "a"),
        ("name ILIKE 'pl%'", "ba"),
        ("name RLIKE '^(plan|ask)$'", "ca"),
        ("metadata.n = 'tr-b'", "b"),
        ("execution_time_ms > 1500", "cb"),
        ("timestamp_ms < 1795378743000 AND timestamp_ms >= 1795378742000", "b"),
        ("end_time_ms = 1795378742000", "a"),
        ("request_id = 'tr-a'", "a"),
    ] {
        assert_eq!(search(filter, &[]).await, found, "{filter}");
    }
    for (order, found) in [
        ("timestamp_ms ASC", "abc"),
        ("execution_time DESC", "cba"),
        ("tag.team ASC", "abc"),
        ("tag.team DESC", "bac"),
        ("status", "bca"),
        ("name", "bca"),
    ] {
        assert_eq!(search("", &[order]).await, found, "{order}");
    }

    let run = api.run().await;
    api.ok("traces/link-to-run", json!({"trace_ids": ["tr-a"], "run_id": run})).await;
    assert_eq!(search(&format!("run_id = '{run}'"), &[]).await, "a");
    let say = async |trace: &str, said: Value| {
        let answer = api.post(&format!("{TRACES}/{trace}/assessments"), &json!({"assessment": said})).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    say("tr-a", json!({"assessment_name": "score", "feedback": {"value": 4}})).await;
    say("tr-b", json!({"assessment_name": "score", "feedback": {"value": "yes"}})).await;
    for (filter, found) in [
        ("feedback.score > 3.5", "a"),
        ("feedback.score = 'yes'", "b"),
        ("feedback.score IS NULL", "c"),
        ("feedback.score != 'yes'", "a"),
        ("feedback.score RLIKE 'y.s'", "b"),
        ("expectation.score IS NOT NULL", ""),
    ] {
        assert_eq!(search(filter, &[]).await, found, "{filter}");
    }
    let about =
        json!({"assessment_name": "tone", "feedback": {"value": "kind"}, "metadata": {"mlflow.trace.session": "s"}});
    say("tr-c", about).await;
    assert_eq!(search("feedback.tone = 'kind'", &[]).await, "cba", "said of a session, it is said of its traces");

    send(&api, export(1, 1, &[], "fetch", (1000, 2000)), &HERE).await;
    send(&api, export(2, 1, &[], "store", (3000, 4000)), &HERE).await;
    let [fetch, keep] = ["01", "02"].map(|byte| byte.repeat(16));
    for (filter, found) in [
        ("span.name = 'fetch'", fetch.clone()),
        ("span.type = 'LLM'", format!("{keep}{fetch}")),
        ("span.name LIKE 's%' AND span.status = 'UNSET'", keep.clone()),
        ("trace.text LIKE '%etc%'", fetch.clone()),
        ("span.attributes.mlflow.spanInputs ILIKE '%STORE%'", keep.clone()),
        ("span.name IN ('fetch', 'store') AND status = 'OK' AND timestamp_ms < 2000", fetch.clone()),
    ] {
        assert_eq!(search(filter, &[]).await, found, "{filter}");
    }

    let location = json!({"mlflow_experiment": {"experiment_id": "0"}});
    let mut ids = Vec::new();
    let mut token = Value::Null;
    for filter in ["", "span.type = 'LLM'"] {
        loop {
            let body = json!({"locations": [location], "filter": filter, "max_results": 1, "page_token": token});
            let page = api.post(&format!("{TRACES}/search"), &body).await.json();
            ids.extend(page["traces"].as_array().into_iter().flatten().map(|trace| trace["trace_id"].clone()));
            token = page["next_page_token"].clone();
            if token.is_null() {
                break;
            }
        }
    }
    assert_eq!(ids.len(), 5 + 2, "{ids:?}");
    for (body, message) in [
        (json!({}), "Missing value for required parameter 'locations'"),
        (
            json!({"locations": [location], "max_results": 501}),
            "Invalid value 501 for parameter 'max_results' supplied",
        ),
        (
            json!({"locations": [location], "max_results": 0}),
            "Invalid value 0 for parameter 'max_results' supplied. It must be",
        ),
        (json!({"locations": [location], "filter": "foo = 'x'"}), "Invalid attribute key 'foo' specified."),
        (json!({"locations": [location], "filter": "name RLIKE '('"}), "Invalid regular expression"),
        (json!({"locations": [location], "page_token": "xx"}), "Invalid page token, could not base64-decode"),
    ] {
        let refused = api.post(&format!("{TRACES}/search"), &body).await.error();
        assert!(refused.0 == 400 && refused.2.starts_with(message), "{body}: {}", refused.2);
    }
}

pub(crate) async fn older_clients_are_served(store: Store) {
    let api = store.start().await;
    let pair = |key: &str, value: &str| json!({"key": key, "value": value});
    let begun = json!({
        "experiment_id": "0",
        "timestamp_ms": 1000,
        "request_metadata": [pair("a", "1"), pair("b", "1")],
        "tags": [pair("t", "1")],
    });
    let begun = api.ok("traces", begun).await["trace_info"].clone();
    let id = begun["request_id"].as_str().unwrap().to_owned();
    assert_eq!((id.len(), &begun["status"], &begun["execution_time_ms"]), (32, &json!("IN_PROGRESS"), &json!(0)));
    assert_eq!(begun["request_metadata"], json!([pair("a", "1"), pair("b", "1")]));

    let path = format!("/api/2.0/mlflow/traces/{id}");
    let end =
        json!({"timestamp_ms": 3000, "status": "OK", "request_metadata": [pair("b", "2")], "tags": [pair("t", "2")]});
    let ended = api.json(Method::PATCH, &path, &end).await.json()["trace_info"].clone();
    assert_eq!((&ended["timestamp_ms"], &ended["execution_time_ms"]), (&json!(1000), &json!(2000)));
    assert_eq!(
        (&ended["status"], &ended["request_metadata"]),
        (&json!("OK"), &json!([pair("a", "1"), pair("b", "2")]))
    );
    assert_eq!(api.get(&format!("{path}/info")).await.json()["trace_info"], ended);
    let missing = api.json(Method::PATCH, "/api/2.0/mlflow/traces/nope", &end).await.error();
    assert_eq!((missing.0, missing.2.as_str()), (404, "Trace with ID 'nope' not found."));
    assert_eq!(api.fails("traces", json!({"experiment_id": "0", "tags": [{"value": "x"}]})).await.0, 400);

    // Their spans are a file, which is handed out like spans of the store, and goes with the trace.
    let artifact = format!("/ajax-api/2.0/mlflow/get-trace-artifact?request_id={id}");
    assert_eq!(api.get(&artifact).await.error().2, "Trace data not found for path=traces.json");
    let file = format!("/api/2.0/mlflow-artifacts/artifacts/0/traces/{id}/artifacts/traces.json");
    assert_eq!(api.send(Method::PUT, &file, &[], b"{\"spans\": []}".to_vec()).await.status, 200);
    let found = api.get(&artifact).await;
    assert_eq!((found.status, found.text().as_str()), (200, "{\"spans\": []}"));
    assert_eq!(found.headers["content-disposition"], "attachment; filename=traces.json");
    let deleted = api.ok("traces/delete-traces", json!({"experiment_id": "0", "request_ids": [id]})).await;
    assert_eq!(deleted["traces_deleted"], json!(1));
    assert_eq!((api.get(&file).await.status, api.get(&format!("{path}/info")).await.status), (404, 404));
    assert_eq!(api.db.fetch("SELECT 1 FROM traces", vec![]).await.unwrap().len(), 0, "nothing is left out of reach");
}

pub(crate) async fn exports_may_be_json(store: Store) {
    let api = store.start().await;
    let span = json!({
        "traceId": "5b8efff798038103d269b633813fc60c",
        "spanId": "eee19b7ec3c1b174",
        "name": "ask",
        "startTimeUnixNano": "1544712660000000000",
        "endTimeUnixNano": "1544712661000000000",
        "attributes": [
            {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
            {"key": "gen_ai.request.model", "value": {"stringValue": "gpt"}},
            {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "5"}},
            {"key": "gen_ai.usage.output_tokens", "value": {"intValue": 7}},
        ],
        "status": {"code": 1},
    });
    let body = json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).to_string().into_bytes();
    let headers = [("content-type", "application/json; charset=utf-8"), ("x-mlflow-experiment-id", "0")];
    let answer = api.send(Method::POST, "/v1/traces", &headers, body).await;
    assert_eq!((answer.status, answer.headers["content-type"].to_str().unwrap()), (200, "application/x-protobuf"));
    let path = format!("{TRACES}/get?trace_id=tr-5b8efff798038103d269b633813fc60c");
    let trace = api.get(&path).await.json()["trace"].clone();
    assert_eq!(
        trace["trace_info"]["trace_metadata"]["mlflow.trace.tokenUsage"],
        json!("{\"input_tokens\": 5, \"output_tokens\": 7, \"total_tokens\": 12}")
    );
    let attributes = trace["spans"][0]["attributes"].as_array().unwrap();
    for (key, value) in [("mlflow.spanType", "CHAT_MODEL"), ("mlflow.llm.model", "gpt")] {
        assert!(attributes.contains(&json!({"key": key, "value": {"string_value": value}})), "{attributes:?}");
    }
    for (bad, why) in [("{}", "Invalid OpenTelemetry format - no spans found"), ("{", "Invalid OpenTelemetry format")] {
        let answer = api.send(Method::POST, "/v1/traces", &headers, bad.as_bytes().to_vec()).await;
        assert_eq!((answer.status, answer.json()["detail"].as_str().unwrap()), (400, why));
    }
}

pub(crate) async fn traces_are_measured(store: Store) {
    let api = store.start().await;
    for (id, name, state, session, seconds) in
        [("tr-1", "plan", "OK", "s", "1s"), ("tr-2", "plan", "OK", "s", "3s"), ("tr-3", "act", "ERROR", "t", "5s")]
    {
        let mut new = info(id);
        let told = &mut new["trace"]["trace_info"];
        told["state"] = json!(state);
        told["execution_duration"] = json!(seconds);
        told["tags"] = json!({"mlflow.traceName": name});
        told["trace_metadata"]["mlflow.trace.session"] = json!(session);
        assert_eq!(api.post(TRACES, &new).await.status, 200);
    }
    let said = json!({"assessment": {"assessment_name": "good", "feedback": {"value": "yes"}, "source": {"source_type": "HUMAN", "source_id": "x"}}});
    assert_eq!(api.post(&format!("{TRACES}/tr-1/assessments"), &said).await.status, 200);

    let ask = async |view: &str, metric: &str, kind: Value, more: Value| {
        let mut body =
            json!({"experiment_ids": ["0"], "view_type": view, "metric_name": metric, "aggregations": [kind]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = api.post(&format!("{TRACES}/metrics"), &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["data_points"].clone()
    };
    let count = json!({"aggregation_type": "COUNT"});
    let by_state = ask("TRACES", "trace_count", count.clone(), json!({"dimensions": ["trace_status"]})).await;
    assert_eq!(
        by_state,
        json!([
            {"metric_name": "trace_count", "dimensions": {"trace_status": "ERROR"}, "values": {"COUNT": 1.0}},
            {"metric_name": "trace_count", "dimensions": {"trace_status": "OK"}, "values": {"COUNT": 2.0}},
        ])
    );
    let sessions = ask("TRACES", "session_count", count.clone(), json!({})).await;
    assert_eq!(sessions[0]["values"], json!({"COUNT": 2.0}));
    let median = json!({"aggregation_type": "PERCENTILE", "percentile_value": 50});
    let of_plans =
        ask("TRACES", "latency", median, json!({"filters": ["trace.tag.`mlflow.traceName` = 'plan'"]})).await;
    assert_eq!(of_plans[0]["values"], json!({"P50.0": 2000.0}));
    let tokens = ask("TRACES", "total_tokens", json!({"aggregation_type": "SUM"}), json!({})).await;
    assert_eq!(tokens[0]["values"], json!({"SUM": 21.0}));
    let hourly = json!({"time_interval_seconds": 3600, "start_time_ms": 0, "end_time_ms": 4_000_000_000_000_i64});
    let hourly = ask("TRACES", "trace_count", count.clone(), hourly).await;
    assert_eq!(hourly[0]["dimensions"], json!({"time_bucket": "2026-11-22T20:00:00+00:00"}));
    let before = ask("TRACES", "trace_count", count.clone(), json!({"end_time_ms": 5})).await;
    assert_eq!(before[0]["values"], json!({"COUNT": 0.0}));
    let values = ask(
        "ASSESSMENTS",
        "assessment_value",
        json!({"aggregation_type": "AVG"}),
        json!({"dimensions": ["assessment_name"]}),
    );
    assert_eq!(values.await[0]["values"], json!({"AVG": 1.0}));

    let headers = [("content-type", "application/x-protobuf"), ("x-mlflow-experiment-id", "0")];
    let sent = api.send(Method::POST, "/v1/traces", &headers, export(9, 1, &[], "think", (10, 30))).await;
    assert_eq!(sent.status, 200);
    let spans = ask("SPANS", "span_count", count, json!({"dimensions": ["span_name", "span_type"]})).await;
    assert_eq!(spans[0]["dimensions"], json!({"span_name": "think", "span_type": "LLM"}));
    let latency =
        ask("SPANS", "latency", json!({"aggregation_type": "MAX"}), json!({"filters": ["span.name = 'think'"]})).await;
    assert_eq!(latency[0]["values"], json!({"MAX": 20.0}));

    let related = json!({
        "experiment_ids": ["0"],
        "filter_string1": "tags.`mlflow.traceName` = 'plan'",
        "filter_string2": "metadata.`mlflow.trace.session` = 's'",
    });
    let related = api.post(&format!("{TRACES}/calculate-filter-correlation"), &related).await.json();
    let counts =
        ["filter1_count", "filter2_count", "joint_count", "total_count"].map(|name| related[name].as_i64().unwrap());
    assert_eq!(counts, [2, 2, 2, 4]);
    assert!((related["npmi"].as_f64().unwrap() - 1.0).abs() < 1e-9, "{related}");
    let theirs = [("x-mlflow-workspace", "other"), ("content-type", "application/json")];
    let body = json!({"experiment_ids": ["0"], "view_type": "TRACES", "metric_name": "trace_count",
        "aggregations": [{"aggregation_type": "COUNT"}]});
    let theirs = api.send(Method::POST, &format!("{TRACES}/metrics"), &theirs, body.to_string().into_bytes()).await;
    assert_eq!(theirs.json()["data_points"][0]["values"], json!({"COUNT": 0.0}), "another namespace has none");
}
