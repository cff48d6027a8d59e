//! What no good client sends, to the real server: each request gets a precise refusal, changes nothing, and leaves the
//! server as it was.

mod bodies;
mod heads;
mod mutations;
mod patches;

use std::time::{Duration, Instant};

use mcplane_testkit::{Backend, eventually, on_each_backend};
use serde_json::{Value, json};

use crate::guarded::{Caller, Guarded, Reply};
use heads::{paths_are_read_with_care, queries_are_read_with_care};
use mutations::no_change_of_a_good_request_is_too_much;

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const LIMIT: usize = 3 << 20;
const MAPS: &str = "/api/v1/namespaces/lab/configmaps";
const MAP: &str = "/api/v1/namespaces/lab/configmaps/a";
const SERVICE: &str = "/apis/networking.istio.io/v1/namespaces/lab/virtualservices/v";
/// Far more than anything takes on an idle machine, far less than what must not happen takes.
const PATIENCE: Duration = Duration::from_secs(20);
/// Resident memory that a test may add, in MiB: a few of the largest bodies and what they are decoded to.
const ROOM: u64 = 384;

// Names and values that go to the database go to both.
on_each_backend!(queries_are_read_with_care, paths_are_read_with_care, no_change_of_a_good_request_is_too_much);

/// A server with a few objects, and how it was before the test.
struct Lab {
    guarded: Guarded,
    revision: Value,
    resident: u64,
}

impl Lab {
    fn start(backend: Backend) -> Self {
        let guarded = Guarded::start(backend, &[]);
        guarded.namespace("lab");
        let root = &guarded.root;
        root.create(MAPS, &json!({"metadata": {"name": "a", "labels": {"l": "1"}}, "data": {"k": "v"}}));
        // With nothing that the gateway would leave out, which it says in an event of its own time.
        let service = json!({"metadata": {"name": "v"}, "spec": {"hosts": ["h"]}});
        root.create(SERVICE.trim_end_matches("/v"), &service);
        for namespace in ["default", "kube-system", "lab"] {
            let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/default");
            eventually("namespaces are furnished", 20, || (root.get(&path).status == 200).then_some(()));
        }
        let revision = revision(root);
        let resident = peak(guarded.server.pid());
        Self { guarded, revision, resident }
    }

    fn root(&self) -> &Caller {
        &self.guarded.root
    }

    /// A request that must be answered in time, whatever with.
    #[track_caller]
    fn timed(&self, what: &str, method: &str, path: &str, content_type: &str, body: &[u8]) -> Reply {
        let began = Instant::now();
        let reply = self.root().try_send(method, path, content_type, body);
        let reply = reply.unwrap_or_else(|| panic!("{what}: no answer after {:?}", began.elapsed()));
        assert!(began.elapsed() < PATIENCE, "{what}: {} after {:?}", reply.status, began.elapsed());
        reply
    }

    /// A request that must be refused with that status.
    #[track_caller]
    fn refused(&self, what: &str, method: &str, path: &str, content_type: &str, body: &[u8], status: u16) -> Reply {
        let reply = self.timed(what, method, path, content_type, body);
        assert_eq!(reply.status, status, "{what}: {}", cut(&reply.text));
        assert_precise(what, &reply);
        reply
    }
}

/// Nothing was changed, nothing piled up, and the server answers as before.
impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        assert_eq!(self.root().get("/readyz").status, 200);
        assert_eq!(revision(self.root()), self.revision, "something was written");
        let grown = peak(self.guarded.server.pid()).saturating_sub(self.resident);
        assert!(grown < ROOM, "{grown} MiB more than before");
        let log = self.guarded.server.log();
        for word in ["panicked", "fault of the server"] {
            assert!(!log.contains(word), "the log speaks of {word:?}:\n{}", cut(&log[log.find(word).unwrap_or(0)..]));
        }
    }
}

/// The refusal says what was wrong, in Kubernetes' form, and not at any length.
#[track_caller]
fn assert_precise(what: &str, reply: &Reply) {
    let message = reply.json["message"].as_str().unwrap_or_default();
    assert_eq!(
        (&reply.json["kind"], &reply.json["code"], reply.json["reason"].as_str().unwrap_or_default().is_empty()),
        (&json!("Status"), &json!(reply.status), false),
        "{what}: {}",
        cut(&reply.text)
    );
    assert!(message.len() > 5 && reply.text.len() < 64 << 10, "{what}: {} bytes: {}", reply.text.len(), cut(message));
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(600)]
}

fn revision(root: &Caller) -> Value {
    root.get("/api/v1/namespaces?limit=1").expect(200)["metadata"]["resourceVersion"].clone()
}

/// The most memory that the process ever had resident, in MiB.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10
}
