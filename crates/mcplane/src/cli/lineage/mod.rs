//! `mcplane lineage`.

mod prediction;

use std::collections::{HashMap, HashSet};

use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::cli::connection::{ConnectionArgs, encode, query};
use crate::cli::failure::Failure;
use crate::cli::output::{complain, print};

const EXAMPLES: &str = "\
A NODE is one of:
  modelversion:NAME/VERSION   a registered version
  model:ID                    what a run made, as its model_id tells
  run:ID                      a run, of MLflow or of a system that sends OpenLineage events
  dataset:NAME@DIGEST         data that runs logged
  dataset:s3://bucket/key     a place that other systems read and write
  dataset:file:///PATH@sha256:DIGEST   a file as pipelines, feature views and checks of contracts know it
  job:NAMESPACE/NAME          a job of another system, or one's own, such as job:mcplane:default/datacontract/flights
  prediction:ID               an answer of a service, by its x-mcplane-prediction-id: only what it was made from

Examples:
  mcplane lineage modelversion:fraud/3 --upstream       the code and data that it was made from
  mcplane lineage dataset:train@bfeb0c6a --downstream   every model that learned from it
  mcplane lineage run:67b3da4b42184903b5f8dfd7e2cb75cb -o json | jq '.nodes[].facets.commit'
";

/// Show what something was made from, and what was made from it
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Arguments {
    /// Where to start, as kind:name
    node: String,
    /// Only what it was made from
    #[arg(long, conflicts_with = "downstream")]
    upstream: bool,
    /// Only what was made from it
    #[arg(long)]
    downstream: bool,
    /// Levels to go, at most 16
    #[arg(long, value_name = "LEVELS", default_value_t = 8)]
    depth: u32,
    /// Namespace to look in instead of the login's
    #[arg(short, long)]
    namespace: Option<String>,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t = Format::Tree)]
    output: Format,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// A branch for each thing that another one comes from
    Tree,
    /// Nodes with all that is known of them, and edges
    Json,
}

#[derive(Debug, Deserialize)]
struct Graph {
    nodes: Vec<Node>,
    edges: Vec<Edge>,
    truncated: bool,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    kind: String,
    name: String,
    facets: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
struct Edge {
    from: String,
    to: String,
    kind: String,
    #[serde(default)]
    context: String,
}

pub(in crate::cli) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let connection = arguments.connection.connect().await?;
    let namespace = arguments.namespace.as_deref().unwrap_or(&connection.namespace);
    if let Some(id) = arguments.node.strip_prefix("prediction:") {
        return prediction::run(&connection, namespace, id, arguments.depth, arguments.output).await;
    }
    let direction = match (arguments.upstream, arguments.downstream) {
        (true, _) => "upstream",
        (_, true) => "downstream",
        _ => "both",
    };
    let depth = arguments.depth.to_string();
    let query = query(&[("node", Some(&arguments.node)), ("direction", Some(direction)), ("depth", Some(&depth))]);
    let path = format!("/lineage/v1/namespaces/{}/graph{query}", encode(namespace));
    let answer: Value = connection.get(&path).await?;
    let truncated = match arguments.output {
        Format::Json => {
            print(&format!("{answer:#}\n"))?;
            answer["truncated"] == true
        }
        Format::Tree => {
            let graph: Graph = serde_json::from_value(answer)
                .map_err(|error| Failure::from_error("the server gave no usable answer", &error))?;
            print(&tree(&graph, direction))?;
            graph.truncated
        }
    };
    if truncated {
        complain("there is more than one answer holds: start nearer to what you look for, or lower --depth");
    }
    Ok(())
}

/// The graph as a tree; what has several ways to it is whole at the first, and named at the others.
fn tree(graph: &Graph, direction: &str) -> String {
    let Some(start) = graph.nodes.first() else { return String::new() };
    let mut tree = Tree {
        nodes: graph.nodes.iter().map(|node| (node.id.as_str(), node)).collect(),
        edges: &graph.edges,
        shown: HashSet::new(),
        text: String::new(),
    };
    tree.text = format!("{}{}\n", printable(&start.id), summary(start));
    for (wanted, upstream, title) in [("upstream", true, "made from"), ("downstream", false, "led to")] {
        if direction != wanted && direction != "both" {
            continue;
        }
        tree.shown.clear();
        tree.shown.insert(&start.id);
        tree.text += &format!("{title}:\n");
        let before = tree.text.len();
        tree.branches(&start.id, upstream, "");
        if tree.text.len() == before {
            tree.text += "  nothing that is known\n";
        }
    }
    tree.text
}

struct Tree<'g> {
    nodes: HashMap<&'g str, &'g Node>,
    edges: &'g [Edge],
    shown: HashSet<&'g str>,
    text: String,
}

