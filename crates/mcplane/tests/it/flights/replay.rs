//! The replay of the example, whole but short, while the server is killed in one of its stages.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mcplane_testkit::Server;
use mcplane_testkit::process::run;
use serde_json::Value;

use super::{EXAMPLE, inflated, server};
use crate::pipelines::call;

/// Stages of which one is interrupted.
const STAGES: [&str; 8] = [
    "declare",
    "train",
    "deploy",
    "2013-03 replay",
    "2013-03 contract",
    "2013-03 weak",
    "2013-03 weak deploy",
    "2013-04 replay",
];

/// A few days make a month: March is the third and the fourth.
const PLAN: &str = "
seed: 2013
model: late-flights
train: {months: [1, 2], heldOut: 2}
replay: {months: [3, 4], every: 1, callers: 2}
labels: {delay: 6h}
retrain: {after: []}
badData: {month: 3, airport: XXX}
weak: {after: 3, iterations: 2, reason: smaller is cheaper}
";

/// The example in a folder of its own, with the plan of the test, and the raw data of the months.
fn example(folder: &Path) -> PathBuf {
    let example = folder.join("example");
    std::fs::create_dir_all(&example).unwrap();
    for file in std::fs::read_dir(EXAMPLE).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
        let text = std::fs::read_to_string(&file).unwrap();
        // A fifth of the flights.
        let text = text.replace("minRows: 5000", "minRows: 4000");
        std::fs::write(example.join(file.file_name().unwrap()), text).unwrap();
    }
    std::fs::write(example.join("plan.yaml"), PLAN).unwrap();
    let raw = folder.join("raw");
    std::fs::create_dir_all(&raw).unwrap();
    std::fs::write(raw.join("weather.csv"), inflated(include_bytes!("weather.csv.gz"))).unwrap();
    let flights = inflated(include_bytes!("flights.csv.gz"));
    let (header, rows) = flights.split_once('\n').unwrap();
    let columns: Vec<&str> = header.split(',').collect();
    let of = |name: &str| columns.iter().position(|column| *column == name).unwrap();
    let (month, day) = (of("month"), of("day"));
    let mut months = [(); 4].map(|()| format!("{header}\n"));
    for row in rows.lines() {
        let fields: Vec<&str> = row.split(',').collect();
        let late = usize::from(fields[month] == "3" && fields[day].parse::<u32>().unwrap() > 15);
        let file = &mut months[fields[month].parse::<usize>().unwrap() - 1 + late];
        file.push_str(row);
        file.push('\n');
    }
    for (at, text) in months.iter().enumerate() {
        std::fs::write(raw.join(format!("flights-2013-{:02}.csv", at + 1)), text).unwrap();
    }
    example
}

#[test]
fn the_replay_outlives_its_server_and_tells_what_the_api_tells() {
    let (mut server, python) = server();
    let folder = server.scratch().to_owned();
    let example = example(&folder);
    let chosen = std::env::var("MCPLANE_REPLAY_STAGE").unwrap_or_else(|_| {
        let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos();
        STAGES[seed as usize % STAGES.len()].to_owned()
    });

    let mut command = Command::new(python);
    command.arg("-u").arg(Path::new(EXAMPLE).join("replay")).args(["--binary", env!("CARGO_BIN_EXE_mcplane")]);
    command.arg("--data").arg(server.data_dir()).arg("--raw").arg(folder.join("raw"));
    command.arg("--plan").arg(example.join("plan.yaml")).env("HOME", &folder);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = String::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if line.ends_with(&format!("▸ {chosen}")) {
            server.kill_9();
            server.restart();
        }
        told += &line;
        told.push('\n');
    }
    let ended = child.wait_with_output().unwrap();
    let complaints = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "killed in {chosen}\n{told}\n{complaints}\n{}", server.log());
    agrees(&server, &told, &chosen);
}

/// Every row of the timeline says what the API says.
fn agrees(server: &Server, told: &str, chosen: &str) {
    let text = std::fs::read_to_string(server.data_dir().join("replay/timeline.json")).unwrap();
    let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
    let of = |stage: &str| rows.iter().find(|row| row["stage"] == stage).unwrap_or_else(|| panic!("{stage}\n{told}"));
    for row in &rows {
        for evidence in row["evidence"].as_array().unwrap() {
            let path = evidence["get"].as_str().unwrap();
            let (status, answer) = call(server, "GET", path, &Value::Null);
            let found = place(&answer, evidence["at"].as_str().unwrap());
            assert_eq!((status, found), (200, &evidence["is"]), "{path} of {row}, killed in {chosen}");
        }
        let silent = ["monitor", "deploy"].iter().any(|end| row["stage"].as_str().unwrap().ends_with(end));
        assert!(silent || row["evidence"] != serde_json::json!([]), "{row}");
    }
    assert_eq!(of("train")["passed"], true);
    assert_eq!(of("2013-03 weak")["passed"], false);
    assert_eq!(of("2013-03 weak canary")["phase"], "RolledBack", "{told}");
    leads_back(server, of("2013-04 replay")["prediction"].as_str().unwrap());
}

/// From one prediction to the raw data, and what was decided on the way.
fn leads_back(server: &Server, prediction: &str) {
    let mut command = server.cli();
    command.args(["lineage", &format!("prediction:{prediction}")]).env("MCPLANE_URL", server.url());
    let told = run(&mut command, None).ok();
    for part in [
        "made by late-flights-predictor-0000",
        "gate late-flights: ",
        "contract flights: ",
        "serves modelversion:late-flights/",
        "registered from run:",
        "make-features",
        "/replay/train.csv@",
    ] {
        assert!(told.contains(part), "no {part:?} in\n{told}");
    }
}

/// The value at a JSON pointer, in which `[key=value]` is the item of a list that has it.
fn place<'v>(answer: &'v Value, at: &str) -> &'v Value {
    at.split('/').skip(1).fold(answer, |value, step| {
        match step.strip_prefix('[').and_then(|step| step.strip_suffix(']')?.split_once('=')) {
            Some((key, wanted)) => {
                value.as_array().into_iter().flatten().find(|item| item[key] == wanted).unwrap_or(&Value::Null)
            }
            None => step.parse::<usize>().map_or_else(|_| &value[step], |index| &value[index]),
        }
    })
}
