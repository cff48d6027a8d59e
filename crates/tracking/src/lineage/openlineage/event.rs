//! An event, checked and read.

use std::collections::HashMap;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use mcplane_core::{Error, Result};
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::super::graph::{Edge, EdgeKind};
use super::super::node::{LONGEST, run_id};
use super::super::reported::Reported;
use super::super::{Node, place};

/// Longest name or namespace, in bytes, so that both together are a node.
const LONGEST_NAME: usize = LONGEST / 2 - 64;
/// Longest version of a dataset, in bytes.
const LONGEST_VERSION: usize = 100;
/// Most datasets of an event.
const MOST_DATASETS: usize = 1000;

/// The facet of data of which something was asserted.
const ASSERTIONS: &str = "dataQualityAssertions";

const STATES: [&str; 6] = ["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"];

type Facets = Option<Map<String, Value>>;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    event_time: String,
    producer: String,
    #[serde(rename = "schemaURL")]
    schema_url: String,
    event_type: Option<String>,
    run: Option<Run>,
    job: Option<Named>,
    dataset: Option<Named>,
    inputs: Option<Vec<Named>>,
    outputs: Option<Vec<Named>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    run_id: String,
    facets: Facets,
}

/// A job or a dataset.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    namespace: String,
    name: String,
    facets: Facets,
    input_facets: Facets,
    output_facets: Facets,
}

/// What an event says.
#[derive(Debug)]
pub(crate) struct Report {
    /// SHA-256 of the event, in hex: the same event is known by it.
    pub(crate) digest: String,
    pub(crate) nodes: HashMap<Node, Reported>,
    pub(crate) edges: Vec<Edge>,
}

impl Report {
    /// Reads an event. `own` is the namespace by which this server calls its things in the events of a workspace.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for what is no event.
    pub(crate) fn read(body: &[u8], own: &str) -> Result<Self> {
        let wrong = |error: serde_json::Error| Error::bad_request(format!("not an OpenLineage event: {error}"));
        let value: Value = serde_json::from_slice(body).map_err(wrong)?;
        // Keys are sorted, so that the order in which a client writes them makes no difference.
        let text = value.to_string();
        if text.contains("\\u0000") {
            return Err(Error::bad_request("text may not contain the character NUL"));
        }
        let digest = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        let event: Event = serde_json::from_value(value).map_err(wrong)?;
        let at = time(&event.event_time)?;
        check_name("producer", &event.producer)?;
        check_name("schemaURL", &event.schema_url)?;
        let mut report = Self { digest, nodes: HashMap::new(), edges: Vec::new() };
        match (&event.run, &event.job, &event.dataset) {
            (Some(_), Some(_), None) => report.add_run(event, at, own)?,
            (None, Some(_), None) => report.add_job(event, at, own)?,
            (None, None, Some(_)) => {
                event.dataset.into_iter().try_for_each(|dataset| report.add_dataset(dataset, None, at, own))?;
            }
            _ => {
                let message = "an OpenLineage event has run and job, or job, or dataset";
                return Err(Error::bad_request(message));
            }
        }
        Ok(report)
    }

    fn add(&mut self, node: Node, new: Reported) {
        let known = self.nodes.entry(node).or_insert_with(|| Reported { facets: Map::new(), ..new.clone() });
        known.facets.extend(new.facets);
    }

    fn add_run(&mut self, event: Event, at: i64, own: &str) -> Result<()> {
        let (Some(run), Some(job)) = (event.run, event.job) else { return Ok(()) };
        let state = event.event_type.unwrap_or_default();
        if !state.is_empty() && !STATES.contains(&state.as_str()) {
            return Err(Error::bad_request(format!("eventType must be one of {}", STATES.join(", "))));
        }
        let id = run_id(&run.run_id).ok_or_else(|| Error::bad_request("run.runId must be a UUID"))?;
        let node = Node::Run(id);
        let (job_node, job) = read_job(job, at)?;
        let facets = run.facets.unwrap_or_default();
        self.add(node.clone(), Reported { name: job.name.clone(), state, event_at: at, facets });
        self.add(job_node.clone(), job);
        self.edges.push(Edge::new(job_node, node.clone(), EdgeKind::Execution));
        self.add_data(&node, event.inputs, event.outputs, at, own)
    }

    fn add_job(&mut self, event: Event, at: i64, own: &str) -> Result<()> {
        let Some(job) = event.job else { return Ok(()) };
        let (node, job) = read_job(job, at)?;
        self.add(node.clone(), job);
        self.add_data(&node, event.inputs, event.outputs, at, own)
    }