impl<'g> Tree<'g> {
    /// Depth is that of the answer, which the server bounds.
    fn branches(&mut self, id: &str, upstream: bool, indent: &str) {
        let near = |edge: &&Edge| if upstream { edge.to == id } else { edge.from == id };
        let edges: Vec<&'g Edge> = self.edges.iter().filter(near).collect();
        for (index, edge) in edges.iter().enumerate() {
            let end = if upstream { edge.from.as_str() } else { edge.to.as_str() };
            let last = index + 1 == edges.len();
            let (fork, below) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            let first = self.shown.insert(end);
            let known = self.nodes.get(end).copied();
            let about = if first { known.map(summary).unwrap_or_default() } else { "  (above)".to_owned() };
            self.text += &format!("{indent}{fork}{} {}{about}\n", relation(edge, upstream), printable(end));
            if first {
                self.branches(end, upstream, &format!("{indent}{below}"));
            }
        }
    }
}

/// What the end of an edge has to do with what is above it in the tree.
fn relation(edge: &Edge, upstream: bool) -> String {
    let words = match (edge.kind.as_str(), upstream) {
        ("input", true) => "read",
        ("input", false) => "read by",
        ("output", true) => "made by",
        ("output", false) => "made",
        ("execution", true) => "executes",
        ("execution", false) => "executed as",
        ("registration", true) => "registered from",
        ("registration", false) => "registered as",
        ("copy", true) => "copied from",
        ("copy", false) => "copied to",
        ("content", true) => "content of",
        ("content", false) => "held",
        ("check", true) => "checked by",
        ("check", false) => "checked",
        (other, _) => other,
    };
    if edge.context.is_empty() { words.to_owned() } else { format!("{words} for {}", printable(&edge.context)) }
}

/// What is most worth knowing of a node, on its line.
fn summary(node: &Node) -> String {
    let facets: &[&str] = match node.kind.as_str() {
        "run" => &["commit", "source", "user", "image", "status", "state", "startedAt"],
        "dataset" => &["source"],
        "model" => &["modelType"],
        "modelversion" => &["version", "stage", "digest", "createdBy"],
        _ => &["state"],
    };
    let mut words: Vec<String> = Vec::new();
    // Ids of these don't tell their names.
    if matches!(node.kind.as_str(), "run" | "model") && !node.name.is_empty() {
        words.push(node.name.clone());
    }
    let text =
        |name: &&str| Some(format!("{name} {}", node.facets.get(*name)?.as_str().filter(|text| *text != "None")?));
    words.extend(facets.iter().filter_map(text));
    // What a version was trained with, as it was registered; it may come from no run that is known here.
    let trained = node.facets.get("environment").and_then(|environment| environment["commit"].as_str());
    words.extend(trained.map(|commit| format!("commit {commit}")));
    if node.facets.get("deleted").is_some_and(|deleted| deleted == true) {
        words.push("deleted".to_owned());
    }
    if node.facets.is_empty() {
        words.push("not known here".to_owned());
    }
    if words.is_empty() { String::new() } else { format!("  ({})", printable(&words.join(", "))) }
}

/// What clients logged must not steer the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn graph() -> Graph {
        let node = |id: &str, name: &str, facets: Value| json!({"id": id, "kind": id.split(':').next(), "name": name, "facets": facets});
        let edge = |from: &str, to: &str, kind: &str| json!({"from": from, "to": to, "kind": kind});
        let mut read = edge("dataset:train@d1", "run:1", "input");
        read["context"] = json!("training");
        let graph = json!({
            "nodes": [
                node("modelversion:fraud/3", "fraud", json!({"version": "1.2.0", "stage": "None", "createdBy": "ann", "environment": {"commit": "abc"}})),
                node("model:m-1", "clf", json!({"createdAt": "2026-11-01T00:00:00Z"})),
                node("model:m-2", "", json!({})),
                node("run:1", "loud-asp", json!({"commit": "abc", "user": "ann\u{1b}[2J", "status": "FINISHED"})),
                node("dataset:train@d1", "train", json!({"source": "{\"uri\": \"s3://b/x\"}", "deleted": true})),
            ],
            "edges": [
                edge("model:m-1", "modelversion:fraud/3", "registration"),
                edge("model:m-2", "modelversion:fraud/3", "registration"),
                edge("run:1", "model:m-1", "output"),
                edge("run:1", "model:m-2", "output"),
                read,
            ],
            "truncated": false,
        });
        serde_json::from_value(graph).unwrap()
    }

    #[test]
    fn a_tree_has_a_branch_for_each_origin() {
        insta::assert_snapshot!(tree(&graph(), "both"), @r#"
        modelversion:fraud/3  (version 1.2.0, createdBy ann, commit abc)
        made from:
        ├─ registered from model:m-1  (clf)
        │  └─ made by run:1  (loud-asp, commit abc, user ann [2J, status FINISHED)
        │     └─ read for training dataset:train@d1  (source {"uri": "s3://b/x"}, deleted)
        └─ registered from model:m-2  (not known here)
           └─ made by run:1  (above)
        led to:
          nothing that is known
        "#);
    }
}
