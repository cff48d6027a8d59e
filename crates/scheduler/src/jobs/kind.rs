//! The kind `Job`: its rules, defaults and columns.

use k8s_openapi::api::batch::v1::{self as batch, JobSpec};
use mcplane_apimachinery::names;
use mcplane_core::{FieldError, clock};
use mcplane_objects::http::{AGE, age};
use mcplane_objects::object::ObjectExt as _;
use mcplane_objects::{Column, Kind, Resource};
use serde::Deserialize;
use serde_json::{Value, json};

use super::template::{self, NOT_NEGATIVE};

/// A job.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct Job(pub batch::Job);

/// The group of jobs and cron jobs.
pub(crate) const GROUP: &str = "batch";
/// The label of a pod, and of a job's selector, that names the job by its uid.
pub(crate) const UID_LABEL: &str = "batch.kubernetes.io/controller-uid";
/// The label of a pod that names the job.
pub(crate) const NAME_LABEL: &str = "batch.kubernetes.io/job-name";
/// The same as they were called before.
const OLD_LABELS: [&str; 2] = ["controller-uid", "job-name"];
/// The most pods of an indexed job, which its status can tell of.
const MOST_INDEXES: i32 = 100_000;

impl Resource for Job {
    const KIND: Kind = Kind {
        categories: &["all"],
        status: true,
        generation: true,
        selectable: &["status.successful"],
        columns: &[
            Column { name: "Status", format: "string", priority: 0, cell: |job| status(job).into() },
            Column { name: "Completions", format: "string", priority: 0, cell: |job| completions(job).into() },
            Column { name: "Duration", format: "string", priority: 0, cell: |job| duration(job) },
            AGE,
            Column {
                name: "Containers",
                format: "string",
                priority: 1,
                cell: |job| of_containers(&job["spec"], "name"),
            },
            Column { name: "Images", format: "string", priority: 1, cell: |job| of_containers(&job["spec"], "image") },
            Column { name: "Selector", format: "string", priority: 1, cell: |job| selector(job) },
        ],
        ..Kind::namespaced(GROUP, &["v1"], "Job", "jobs", "job")
    };

    fn prepare(new: &mut Value, old: Option<&Value>) {
        if old.is_none() && new.name().is_empty() {
            // The labels of its pods tell the job's name, so it must be known now.
            let name = names::generate_name(new.meta_text("generateName"), rand::random);
            new.metadata_mut().insert("name".to_owned(), name.into());
        }
        let Some(spec) = new.get_mut("spec").filter(|spec| spec.is_object()) else { return };
        set_defaults(spec);
        if old.is_none() {
            select_own_pods(new);
        }
    }

    fn validate(new: &Self, old: Option<&Self>) -> Vec<FieldError> {
        let Some(spec) = &new.0.spec else { return vec![FieldError::required("spec", "")] };
        let mut errors = validate_spec(spec, "spec");
        let name = new.0.metadata.name.as_deref().unwrap_or_default();
        if let Err(fault) = names::dns1123_label(name)
            && old.is_none()
            && name.len() > names::LABEL_MAX
        {
            errors.push(FieldError::invalid("spec.template.labels", name, fault));
        }
        if let Some(selector) = &spec.selector
            && old.is_none()
            && spec.manual_selector != Some(true)
        {
            let own = new.0.metadata.uid.as_deref().unwrap_or_default();
            let labels = selector.match_labels.iter().flatten();
            if !labels.map(|(key, value)| (key.as_str(), value.as_str())).eq([(UID_LABEL, own)]) {
                let value = serde_json::to_value(selector).unwrap_or_default();
                errors.push(FieldError::invalid("spec.selector", value, "`selector` not auto-generated"));
            }
        }
        if let Some(before) = old.and_then(|old| old.0.spec.as_ref()) {
            errors.extend(validate_change(spec, before));
        }
        errors
    }
}

