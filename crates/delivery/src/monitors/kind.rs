//! `Monitor`: how a service is watched.

use mcplane_apimachinery::schema::Schema;
use mcplane_core::FieldError;
use mcplane_objects::http::AGE;
use mcplane_objects::schemas::{OwnSchema, anything, count, flag, list, object, text, texts};
use mcplane_objects::{Column, Kind, Resource};
use serde::Deserialize;
use serde_json::{Value, json};

use super::MonitorSpec;
use crate::scope::{OBJECT_GROUP, VERSION, band, fill};

/// A monitor as an object.
#[derive(Debug, Default, Deserialize)]
pub struct Monitor {
    /// How the service is watched.
    #[serde(default)]
    pub spec: MonitorSpec,
}

static SCHEMA: OwnSchema = OwnSchema::new(schema);

impl Resource for Monitor {
    const KIND: Kind = Kind {
        status: true,
        generation: true,
        strategic_merge: false,
        short_names: &["mon"],
        columns: &[
            Column {
                name: "Service",
                format: "string",
                priority: 0,
                cell: |monitor| monitor["spec"]["service"].clone(),
            },
            Column { name: "Level", format: "string", priority: 0, cell: |monitor| monitor["status"]["level"].clone() },
            Column {
                name: "Alerts",
                format: "integer",
                priority: 0,
                cell: |monitor| monitor["status"]["openAlerts"].clone(),
            },
            Column {
                name: "Requests/s",
                format: "string",
                priority: 0,
                cell: |monitor| monitor["status"]["rate"].clone(),
            },
            AGE,
            Column {
                name: "Message",
                format: "string",
                priority: 1,
                cell: |monitor| monitor["status"]["message"].clone(),
            },
        ],
        ..Kind::namespaced(OBJECT_GROUP, &[VERSION], "Monitor", "monitors", "monitor")
    };

    fn schema(_: &str) -> Option<&'static Schema> {
        SCHEMA.compiled()
    }

    fn openapi(version: &str) -> Option<Value> {
        Some(SCHEMA.component(&Self::KIND, version))
    }

    /// The defaults are written out, so that it is known where the lines are.
    fn prepare(new: &mut Value, _: Option<&Value>) {
        if let Some(spec) = new.get_mut("spec").filter(|spec| spec.is_object()) {
            let mut defaults = serde_json::to_value(MonitorSpec::default()).unwrap_or_default();
            // Which service it is of must be said.
            if let Some(fields) = defaults.as_object_mut() {
                fields.remove("service");
            }
            fill(spec, defaults);
        }
    }

    fn validate(new: &Self, old: Option<&Self>) -> Vec<FieldError> {
        let mut errors = new.spec.faults();
        if old.is_some_and(|old| old.spec.service != new.spec.service) {
            errors.push(FieldError::forbidden("spec.service", "a monitor stays with its service: make another"));
        }
        errors
    }
}

fn schema() -> Value {
    let windows = object(
        "How far back is looked.",
        &[
            ("traffic", text("Requests, errors and latency of so long.")),
            ("rows", count("Drift of at most so many rows.")),
            ("rowsAge", text("And of none older than this.")),
            ("labels", count("Quality of at most so many labelled predictions.")),
            ("labelsAge", text("And of none labelled longer ago than this.")),
            ("labelDelay", text("How long a prediction waits for its label.")),
        ],
    );
    let bands = object(
        "When a reading is worrying.",
        &[
            ("accuracy", band("Share of right predictions.")),
            ("f1", band("F1, averaged over classes.")),
            ("errors", band("Share of requests that fail.")),
            ("latency", band("Mean latency in milliseconds.")),
            ("stability", band("Population stability index of a column, or of what is predicted.")),
            ("distance", band("Distance of Kolmogorov and Smirnov of the same.")),
        ],
    );
    let receiver = object(
        "Who is told of alerts.",
        &[
            ("url", text("Where to.")),
            (
                "format",
                json!({"type": "string", "enum": ["Webhook", "Alertmanager"], "description": "As Alertmanager writes to webhooks, or as it takes alerts itself."}),
            ),
        ],
    );
    json!({
        "type": "object",
        "description": "How the versions of a service do: traffic, drift and quality, and who is told when they do badly.",
        "required": ["spec"],
        "properties": {
            "spec": object("How it is watched.", &[
                ("service", text("An InferenceService, or a host of a VirtualService.")),
                ("enabled", flag("Whether it is watched.")),
                ("interval", text("Between looks, such as 30s.")),
                ("windows", windows),
                ("bands", bands),
                ("ignore", texts("Columns whose drift is of no interest.")),
                ("receivers", list("Who is told.", receiver)),
            ]),
            "status": object("What was seen last.", &[
                ("level", text("Normal, Warning or Alert: the worst of all readings.")),
                ("openAlerts", count("How many alerts are open.")),
                ("rate", text("Requests a second, of all versions.")),
                ("message", text("What is worst.")),
                ("lookedAt", text("When that was.")),
                ("versions", list("Each version with its readings.", anything("One."))),
                ("observedGeneration", count("Which generation of the object this is about.")),
            ]),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_monitor_needs_its_service_only() {
        assert!(Monitor::schema(VERSION).is_some());
        let mut object = json!({"spec": {"service": "fraud", "bands": {"latency": {"alert": 900}}}});
        Monitor::prepare(&mut object, None);
        let monitor: Monitor = serde_json::from_value(object).unwrap();
        assert_eq!(Monitor::validate(&monitor, None), []);
        assert_eq!((monitor.spec.bands.latency.normal, monitor.spec.bands.latency.alert), (200.0, 900.0));
        let mut nothing = json!({"spec": {}});
        Monitor::prepare(&mut nothing, None);
        let nothing: Monitor = serde_json::from_value(nothing).unwrap();
        assert!(Monitor::validate(&nothing, None)[0].to_string().contains("name the service"));
        assert!(
            Monitor::validate(&nothing, Some(&monitor)).iter().any(|fault| fault.to_string().contains("make another"))
        );
    }
}
