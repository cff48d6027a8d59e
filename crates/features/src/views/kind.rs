//! The kind `FeatureView`.

use mcplane_apimachinery::schema::Schema;
use mcplane_core::FieldError;
use mcplane_objects::http::AGE;
use mcplane_objects::schemas::{OwnSchema, text};
use mcplane_objects::{Column, Kind, Resource};
use serde::Deserialize;
use serde_json::{Value, json};

use super::types::{FeatureType, FeatureViewSpec};

/// The API group.
pub const GROUP: &str = "mcplane.io";
/// The version.
pub const VERSION: &str = "v1alpha1";
/// The plural.
pub const VIEWS: &str = "featureviews";

/// A feature view.
#[derive(Debug, Clone, Deserialize)]
pub struct FeatureView {
    /// What it says.
    pub spec: FeatureViewSpec,
}

static SCHEMA: OwnSchema = OwnSchema::new(schema);

impl Resource for FeatureView {
    const KIND: Kind = Kind {
        short_names: &["fv"],
        status: true,
        generation: true,
        strategic_merge: false,
        columns: &[
            Column { name: "Entities", format: "string", priority: 0, cell: |view| entities(view).into() },
            Column { name: "Features", format: "integer", priority: 0, cell: |view| features(view).into() },
            Column { name: "TTL", format: "string", priority: 0, cell: |view| or_none(&view["spec"]["ttl"]) },
            Column { name: "Rows", format: "string", priority: 0, cell: |view| last(view, "rows") },
            Column { name: "Current", format: "string", priority: 0, cell: |view| current(view).into() },
            AGE,
            Column { name: "Output", format: "string", priority: 1, cell: |view| last(view, "output") },
            Column { name: "Digest", format: "string", priority: 1, cell: |view| last(view, "outputDigest") },
        ],
        ..Kind::namespaced(GROUP, &[VERSION], "FeatureView", VIEWS, "featureview")
    };

    fn schema(_: &str) -> Option<&'static Schema> {
        SCHEMA.compiled()
    }

    fn openapi(version: &str) -> Option<Value> {
        Some(SCHEMA.component(&Self::KIND, version))
    }

    fn validate(new: &Self, _: Option<&Self>) -> Vec<FieldError> {
        new.spec.faults()
    }
}

fn or_none(value: &Value) -> Value {
    if value.is_null() { "<none>".into() } else { value.clone() }
}

fn entities(view: &Value) -> String {
    let names = view["spec"]["entities"].as_array().map(Vec::as_slice).unwrap_or_default();
    names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
}

fn features(view: &Value) -> usize {
    view["spec"]["features"].as_array().map_or(0, Vec::len)
}

fn last(view: &Value, field: &str) -> Value {
    match &view["status"]["lastMaterialization"][field] {
        Value::Null => "<none>".into(),
        Value::String(text) => text.as_str().into(),
        other => other.to_string().into(),
    }
}

/// Whether the last materialisation is of what the view says now.
fn current(view: &Value) -> &'static str {
    match &view["status"]["lastMaterialization"]["generation"] {
        Value::Null => "never",
        generation if *generation == view["metadata"]["generation"] => "yes",
        _ => "no",
    }
}