/// Fills in what the `spec` of a job leaves to the server.
pub(crate) fn set_defaults(spec: &mut Value) {
    let Some(fields) = spec.as_object_mut() else { return };
    let absent = |fields: &serde_json::Map<String, Value>, field: &str| fields.get(field).is_none_or(Value::is_null);
    if absent(fields, "completions") && absent(fields, "parallelism") {
        fields.insert("completions".to_owned(), 1.into());
    }
    let per_index = !absent(fields, "backoffLimitPerIndex");
    for (field, value) in [
        ("parallelism", json!(1)),
        ("backoffLimit", json!(if per_index { i32::MAX } else { 6 })),
        ("completionMode", json!("NonIndexed")),
        ("suspend", json!(false)),
        ("podReplacementPolicy", json!("TerminatingOrFailed")),
    ] {
        if absent(fields, field) {
            fields.insert(field.to_owned(), value);
        }
    }
    if let Some(template) = fields.get_mut("template") {
        template::set_defaults(template);
    }
}

/// Labels the pods of a new job, and has the job select by these labels.
fn select_own_pods(job: &mut Value) {
    if job["spec"]["manualSelector"] == true || !job["spec"]["template"].is_object() {
        return;
    }
    let (uid, name) = (job.uid().to_owned(), job.name().to_owned());
    let labels = job["spec"]["template"].metadata_mut().entry("labels").or_insert_with(|| json!({}));
    if let Some(labels) = labels.as_object_mut() {
        for (label, value) in [UID_LABEL, NAME_LABEL].into_iter().chain(OLD_LABELS).zip([&uid, &name, &uid, &name]) {
            labels.insert(label.to_owned(), value.as_str().into());
        }
    }
    if job["spec"]["selector"].is_null() {
        job["spec"]["selector"] = json!({"matchLabels": {UID_LABEL: uid}});
    }
    if job.meta("labels").is_none() {
        let labels = job["spec"]["template"]["metadata"]["labels"].clone();
        job.metadata_mut().insert("labels".to_owned(), labels);
    }
}

/// The rules of a job's `spec` at `path`, in Kubernetes' words.
pub(crate) fn validate_spec(spec: &JobSpec, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (field, value) in [
        ("parallelism", spec.parallelism.map(i64::from)),
        ("completions", spec.completions.map(i64::from)),
        ("backoffLimit", spec.backoff_limit.map(i64::from)),
        ("backoffLimitPerIndex", spec.backoff_limit_per_index.map(i64::from)),
        ("maxFailedIndexes", spec.max_failed_indexes.map(i64::from)),
        ("activeDeadlineSeconds", spec.active_deadline_seconds),
        ("ttlSecondsAfterFinished", spec.ttl_seconds_after_finished.map(i64::from)),
    ] {
        if let Some(value) = value.filter(|value| *value < 0) {
            errors.push(FieldError::invalid(format!("{path}.{field}"), value, NOT_NEGATIVE));
        }
    }
    let indexed = match spec.completion_mode.as_deref() {
        None | Some("NonIndexed") => false,
        Some("Indexed") => true,
        Some(other) => {
            let modes = ["Indexed", "NonIndexed"];
            errors.push(FieldError::not_supported(format!("{path}.completionMode"), other, &modes));
            false
        }
    };
    if indexed {
        match spec.completions {
            None => {
                let detail = "when completion mode is Indexed";
                errors.push(FieldError::required(format!("{path}.completions"), detail));
            }
            Some(most) if most > MOST_INDEXES => {
                let detail = format!("must be less than or equal to {MOST_INDEXES} when completion mode is Indexed");
                errors.push(FieldError::invalid(format!("{path}.completions"), most, detail));
            }
            Some(_) => {}
        }
    } else {
        let only = "when backoffLimitPerIndex is specified requires indexed completion mode";
        if let Some(limit) = spec.backoff_limit_per_index {
            errors.push(FieldError::invalid(format!("{path}.backoffLimitPerIndex"), limit, only));
        }
    }
    if spec.max_failed_indexes.is_some() && spec.backoff_limit_per_index.is_none() {
        let detail = "when maxFailedIndexes is specified";
        errors.push(FieldError::required(format!("{path}.backoffLimitPerIndex"), detail));
    }
    for (field, given) in
        [("podFailurePolicy", spec.pod_failure_policy.is_some()), ("successPolicy", spec.success_policy.is_some())]
    {
        if given {
            errors.push(FieldError::forbidden(format!("{path}.{field}"), "this server does not support it"));
        }
    }
    if let Some(policy) = spec.pod_replacement_policy.as_deref()
        && !["Failed", "TerminatingOrFailed"].contains(&policy)
    {
        let policies = ["Failed", "TerminatingOrFailed"];
        errors.push(FieldError::not_supported(format!("{path}.podReplacementPolicy"), policy, &policies));
    }
    errors.extend(template::validate(&spec.template, &format!("{path}.template")));
    errors
}

