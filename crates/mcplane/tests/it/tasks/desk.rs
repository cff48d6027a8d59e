//! Tasks over HTTP, in short words, for tests that need many of them or a server that is not well.

use std::path::{Path, PathBuf};

use mcplane_testkit::{Server, eventually};
use serde_json::{Value, json};

use crate::guarded::{Caller, Reply};

const TASKS: &str = "/tasks/v1/namespaces/default/tasks";
/// How long a task may take to get where it should, in seconds.
const PATIENCE: u64 = 60;

/// Submits tasks to a server, and looks after them.
#[derive(Debug, Clone)]
pub(crate) struct Desk {
    caller: Caller,
    /// Where scripts leave what they tell.
    folder: PathBuf,
}

impl Desk {
    /// At a server, with a folder that outlives it.
    pub(crate) fn at(server: &Server, folder: &Path) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        Self { caller: Caller::nobody(server), folder: folder.to_owned() }
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A task that runs a script of the shell in the folder, told as `more` says.
    pub(crate) fn script(&self, name: &str, script: &str, more: &Value) -> Value {
        let script = format!("cd {}\n{script}", self.folder.display());
        let mut body = json!({"name": name, "command": ["sh", "-c", script], "graceMs": 1000});
        for (field, value) in more.as_object().into_iter().flatten() {
            body[field] = value.clone();
        }
        body
    }

    /// The answer to a submission; none when the connection broke.
    pub(crate) fn try_submit(&self, body: &Value) -> Option<Reply> {
        self.caller.try_send("POST", TASKS, "application/json", body.to_string().as_bytes())
    }

    /// The id of a new task.
    #[track_caller]
    pub(crate) fn submit(&self, body: &Value) -> String {
        let made = self.caller.send("POST", TASKS, body).expect(200);
        made["id"].as_str().unwrap().to_owned()
    }

    /// The id of a new task, asked for until the server can take it: what a client does that is told 503.
    #[track_caller]
    pub(crate) fn submit_at_last(&self, body: &Value) -> String {
        eventually("a task is taken", PATIENCE, || {
            let reply = self.try_submit(body).expect("the server answers");
            assert!(matches!(reply.status, 200 | 503), "{}", reply.text);
            (reply.status == 200).then(|| reply.json["id"].as_str().unwrap().to_owned())
        })
    }

    pub(crate) fn task(&self, id: &str) -> Value {
        self.caller.get(&format!("{TASKS}/{id}")).expect(200)
    }

    pub(crate) fn cancel(&self, id: &str) {
        self.caller.send("POST", &format!("{TASKS}/{id}/cancel"), &json!({})).expect(200);
    }

    pub(crate) fn list(&self, query: &str) -> Vec<Value> {
        let listed = self.caller.get(&format!("{TASKS}?{query}")).expect(200);
        listed["tasks"].as_array().unwrap().clone()
    }

    /// The task as soon as it is as wanted.
    #[track_caller]
    pub(crate) fn until(&self, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually("a task gets there", PATIENCE, || {
                std::thread::sleep(std::time::Duration::from_millis(15));
                last = self.task(id);
                wanted(&last).then(|| last.clone())
            })
        }));
        found.unwrap_or_else(|_| panic!("it is still {last}"))
    }

    /// The task in that state.
    #[track_caller]
    pub(crate) fn reaches(&self, id: &str, state: &str) -> Value {
        let task = self.until(id, |task| {
            task["state"] == state || ["succeeded", "failed", "cancelled"].iter().any(|last| task["state"] == *last)
        });
        assert_eq!(task["state"], state, "{task}");
        task
    }

    /// Lines that scripts left in a file of the folder.
    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits until scripts have left so many lines.
    pub(crate) fn until_lines(&self, name: &str, count: usize) {
        eventually("a script tells", PATIENCE, || (self.lines(name).len() >= count).then_some(()));
    }
}

/// Tells each attempt in a file of the task's name, then waits for a file.
pub(crate) fn gated(gate: &str) -> String {
    format!("echo $MCPLANE_ATTEMPT >> $MCPLANE_TASK_NAME; while [ ! -e {gate} ]; do sleep 0.05; done")
}
