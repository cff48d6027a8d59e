//! `Rollout`: how versions of a service go out.

use mcplane_apimachinery::schema::Schema;
use mcplane_core::FieldError;
use mcplane_objects::http::AGE;
use mcplane_objects::schemas::{OwnSchema, anything, count, flag, list, number, object, text, texts};
use mcplane_objects::{Column, Kind, Resource};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Analysis, RolloutSpec};
use crate::scope::{OBJECT_GROUP, VERSION, band, fill};

/// A rollout as an object.
#[derive(Debug, Default, Deserialize)]
pub struct Rollout {
    /// How versions go out.
    #[serde(default)]
    pub spec: RolloutSpec,
}

fn status(rollout: &Value, field: &str) -> Value {
    rollout["status"][field].clone()
}

/// What it is of.
fn subject(rollout: &Value) -> Value {
    let spec = &rollout["spec"];
    let named = |field: &str| spec[field].as_str().filter(|name| !name.is_empty());
    named("service").or_else(|| named("virtualService")).unwrap_or_default().into()
}

static SCHEMA: OwnSchema = OwnSchema::new(schema);

impl Resource for Rollout {
    const KIND: Kind = Kind {
        status: true,
        generation: true,
        strategic_merge: false,
        short_names: &["ro"],
        columns: &[
            Column { name: "Of", format: "string", priority: 0, cell: subject },
            Column { name: "Phase", format: "string", priority: 0, cell: |rollout| status(rollout, "phase") },
            Column { name: "Version", format: "string", priority: 0, cell: |rollout| status(rollout, "version") },
            Column { name: "Stage", format: "string", priority: 0, cell: |rollout| status(rollout, "stageName") },
            Column { name: "Weight", format: "integer", priority: 0, cell: |rollout| status(rollout, "weight") },
            Column { name: "Verdict", format: "string", priority: 0, cell: |rollout| status(rollout, "verdict") },
            AGE,
            Column { name: "Stable", format: "string", priority: 1, cell: |rollout| status(rollout, "stable") },
            Column { name: "Message", format: "string", priority: 1, cell: |rollout| status(rollout, "message") },
        ],
        ..Kind::namespaced(OBJECT_GROUP, &[VERSION], "Rollout", "rollouts", "rollout")
    };

    fn schema(_: &str) -> Option<&'static Schema> {
        SCHEMA.compiled()
    }

    fn openapi(version: &str) -> Option<Value> {
        Some(SCHEMA.component(&Self::KIND, version))
    }

    /// The defaults are written out, so that it is known by what a version was judged.
    fn prepare(new: &mut Value, _: Option<&Value>) {
        let Some(spec) = new.get_mut("spec").filter(|spec| spec.is_object()) else { return };
        let stage =
            |name: &str, weight: u32, duration: &str| json!({"name": name, "weight": weight, "duration": duration});
        let stages = json!([stage("10 %", 10, "10m"), stage("50 %", 50, "10m"), stage("all", 100, "10m")]);
        let analysis = serde_json::to_value(Analysis::default()).unwrap_or_default();
        fill(spec, json!({"stages": stages, "analysis": analysis}));
    }

    fn validate(new: &Self, _: Option<&Self>) -> Vec<FieldError> {
        new.spec.faults()
    }
}

