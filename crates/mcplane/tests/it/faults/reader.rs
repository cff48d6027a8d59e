//! Readers of logs that are slow: they cost no memory, and hold up neither programs nor other readers.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use mcplane_testkit::{Backend, Server};
use serde_json::json;

use crate::guarded::{BINARY, Caller};
use crate::tasks::desk::{Desk, gated};

const READERS: usize = 16;
/// What the program prints: more than all buffers on the way.
const LINES: usize = 250_000;
/// Characters of a line, its end included.
const LINE: usize = 100;
/// Resident memory that all slow readers together may cost; what each would get is 25 MB.
const MOST_BYTES: usize = 48 << 20;

/// Bytes of resident memory that belong to no file.
fn resident(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}

#[test]
fn slow_readers_of_logs_cost_nothing() {
    let mut server = Server::start(BINARY, Backend::Sqlite);
    let desk = Desk::at(&server, &server.scratch().join("work"));
    let lines = format!("yes {} | head -n {LINES}", "y".repeat(LINE - 1));
    let path = |task: &str| format!("/tasks/v1/namespaces/default/tasks/{task}/logs?follow=true");
    let caller = Caller::nobody(&server);
    // What the allocator keeps once a whole log was written and read is no slow reader's doing.
    let first = desk.submit(&desk.script("first", &lines, &json!({})));
    desk.reaches(&first, "succeeded");
    assert_eq!(caller.get(&path(&first)).text.len(), LINES * LINE);

    let script = format!("echo begun; {}; {lines}", gated("gate"));
    let loud = desk.submit(&desk.script("loud", &script, &json!({})));
    desk.until_lines("loud", 1);
    let path = path(&loud);
    let before = resident(server.pid());
    let mut slow: Vec<TcpStream> = (0..READERS)
        .map(|_| {
            let mut stream = TcpStream::connect(server.address()).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            stream.write_all(caller.head("GET", &path, "").as_bytes()).unwrap();
            stream.read_exact(&mut [0; 64]).unwrap();
            stream
        })
        .collect();

    // While sixteen wait for nobody, the program ends, one who reads gets everything, and others are served.
    let began = Instant::now();
    std::fs::write(desk.path("gate"), "").unwrap();
    desk.reaches(&loud, "succeeded");
    let log = caller.get(&path).text;
    assert_eq!(log.len(), "begun\n".len() + LINES * LINE);
    let quick = desk.submit(&desk.script("quick", "true", &json!({})));
    desk.reaches(&quick, "succeeded");
    let cost = resident(server.pid()).saturating_sub(before);
    println!(
        "{READERS} slow readers of {} bytes cost {cost} bytes; others were done in {:?}",
        log.len(),
        began.elapsed()
    );
    assert!(cost < MOST_BYTES, "{cost} bytes for {READERS} readers who do not read");

    // One of them reads on after all, the others go away.
    let mut patient = slow.pop().unwrap();
    drop(slow);
    let mut rest = Vec::new();
    patient.read_to_end(&mut rest).unwrap();
    assert!(rest.ends_with(b"0\r\n\r\n"), "the answer is whole");
    assert!(rest.len() > LINES * LINE, "{}", rest.len());
    server.terminate();
}
