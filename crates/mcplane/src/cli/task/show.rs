//! Tasks in words.

use jiff::Timestamp;
use serde_json::Value;

use super::super::table::Columns;

const HEADING: [&str; 8] = ["ID", "NAME", "QUEUE", "STATE", "REASON", "ATTEMPT", "PROGRESS", "AGE"];
/// Cells of a bar.
const BAR: usize = 20;

pub(super) fn text<'t>(task: &'t Value, field: &str) -> &'t str {
    task[field].as_str().unwrap_or_default()
}

/// Name and the start of the id.
pub(super) fn title(task: &Value) -> String {
    format!("{} ({})", text(task, "name"), short(text(task, "id")))
}

fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

pub(super) fn is_final(task: &Value) -> bool {
    matches!(text(task, "state"), "succeeded" | "failed" | "cancelled")
}

/// A list, with a column for the namespace if there may be several.
pub(super) fn table(tasks: &[Value], namespaces: bool, now: Timestamp) -> String {
    let line = |namespace: &str, rest: Vec<String>| -> Vec<String> {
        namespaces.then(|| namespace.to_owned()).into_iter().chain(rest).collect()
    };
    let mut rows = vec![line("NAMESPACE", HEADING.map(str::to_owned).to_vec())];
    rows.extend(tasks.iter().map(|task| line(text(task, "namespace"), row(task, now))));
    Columns::default().align(&rows)
}