fn schema() -> Value {
    let audience = object(
        "Those of whom all given parts hold.",
        &[
            ("addresses", texts("Addresses or networks that requests come from, such as 10.0.0.0/8.")),
            ("regions", texts("Regions, as the header x-region tells them.")),
            (
                "headers",
                json!({"type": "object", "description": "Headers with their values.", "additionalProperties": text("Its value.")}),
            ),
            ("users", texts("Users, as the header x-user-id tells them.")),
        ],
    );
    let promote = json!({"type": "string", "enum": ["Automatic", "Manual"], "description": "What ends it: a verdict, or a person."});
    let stage = object(
        "A stage.",
        &[
            ("name", text("Its name.")),
            ("audience", list("Who gets the version whatever the weight.", audience)),
            ("weight", count("Percent of everybody else.")),
            ("duration", text("How long it lasts at least, such as 10m.")),
            ("promote", promote),
        ],
    );
    let comparison = object(
        "Statistics.",
        &[
            ("alpha", number("Probability that an equal version is ever found to differ.")),
            ("least", count("Requests, or labels, that each version must have.")),
            ("shareMargin", number("How much worse a share may be and still count as the same.")),
            ("latencyMargin", number("How much longer latency may be, as a part of the stable version's.")),
            (
                "latencySlack",
                number("Milliseconds more that count as the same, however short the stable version's latency is."),
            ),
            ("accuracy", band("Lines of accuracy.")),
            ("errors", band("Lines of the share of errors.")),
            ("latency", band("Lines of mean latency in milliseconds.")),
        ],
    );
    let analysis = object(
        "How a version is judged.",
        &[
            ("interval", text("Between looks, such as 30s.")),
            ("patience", text("How long a stage may last without a verdict before a person is asked.")),
            ("comparison", comparison),
        ],
    );
    json!({
        "type": "object",
        "description": "How versions of a service go out: by stages, compared with the stable version, and back when they are worse.",
        "required": ["spec"],
        "properties": {
            "spec": object("How versions go out.", &[
                ("service", text("The InferenceService whose revisions go out.")),
                ("virtualService", text("Or the VirtualService whose traffic moves.")),
                ("version", text("What goes out: the newest revision of a service if empty, or a subset of the virtual service.")),
                ("stages", list("Stages in their order; the last has a weight of 100.", stage)),
                ("analysis", analysis),
                ("paused", flag("Nothing goes forward while it is set; worse still goes back.")),
            ]),
            "status": object("Where it is.", &[
                ("phase", text("Idle, Progressing, Waiting, Paused, Succeeded or RolledBack.")),
                ("version", text("The version that goes out, or went last.")),
                ("stable", text("The version that serves, and to which it goes back.")),
                ("stage", count("Index of the stage.")),
                ("stageName", text("Its name.")),
                ("weight", count("Percent of traffic that the version has, besides its audience.")),
                ("since", text("When the stage began.")),
                ("verdict", text("What was said last: Better, Same, Worse, TooLittleTraffic or Inconclusive.")),
                ("message", text("Why it is where it is.")),
                ("metrics", list("The numbers of the last look.", anything("One."))),
                ("lookedAt", text("When that was.")),
                ("observedGeneration", count("Which generation of the object this is about.")),
                ("conditions", list("In Kubernetes' form.", anything("One."))),
            ]),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollout_needs_little() {
        assert!(Rollout::schema(VERSION).is_some());
        let mut object =
            json!({"spec": {"service": "fraud", "analysis": {"comparison": {"accuracy": {"normal": 0.97}}}}});
        Rollout::prepare(&mut object, None);
        let rollout: Rollout = serde_json::from_value(object).unwrap();
        assert_eq!(Rollout::validate(&rollout, None), []);
        let spec = rollout.spec;
        assert_eq!(spec.stages.iter().map(|stage| stage.weight).collect::<Vec<_>>(), [10, 50, 100]);
        let accuracy = spec.analysis.comparison.accuracy;
        assert_eq!((accuracy.normal, accuracy.alert, spec.analysis.interval_ms()), (0.97, 0.9, 30_000));
    }

    #[test]
    fn it_is_of_one_thing() {
        let faults = |spec: Value| -> Vec<String> {
            let mut object = json!({ "spec": spec });
            Rollout::prepare(&mut object, None);
            let rollout: Rollout = serde_json::from_value(object).unwrap();
            Rollout::validate(&rollout, None).iter().map(ToString::to_string).collect()
        };
        assert!(faults(json!({}))[0].contains("name an InferenceService"));
        assert!(faults(json!({"virtualService": "a"}))[0].contains("name the subset"));
        assert!(faults(json!({"virtualService": "a", "service": "b", "version": "c"}))[0].contains("not of both"));
        assert_eq!(faults(json!({"virtualService": "a", "version": "v2"})), Vec::<String>::new());
    }
}