    /// Adds what a run or a job reads and makes.
    fn add_data(
        &mut self,
        node: &Node,
        inputs: Option<Vec<Named>>,
        outputs: Option<Vec<Named>>,
        at: i64,
        own: &str,
    ) -> Result<()> {
        let (inputs, outputs) = (inputs.unwrap_or_default(), outputs.unwrap_or_default());
        if inputs.len() + outputs.len() > MOST_DATASETS {
            return Err(Error::bad_request(format!("an event has at most {MOST_DATASETS} datasets")));
        }
        // Whoever makes nothing of what it asserts of has read it for that alone: it stands before the data, not behind it.
        let checks = |input: &Named| {
            let asserted = [&input.facets, &input.input_facets];
            outputs.is_empty() && asserted.into_iter().flatten().any(|facets| facets.contains_key(ASSERTIONS))
        };
        for input in inputs {
            let kind = if checks(&input) { EdgeKind::Check } else { EdgeKind::Input };
            self.add_dataset(input, Some((node, kind)), at, own)?;
        }
        for output in outputs {
            self.add_dataset(output, Some((node, EdgeKind::Output)), at, own)?;
        }
        Ok(())
    }

    fn add_dataset(&mut self, dataset: Named, end: Option<(&Node, EdgeKind)>, at: i64, own: &str) -> Result<()> {
        dataset.check("dataset")?;
        let facets: Map<_, _> = [dataset.facets, dataset.input_facets, dataset.output_facets]
            .into_iter()
            .flat_map(Option::unwrap_or_default)
            .collect();
        let version = facets.get("version").and_then(|facet| facet["datasetVersion"].as_str()).unwrap_or_default();
        if version.len() > LONGEST_VERSION {
            return Err(Error::bad_request(format!("a version of a dataset has at most {LONGEST_VERSION} bytes")));
        }
        let version = version.to_owned();
        let reported = |facets| Reported { name: dataset.name.clone(), state: String::new(), event_at: at, facets };
        let node = if dataset.namespace == own {
            match dataset.name.parse() {
                Ok(node @ (Node::Model(_) | Node::ModelVersion { .. })) => node,
                _ => Node::dataset(dataset.name.as_str(), version),
            }
        } else {
            let place = place::of_openlineage(&dataset.namespace, &dataset.name);
            let (any, this) = (Node::dataset(place.as_str(), ""), Node::dataset(place.as_str(), version.as_str()));
            if !version.is_empty() {
                // Others, who don't tell versions apart, read and write the place.
                self.add(any.clone(), reported(Map::new()));
                self.edges.push(match end {
                    Some((end, EdgeKind::Output)) => Edge::new(end.clone(), any, EdgeKind::Output),
                    _ => Edge::new(any, this.clone(), EdgeKind::Content),
                });
            }
            this
        };
        self.add(node.clone(), reported(facets));
        match end {
            Some((end, EdgeKind::Input)) => self.edges.push(Edge::new(node, end.clone(), EdgeKind::Input)),
            Some((end, kind)) => self.edges.push(Edge::new(end.clone(), node, kind)),
            None => {}
        }
        Ok(())
    }
}

impl Named {
    fn check(&self, what: &str) -> Result<()> {
        check_name(&format!("{what}.namespace"), &self.namespace)?;
        check_name(&format!("{what}.name"), &self.name)
    }
}

fn read_job(job: Named, at: i64) -> Result<(Node, Reported)> {
    job.check("job")?;
    let node = Node::Job(format!("{}/{}", job.namespace, job.name));
    let facets = job.facets.unwrap_or_default();
    Ok((node, Reported { name: job.name, state: String::new(), event_at: at, facets }))
}

fn check_name(what: &str, text: &str) -> Result<()> {
    // Escaped, a name may become longer.
    let escaped = text.bytes().filter(|byte| matches!(byte, b'@' | b'%')).count() * 2;
    if text.is_empty() || text.len() + escaped > LONGEST_NAME {
        return Err(Error::bad_request(format!("{what} must have 1 to {LONGEST_NAME} bytes")));
    }
    Ok(())
}

