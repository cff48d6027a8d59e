//! Faults of work: the server, a shim and a program are killed, and every task reaches the end that it should.

use std::path::Path;
use std::process::Command;

use mcplane_testkit::process::{run, signal};
use mcplane_testkit::{Backend, Server, eventually, on_each_backend};

on_each_backend!(work_outlives_what_held_it);

fn task(server: &Server, folder: &Path, line: &[&str]) -> String {
    let mut command: Command = server.cli();
    command.current_dir(folder).arg("task").args(line).env("MCPLANE_URL", server.url());
    run(&mut command, None).ok()
}

fn submit(server: &Server, folder: &Path, name: &str, more: &[&str], script: &str) -> String {
    let fixed = ["run", "--detach", "--no-code", "--name", name, "--grace", "1s"];
    task(server, folder, &[&fixed, more, &["--", "sh", "-c", script]].concat()).trim().to_owned()
}

fn line(server: &Server, folder: &Path, name: &str) -> String {
    let list = task(server, folder, &["list"]);
    list.lines().find(|line| line.contains(name)).unwrap_or_default().to_owned()
}

fn until(server: &Server, folder: &Path, name: &str, state: &str) -> String {
    eventually("a task gets there", 60, || Some(line(server, folder, name)).filter(|line| line.contains(state)))
}

/// Process ids of programs whose command line holds a word.
fn processes(word: &str) -> Vec<u32> {
    let is = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(word)
    };
    let all = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    all.filter(is).collect()
}

fn work_outlives_what_held_it(backend: Backend) {
    let mut server = Server::start_with(env!("CARGO_BIN_EXE_mcplane"), backend, &["--set", "agent.capacity.cpu=8"]);
    let folder = server.scratch().join("work");
    std::fs::create_dir_all(&folder).unwrap();
    let mark = mcplane_testkit::process::random_hex(6);
    let gate = folder.join("gate");
    // It goes on when the file is there, and counts how often it was begun.
    let script = |name: &str| {
        let (gate, count) = (gate.display(), folder.join(name));
        format!(
            "echo begun >> {}; : {mark}-{name}; while [ ! -e {gate} ]; do sleep 0.05; done; echo done",
            count.display()
        )
    };
    for name in ["server-dies", "program-dies", "shim-dies"] {
        submit(&server, &folder, name, &["--retries", "2"], &script(name));
        until(&server, &folder, name, "running");
    }

    // A program that is killed is a failed attempt; a shim that is killed takes its program along, and is a lost one.
    let began = |name: &str| {
        let word = format!("{mark}-{name}");
        eventually("the program has begun", 30, || {
            processes(&word).first().copied().filter(|_| folder.join(name).exists())
        })
    };
    let program = began("program-dies");
    let shim = shim_of(began("shim-dies"));
    signal(program, "KILL");
    signal(shim, "KILL");

    // The server comes back to work that went on without it.
    began("server-dies");
    server.kill_9();
    server.restart();
    std::fs::write(&gate, "").unwrap();
    for (name, attempts) in [("server-dies", 1), ("program-dies", 2), ("shim-dies", 2)] {
        let line = until(&server, &folder, name, "succeeded");
        let begun = std::fs::read_to_string(folder.join(name)).unwrap().lines().count();
        assert_eq!(begun, attempts, "{line}\n{}", server.log());
    }
    assert_eq!(processes(&mark), Vec::<u32>::new(), "nothing is left running");
}

/// The parent of a program of an attempt.
fn shim_of(program: u32) -> u32 {
    let stat = std::fs::read_to_string(format!("/proc/{program}/stat")).unwrap();
    stat.rsplit_once(')').unwrap().1.split_whitespace().nth(1).unwrap().parse().unwrap()
}