/// What may not change once the job is there.
fn validate_change(new: &JobSpec, old: &JobSpec) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut fixed = |field: &str, same: bool, value: Value| {
        if !same {
            errors.push(FieldError::invalid(format!("spec.{field}"), value, "field is immutable"));
        }
    };
    let indexed = new.completion_mode.as_deref() == Some("Indexed");
    // An indexed job may be made larger or smaller together with its parallelism.
    let elastic = indexed && new.completions == new.parallelism && old.completions == old.parallelism;
    fixed("completions", new.completions == old.completions || elastic, json!(new.completions));
    fixed("selector", new.selector == old.selector, json!(new.selector));
    fixed("template", new.template == old.template, json!(new.template));
    fixed("completionMode", new.completion_mode == old.completion_mode, json!(new.completion_mode));
    let same = new.backoff_limit_per_index == old.backoff_limit_per_index;
    fixed("backoffLimitPerIndex", same, json!(new.backoff_limit_per_index));
    fixed("managedBy", new.managed_by == old.managed_by, json!(new.managed_by));
    errors
}

fn holds(job: &Value, kind: &str) -> bool {
    let conditions = job["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|condition| condition["type"] == kind && condition["status"] == "True")
}

fn status(job: &Value) -> &'static str {
    match () {
        () if holds(job, "Complete") => "Complete",
        () if holds(job, "Failed") => "Failed",
        () if job.is_deleting() => "Terminating",
        () if holds(job, "Suspended") => "Suspended",
        () if holds(job, "FailureTarget") => "FailureTarget",
        () if holds(job, "SuccessCriteriaMet") => "SuccessCriteriaMet",
        () => "Running",
    }
}

fn completions(job: &Value) -> String {
    let succeeded = job["status"]["succeeded"].as_i64().unwrap_or(0);
    match (job["spec"]["completions"].as_i64(), job["spec"]["parallelism"].as_i64().unwrap_or(0)) {
        (Some(wanted), _) => format!("{succeeded}/{wanted}"),
        (None, parallelism) if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        (None, _) => format!("{succeeded}/1"),
    }
}

fn duration(job: &Value) -> Value {
    let time = |field: &str| clock::parse_rfc3339(job["status"][field].as_str().unwrap_or_default());
    let Some(start) = time("startTime") else { return "".into() };
    let end = time("completionTime").unwrap_or_else(|| jiff::Timestamp::now().as_millisecond());
    age((end - start) / 1000).into()
}

/// A field of the containers of a job's `spec`, joined by commas.
pub(crate) fn of_containers(spec: &Value, field: &str) -> Value {
    let containers = spec["template"]["spec"]["containers"].as_array().into_iter().flatten();
    let fields: Vec<&str> = containers.filter_map(|container| container[field].as_str()).collect();
    fields.join(",").into()
}

fn selector(job: &Value) -> Value {
    let labels = job["spec"]["selector"]["matchLabels"].as_object().into_iter().flatten();
    let parts: Vec<String> =
        labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    if parts.is_empty() { "<none>".into() } else { parts.join(",").into() }
}

#[cfg(test)]
mod tests {
    use mcplane_apimachinery::schema;

    use super::*;

    pub(crate) fn job(spec: Value) -> Value {
        let mut job = json!({
            "metadata": {"name": "train", "namespace": "ns", "uid": "u-1"},
            "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}},
        });
        for (field, value) in spec.as_object().unwrap() {
            job["spec"][field] = value.clone();
        }
        job
    }

    fn prepared(spec: Value) -> Value {
        let mut job = job(spec);
        Job::prepare(&mut job, None);
        job
    }

