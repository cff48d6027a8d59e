//! An acknowledgement follows the disk: seen from outside, in the server's system calls.

use crate::kube_rs::connect;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::Api;
use kube::api::PostParams;
use mcplane_testkit::process::random_hex;
use mcplane_testkit::{Backend, Server};
use serde_json::json;
use std::collections::BTreeMap;

/// A system call, with its place among all others when it began and when it had ended.
#[derive(Debug)]
struct Call {
    name: String,
    /// Arguments as strace shows them, descriptors with their path.
    text: String,
    began: usize,
    ended: usize,
}

#[test]
fn sqlite_answers_follow_the_sync_of_their_batch() {
    const CLIENTS: usize = 8;
    const EACH: usize = 12;
    let mut server = Server::stopped(env!("CARGO_BIN_EXE_mcplane"), Backend::Sqlite, &[]);
    let trace = server.scratch().join("trace");
    let calls = "trace=fsync,fdatasync,write,writev,pwrite64,pwritev,sendto,sendmsg";
    // A disk that is slower than requests are under strace: on a fast one hardly a write waits for another's sync.
    let disk = "inject=fsync,fdatasync:delay_exit=20000";
    let mut strace: Vec<std::ffi::OsString> =
        ["strace", "-f", "-qq", "-y", "-s", "100000", "-e", "signal=none", "-e", calls, "-e", disk, "-o"]
            .map(Into::into)
            .into();
    strace.push(trace.clone().into());
    server.under(strace);
    server.restart();

    let markers: Vec<String> = (0..CLIENTS * EACH).map(|_| format!("marker{}", random_hex(12))).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = connect(&server.url(), "work");
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let namespace = serde_json::from_value(json!({"metadata": {"name": "work"}})).unwrap();
        namespaces.create(&PostParams::default(), &namespace).await.unwrap();
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        let tasks: Vec<_> = markers
            .chunks(EACH)
            .enumerate()
            .map(|(client, markers)| {
                let (maps, markers) = (maps.clone(), markers.to_vec());
                tokio::spawn(async move {
                    for (n, marker) in markers.iter().enumerate() {
                        let object = json!({"metadata": {"name": format!("c-{client}-{n}")}, "data": {"v": marker}});
                        maps.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    server.terminate();

    let calls = parse(&std::fs::read_to_string(&trace).unwrap());
    let faults: Vec<String> = markers.iter().filter_map(|marker| fault(&calls, marker)).collect();
    assert!(faults.is_empty(), "{} of {}: {}", faults.len(), markers.len(), faults.join("\n"));
    // The start has syncs of its own.
    let during = calls.iter().skip_while(|call| !markers.iter().any(|marker| call.text.contains(marker)));
    let syncs = during.filter(|call| is_sync(call)).count();
    println!("{} creates of {CLIENTS} clients, {syncs} syncs of the log", markers.len());
    assert!(syncs * 2 < markers.len(), "writes of several clients share a sync: {syncs} for {}", markers.len());
}

fn is_sync(call: &Call) -> bool {
    matches!(call.name.as_str(), "fsync" | "fdatasync") && call.text.contains("-wal>")
}

/// What is wrong with the write that carries `marker`: the log has it, a sync of the log began after that, and ended
/// before the answer was sent.
fn fault(calls: &[Call], marker: &str) -> Option<String> {
    let carries = |call: &&Call| call.text.contains(marker);
    let sends = |call: &&Call| !call.name.starts_with('p') && !call.name.ends_with("sync") && !is_file(call);
    let Some(logged) = calls.iter().filter(|call| call.text.contains("-wal>")).find(carries) else {
        return Some(format!("{marker} never came to the log"));
    };
    let Some(answer) = calls.iter().filter(sends).find(carries) else {
        return Some(format!("{marker} was never answered"));
    };
    let synced = calls.iter().any(|call| is_sync(call) && call.began > logged.ended && call.ended < answer.began);
    (!synced).then(|| format!("{marker}: logged {}, answered {}, no sync between", logged.ended, answer.began))
}

/// Whether the call's first argument is a file (`7</path>`) rather than a socket (`7<TCP:[…]>`, `7<socket:[…]>`).
fn is_file(call: &Call) -> bool {
    call.text.split_once('<').is_some_and(|(_, target)| target.starts_with('/'))
}

/// Reads `strace -f -y -o`: one line a call, or two when another thread came between.
fn parse(trace: &str) -> Vec<Call> {
    let mut open: BTreeMap<&str, Call> = BTreeMap::new();
    let mut calls = Vec::new();
    for (at, line) in trace.lines().enumerate() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if rest.starts_with("<...") {
            // A call that failed has changed nothing.
            if let Some(call) = open.remove(thread).filter(|_| !rest.contains(") = -1 ")) {
                calls.push(Call { ended: at, ..call });
            }
            continue;
        }
        let Some((name, text)) = rest.split_once('(') else { continue };
        let call = Call { name: name.to_owned(), text: text.to_owned(), began: at, ended: at };
        if text.ends_with("<unfinished ...>") {
            open.insert(thread, call);
        } else if !text.contains(") = -1 ") {
            calls.push(call);
        }
    }
    calls
}

#[test]
fn sqlite_check_finds_an_answer_before_its_sync() {
    let good = "\
7 pwrite64(9</d/store.db-wal>, \"..m1..\", 4096, 0 <unfinished ...>
8 sendto(12<TCP:[1->2]>, \"other\", 5, 0, NULL, 0) = 5
7 <... pwrite64 resumed>) = 4096
7 fdatasync(9</d/store.db-wal> <unfinished ...>
7 <... fdatasync resumed>) = 0
8 sendto(12<TCP:[1->2]>, \"..m1..\", 6, 0, NULL, 0) = 6
";
    assert_eq!(fault(&parse(good), "m1"), None);
    let lines: Vec<&str> = good.lines().collect();
    let order = |order: [usize; 6]| order.map(|line| lines[line]).join("\n");
    // Answered while the sync was under way, before it, and by a sync that began before the write.
    for bad in [order([0, 1, 2, 3, 5, 4]), order([0, 1, 2, 5, 3, 4]), order([3, 4, 0, 1, 2, 5])] {
        assert!(fault(&parse(&bad), "m1").is_some(), "{bad}");
    }
    assert!(fault(&parse(good), "m2").unwrap().contains("never came to the log"));
    let failed = good.replace("resumed>) = 0", "resumed>) = -1 EIO (Input/output error)");
    assert!(fault(&parse(&failed), "m1").is_some());
}
