//! `mcplane features`: views as objects, joins as of the time of events.

use std::path::PathBuf;
use std::process::Command;

use mcplane_testkit::process::{Output, run};
use mcplane_testkit::{Backend, Server, on_each_backend};

on_each_backend!(views_and_joins, views_are_materialised);

const VIEW: &str = "\
apiVersion: mcplane.io/v1alpha1
kind: FeatureView
metadata: {name: weather}
spec:
  sources: [{name: weather, path: weather.csv}]
  sql: SELECT origin, time_hour, seen_at, temp FROM weather
  entities: [origin]
  timestampColumn: time_hour
  createdTimestampColumn: seen_at
  ttl: 3h
  features: [{name: temp, type: float64, description: degrees Fahrenheit}]
";

const WEATHER: &str = "\
origin,time_hour,seen_at,temp
JFK,2013-01-01T05:00:00Z,2013-01-01T05:10:00Z,39.0
JFK,2013-01-01T05:00:00Z,2013-01-01T09:00:00Z,38.5
JFK,2013-01-01T06:00:00Z,2013-01-01T06:10:00Z,40.0
";

const FLIGHTS: &str = "\
flight,origin,at
1,JFK,2013-01-01T05:05:00Z
2,JFK,2013-01-01T05:30:00Z
3,JFK,2013-01-01T06:30:00Z
4,LGA,2013-01-01T06:30:00Z
";

/// A server, and a folder with a view, its source and events.
struct Project {
    server: Server,
    folder: PathBuf,
}

impl Project {
    fn new(backend: Backend) -> Self {
        let server = Server::start(env!("CARGO_BIN_EXE_mcplane"), backend);
        let folder = server.scratch().join("project");
        std::fs::create_dir_all(&folder).unwrap();
        for (name, text) in [("weather.yaml", VIEW), ("weather.csv", WEATHER), ("flights.csv", FLIGHTS)] {
            std::fs::write(folder.join(name), text).unwrap();
        }
        Self { server, folder }
    }

    fn cli(&self, line: &[&str]) -> Output {
        let mut command: Command = self.server.cli();
        command.current_dir(&self.folder).args(line).env("MCPLANE_URL", self.server.url());
        run(&mut command, None)
    }
}

fn views_and_joins(backend: Backend) {
    let project = Project::new(backend);
    let cli = |line: &[&str]| project.cli(line);

    let missing = cli(&["features", "history", "weather"]);
    assert!(missing.code == 1 && missing.stderr.contains("\"weather\" not found"), "{missing}");
    cli(&["apply", "-f", "weather.yaml"]).ok();
    let never = cli(&["features", "history", "weather"]);
    assert!(never.code == 0 && never.stderr.contains("weather was never materialised"), "{never}");
    let shown = cli(&["get", "featureviews"]).ok();
    assert!(shown.contains("CURRENT") && shown.contains("never"), "{shown}");

    let view = "weather.csv,entities=origin,timestamp=time_hour,created=seen_at,ttl=3h";
    let join =
        ["features", "join", "--events", "flights.csv", "--timestamp", "at", "--output", "training.parquet", "--view"];
    let joined = cli(&[&join[..], &[view]].concat()).ok();
    assert!(joined.contains("4 events") && joined.contains("weather: 2 events have features (50.0 %)"), "{joined}");
    let temperatures = temperatures(&project.folder.join("training.parquet"));
    assert!(temperatures.contains("[ null, 39.0, 40.0, null, ]"), "{temperatures}");

    for (view, words) in [
        ("weather.csv,entities=nil,timestamp=time_hour,prefix=w_", "there is no column \"nil\""),
        ("weather.csv,entities=origin", "say which column is the timestamp"),
        ("weather.csv,colour=red", "none of on, prefix"),
        ("weather.csv", "does not say what its columns are"),
        ("nil.parquet", "nil.parquet"),
    ] {
        let failed = cli(&[&join[..], &[view]].concat());
        assert!(failed.code != 0 && failed.stderr.contains(words), "{failed}");
    }
}

fn views_are_materialised(backend: Backend) {
    let project = Project::new(backend);
    let cli = |line: &[&str]| project.cli(line);
    cli(&["apply", "-f", "weather.yaml"]).ok();
    let made = cli(&["features", "materialize", "weather", "--output", "features"]).ok();
    assert!(made.starts_with("weather: 3 rows from 1 file in ") && made.contains(", on record\nsha256:"), "{made}");
    let digest = made.lines().nth(1).unwrap();
    let history = cli(&["features", "history", "weather"]).ok();
    assert!(history.contains(&digest[..19]), "{history}");
    let shown = cli(&["get", "featureviews"]).ok();
    assert!(shown.contains("yes"), "{shown}");
    let rows = project.folder.canonicalize().unwrap().join("features/weather.parquet");
    let lineage = cli(&["lineage", &format!("dataset:file://{}@{digest}", rows.display()), "--upstream"]).ok();
    assert!(lineage.contains("featureview/weather") && lineage.contains("weather.csv"), "{lineage}");

    // A file of its own says what its columns are; without a server it has the same bytes.
    let join = ["features", "join", "--events", "flights.csv", "--timestamp", "at", "--output", "training.parquet"];
    let joined = cli(&[&join[..], &["--view", "features/weather.parquet"]].concat()).ok();
    assert!(joined.contains("weather: 2 events have features (50.0 %)"), "{joined}");
    assert!(temperatures(&project.folder.join("training.parquet")).contains("[ null, 39.0, 40.0, null, ]"));
    let alone = cli(&["features", "materialize", "-f", "weather.yaml", "-o", "alone.parquet"]).ok();
    assert!(alone.contains(digest) && !alone.contains("on record"), "{alone}");

    std::fs::write(project.folder.join("weather.csv"), "origin,time_hour,seen_at\nJFK,never,2013-01-01T09:00:00Z\n")
        .unwrap();
    let failed = cli(&["features", "materialize", "weather", "-o", "features"]);
    assert!(failed.code == 1 && failed.stderr.contains("spec.sql: ") && failed.stderr.contains("temp"), "{failed}");
    assert!(cli(&["features", "history", "weather"]).ok().lines().count() == 2);
    let shown = cli(&["features", "materialize", "nil", "-o", "features"]);
    assert!(shown.code == 1 && shown.stderr.contains("\"nil\" not found"), "{shown}");
}

/// The values of the column `temp` of a file, as text.
fn temperatures(path: &std::path::Path) -> String {
    let table = mcplane_features::tables::open(path).unwrap();
    let batches = table.scan(&["temp"]).unwrap().map(|batch| format!("{:?}", batch.unwrap().column(0)));
    batches.collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}