    fn faults(new: &Value, old: Option<&Value>) -> Vec<String> {
        let typed = |job: &Value| serde_json::from_value::<Job>(job.clone()).unwrap();
        Job::validate(&typed(new), old.map(typed).as_ref()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn defaults_are_those_of_kubernetes() {
        let job = prepared(json!({}));
        let spec = &job["spec"];
        for (field, value) in [
            ("completions", json!(1)),
            ("parallelism", json!(1)),
            ("backoffLimit", json!(6)),
            ("suspend", json!(false)),
            ("completionMode", json!("NonIndexed")),
            ("selector", json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u-1"}})),
        ] {
            assert_eq!(spec[field], value, "{field}");
        }
        let labels = &spec["template"]["metadata"]["labels"];
        assert_eq!((&labels["job-name"], &labels["controller-uid"]), (&json!("train"), &json!("u-1")));
        assert_eq!(labels[NAME_LABEL], "train");
        assert_eq!(prepared(json!({"parallelism": 3}))["spec"]["completions"], Value::Null);
        assert_eq!(faults(&job, None), Vec::<String>::new());
        let mut whole = job.clone();
        mcplane_objects::object::set_type(&mut whole, "batch/v1", "Job");
        let schema = schema::builtin("batch", "v1", "Job").unwrap();
        assert_eq!((schema.validate(&whole), schema.unknown_fields(&whole)), (vec![], vec![]));
        let mut again = job.clone();
        Job::prepare(&mut again, Some(&job));
        assert_eq!(again, job, "what was prepared stays");
    }

    #[test]
    fn a_generated_name_is_known_to_the_labels() {
        let mut job = job(json!({}));
        job["metadata"] = json!({"generateName": "run-", "uid": "u"});
        Job::prepare(&mut job, None);
        assert!(job.name().starts_with("run-") && job.name().len() == 9);
        assert_eq!(job["spec"]["template"]["metadata"]["labels"]["job-name"], job["metadata"]["name"]);
    }

    #[test]
    fn faults_are_told_as_kubernetes_does() {
        for (spec, expected) in [
            (json!({"parallelism": -1}), "spec.parallelism: Invalid value: -1: must be greater than or equal to 0"),
            (json!({"backoffLimit": -2}), "spec.backoffLimit: Invalid value: -2: must be greater than or equal to 0"),
            (
                json!({"completionMode": "Indexed", "parallelism": 2}),
                "spec.completions: Required value: when completion mode is Indexed",
            ),
            (
                json!({"completionMode": "Sorted"}),
                "spec.completionMode: Unsupported value: \"Sorted\": supported values: \"Indexed\", \"NonIndexed\"",
            ),
            (
                json!({"successPolicy": {"rules": [{}]}}),
                "spec.successPolicy: Forbidden: this server does not support it",
            ),
            (
                json!({"maxFailedIndexes": 1, "completionMode": "Indexed", "completions": 2}),
                "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
            ),
        ] {
            assert_eq!(faults(&prepared(spec.clone()), None), [expected], "{spec}");
        }
        let selected = prepared(json!({"selector": {"matchLabels": {"a": "b"}}}));
        assert!(faults(&selected, None)[0].ends_with("`selector` not auto-generated"));
    }

    #[test]
    fn the_template_stays_and_parallelism_may_change() {
        let old = prepared(json!({"parallelism": 1, "completions": 2}));
        let mut new = old.clone();
        new["spec"]["parallelism"] = 3.into();
        assert_eq!(faults(&new, Some(&old)), Vec::<String>::new());
        new["spec"]["template"]["spec"]["containers"][0]["image"] = "other".into();
        new["spec"]["completions"] = 5.into();
        let told = faults(&new, Some(&old));
        assert_eq!(told.len(), 2);
        assert_eq!(told[0], "spec.completions: Invalid value: 5: field is immutable");
        assert!(told[1].starts_with("spec.template: Invalid value: {") && told[1].ends_with("field is immutable"));
        let elastic = |n: i32| prepared(json!({"completionMode": "Indexed", "completions": n, "parallelism": n}));
        assert_eq!(faults(&elastic(4), Some(&elastic(2))), Vec::<String>::new());
    }

    #[test]
    fn lists_read_as_those_of_kubectl() {
        let mut job = prepared(json!({"completions": 3}));
        job["status"] =
            json!({"succeeded": 1, "startTime": "2024-01-01T00:00:00Z", "completionTime": "2024-01-01T00:01:15Z"});
        let cells: Vec<Value> = Job::KIND
            .columns
            .iter()
            .filter(|column| column.format != "date")
            .map(|column| (column.cell)(&job))
            .collect();
        assert_eq!(cells[..5], ["Running", "1/3", "75s", "c", "i"].map(Value::from));
        job["status"]["conditions"] = json!([{"type": "Failed", "status": "True"}]);
        assert_eq!(status(&job), "Failed");
        assert_eq!(completions(&prepared(json!({"parallelism": 3}))), "0/1 of 3");
    }
}
