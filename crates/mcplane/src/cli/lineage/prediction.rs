//! `mcplane lineage prediction:ID`: what made a prediction, and what that was made from.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Format, Graph, printable, tree};
use crate::cli::connection::{Connection, encode, query};
use crate::cli::failure::Failure;
use crate::cli::output::print;

/// Hexadecimal digits of a SHA-256.
const SHA256: usize = 64;

pub(super) async fn run(
    server: &Connection,
    namespace: &str,
    id: &str,
    depth: u32,
    output: Format,
) -> Result<(), Failure> {
    let found = gather(server, &encode(namespace), id, depth).await?;
    match output {
        Format::Json => print(&format!("{found:#}\n")),
        Format::Tree => {
            let graph: Graph = serde_json::from_value(found["graph"].clone())
                .map_err(|error| Failure::from_error("the server gave no usable answer", &error))?;
            print(&text(&found, &graph))
        }
    }
}

/// All that the server knows of it, by what asked for it.
async fn gather(server: &Connection, namespace: &str, id: &str, depth: u32) -> Result<Value, Failure> {
    let delivery = format!("/delivery/v1/namespaces/{namespace}");
    let prediction: Value = server.get(&format!("{delivery}/predictions/{}", encode(id))).await?;
    let (model, version) = (word(&prediction, "model"), prediction["modelVersion"].to_string());
    let (node, depth) = (format!("modelversion:{model}/{version}"), depth.to_string());
    let of = query(&[("node", Some(&node)), ("direction", Some("upstream")), ("depth", Some(&depth))]);
    let graph: Value = server.get(&format!("/lineage/v1/namespaces/{namespace}/graph{of}")).await?;

    let data = format!("/data/v1/namespaces/{namespace}");
    let of = query(&[("model", Some(model)), ("version", Some(&version))]);
    let mut decisions: Value = server.get(&format!("{data}/decisions{of}")).await?;
    let mut reports = Vec::new();
    for (name, digest) in list(&graph["nodes"]).iter().filter_map(|node| word(node, "id").rsplit_once('@')) {
        // A file's digest names its algorithm; what MLflow's clients log does not.
        let digest = digest.strip_prefix("sha256:").unwrap_or(digest);
        if digest.len() == SHA256 {
            let found: Value = server.get(&format!("{data}/reports{}", query(&[("sha256", Some(digest))]))).await?;
            reports.extend(list(&found["reports"]).iter().map(|report| json!({"dataset": name, "report": report})));
        }
    }

    let all: Value =
        server.get(&format!("/apis/mcplane.io/v1alpha1/namespaces/{namespace}/rollouts?limit=500")).await?;
    let mut rollouts = Vec::new();
    let own = list(&all["items"]).iter().filter(|rollout| rollout["spec"]["service"] == prediction["service"]);
    for name in own.map(|rollout| word(&rollout["metadata"], "name")) {
        let found: Value = server.get(&format!("{delivery}/rollouts/{}/decisions?limit=1000", encode(name))).await?;
        let mine = list(&found["decisions"]).iter().filter(|decision| decision["version"] == prediction["version"]);
        rollouts.extend(mine.map(|decision| json!({"rollout": name, "decision": decision})));
    }
    let decisions = decisions["decisions"].take();
    Ok(json!({
        "prediction": prediction, "rollouts": rollouts, "decisions": decisions, "reports": reports, "graph": graph,
    }))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn word<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_default()
}

fn text(found: &Value, graph: &Graph) -> String {
    let prediction = &found["prediction"];
    let mut told = vec![format!("at {}", word(prediction, "at"))];
    if prediction["recorded"] == true {
        told.push(format!("predicted {}", prediction["predicted"]));
    }
    told.extend(list(&prediction["labels"]).first().map(|label| format!("in truth {}", label["value"])));
    let mut out = format!("prediction:{}  ({})\n", word(prediction, "id"), told.join(", "));
    // Writing to a string can't fail.
    let _ = writeln!(out, "made by {} of service {}", word(prediction, "version"), word(prediction, "service"));
    // Oldest first: as it happened.
    for one in list(&found["rollouts"]).iter().rev() {
        let decision = &one["decision"];
        let (action, at, why) = (word(decision, "action"), word(decision, "at"), word(decision, "message"));
        let _ = writeln!(out, "├─ rollout {} {action} {at}: {why}", word(one, "rollout"));
    }
    for decision in list(&found["decisions"]) {
        let overridden = match word(&decision["override"], "by") {
            "" => String::new(),
            by => format!(", overridden by {by}: {}", word(&decision["override"], "reason")),
        };
        let (gate, verdict, id) = (word(decision, "gate"), word(decision, "verdict"), word(decision, "id"));
        let _ = writeln!(out, "├─ gate {gate}: {verdict} (decision {id}{overridden})");
    }
    for one in list(&found["reports"]) {
        let report = &one["report"];
        let (contract, outcome, id) = (word(report, "contract"), word(report, "outcome"), word(report, "id"));
        let _ = writeln!(out, "├─ contract {contract}: {outcome} (report {id}) of {}", word(one, "dataset"));
    }
    let rest = tree(graph, "upstream");
    let mut lines = rest.lines();
    let _ = writeln!(out, "└─ serves {}", lines.next().unwrap_or_default());
    let mut out = printable_lines(&out);
    lines.for_each(|line| out += &format!("   {line}\n"));
    out
}

/// What clients wrote must not steer the terminal.
fn printable_lines(text: &str) -> String {
    text.lines().map(|line| printable(line) + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prediction_leads_back_to_its_data() {
        let graph = json!({
            "nodes": [
                {"id": "modelversion:fraud/3", "kind": "modelversion", "name": "fraud", "facets": {"version": "1.2.0"}},
                {"id": "run:1", "kind": "run", "name": "fit", "facets": {"status": "FINISHED"}},
            ],
            "edges": [{"from": "run:1", "to": "modelversion:fraud/3", "kind": "registration"}],
            "truncated": false,
        });
        let found = json!({
            "prediction": {
                "id": "06h0", "at": "2026-11-01T00:00:00Z", "service": "fraud", "version": "fraud-predictor-00002",
                "recorded": true, "predicted": "yes", "labels": [{"value": 0.0}],
            },
            "rollouts": [{"rollout": "fraud", "decision": {"action": "Started", "at": "2026-10-31T00:00:00Z", "message": "m\u{1b}"}}],
            "decisions": [{"id": "d1", "gate": "g", "verdict": "Refuse", "override": {"by": "ann", "reason": "why not"}}],
            "reports": [{"dataset": "dataset:file:///a.csv", "report": {"contract": "c", "outcome": "Passed", "id": "r1"}}],
        });
        let graph = serde_json::from_value(graph).unwrap();
        insta::assert_snapshot!(text(&found, &graph), @r#"
        prediction:06h0  (at 2026-11-01T00:00:00Z, predicted "yes", in truth 0.0)
        made by fraud-predictor-00002 of service fraud
        ├─ rollout fraud Started 2026-10-31T00:00:00Z: m 
        ├─ gate g: Refuse (decision d1, overridden by ann: why not)
        ├─ contract c: Passed (report r1) of dataset:file:///a.csv
        └─ serves modelversion:fraud/3  (version 1.2.0)
           made from:
           └─ registered from run:1  (fit, status FINISHED)
        "#);
    }
}
