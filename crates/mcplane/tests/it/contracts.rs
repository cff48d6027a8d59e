//! `mcplane contract`, on files and against a server.

use std::path::Path;
use std::process::Command;

use mcplane_testkit::process::{Output, run};
use mcplane_testkit::{Backend, Server, on_each_backend};
use sha2::{Digest as _, Sha256};

on_each_backend!(life, gates);

const FLIGHTS: &str = "flight,origin,delay\n1545,EWR,2\n1714,LGA,4\n1141,JFK,2\n725,JFK,-1\n461,LGA,\n";

fn mcplane(folder: &Path, line: &[&str], url: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcplane"));
    command.current_dir(folder).args(line).env("HOME", folder).env_remove("MCPLANE_URL");
    if let Some(url) = url {
        command.env("MCPLANE_URL", url);
    }
    run(&mut command, None)
}

fn life(backend: Backend) {
    let server = Server::start(env!("CARGO_BIN_EXE_mcplane"), backend);
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let here = |line: &[&str]| mcplane(folder, line, None);
    let there = |line: &[&str]| mcplane(folder, line, Some(&server.url()));
    std::fs::write(folder.join("flights.csv"), FLIGHTS).expect("data");
    std::fs::write(folder.join("bad.csv"), format!("{FLIGHTS}x,ORD,1\n725,EWR,1\n")).expect("data");
    std::fs::write(folder.join("torn.csv"), "flight,origin,delay\n1,EWR\n").expect("data");

    let suggested = here(&["contract", "suggest", "flights.csv"]).ok();
    assert!(suggested.starts_with("apiVersion: mcplane.io/v1alpha1\nkind: DataContract\n"), "{suggested}");
    std::fs::write(folder.join("flights.yaml"), &suggested).expect("a contract");
    let passed = here(&["contract", "check", "flights.csv", "-f", "flights.yaml"]).ok();
    assert!(passed.starts_with("flights.csv: passed (5 rows, 0 of "), "{passed}");
    let failed = here(&["contract", "check", "bad.csv", "-f", "flights.yaml", "--report", "report.json"]);
    assert_eq!(failed.code, 1, "{failed}");
    assert!(
        failed.stdout.contains("hard  flight: values of the type integer: broken by 1 row\n        row 6: x\n"),
        "{failed}"
    );
    assert!(failed.stdout.contains("row 7: 725, as row 4\n"), "{failed}");
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("report.json")).expect("a report")).expect("JSON");
    assert_eq!(report["reports"][0]["outcome"], "Failed");

    there(&["apply", "-f", "flights.yaml"]).ok();
    there(&["contract", "check", "flights.csv", "--contract", "flights"]).ok();
    let several = there(&["contract", "check", "bad.csv", "torn.csv", "--contract", "flights", "-o", "json"]);
    assert_eq!(several.code, 1, "{several}");
    let list = there(&["contract", "reports", "flights"]).ok();
    let outcomes: Vec<&str> = list.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(outcomes, ["Failed", "Failed", "Passed"], "{list}");
    let shown = there(&["get", "datacontracts"]).ok();
    assert!(shown.lines().nth(1).is_some_and(|line| line.contains("False") && line.contains("Failed")), "{shown}");
    let events = there(&["get", "events"]).ok();
    assert!(events.contains("ContractBroken") && events.contains("row 1, byte 20: the row has 2 fields"), "{events}");
    in_lineage(folder, &there);
    let gone = there(&["contract", "check", "flights.csv", "--contract", "gone"]);
    assert_eq!((gone.code, gone.stderr.contains("\"gone\" not found")), (1, true), "{gone}");
    assert_eq!(here(&["contract", "check", "flights.csv"]).code, 2, "a contract must be named");
}

/// From a file to the contract that it was checked against, and back.
fn in_lineage(folder: &Path, there: &dyn Fn(&[&str]) -> Output) {
    let contract = "job:mcplane:default/datacontract/flights";
    let node = |name: &str| {
        let path = folder.join(name).canonicalize().expect("a path");
        let digest = Sha256::digest(std::fs::read(&path).expect("data"));
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("dataset:file://{}@sha256:{hex}", path.display())
    };
    for (name, state) in [("flights.csv", "COMPLETE"), ("bad.csv", "FAIL")] {
        let up = there(&["lineage", &node(name), "--upstream"]).ok();
        let check = up.lines().find(|line| line.contains("checked by run:")).expect("a check");
        assert!(check.contains(&format!("(datacontract/flights, state {state})")), "{up}");
        assert!(up.contains(&format!("executes {contract}")), "{up}");
        let run = check.split_once("checked by ").and_then(|(_, rest)| rest.split(' ').next()).expect("a run");
        let down = there(&["lineage", run, "--downstream"]).ok();
        assert!(down.contains(&format!("checked {}", node(name))), "{down}");
    }
    let down = there(&["lineage", contract, "--downstream"]).ok();
    assert_eq!(down.matches("executed as run:").count(), 2, "the torn file has no digest: {down}");
    assert!(down.contains(&node("flights.csv")) && down.contains(&node("bad.csv")), "{down}");
}

const GATE: &str = "
apiVersion: mcplane.io/v1alpha1
kind: Gate
metadata: {name: quality}
spec:
  columns: {label: label, prediction: ours, championPrediction: theirs}
  thresholds: [{metric: accuracy, min: 0.9}]
  comparison: {metric: accuracy, seed: 1}
";

fn gates(backend: Backend) {
    let server = Server::start(env!("CARGO_BIN_EXE_mcplane"), backend);
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let there = |line: &[&str]| mcplane(folder, line, Some(&server.url()));
    let rows = |wrong: usize| -> String {
        let row = |n: usize| format!("{},{},{}\n", n % 2, (n + usize::from(n.is_multiple_of(wrong))) % 2, n / 2 % 2);
        (0..400).map(row).collect()
    };
    for (name, wrong) in [("good.csv", 20), ("weak.csv", 3)] {
        std::fs::write(folder.join(name), format!("label,ours,theirs\n{}", rows(wrong))).expect("rows");
    }
    std::fs::write(folder.join("gate.yaml"), GATE).expect("a gate");
    there(&["apply", "-f", "gate.yaml"]).ok();
    let ask = |file: &str, version: &str| {
        there(&["gate", "evaluate", file, "--gate", "quality", "--model", "fraud", "--version", version])
    };
    let may =
        |version: &str| there(&["gate", "check", "--model", "fraud", "--version", version, "--gate", "quality"]).code;
    assert_eq!(may("1"), 1, "nobody has decided");
    let passed = ask("good.csv", "1").ok();
    assert!(passed.starts_with("fraud 1: passed (decision ") && passed.contains("accuracy is 0.950000"), "{passed}");
    assert_eq!(may("1"), 0);
    let refused = ask("weak.csv", "2");
    assert_eq!((refused.code, may("2")), (1, 1), "{refused}");
    let id = refused.stdout.split("(decision ").nth(1).and_then(|rest| rest.split(')').next()).expect("an id");
    there(&["gate", "override", id, "--reason", "it is only for a test"]).ok();
    assert_eq!(may("2"), 0);
    let list = there(&["gate", "decisions", "--model", "fraud"]).ok();
    assert_eq!(list.lines().count(), 3, "{list}");
    let audit = there(&["audit", "-o", "json"]).ok();
    assert!(audit.contains("it is only for a test"), "{audit}");
}