fn schema() -> Value {
    let number = |about: &str| json!({"type": "integer", "format": "int64", "description": about});
    let materialization = json!({
        "type": "object",
        "description": "What the last materialization made.",
        "properties": {
            "id": text("Which one it was: also the run in lineage."),
            "generation": number("The generation of the view that was materialised."),
            "specDigest": text("SHA-256 of the specification that was materialised."),
            "output": text("Where the rows are."),
            "outputDigest": text("SHA-256 of the file."),
            "rows": number("Rows of the file."),
            "inputs": {"type": "array", "description": "The files that were read.", "items": {
                "type": "object",
                "properties": {
                    "source": text("Which source the file belongs to."),
                    "path": text("Where it is."),
                    "digest": text("SHA-256 of the file."),
                },
            }},
            "startedAt": text("When it began."),
            "finishedAt": text("When it was done."),
            "recordedBy": text("Who told of it."),
        },
    });
    json!({
        "type": "object",
        "description": "Features of entities over time: SQL over files, materialised to Parquet and joined as of the time of events.",
        "required": ["spec"],
        "properties": {
            "spec": {
                "type": "object",
                "required": ["sources", "sql", "entities", "timestampColumn", "features"],
                "properties": {
                    "description": text("What it is."),
                    "sources": {"type": "array", "description": "The tables that the query reads.", "items": {
                        "type": "object",
                        "required": ["name", "path"],
                        "properties": {
                            "name": text("The table's name in the query."),
                            "path": text("A file, or a pattern of files with *, ? and **. A relative path begins where the command runs, or at the view's own file."),
                            "format": {"type": "string", "enum": ["csv", "parquet"], "description": "What the files are; their ending tells if it is not said."},
                        },
                    }},
                    "sql": text("The query, whose rows are features of entities at times."),
                    "entities": {"type": "array", "items": {"type": "string"}, "description": "Columns that name the entity."},
                    "timestampColumn": text("The column that tells when a row became true."),
                    "createdTimestampColumn": text("The column that tells when a row became known: events before that don't see it."),
                    "ttl": text("How long a row is good for, such as 1d or 2h30m; for ever if not said."),
                    "features": {"type": "array", "description": "Columns that are features.", "items": {
                        "type": "object",
                        "required": ["name", "type"],
                        "properties": {
                            "name": text("The column."),
                            "type": {"type": "string", "enum": FeatureType::NAMES, "description": "What its values are."},
                            "description": text("What it means."),
                        },
                    }},
                },
            },
            "status": {"type": "object", "properties": {"lastMaterialization": materialization}},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> Value {
        json!({
            "metadata": {"name": "weather", "namespace": "ns", "uid": "u"},
            "spec": {
                "sources": [{"name": "weather", "path": "data/weather-*.csv"}],
                "sql": "SELECT origin, time_hour, temp FROM weather",
                "entities": ["origin"], "timestampColumn": "time_hour", "createdTimestampColumn": "seen", "ttl": "3h",
                "features": [{"name": "temp", "type": "float64"}],
            },
        })
    }

    fn faults(change: fn(&mut Value)) -> Vec<String> {
        let mut view = view();
        change(&mut view["spec"]);
        let typed = serde_json::from_value(view).unwrap();
        FeatureView::validate(&typed, None).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_schema_takes_a_view_and_no_more() {
        let schema = FeatureView::schema(VERSION).unwrap();
        let mut view = view();
        mcplane_objects::object::set_type(&mut view, "mcplane.io/v1alpha1", "FeatureView");
        assert_eq!((schema.validate(&view), schema.unknown_fields(&view)), (vec![], vec![]));
        assert_eq!(faults(|_| ()), Vec::<String>::new());
        view["spec"]["features"][0]["type"] = "money".into();
        view["spec"]["colour"] = "red".into();
        assert_eq!((schema.validate(&view).len(), schema.unknown_fields(&view).len()), (1, 1));
    }

    #[test]
    fn faults_name_field_and_rule() {
        for (change, expected) in [
            ((|spec| spec["sources"] = json!([])) as fn(&mut Value), "spec.sources: Required value: at least one"),
            (
                |spec| spec["sources"][0]["name"] = "Big Table".into(),
                "spec.sources[0].name: Invalid value: \"Big Table\": must be a letter or _",
            ),
            (|spec| spec["sources"][0]["path"] = "".into(), "spec.sources[0].path: Required value"),
            (
                |spec| spec["sources"][0]["path"] = "s3://b/x.csv".into(),
                "spec.sources[0].path: Invalid value: \"s3://b/x.csv\": must be a path of files",
            ),
            (|spec| spec["sources"][0]["path"] = "x.txt".into(), "spec.sources[0].format: Required value"),
            (
                |spec| {
                    let first = spec["sources"][0].clone();
                    spec["sources"] = json!([first, first])
                },
                "spec.sources[1].name: Duplicate value: \"weather\"",
            ),
            (|spec| spec["sql"] = " ".into(), "spec.sql: Required value"),
            (|spec| spec["sql"] = "x".repeat(70_000).into(), "spec.sql: Invalid value"),
            (|spec| spec["entities"] = json!([]), "spec.entities: Required value"),
            (|spec| spec["entities"] = json!(["temp"]), "spec.features[0].name: Duplicate value: \"temp\""),
            (
                |spec| spec["createdTimestampColumn"] = "time_hour".into(),
                "spec.createdTimestampColumn: Duplicate value",
            ),
            (|spec| spec["timestampColumn"] = "".into(), "spec.timestampColumn: Required value"),
            (|spec| spec["ttl"] = "soon".into(), "spec.ttl: Invalid value: \"soon\": \"soon\" is not a duration"),
            (|spec| spec["ttl"] = "0s".into(), "spec.ttl: Invalid value: \"0\": must be longer"),
            (|spec| spec["features"] = json!([]), "spec.features: Required value"),
        ] {
            let told = faults(change);
            assert!(told.len() == 1 && told[0].starts_with(expected), "{told:?}, not {expected}");
        }
    }

    #[test]
    fn a_digest_is_of_what_is_said() {
        let of = |value: Value| serde_json::from_value::<FeatureView>(value).unwrap().spec.digest();
        let first = of(view());
        let reordered: Value = serde_json::from_str(&view().to_string()).unwrap();
        assert_eq!((first.len(), &first), (71, &of(reordered)));
        let mut other = view();
        other["spec"]["ttl"] = "4h".into();
        assert_ne!(first, of(other));
    }

    #[test]
    fn columns_tell_whether_rows_are_current() {
        let mut view = view();
        view["metadata"]["generation"] = 2.into();
        assert_eq!((current(&view), last(&view, "rows")), ("never", json!("<none>")));
        view["status"]["lastMaterialization"] = json!({"generation": 1, "rows": 7});
        assert_eq!((current(&view), last(&view, "rows"), entities(&view).as_str()), ("no", json!("7"), "origin"));
        view["status"]["lastMaterialization"]["generation"] = 2.into();
        assert_eq!(current(&view), "yes");
    }
}
