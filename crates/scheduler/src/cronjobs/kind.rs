//! The kind `CronJob`: its rules, defaults and columns.

use k8s_openapi::api::batch::v1 as batch;
use mcplane_core::{FieldError, clock};
use mcplane_objects::http::{AGE, age};
use mcplane_objects::object::ObjectExt as _;
use mcplane_objects::{Column, Kind, Resource};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::jobs::kind::{GROUP, of_containers, validate_spec};
use crate::jobs::template::{self, NOT_NEGATIVE};
use crate::timers::{Cron, zone};

/// A cron job.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct CronJob(pub batch::CronJob);

/// The longest name: its jobs' names have eleven characters more, and labels hold those.
const LONGEST_NAME: usize = 52;

impl Resource for CronJob {
    const KIND: Kind = Kind {
        short_names: &["cj"],
        categories: &["all"],
        status: true,
        generation: true,
        columns: &[
            Column { name: "Schedule", format: "string", priority: 0, cell: |cron| cron["spec"]["schedule"].clone() },
            Column { name: "Timezone", format: "string", priority: 0, cell: |cron| or_none(&cron["spec"]["timeZone"]) },
            Column {
                name: "Suspend",
                format: "boolean",
                priority: 0,
                cell: |cron| (cron["spec"]["suspend"] == true).into(),
            },
            Column { name: "Active", format: "integer", priority: 0, cell: |cron| active(cron).into() },
            Column { name: "Last Schedule", format: "string", priority: 0, cell: |cron| last(cron).into() },
            Column { name: "Next Schedule", format: "string", priority: 0, cell: |cron| next(cron, now()).into() },
            AGE,
            Column { name: "Containers", format: "string", priority: 1, cell: |cron| of_containers(job(cron), "name") },
            Column { name: "Images", format: "string", priority: 1, cell: |cron| of_containers(job(cron), "image") },
            Column { name: "Selector", format: "string", priority: 1, cell: |_| "<none>".into() },
        ],
        ..Kind::namespaced(GROUP, &["v1"], "CronJob", "cronjobs", "cronjob")
    };

    fn prepare(new: &mut Value, _: Option<&Value>) {
        let Some(spec) = new.get_mut("spec").and_then(Value::as_object_mut) else { return };
        for (field, value) in [
            ("concurrencyPolicy", json!("Allow")),
            ("suspend", json!(false)),
            ("successfulJobsHistoryLimit", json!(3)),
            ("failedJobsHistoryLimit", json!(1)),
        ] {
            if spec.get(field).is_none_or(Value::is_null) {
                spec.insert(field.to_owned(), value);
            }
        }
        let job = spec.get_mut("jobTemplate").and_then(|template| template.get_mut("spec"));
        if let Some(template) = job.and_then(|job| job.get_mut("template")) {
            template::set_defaults(template);
        }
    }

    fn validate(new: &Self, old: Option<&Self>) -> Vec<FieldError> {
        let spec = &new.0.spec;
        let mut errors = Vec::new();
        let name = new.0.metadata.name.as_deref().unwrap_or_default();
        if old.is_none() && name.len() > LONGEST_NAME {
            let detail = format!("must be no more than {LONGEST_NAME} characters");
            errors.push(FieldError::invalid("metadata.name", name, detail));
        }
        if spec.schedule.is_empty() {
            errors.push(FieldError::required("spec.schedule", ""));
        } else if let Err(fault) = Cron::parse(&spec.schedule) {
            errors.push(FieldError::invalid("spec.schedule", spec.schedule.as_str(), fault.to_string()));
        }
        if let Some(Err(fault)) = spec.time_zone.as_deref().map(zone) {
            errors.push(FieldError::invalid("spec.timeZone", spec.time_zone.as_deref().unwrap_or_default(), fault));
        }
        if let Some(policy) = spec.concurrency_policy.as_deref()
            && !["Allow", "Forbid", "Replace"].contains(&policy)
        {
            let policies = ["Allow", "Forbid", "Replace"];
            errors.push(FieldError::not_supported("spec.concurrencyPolicy", policy, &policies));
        }
        for (field, value) in [
            ("startingDeadlineSeconds", spec.starting_deadline_seconds),
            ("successfulJobsHistoryLimit", spec.successful_jobs_history_limit.map(i64::from)),
            ("failedJobsHistoryLimit", spec.failed_jobs_history_limit.map(i64::from)),
        ] {
            if let Some(value) = value.filter(|value| *value < 0) {
                errors.push(FieldError::invalid(format!("spec.{field}"), value, NOT_NEGATIVE));
            }
        }
        match &spec.job_template.spec {
            Some(job) => errors.extend(validate_spec(job, "spec.jobTemplate.spec")),
            None => errors.push(FieldError::required("spec.jobTemplate.spec", "")),
        }
        errors
    }
}

fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

fn job(cron: &Value) -> &Value {
    &cron["spec"]["jobTemplate"]["spec"]
}

fn or_none(value: &Value) -> Value {
    if value.is_null() { "<none>".into() } else { value.clone() }
}

fn active(cron: &Value) -> usize {
    cron["status"]["active"].as_array().map_or(0, Vec::len)
}

fn last(cron: &Value) -> String {
    match clock::parse_rfc3339(cron["status"]["lastScheduleTime"].as_str().unwrap_or_default()) {
        Some(at) => age((now() - at) / 1000),
        None => "<none>".to_owned(),
    }
}

/// When it runs next, which Kubernetes does not tell.
fn next(cron: &Value, now: i64) -> String {
    let time = || {
        if cron["spec"]["suspend"] == true || cron.is_deleting() {
            return None;
        }
        let schedule = Cron::parse(cron["spec"]["schedule"].as_str()?).ok()?;
        let zone = zone(cron["spec"]["timeZone"].as_str().unwrap_or("UTC")).ok()?;
        schedule.next_after(now, &zone)
    };
    time().map_or_else(|| "<none>".to_owned(), clock::rfc3339)
}

#[cfg(test)]
mod tests {
    use mcplane_apimachinery::schema;

    use super::*;

    fn cron(fields: Value) -> Value {
        let mut cron = json!({
            "metadata": {"name": "nightly", "namespace": "ns", "uid": "u"},
            "spec": {"schedule": "0 2 * * *", "jobTemplate": {"spec": {"template": {"spec": {
                "restartPolicy": "OnFailure", "containers": [{"name": "c", "image": "i:1", "args": ["a"]}]}}}}},
        });
        for (field, value) in fields.as_object().unwrap() {
            cron["spec"][field] = value.clone();
        }
        CronJob::prepare(&mut cron, None);
        cron
    }

    fn faults(cron: &Value) -> Vec<String> {
        let typed = serde_json::from_value(cron.clone()).unwrap();
        CronJob::validate(&typed, None).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn defaults_are_those_of_kubernetes() {
        let cron = cron(json!({}));
        assert_eq!(faults(&cron), Vec::<String>::new());
        for (field, value) in [
            ("concurrencyPolicy", json!("Allow")),
            ("suspend", json!(false)),
            ("successfulJobsHistoryLimit", json!(3)),
            ("failedJobsHistoryLimit", json!(1)),
        ] {
            assert_eq!(cron["spec"][field], value, "{field}");
        }
        let mut whole = cron;
        mcplane_objects::object::set_type(&mut whole, "batch/v1", "CronJob");
        let schema = schema::builtin("batch", "v1", "CronJob").unwrap();
        assert_eq!((schema.validate(&whole), schema.unknown_fields(&whole)), (vec![], vec![]));
    }

    #[test]
    fn faults_are_told_as_kubernetes_does() {
        for (fields, expected) in [
            (json!({"schedule": "* *"}), "spec.schedule: Invalid value: \"* *\": expected exactly 5 fields"),
            (
                json!({"timeZone": "Mars/Base"}),
                "spec.timeZone: Invalid value: \"Mars/Base\": unknown time zone Mars/Base",
            ),
            (json!({"concurrencyPolicy": "Queue"}), "spec.concurrencyPolicy: Unsupported value: \"Queue\""),
            (json!({"failedJobsHistoryLimit": -1}), "spec.failedJobsHistoryLimit: Invalid value: -1"),
        ] {
            let told = faults(&cron(fields));
            assert!(told.len() == 1 && told[0].starts_with(expected), "{told:?}");
        }
        let mut long = cron(json!({}));
        long["metadata"]["name"] = "n".repeat(53).into();
        assert!(faults(&long)[0].ends_with("must be no more than 52 characters"));
        let mut always = cron(json!({}));
        always["spec"]["jobTemplate"]["spec"]["template"]["spec"]["restartPolicy"] = "Always".into();
        assert!(faults(&always)[0].starts_with("spec.jobTemplate.spec.template.spec.restartPolicy: Required value"));
    }

    #[test]
    fn the_next_run_is_shown() {
        let at = |text| clock::parse_rfc3339(text).unwrap();
        let moment = at("2024-03-09T01:30:00Z");
        assert_eq!(next(&cron(json!({})), moment), "2024-03-09T02:00:00Z");
        assert_eq!(next(&cron(json!({"timeZone": "America/New_York"})), moment), "2024-03-09T07:00:00Z");
        assert_eq!(next(&cron(json!({"suspend": true})), moment), "<none>");
        assert_eq!(last(&cron(json!({}))), "<none>");
    }
}
