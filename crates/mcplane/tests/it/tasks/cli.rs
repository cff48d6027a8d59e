//! `mcplane task` and `mcplane queue`.

use std::path::Path;
use std::process::Command;

use mcplane_testkit::process::{Background, Output, run, signal};
use mcplane_testkit::{Backend, Server, eventually, on_each_backend};

on_each_backend!(life, queues);

/// The command line, in a folder with a program.
fn cli(server: &Server, folder: &Path, line: &[&str]) -> Command {
    let mut command = server.cli();
    command.current_dir(folder).args(line).env("MCPLANE_URL", server.url());
    command
}

fn folder(server: &Server, files: &[(&str, &str)]) -> std::path::PathBuf {
    let folder = server.scratch().join("project");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, text) in files {
        std::fs::write(folder.join(name), text).unwrap();
    }
    folder
}

/// Column of the only line of a list that has the name.
fn state(server: &Server, folder: &Path, name: &str) -> String {
    let list = run(&mut cli(server, folder, &["task", "list"]), None).ok();
    let line = list.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{name} in {list}"));
    line.split_whitespace().nth(3).unwrap().to_owned()
}

fn life(backend: Backend) {
    let server = super::server(backend, &[]);
    let program = "import os, sys\nprint('in', sorted(os.listdir()))\nprint(os.environ['SEED'], sys.argv[1])\nsys.exit(int(sys.argv[1]))\n";
    let folder = folder(&server, &[("train.py", program), ("data.bin", "x"), (".gitignore", "*.bin\n")]);
    let task = |line: &[&str]| -> Output { run(&mut cli(&server, &folder, &[&["task"], line].concat()), None) };

    let done = task(&["run", "--env", "SEED=7", "--cpu", "100m", "--", "python", "train.py", "0"]);
    assert_eq!((done.code, done.stdout.as_str()), (0, "in ['.gitignore', 'train.py']\n7 0\n"), "{done}");
    assert!(done.stderr.contains("2 files of") && done.stderr.contains("Ctrl-C cancels it"), "{done}");

    let failed = task(&["run", "--env", "SEED=8", "--", "python", "train.py", "3"]);
    assert_eq!((failed.code, failed.stdout.lines().last()), (3, Some("8 3")), "{failed}");
    assert!(failed.stderr.contains("which the server has already") && failed.stderr.contains(" failed"), "{failed}");
    assert_eq!(state(&server, &folder, "train"), "failed");

    // The newest of the name, by its name; then it fails anew.
    assert!(task(&["retry", "train"]).ok().contains("is ready again"));
    eventually("the second round", 20, || (state(&server, &folder, "train") == "failed").then_some(()));
    let logs = task(&["logs", "train", "--tail", "1"]).ok();
    assert_eq!(logs, "8 3\n");
    let sheet = task(&["get", "train"]).ok();
    assert!(sheet.contains("Exit code:") && sheet.contains("failed"), "{sheet}");

    // Detached, followed from elsewhere, cancelled.
    let sleeper =
        ["run", "--detach", "--grace", "5s", "--name", "sleeper", "--", "sh", "-c", "echo up; exec sleep 600"];
    let id = task(&sleeper).ok().trim().to_owned();
    assert_eq!(id.len(), 36, "only the id is printed");
    let follower = Background::start(&mut cli(&server, &folder, &["task", "logs", "-f", &id[..8]]));
    follower.until("up");
    assert!(task(&["cancel", &id]).ok().contains("is told to end"));
    let (code, output) = follower.finish(20);
    assert_eq!(code, 0, "{output}");
    eventually("its end", 20, || (state(&server, &folder, "sleeper") == "cancelled").then_some(()));

    // Ctrl-C where it is followed cancels it; Ctrl-\ leaves it.
    for (name, key, code) in [("stopped", "INT", 130), ("left", "QUIT", 0)] {
        let line = ["task", "run", "--name", name, "--", "sh", "-c", "echo up; exec sleep 600"];
        let follower = Background::start(&mut cli(&server, &folder, &line));
        follower.until("\nup\n");
        signal(follower.pid(), key);
        let (ended, output) = follower.finish(20);
        assert_eq!(ended, code, "{output}");
    }
    assert_eq!(state(&server, &folder, "stopped"), "cancelled");
    assert_eq!(state(&server, &folder, "left"), "running");
    task(&["cancel", "left"]).ok();

    let everywhere = task(&["list", "-A", "--state", "failed"]).ok();
    let columns: Vec<&str> = everywhere.lines().nth(1).unwrap().split_whitespace().collect();
    assert!(everywhere.starts_with("NAMESPACE") && columns[0] == "default" && columns[2] == "train", "{everywhere}");
    assert_eq!(task(&["list", "-A", "-n", "default"]).code, 2, "one or all");

    let none = task(&["get", "nobody"]).err();
    assert!(none.contains("nobody") && none.contains("in namespace default"), "{none}");
    let missing = task(&["run", "--no-code", "-n", "nowhere", "--", "true"]).err();
    assert!(missing.contains("nowhere"), "{missing}");
}

fn queues(backend: Backend) {
    let server = super::server(backend, &[]);
    let folder = folder(&server, &[]);
    let said = |line: &[&str]| run(&mut cli(&server, &folder, line), None);
    assert!(said(&["queue", "list"]).stderr.contains("no queues found in namespace default"));
    assert_eq!(said(&["queue", "pause", "slow"]).ok(), "queue slow is paused\n");
    said(&["task", "run", "--detach", "--queue", "slow", "--name", "held", "--", "true"]).ok();
    assert_eq!(
        said(&["queue", "set", "slow", "--weight", "3", "--limit", "2"]).ok(),
        "queue slow: weight 3, limit 2\n"
    );
    let row = |table: String| table.lines().nth(1).unwrap().split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(row(said(&["queue", "list"]).ok()), ["slow", "true", "3", "2", "0", "1", "0"]);
    assert_eq!(state(&server, &folder, "held"), "ready");
    assert_eq!(said(&["queue", "resume", "slow"]).ok(), "queue slow goes on\n");
    eventually("it runs", 20, || (state(&server, &folder, "held") == "succeeded").then_some(()));
    assert_eq!(said(&["queue", "set", "slow"]).code, 2, "nothing to change is wrong usage");
}
