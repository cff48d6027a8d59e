//! A Python environment with pinned packages, made once per set of packages and shared by all tests.

use crate::process::{Output, run};
use crate::target_dir;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A virtual environment.
#[derive(Debug)]
pub struct Venv(PathBuf);

impl Venv {
    /// The environment with exactly the packages of a requirements file's text.
    pub fn with(requirements: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        requirements.hash(&mut hasher);
        let dir = target_dir().join("test-venv").join(format!("{:016x}", hasher.finish()));
        std::fs::create_dir_all(&dir).expect("directory for the environment");
        let lock = File::create(dir.join("lock")).and_then(|file| file.lock().map(|()| file)).expect("lock");
        let made = dir.join("made");
        let venv = Self(dir.join("venv"));
        if !made.exists() {
            let hint = "Python's venv is missing or cannot be used: run `cargo xtask setup`";
            let output = run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv.0), None);
            assert!(output.code == 0, "{hint}\n{output}");
            std::fs::write(dir.join("requirements.txt"), requirements).expect("requirements");
            let mut pip = Command::new(venv.python());
            pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:", "-r"]);
            run(pip.arg(dir.join("requirements.txt")), None).ok();
            std::fs::write(made, "").expect("mark of a whole environment");
        }
        drop(lock);
        venv
    }

    fn python(&self) -> PathBuf {
        self.0.join("bin/python")
    }

    /// Where the packages lie.
    pub fn packages(&self) -> PathBuf {
        let versions = std::fs::read_dir(self.0.join("lib")).into_iter().flatten().flatten();
        let found = versions.map(|version| version.path().join("site-packages")).find(|path| path.is_dir());
        found.expect("an environment has packages")
    }

    /// A program that one of the packages brings.
    pub fn program(&self, name: &str) -> PathBuf {
        self.0.join("bin").join(name)
    }

    /// Runs a script with arguments.
    pub fn run(&self, script: &Path, args: &[&str]) -> Output {
        let mut command = Command::new(self.python());
        command.args(["-I", "-B", "-u"]).arg(script).args(args).env_remove("KUBECONFIG");
        run(&mut command, None)
    }
}

/// The library of onnxruntime, as its Python package brings it.
pub fn onnxruntime_library() -> PathBuf {
    let folder = Venv::with("onnxruntime==1.32.0\n").packages().join("onnxruntime/capi");
    let mut files = std::fs::read_dir(&folder).expect("the package").flatten().map(|file| file.path());
    let is_library = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("libonnxruntime.so"))
    };
    files.find(is_library).expect("the package brings the library")
}
