//! A report for people.

use mcplane_data::contracts::{Example, Outcome, Report, Severity, Violation};

/// The result in a line, and under it what was broken.
pub(super) fn of_report(report: &Report) -> String {
    let word = match report.outcome {
        Outcome::Passed => "passed",
        Outcome::Warned => "passed, with warnings",
        Outcome::Failed => "FAILED",
    };
    let mut text = format!("{}: {word}", printable(&report.file));
    if let Some(fault) = &report.fault {
        return format!("{text}\n  it can't be read: {}\n", printable(&fault.to_string()));
    }
    let broken = report.violations.len();
    text += &format!(" ({} rows, {broken} of {} expectations broken)\n", report.rows, report.expectations);
    report.violations.iter().for_each(|violation| text += &of_violation(violation));
    text += &format!("  sha256 {}\n", report.sha256);
    text
}

fn of_violation(violation: &Violation) -> String {
    let severity = if violation.severity == Severity::Hard { "hard" } else { "soft" };
    let column = violation.column.as_deref().map(|name| format!("{}: ", printable(name))).unwrap_or_default();
    let rows = if violation.rows == 1 { "1 row".to_owned() } else { format!("{} rows", violation.rows) };
    let mut text = format!("  {severity}  {column}{}: broken by {rows}\n", printable(&violation.expected));
    violation.first.iter().for_each(|example| text += &of_example(example));
    text
}

fn of_example(example: &Example) -> String {
    let value = example.value.as_deref().map(|value| format!(": {}", printable(value))).unwrap_or_default();
    let repeats = example.repeats.map(|row| format!(", as row {row}")).unwrap_or_default();
    format!("        row {}{value}{repeats}\n", example.row)
}

/// Data must not steer the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reports_read_well() {
        let report: Report = serde_json::from_value(json!({
            "outcome": "Failed", "file": "a.csv", "sha256": "ab12", "rows": 9, "expectations": 4,
            "violations": [
                {"column": "n", "expectation": "range", "severity": "hard", "expected": "0 to 5", "rows": 2,
                 "first": [{"row": 3, "value": "7\u{1b}[2J"}, {"row": 4, "repeats": 2}]},
                {"expectation": "rows", "severity": "soft", "expected": "10 rows or more, found 9", "rows": 1},
            ],
        }))
        .unwrap();
        insta::assert_snapshot!(of_report(&report), @r"
        a.csv: FAILED (9 rows, 2 of 4 expectations broken)
          hard  n: 0 to 5: broken by 2 rows
                row 3: 7�[2J
                row 4, as row 2
          soft  10 rows or more, found 9: broken by 1 row
          sha256 ab12
        ");
    }
}
