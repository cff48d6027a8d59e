use serde_json::{Value, json};

use super::*;

fn at(text: &str) -> Timestamp {
    clock::parse_rfc3339(text).unwrap()
}

fn cron(fields: Value, last: Option<&str>) -> CronJob {
    let mut cron = json!({
        "metadata": {"name": "c", "namespace": "ns", "uid": "u", "creationTimestamp": "2024-01-01T00:00:30Z"},
        "spec": {
            "schedule": "*/10 * * * *", "jobTemplate": {"spec": {"template": {}}},
            "successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 1,
        },
        "status": {},
    });
    for (field, value) in fields.as_object().unwrap() {
        cron["spec"][field] = value.clone();
    }
    if let Some(last) = last {
        cron["status"]["lastScheduleTime"] = last.into();
    }
    serde_json::from_value(cron).unwrap()
}

fn job(name: &str, started: &str, end: Option<&str>) -> Job {
    let mut job = json!({
        "metadata": {"name": name, "namespace": "ns", "uid": name, "creationTimestamp": started},
        "spec": {"template": {}}, "status": {"startTime": started},
    });
    if let Some(kind) = end {
        job["status"]["conditions"] = json!([{"type": kind, "status": "True"}]);
        job["status"]["completionTime"] = started.into();
    }
    serde_json::from_value(job).unwrap()
}

#[test]
fn a_time_runs_once() {
    let now = at("2024-01-01T00:10:00Z");
    let early = decide(&cron(json!({}), None), &[], now - 1);
    assert_eq!((early.run, early.again_at), (None, Some(now)));
    let due = decide(&cron(json!({}), None), &[], now + 1_500);
    assert_eq!((due.run, due.again_at), (Some(now), Some(at("2024-01-01T00:20:00Z"))));
    assert_eq!(due.status.last_schedule_time, Some(time(now)));
    let again = decide(&cron(json!({}), Some("2024-01-01T00:10:00Z")), &[], now + 60_000);
    assert_eq!((again.run, again.told.len()), (None, 0));
    assert_eq!(make::job_name(&cron(json!({}), None), now), format!("c-{}", now / 60_000));
}

#[test]
fn a_job_that_was_made_before_a_crash_is_known() {
    let now = at("2024-01-01T00:10:00Z");
    let name = make::job_name(&cron(json!({}), None), now);
    let decision = decide(&cron(json!({}), None), &[job(&name, "2024-01-01T00:10:00Z", None)], now + 5_000);
    assert_eq!((decision.run, decision.status.last_schedule_time), (None, Some(time(now))));
    assert_eq!(decision.status.active.map(|active| active.len()), Some(1));
}

#[test]
fn only_the_latest_of_missed_times_runs() {
    let now = at("2024-01-01T05:03:00Z");
    let decision = decide(&cron(json!({}), None), &[], now);
    assert_eq!((decision.run, decision.told.len()), (Some(at("2024-01-01T05:00:00Z")), 0));
    let decision = decide(&cron(json!({"schedule": "* * * * *"}), None), &[], now);
    assert!(matches!(decision.told[..], [Told::ManyMissed(302)]), "{:?}", decision.told);
}

#[test]
fn a_deadline_lets_times_pass() {
    let deadline = json!({"startingDeadlineSeconds": 60});
    let late = decide(&cron(deadline.clone(), None), &[], at("2024-01-01T00:12:00Z"));
    assert_eq!((late.run, &late.told[..]), (None, &[Told::Missed(at("2024-01-01T00:10:00Z"))][..]));
    assert_eq!(words(&late.told[0]).0, "MissSchedule");
    let fast = decide(&cron(deadline, None), &[], at("2024-01-01T00:10:59Z"));
    assert_eq!(fast.run, Some(at("2024-01-01T00:10:00Z")));
}

#[test]
fn runs_wait_take_over_or_go_side_by_side() {
    let now = at("2024-01-01T00:20:00Z");
    let active = [job("c-1", "2024-01-01T00:10:00Z", None)];
    let with =
        |policy: &str| decide(&cron(json!({"concurrencyPolicy": policy}), Some("2024-01-01T00:10:00Z")), &active, now);
    assert_eq!((with("Allow").run, with("Allow").replace.len()), (Some(now), 0));
    assert_eq!((with("Replace").run, with("Replace").replace), (Some(now), vec!["c-1".to_owned()]));
    let forbidden = with("Forbid");
    assert_eq!((forbidden.run, &forbidden.told[..]), (None, &[Told::AlreadyActive][..]));
    assert_eq!(forbidden.status.last_schedule_time, Some(time(at("2024-01-01T00:10:00Z"))));
    let over = [job("c-1", "2024-01-01T00:10:00Z", Some("Complete"))];
    let forbid = cron(json!({"concurrencyPolicy": "Forbid"}), Some("2024-01-01T00:10:00Z"));
    assert_eq!(decide(&forbid, &over, now + 60_000).run, Some(now), "it starts when it may");
}

#[test]
fn history_is_kept_as_long_as_told() {
    let jobs = [
        job("a", "2024-01-01T00:10:00Z", Some("Complete")),
        job("b", "2024-01-01T00:30:00Z", Some("Complete")),
        job("x", "2024-01-01T00:20:00Z", Some("Complete")),
        job("f", "2024-01-01T00:40:00Z", Some("Failed")),
    ];
    let suspended = cron(json!({"suspend": true}), None);
    let decision = decide(&suspended, &jobs, at("2024-01-01T01:00:00Z"));
    assert_eq!(decision.forget, ["a", "x"]);
    assert_eq!((decision.run, decision.again_at), (None, None));
    assert_eq!(decision.status.last_successful_time, Some(time(at("2024-01-01T00:30:00Z"))));
    let keep_none = cron(json!({"suspend": true, "failedJobsHistoryLimit": 0}), None);
    assert!(decide(&keep_none, &jobs, 0).forget.contains(&"f".to_owned()));
}

#[test]
fn time_zones_say_when() {
    let cron = cron(json!({"schedule": "0 2 * * *", "timeZone": "Europe/Berlin"}), None);
    let decision = decide(&cron, &[], at("2024-01-01T00:30:00Z"));
    assert_eq!(decision.again_at, Some(at("2024-01-01T01:00:00Z")));
}

#[test]
fn the_job_belongs_to_the_cron_job() {
    let moment = at("2024-01-01T00:10:00Z");
    let made = make::job(&cron(json!({}), None), moment);
    let owner = &made.metadata.owner_references.as_ref().unwrap()[0];
    assert_eq!((owner.kind.as_str(), owner.uid.as_str(), owner.controller), ("CronJob", "u", Some(true)));
    let annotations = made.metadata.annotations.unwrap();
    assert_eq!(annotations["batch.kubernetes.io/cronjob-scheduled-timestamp"], "2024-01-01T00:10:00Z");
}