/// A line of a list.
fn row(task: &Value, now: Timestamp) -> Vec<String> {
    let attempt = task["attempt"].as_i64().unwrap_or(0);
    let all = attempt + task["attemptsLeft"].as_i64().unwrap_or(0);
    vec![
        short(text(task, "id")).to_owned(),
        text(task, "name").to_owned(),
        text(task, "queue").to_owned(),
        text(task, "state").to_owned(),
        or_dash(text(task, "reason")),
        format!("{attempt}/{all}"),
        or_dash(&progress(&task["progress"])),
        age(text(task, "createdAt"), now).unwrap_or_default(),
    ]
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

/// All that is known, a line each.
pub(super) fn whole(task: &Value) -> String {
    let rows: Vec<Vec<String>> = [
        ("Name", "name"),
        ("Id", "id"),
        ("Namespace", "namespace"),
        ("Queue", "queue"),
        ("Priority", "priority"),
        ("State", "state"),
        ("Reason", "reason"),
        ("Message", "message"),
        ("Exit code", "exitCode"),
        ("Progress", "progress"),
        ("Attempt", "attempt"),
        ("Attempts left", "attemptsLeft"),
        ("Node", "node"),
        ("Submitted", "createdAt"),
        ("By", "createdBy"),
        ("Due", "dueAt"),
        ("Started", "startedAt"),
        ("Finished", "finishedAt"),
        ("Cancelled by", "cancelledBy"),
        ("Trace", "trace"),
    ]
    .into_iter()
    .filter_map(|(title, field)| {
        let value = match &task[field] {
            Value::Null => return None,
            Value::String(text) => text.clone(),
            value if field == "progress" => progress(value),
            other => other.to_string(),
        };
        Some(vec![format!("{title}:"), value])
    })
    .collect();
    Columns::default().align(&rows)
}

/// How far it is: `45/100 45 %  epoch 3`, or what else was reported.
pub(super) fn progress(progress: &Value) -> String {
    if progress.is_null() {
        return String::new();
    }
    let Some(value) = progress["value"].as_f64() else { return progress.to_string() };
    let mut words = match progress["total"].as_f64() {
        Some(total) if total > 0.0 => format!("{value}/{total} {:.0} %", share(value, total) * 100.0),
        _ => value.to_string(),
    };
    if let Some(message) = progress["message"].as_str() {
        words = format!("{words}  {message}");
    }
    words
}

fn share(value: f64, total: f64) -> f64 {
    (value / total).clamp(0.0, 1.0)
}

/// Where a task is, on one line for a terminal.
pub(super) fn line(task: &Value, now: Timestamp) -> String {
    let state = text(task, "state");
    let mut words = vec![state.to_owned()];
    if state == "running" {
        let reported = &task["progress"];
        if let (Some(value), Some(total)) = (reported["value"].as_f64(), reported["total"].as_f64())
            && total > 0.0
        {
            words.push(bar(share(value, total)));
        }
        words.push(progress(reported));
        words.push(age(text(task, "startedAt"), now).unwrap_or_default());
    } else {
        words.push(why(task));
    }
    words.retain(|word| !word.is_empty());
    words.join("  ")
}

fn bar(share: f64) -> String {
    // A share is 0 to 1, so this is exact.
    let full = (0..BAR).filter(|cell| (*cell as f64) < share * BAR as f64).count();
    format!("[{}{}]", "=".repeat(full), " ".repeat(BAR - full))
}

/// Reason and message.
pub(super) fn why(task: &Value) -> String {
    let parts = [text(task, "reason"), text(task, "message")];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ")
}

/// How long ago a moment was, in its largest unit or two: `45s`, `3m20s`, `5h12m`, `3d`.
pub(super) fn age(moment: &str, now: Timestamp) -> Option<String> {
    let seconds = now.duration_since(moment.parse().ok()?).as_secs().max(0);
    Some(match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d", seconds / 86_400),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn now() -> Timestamp {
        "2026-11-01T12:00:00Z".parse().unwrap()
    }

    fn tasks() -> [Value; 3] {
        [
            json!({
                "id": "0b51f0c2-6a0f-4a57-9d2f-2f9d9c3a7b11", "no": 7, "namespace": "default", "name": "train", "queue": "gpu",
                "state": "running", "priority": 5, "attempt": 2, "attemptsLeft": 1, "node": "here", "createdBy": "ann",
                "progress": {"value": 45, "total": 100, "message": "epoch 3"}, "trace": "4bf9",
                "createdAt": "2026-11-01T11:58:20.000000Z", "dueAt": "2026-11-01T11:58:20.000000Z",
                "startedAt": "2026-11-01T11:59:15.000000Z",
            }),
            json!({
                "id": "77aa00b1-0000-4000-8000-000000000000", "name": "xgboost-v3", "queue": "training-prod", "state": "ready",
                "reason": "InsufficientCpu", "message": "it asks for 4 cpu, and this machine has 2", "attempt": 0,
                "attemptsLeft": 1, "createdAt": "2026-11-01T09:30:00Z",
            }),
            json!({
                "id": "91", "name": "old", "queue": "default", "state": "failed", "reason": "Error", "message": "exit code 3",
                "exitCode": 3, "attempt": 1, "attemptsLeft": 0, "createdAt": "2026-10-20T00:00:00Z", "progress": "half",
            }),
        ]
    }

    #[test]
    fn tasks_are_a_table() {
        insta::assert_snapshot!(table(&tasks(), false, now()), @r#"
        ID         NAME         QUEUE           STATE     REASON            ATTEMPT   PROGRESS               AGE
        0b51f0c2   train        gpu             running   -                 2/3       45/100 45 %  epoch 3   1m40s
        77aa00b1   xgboost-v3   training-prod   ready     InsufficientCpu   0/1       -                      2h30m
        91         old          default         failed    Error             1/1       "half"                 12d
        "#);
    }

    #[test]
    fn one_task_is_a_sheet() {
        insta::assert_snapshot!(whole(&tasks()[0]), @r"
        Name:            train
        Id:              0b51f0c2-6a0f-4a57-9d2f-2f9d9c3a7b11
        Namespace:       default
        Queue:           gpu
        Priority:        5
        State:           running
        Progress:        45/100 45 %  epoch 3
        Attempt:         2
        Attempts left:   1
        Node:            here
        Submitted:       2026-11-01T11:58:20.000000Z
        By:              ann
        Due:             2026-11-01T11:58:20.000000Z
        Started:         2026-11-01T11:59:15.000000Z
        Trace:           4bf9
        ");
    }

    #[test]
    fn the_line_says_what_matters_now() {
        let lines = tasks().map(|task| line(&task, now()));
        assert_eq!(lines[0], "running  [=========           ]  45/100 45 %  epoch 3  45s");
        assert_eq!(lines[1], "ready  InsufficientCpu: it asks for 4 cpu, and this machine has 2");
        assert_eq!(lines[2], "failed  Error: exit code 3");
    }

    #[test]
    fn bars_are_full_at_the_end_only() {
        assert_eq!(bar(0.0), format!("[{}]", " ".repeat(20)));
        assert_eq!(bar(1.0), format!("[{}]", "=".repeat(20)));
        assert_eq!(progress(&json!({"value": 7.5})), "7.5");
        assert_eq!(progress(&json!({"value": 7, "total": 0})), "7");
    }
}
