//! The replay of the example, whole but short, while the server is killed in one of its stages.
//!
//! `MCPLANE_REPLAY_STAGE` names the stage, or all of them: `every`. With `MCPLANE_REPLAY_RAW`, the folder of the year's raw data, it is
//! the plan of the example itself.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

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

/// Makes a checkout of the folder; its commit.
fn committed(folder: &Path) -> String {
    let git = |line: &str| {
        let mut command = Command::new("git");
        command.current_dir(folder).args(["-c", "user.name=t", "-c", "user.email=t@localhost"]);
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        run(command.args(line.split_whitespace()), None).ok()
    };
    git("init --quiet");
    git("add .");
    git("commit --quiet --message example");
    git("rev-parse HEAD").trim().to_owned()
}

/// A number that is another one each time.
fn chance() -> usize {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos() as usize
}

/// What is replayed.
struct Replayed {
    plan: PathBuf,
    raw: PathBuf,
    /// Where the pipeline is, if it is in a checkout of the test's own.
    commit: Option<String>,
}

impl Replayed {
    fn of(folder: &Path) -> Self {
        if let Some(raw) = std::env::var_os("MCPLANE_REPLAY_RAW") {
            return Self { plan: Path::new(EXAMPLE).join("plan.yaml"), raw: raw.into(), commit: None };
        }
        let example = example(folder);
        let commit = Some(committed(&example));
        Self { plan: example.join("plan.yaml"), raw: folder.join("raw"), commit }
    }
}

#[test]
fn the_replay_outlives_its_server_and_tells_what_the_api_tells() {
    let (mut server, python) = server();
    let folder = server.scratch().to_owned();
    let replayed = Replayed::of(&folder);
    let chosen = std::env::var("MCPLANE_REPLAY_STAGE").unwrap_or_else(|_| STAGES[chance() % STAGES.len()].to_owned());
    let every = chosen == "every";

    let mut command = Command::new(python);
    command.arg("-u").arg(Path::new(EXAMPLE).join("replay")).args(["--binary", env!("CARGO_BIN_EXE_mcplane")]);
    command.arg("--data").arg(server.data_dir()).arg("--raw").arg(&replayed.raw);
    command.arg("--plan").arg(&replayed.plan).env("HOME", &folder);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = String::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if line.contains('▸') && (every || line.ends_with(&format!("▸ {chosen}"))) {
            if every {
                // Somewhere in the stage; shorter ones are over by then, and the next one is hit twice.
                std::thread::sleep(Duration::from_millis(chance() as u64 % 2000));
                println!("killed: {line}");
            }
            server.kill_9();
            server.restart();
        }
        told += &line;
        told.push('\n');
    }
    let ended = child.wait_with_output().unwrap();
    let complaints = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "killed in {chosen}\n{told}\n{complaints}\n{}", server.log());
    agrees(&server, &told, &chosen, replayed.commit.as_deref());
}

/// Every row of the timeline says what the API says.
fn agrees(server: &Server, told: &str, chosen: &str, commit: Option<&str>) {
    let text = std::fs::read_to_string(server.data_dir().join("replay/timeline.json")).unwrap();
    let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
    let of = |end: &str| {
        let ends = |row: &&Value| row["stage"].as_str().is_some_and(|stage| stage.ends_with(end));
        rows.iter().rev().find(ends).unwrap_or_else(|| panic!("{end}\n{told}"))
    };
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
    assert_eq!(of(" weak")["passed"], false);
    assert_eq!(of(" weak canary")["phase"], "RolledBack", "{told}");
    leads_back(server, of(" replay")["prediction"].as_str().unwrap(), commit);
}

/// From one prediction to the raw data, and what was decided on the way.
fn leads_back(server: &Server, prediction: &str, commit: Option<&str>) {
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
        "contract flights: Passed",
        &commit.map_or_else(String::new, |commit| format!("commit {commit}")),
    ] {
        assert!(told.contains(part), "no {part:?} in\n{told}");
    }
    // The file that was delivered, by its digest.
    let raw = |line: &str| line.contains("/replay/") && line.contains(".csv@sha256:");
    assert!(told.lines().any(raw), "{told}");
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