/// Milliseconds since the epoch. A time without an offset, which clients send against the standard, is taken as UTC.
fn time(text: &str) -> Result<i64> {
    let at = text.parse::<Timestamp>().or_else(|error| {
        let civil: DateTime = text.parse().map_err(|_| error)?;
        TimeZone::UTC.to_timestamp(civil)
    });
    let wrong = |_| Error::bad_request("eventTime must be a time such as 2026-11-01T00:00:00Z");
    at.map(Timestamp::as_millisecond).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const OWN: &str = "mcplane:default";

    fn event() -> Value {
        json!({
            "eventType": "COMPLETE",
            "eventTime": "2026-11-01T00:00:00.5+00:00",
            "producer": "https://example.com/etl",
            "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
            "run": {"runId": "67b3da4b-4218-4903-b5f8-dfd7e2cb75cb", "facets": {"parent": {"v": 1}}},
            "job": {"namespace": "airflow", "name": "etl.daily", "facets": {"sql": {"query": "SELECT 1"}}},
            "inputs": [{"namespace": "postgres://db:5432", "name": "shop.orders"}],
            "outputs": [{"namespace": "s3://bucket", "name": "train.csv",
                         "facets": {"version": {"datasetVersion": "7"}}}],
        })
    }

    fn read(event: &Value) -> Result<Report> {
        Report::read(event.to_string().as_bytes(), OWN)
    }

    fn edges(report: &Report) -> Vec<String> {
        report.edges.iter().map(|edge| format!("{} -> {}", edge.from, edge.to)).collect()
    }

    #[test]
    fn a_run_has_a_job_and_data() {
        let report = read(&event()).unwrap();
        let run = "run:67b3da4b42184903b5f8dfd7e2cb75cb";
        assert_eq!(
            edges(&report),
            [
                format!("job:airflow/etl.daily -> {run}"),
                format!("dataset:postgres://db:5432/shop.orders -> {run}"),
                format!("{run} -> dataset:s3://bucket/train.csv"),
                format!("{run} -> dataset:s3://bucket/train.csv@7"),
            ]
        );
        let node = &report.nodes[&run.parse().unwrap()];
        assert_eq!(
            (node.state.as_str(), node.event_at, node.name.as_str()),
            ("COMPLETE", 1_793_491_200_500, "etl.daily")
        );
        assert_eq!(report.nodes.len(), 5);
        assert_eq!(report.digest, read(&event()).unwrap().digest);
    }

    #[test]
    fn jobs_and_datasets_come_alone_too() {
        let mut job = event();
        job.as_object_mut().unwrap().remove("run");
        assert_eq!(edges(&read(&job).unwrap())[0], "dataset:postgres://db:5432/shop.orders -> job:airflow/etl.daily");
        let dataset = json!({
            "eventTime": "2026-11-01T00:00:00", "producer": "p", "schemaURL": "s",
            "dataset": {"namespace": "file", "name": "/x@y", "facets": {"schema": {"fields": []}}},
        });
        let report = read(&dataset).unwrap();
        assert_eq!(report.nodes.keys().map(Node::to_string).collect::<Vec<_>>(), ["dataset:file:///x%40y"]);
    }

    #[test]
    fn checks_stand_before_their_data() {
        let mut check = event();
        check["inputs"] = json!([{
            "namespace": "file", "name": "/x.csv", "facets": {"version": {"datasetVersion": "1"}},
            "inputFacets": {"dataQualityAssertions": {"assertions": [{"assertion": "not null", "success": true}]}},
        }]);
        let run = "run:67b3da4b42184903b5f8dfd7e2cb75cb";
        let read_too = edges(&read(&check).unwrap());
        assert_eq!(read_too[2], format!("dataset:file:///x.csv@1 -> {run}"), "it makes something of it");
        check["outputs"] = json!([]);
        let report = read(&check).unwrap();
        assert_eq!(
            edges(&report)[1..],
            [
                "dataset:file:///x.csv -> dataset:file:///x.csv@1".to_owned(),
                format!("{run} -> dataset:file:///x.csv@1")
            ]
        );
        assert_eq!(report.edges[2].kind, EdgeKind::Check);
    }

    #[test]
    fn own_things_are_known_by_their_names() {
        let mut own = event();
        own["inputs"] = json!([
            {"namespace": OWN, "name": "model:m-1"},
            {"namespace": OWN, "name": "train", "facets": {"version": {"datasetVersion": "d1"}}},
            {"namespace": "mcplane:other", "name": "model:m-1"},
        ]);
        let edges = edges(&read(&own).unwrap());
        for (index, from) in [(1, "model:m-1"), (2, "dataset:train@d1"), (3, "dataset:mcplane:other/model:m-1")] {
            assert!(edges[index].starts_with(&format!("{from} -> ")), "{edges:?}");
        }
    }

    #[test]
    fn what_is_no_event_is_refused() {
        let refused = |field: &str, value: Value| {
            let mut event = event();
            match field.split_once('.') {
                Some((outer, inner)) => event[outer][inner] = value,
                None => event[field] = value,
            }
            read(&event).unwrap_err().to_string()
        };
        assert!(refused("eventTime", json!("yesterday")).contains("eventTime must be a time"));
        assert!(refused("eventType", json!("DONE")).contains("eventType must be one of"));
        assert!(refused("run.runId", json!("1")).contains("must be a UUID"));
        assert!(refused("job.name", json!("")).contains("job.name must have"));
        assert!(refused("producer", json!(null)).contains("not an OpenLineage event"));
        assert!(refused("dataset", json!({"namespace": "a", "name": "b"})).contains("run and job, or job, or dataset"));
        assert!(refused("job.name", json!("a\0")).contains("NUL"));
        let many = vec![json!({"namespace": "a", "name": "b"}); 1001];
        assert!(refused("inputs", json!(many)).contains("at most 1000"));
        for bad in ["", "[]", "{}", "1", &"[".repeat(1000)] {
            assert!(Report::read(bad.as_bytes(), OWN).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_node_of_an_event_can_be_read_again(namespace in "[ -~]{1,40}", name in "[ -~ä]{1,40}", version in "[ -~]{0,20}") {
            let mut event = event();
            event["job"] = json!({"namespace": namespace, "name": name});
            event["inputs"] = json!([{"namespace": namespace, "name": name, "facets": {"version": {"datasetVersion": version}}}]);
            let report = read(&event).unwrap();
            for node in report.nodes.keys() {
                prop_assert_eq!(&node.to_string().parse::<Node>().unwrap(), node);
            }
        }
    }
}
