//! `mcplane monitor`.

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::connection::{Connection, Place, encode};
use super::failure::Failure;
use super::live::{Live, plain};
use super::output::{measured, print, print_line};
use super::table::Columns;

const EXAMPLES: &str = "\
Examples:
  mcplane monitor                     all services of the namespace
  mcplane monitor fraud               the readings of each version
  mcplane monitor fraud --watch       and again, as they change
";

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);

/// See how services of models do: traffic, quality, drift, alerts
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The monitor, which has the name of its service unless somebody named it; all if left out
    monitor: Option<String>,
    /// Show it again as it changes
    #[arg(short, long)]
    watch: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let server = arguments.place.connect().await?;
    let mut live = Live::new();
    loop {
        let text = plain(&look(&server, arguments.monitor.as_deref()).await?);
        if !arguments.watch {
            return print(&text);
        }
        live.show(&text)?;
        tokio::time::sleep(PAUSE).await;
    }
}

async fn look(server: &Connection, monitor: Option<&str>) -> Result<String, Failure> {
    let path = format!("/apis/mcplane.io/v1alpha1/namespaces/{}/monitors", encode(&server.namespace));
    if let Some(name) = monitor {
        let object: Value = server.get(&format!("{path}/{}", encode(name))).await?;
        return Ok(readings(&object));
    }
    let all: Value = server.get(&format!("{path}?limit=500")).await?;
    let monitors = all["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    if monitors.is_empty() {
        print_line(&format!("no monitors found in namespace {}", server.namespace))?;
        return Ok(String::new());
    }
    Ok(list(monitors))
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_default()
}

fn list(monitors: &[Value]) -> String {
    let mut rows = vec![["MONITOR", "SERVICE", "LEVEL", "ALERTS", "REQUESTS/S", "MESSAGE"].map(str::to_owned).to_vec()];
    rows.extend(monitors.iter().map(|monitor| {
        let status = &monitor["status"];
        vec![
            text(&monitor["metadata"], "name").to_owned(),
            text(&monitor["spec"], "service").to_owned(),
            text(status, "level").to_owned(),
            status["openAlerts"].as_i64().unwrap_or(0).to_string(),
            text(status, "rate").to_owned(),
            text(status, "message").to_owned(),
        ]
    }));
    Columns::default().align(&rows)
}

fn readings(monitor: &Value) -> String {
    let status = &monitor["status"];
    let mut out =
        format!("{}: {}, {}\n", text(&monitor["metadata"], "name"), text(status, "level"), text(status, "message"));
    for version in status["versions"].as_array().into_iter().flatten() {
        let rate = version["rate"].as_f64().unwrap_or(0.0);
        // Writing to a string can't fail.
        let _ = writeln!(out, "{}: {} requests, {rate:.2} a second", text(version, "version"), version["requests"]);
        let _ = writeln!(out, "  compared with {}", text(version, "comparedWith"));
        for reading in version["readings"].as_array().into_iter().flatten() {
            let of = reading["column"].as_str().map_or_else(String::new, |column| format!(" of {column}"));
            let value = measured(text(reading, "metric"), reading["value"].as_f64());
            let few = if reading["tooFew"] == true { ", too few values" } else { "" };
            let level = text(reading, "level");
            let _ =
                writeln!(out, "  {}{of} {value}: {level} ({} values{few})", text(reading, "metric"), reading["values"]);
        }
        for alert in version["alerts"].as_array().into_iter().flatten() {
            let _ =
                writeln!(out, "  ! {} since {}: {}", text(alert, "name"), text(alert, "since"), text(alert, "summary"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn readings_are_told_line_by_line() {
        let monitor = json!({
            "metadata": {"name": "fraud"}, "spec": {"service": "fraud"},
            "status": {"level": "Alert", "openAlerts": 1, "rate": "2.50", "message": "errors is 0.2", "versions": [{
                "version": "fraud-predictor-00001", "requests": 750, "rate": 2.5, "comparedWith": "training data",
                "readings": [
                    {"metric": "errors", "value": 0.2, "values": 750, "level": "Alert", "tooFew": false},
                    {"metric": "distance", "column": "age", "value": null, "values": 0, "level": "Normal", "tooFew": true},
                ],
                "alerts": [{"name": "ModelErrorsHigh", "since": "2026-01-01T00:00:00Z", "summary": "errors is 0.2"}],
            }]},
        });
        insta::assert_snapshot!(readings(&monitor), @r"
        fraud: Alert, errors is 0.2
        fraud-predictor-00001: 750 requests, 2.50 a second
          compared with training data
          errors 0.2000: Alert (750 values)
          distance of age -: Normal (0 values, too few values)
          ! ModelErrorsHigh since 2026-01-01T00:00:00Z: errors is 0.2
        ");
        insta::assert_snapshot!(list(&[monitor]), @r"
        MONITOR   SERVICE   LEVEL   ALERTS   REQUESTS/S   MESSAGE
        fraud     fraud     Alert   1        2.50         errors is 0.2
        ");
    }
}
