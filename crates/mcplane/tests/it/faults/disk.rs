//! The disk is full: where attempts are kept, and where everything is.

use std::path::{Path, PathBuf};
use std::process::Command;

use mcplane_testkit::process::run;
use mcplane_testkit::{Backend, Server, http, on_each_backend};
use serde_json::json;

use crate::guarded::BINARY;
use crate::tasks::desk::{Desk, gated};

on_each_backend!(full_where_attempts_are);

/// A small disk in the place of a folder.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, mebibytes: u32) -> Self {
        std::fs::create_dir_all(at).unwrap();
        let size = format!("size={mebibytes}m");
        let mounted = run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at), None);
        assert!(
            mounted.code == 0,
            "this test needs a small disk, and may not mount a tmpfs (run it as root): {mounted}"
        );
        Self(at.to_owned())
    }

    /// Takes all space that there is.
    fn fill(&self) {
        let block = vec![1; 1 << 16];
        let mut file = std::fs::File::create(self.filler()).unwrap();
        while std::io::Write::write_all(&mut file, &block).is_ok() {}
        // To the last page.
        let left = std::fs::write(self.0.join("filler-2"), &block).unwrap_err();
        assert_eq!(left.kind(), std::io::ErrorKind::StorageFull);
    }

    fn clear(&self) {
        std::fs::remove_file(self.filler()).unwrap();
        std::fs::remove_file(self.0.join("filler-2")).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run(Command::new("umount").arg("-l").arg(&self.0), None);
    }
}

fn alive(server: &Server) -> bool {
    http::get(server.address(), "/readyz").is_some_and(|answer| answer.status == 200)
}

fn full_where_attempts_are(backend: Backend) {
    let mut server = Server::stopped(BINARY, backend, &[]);
    let disk = SmallDisk::mount(&server.data_dir().join("attempts"), 4);
    server.restart();
    let desk = Desk::at(&server, &server.scratch().join("work"));
    let loud = format!("{}; head -c 6000000 /dev/zero | tr '\\0' a | fold -w 100; exit 5", gated("gate"));
    let loud = desk.submit(&desk.script("loud", &loud, &json!({})));
    desk.until_lines("loud", 1);
    disk.fill();

    let once = desk.submit(&desk.script("once", "true", &json!({})));
    let failed = desk.reaches(&once, "failed");
    assert_eq!(failed["reason"], "StartError", "{failed}");
    assert!(failed["message"].as_str().unwrap().contains("No space left"), "{failed}");
    let often = json!({"retries": {"maxAttempts": 200, "initialMs": 100, "maxMs": 200}});
    let patient = desk.submit(&desk.script("patient", "true", &often));
    let waits = desk.until(&patient, |task| task["attempt"].as_i64() >= Some(2) && task["state"] == "waiting");
    assert_eq!(waits["reason"], "BackOff", "{waits}");
    assert!(waits["message"].as_str().unwrap().contains("No space left"), "{waits}");
    // What runs already keeps its end, though its output is lost.
    std::fs::write(desk.path("gate"), "").unwrap();
    assert_eq!(desk.reaches(&loud, "failed")["exitCode"], 5);
    assert!(alive(&server));

    disk.clear();
    desk.reaches(&patient, "succeeded");
    server.terminate();
}

/// The embedded database is on the disk that is full.
#[test]
fn full_where_everything_is() {
    let mut server = Server::stopped(BINARY, Backend::Sqlite, &[]);
    let disk = SmallDisk::mount(&server.data_dir(), 48);
    server.restart();
    let pid = server.pid();
    let desk = Desk::at(&server, &server.scratch().join("work"));
    let held: Vec<String> =
        ["a", "b"].iter().map(|name| desk.submit(&desk.script(name, &gated("gate"), &json!({})))).collect();
    ["a", "b"].iter().for_each(|name| desk.until_lines(name, 1));
    disk.fill();

    // Space that the database holds already is used up first.
    let large = json!({"env": {"LARGE": "x".repeat(100_000)}, "queue": "large"});
    let mut taken = Vec::new();
    let refused = (0..1_000).find_map(|n| {
        let reply = desk.try_submit(&desk.script(&format!("large-{n}"), "true", &large)).expect("an answer");
        match reply.status {
            200 => taken.push(reply.json["id"].as_str().unwrap().to_owned()),
            _ => return Some(reply),
        }
        None
    });
    let refused = refused.expect("a full disk refuses tasks at last");
    assert_eq!(refused.status, 503, "{}", refused.text);
    // What ends now can't be written down yet.
    std::fs::write(desk.path("gate"), "").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    assert_eq!(desk.task(&held[0])["attempt"], 1, "it still answers what it knows");

    disk.clear();
    let after = desk.submit(&desk.script("after", "true", &json!({})));
    desk.reaches(&after, "succeeded");
    for id in &held {
        assert_eq!(desk.reaches(id, "succeeded")["attempt"], 1);
    }
    assert_eq!([desk.lines("a"), desk.lines("b")], [["1"], ["1"]], "what ended while it was full did not run again");
    // Those that were begun without room may have failed for that; none is lost.
    for id in &taken {
        desk.until(id, |task| ["succeeded", "failed"].iter().any(|last| task["state"] == *last));
    }
    println!("{} tasks were taken before the disk was full", taken.len());
    assert_eq!(server.pid(), pid);
    server.terminate();
}
