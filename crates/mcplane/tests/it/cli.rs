//! The command line as a process: help, configuration and exit codes, as users read them.

use std::process::Command;

use mcplane_testkit::process::{Output, run};

/// Runs `mcplane` in a home of its own, with a width that does not depend on the terminal.
fn mcplane(args: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcplane"));
    command.env_clear().env("HOME", "/nowhere/ann").env("COLUMNS", "100").args(args);
    command.envs(environment.iter().copied());
    run(&mut command, None)
}

#[track_caller]
fn said(args: &[&str], environment: &[(&str, &str)]) -> String {
    let output = mcplane(args, environment);
    format!("exit {}\n{}{}", output.code, output.stdout, output.stderr)
}

/// Every attempt of a task pays for what a start relocates, twice: see ADR 0015.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn a_start_relocates_nothing() {
    use std::io::Read as _;

    // The type in the header of an ELF file: 2 is bound to its address, 3 goes anywhere.
    let mut header = [0; 18];
    std::fs::File::open(env!("CARGO_BIN_EXE_mcplane")).unwrap().read_exact(&mut header).unwrap();
    assert_eq!((&header[..4], &header[16..]), (&b"\x7fELF"[..], &[2, 0][..]));
}

#[test]
fn help_teaches() {
    for words in [
        "--help",
        "server --help",
        "login --help",
        "get --help",
        "apply --help",
        "delete --help",
        "audit --help",
        "gc --help",
        "dead-letters --help",
        "lineage --help",
        "task --help",
        "task run --help",
        "task list --help",
        "task logs --help",
        "pipeline --help",
        "pipeline run --help",
        "queue --help",
        "queue set --help",
        "contract --help",
        "contract check --help",
        "contract suggest --help",
        "gate --help",
        "gate evaluate --help",
        "features --help",
        "features join --help",
        "features materialize --help",
        "rollout --help",
        "rollout promote --help",
        "monitor --help",
        "user --help",
        "user create --help",
        "kubeconfig --help",
        "config --help",
        "config show --help",
        "config explain --help",
        "completions --help",
    ] {
        let args: Vec<&str> = words.split(' ').collect();
        let output = mcplane(&args, &[]);
        assert_eq!(output.code, 0, "{output}");
        let name = format!("help_{}", words.trim_end_matches("--help").trim().replace(' ', "_"));
        insta::assert_snapshot!(name, output.stdout);
    }
}

#[test]
fn the_configuration_is_shown_with_its_sources() {
    let environment = [("MCPLANE_SERVER__MAX_BODY", "8MiB"), ("MCPLANE_STORE__URL", "postgres://me:secret@db/x")];
    let args = ["config", "show", "--listen", "127.0.0.1:0", "--set", "auth.token-lifetime=30m"];
    insta::assert_snapshot!(said(&args, &environment));
}

#[test]
fn wrong_settings_are_explained() {
    let environment = [("MCPLANE_SERVER__LISEN", "x"), ("MCPLANE_LOG__LEVEL", "inof")];
    insta::assert_snapshot!(said(&["config", "show", "--listen", "5080", "--set", "store.retention=1s"], &environment));
}

#[test]
fn unknown_settings_to_explain_are_an_error() {
    insta::assert_snapshot!(said(&["config", "explain", "server.lisen"], &[]));
}

#[test]
fn completions_are_made_for_every_shell() {
    for (shell, sign) in [("bash", "complete -F"), ("zsh", "#compdef mcplane"), ("fish", "complete -c mcplane")] {
        let output = mcplane(&["completions", shell], &[]);
        assert!(output.code == 0 && output.stdout.contains(sign), "{shell}");
    }
}

#[test]
fn colours_are_for_terminals_only() {
    assert!(!mcplane(&["config", "show"], &[]).stdout.contains('\x1b'));
    assert!(!mcplane(&["--help"], &[("NO_COLOR", "1")]).stdout.contains('\x1b'));
}

#[test]
fn a_closed_pipe_is_no_failure_worth_a_word() {
    let mut command = Command::new("sh");
    command.args(["-c", "\"$0\" completions bash 2>&1 >/dev/full | head -c 300; \"$0\" completions bash | true"]);
    let output = run(command.arg(env!("CARGO_BIN_EXE_mcplane")), None);
    assert!(output.stdout.contains("No space left"), "a full disk is one: {output}");
    assert_eq!(output.stderr, "");
}
