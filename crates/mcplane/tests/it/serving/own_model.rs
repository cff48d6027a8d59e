//! The example on a model of one's own, as its manual runs it: trained, registered, served, brought out beside the first version.

use std::path::{Path, PathBuf};
use std::process::Command;

use mcplane_testkit::process::run;
use mcplane_testkit::python::Venv;
use mcplane_testkit::{Backend, eventually};

use super::rig::Rig;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// A newcomer: a folder with the files of the example, and two variables.
struct Newcomer {
    rig: Rig,
    folder: PathBuf,
    python: PathBuf,
}

impl Newcomer {
    fn start() -> Self {
        let rig = Rig::start(Backend::Sqlite, &[]);
        let folder = rig.server.scratch().join("own-model");
        std::fs::create_dir_all(&folder).unwrap();
        for file in std::fs::read_dir(Path::new(ROOT).join("examples/own-model")).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), folder.join(file.file_name())).unwrap();
        }
        let python = Venv::with(include_str!("../mlflow/requirements.txt")).program("python3");
        Self { rig, folder, python }
    }

    fn in_folder(&self, mut command: Command, line: &str) -> String {
        let server = &self.rig.server;
        command.args(line.split_whitespace()).current_dir(&self.folder).env("HOME", &self.folder);
        command.env("MCPLANE_URL", server.url()).env("MLFLOW_TRACKING_URI", server.url());
        command
            .env("MODELS", server.data_plane().to_string())
            .env("PYTHONPATH", Path::new(ROOT).join("sdk/python/src"));
        run(&mut command, None).ok()
    }

    fn python(&self, line: &str) -> String {
        self.in_folder(Command::new(&self.python), line)
    }

    fn mcplane(&self, line: &str) -> String {
        self.in_folder(self.rig.server.cli(), line)
    }

    fn status_has(&self, part: &str) {
        eventually(part, 60, || self.mcplane("rollout status wines").contains(part).then_some(()));
    }
}

#[test]
fn a_model_of_ones_own_goes_out_beside_the_first() {
    let newcomer = Newcomer::start();
    let trained = newcomer.python("train.py v1.0.0 --trees 3 --depth 1");
    assert!(trained.contains("wines v1.0.0: Verified"), "{trained}");
    newcomer.mcplane("apply -f service.yaml -f rollout.yaml");
    newcomer.rig.ready("wines");
    let triton = Venv::with(include_str!("../../../../serving/tests/serving/clients/requirements.txt"));
    let answered = newcomer.in_folder(Command::new(triton.program("python3")), "triton.py");
    assert!(answered.starts_with("cultivar 0 with"), "{answered}");

    newcomer.python("train.py v1.1.0");
    let service = std::fs::read_to_string(newcomer.folder.join("service.yaml")).unwrap();
    std::fs::write(newcomer.folder.join("service.yaml"), service.replace("v1.0.0", "v1.1.0")).unwrap();
    newcomer.mcplane("apply -f service.yaml");
    newcomer.status_has("▸ tenth: 10 %");
    let asked = newcomer.python("ask.py 2");
    let of = |version: &str| {
        let line = asked.lines().find(|line| line.starts_with(version)).unwrap_or_else(|| panic!("{version}: {asked}"));
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap()
    };
    let share = of("models:/wines/2") / (of("models:/wines/1") + of("models:/wines/2"));
    assert!((0.02..0.6).contains(&share), "a tenth, or a half when the stage is over: {asked}");

    newcomer.mcplane("rollout promote wines --full");
    newcomer.status_has("wines: Succeeded");
    let all = newcomer.python("ask.py 0");
    assert!(all.starts_with("models:/wines/2: 1 answers") && !all.contains("wines/1"), "{all}");
    newcomer.mcplane("rollout abort wines");
    eventually("the first version answers", 60, || newcomer.python("ask.py 0").contains("wines/1").then_some(()));
}
