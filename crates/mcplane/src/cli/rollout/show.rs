//! A rollout on a few lines.

use std::fmt::Write as _;

use serde_json::Value;

use crate::cli::output::measured;

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_default()
}

/// Its stages, with the one that it is at.
fn text_of_stages(stages: &[Value], at: Option<u64>, phase: &str) -> String {
    let mut out = String::new();
    for (index, stage) in stages.iter().enumerate() {
        let index = index as u64;
        let sign = match (phase, at) {
            ("Succeeded", _) => "✓",
            (_, Some(at)) if index < at => "✓",
            ("RolledBack", Some(at)) if index == at => "✗",
            (_, Some(at)) if index == at => "▸",
            _ => "·",
        };
        let audience = match stage["audience"].as_array().map_or(0, Vec::len) {
            0 => String::new(),
            count => format!(" and {count} audiences"),
        };
        let manual = if stage["promote"] == "Manual" { ", then a person" } else { "" };
        let duration = match text(stage, "duration") {
            "" => String::new(),
            duration => format!(" for {duration}"),
        };
        let weight = stage["weight"].as_u64().unwrap_or(0);
        // Writing to a string can't fail.
        let _ = writeln!(out, "  {sign} {}: {weight} %{audience}{duration}{manual}", text(stage, "name"));
    }
    out
}

fn text_of_metrics(metrics: &[Value]) -> String {
    let mut out = String::new();
    for metric in metrics {
        let number = |field: &str| measured(text(metric, "metric"), metric[field].as_f64());
        let p = metric["p"].as_f64().map_or_else(String::new, |p| format!(", p {p:.1e}"));
        let _ = writeln!(
            out,
            "  {:<9} {} beside {} ({} values{p}): {}",
            text(metric, "metric"),
            number("version"),
            number("stable"),
            metric["values"],
            text(metric, "verdict")
        );
    }
    out
}

/// Where a rollout is, and the numbers of both versions.
pub(super) fn text_of(object: &Value) -> String {
    let (status, name) = (&object["status"], text(&object["metadata"], "name"));
    let phase = match text(status, "phase") {
        "" => "not looked at yet",
        phase => phase,
    };
    let mut out = format!("{name}: {phase}");
    if !text(status, "version").is_empty() {
        let _ = write!(out, ", {} beside {}", text(status, "version"), text(status, "stable"));
    }
    out.push('\n');
    let stages = object["spec"]["stages"].as_array().map(Vec::as_slice).unwrap_or_default();
    out.push_str(&text_of_stages(stages, status["stage"].as_u64(), phase));
    if let Some(verdict) = status["verdict"].as_str() {
        let _ = writeln!(out, "verdict: {verdict}");
    }
    out.push_str(&text_of_metrics(status["metrics"].as_array().map(Vec::as_slice).unwrap_or_default()));
    if !text(status, "message").is_empty() {
        let _ = writeln!(out, "{}", text(status, "message"));
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rollout_is_a_few_lines() {
        let object = json!({
            "metadata": {"name": "fraud"},
            "spec": {"stages": [
                {"name": "operators", "audience": [{"addresses": ["10.0.0.0/8"]}], "weight": 0, "duration": "5m"},
                {"name": "some", "weight": 10, "duration": "10m", "promote": "Manual"},
                {"name": "all", "weight": 100},
            ]},
            "status": {
                "phase": "Progressing", "version": "fraud-predictor-00002", "stable": "fraud-predictor-00001", "stage": 1,
                "verdict": "Same", "message": "stage \"some\", 10 %: Same",
                "metrics": [{"metric": "errors", "version": 0.01, "stable": 0.012, "values": 900, "p": 0.5, "verdict": "Same"},
                            {"metric": "latency", "version": 0.81, "stable": 1.057, "values": 900, "p": 1e-9, "verdict": "Better"}],
            },
        });
        insta::assert_snapshot!(text_of(&object), @r#"
        fraud: Progressing, fraud-predictor-00002 beside fraud-predictor-00001
          ✓ operators: 0 % and 1 audiences for 5m
          ▸ some: 10 % for 10m, then a person
          · all: 100 %
        verdict: Same
          errors    0.0100 beside 0.0120 (900 values, p 5.0e-1): Same
          latency   0.81 ms beside 1.06 ms (900 values, p 1.0e-9): Better
        stage "some", 10 %: Same
        "#);
        assert_eq!(text_of(&json!({"metadata": {"name": "a"}})), "a: not looked at yet\n");
    }
}
