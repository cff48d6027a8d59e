//! The task that makes an environment.

use mcplane_scheduler::tasks::{Demand, NewTask, Retries, Spec, Work};
use serde_json::{Value, json};

use super::Recipe;
use crate::engine::{ENVIRONMENT, PART_LABEL, literal};

/// Attempts to make an environment: a registry may be away for a moment.
const ATTEMPTS: i64 = 3;
/// Milliseconds that an attempt may take.
const LONGEST_MS: i64 = 3_600_000;

/// Makes the environment in a folder of its own, and then names it by a link, which appears whole or not at all: programs of
/// an environment hold its path, so that it can't be moved.
const PROGRAM: &str = r#"
import json, os, shutil, subprocess, sys
asked = json.loads(sys.argv[1])
build, target, parents = asked["build"], asked["target"], asked["parents"]
python = os.path.join(build, "bin", "python")
if os.path.exists(os.path.join(target, "bin", "python")):
    sys.exit(0)
shutil.rmtree(build, ignore_errors=True)
pip = [python, "-m", "pip"]
if subprocess.run([sys.executable, "-m", "venv", build]).returncode:
    # Some distributions leave out what brings pip into an environment.
    shutil.rmtree(build, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", build], check=True)
    pip = [sys.executable, "-m", "pip", "--python", python]
if parents:
    paths = subprocess.run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
                           check=True, capture_output=True, text=True).stdout.strip()
    with open(os.path.join(paths, "mcplane_image.pth"), "w") as file:
        file.write("\n".join(parents))
for install in asked["installs"]:
    done = subprocess.run([*pip, "install", "--no-input", "--disable-pip-version-check", *install])
    if done.returncode:
        shutil.rmtree(build, ignore_errors=True)
        sys.exit(done.returncode)
os.sync()
link = build + ".link"
if os.path.lexists(link):
    os.remove(link)
os.symlink(os.path.relpath(build, os.path.dirname(target)), link)
os.replace(link, target)
"#;

/// The task that makes the environment of `recipe` at `target`, working at `build`.
pub(super) fn new_task(recipe: &Recipe, key: &str, target: &str, build: &str) -> NewTask {
    let words =
        |install: &super::Install| install.options.iter().chain(&install.requirements).cloned().collect::<Vec<_>>();
    let asked = json!({
        "target": target,
        "build": build,
        "parents": recipe.python.parents,
        "installs": recipe.installs.iter().map(words).collect::<Vec<_>>(),
    });
    let command = [recipe.python.executable.as_str(), "-I", "-u", "-c", PROGRAM, &asked.to_string()];
    let template: Value = json!({
        "metadata": {
            "generateName": format!("environment-{}-", &key[..8]),
            "labels": {PART_LABEL: ENVIRONMENT},
        },
        "spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "build", "command": command.map(literal)}],
        },
    });
    let unique = format!("environments/{key}");
    NewTask {
        name: format!("environment {}", &key[..8]),
        queue: "default".into(),
        priority: 5,
        due_at: None,
        demand: Demand::default(),
        concurrency: None,
        unique_key: Some(unique),
        idempotency_key: None,
        owner: None,
        spec: Spec {
            work: Work::Pod(template),
            code: None,
            fresh: None,
            timeout_ms: Some(LONGEST_MS),
            grace_ms: 10_000,
            retries: Retries { most_attempts: ATTEMPTS, initial_ms: 2_000, ..Retries::default() },
        },
    }
}
