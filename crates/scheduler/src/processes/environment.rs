//! What an attempt's environment holds besides what its template says.

use std::path::Path;
use std::sync::Arc;

use futures::future::BoxFuture;
use mcplane_core::Result;

use crate::tasks::Task;

/// Variables of the server's own environment that attempts get, since programs don't work without them.
const INHERITED: &[&str] =
    &["HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER"];
/// How variables begin that tell of devices.
const INHERITED_PREFIXES: &[&str] = &["CUDA_", "NVIDIA_", "ROCM_"];

/// Gives attempts what they show to the server.
pub trait Credentials: Send + Sync {
    /// A token that is good while the attempt, shown as this pod, runs; `None` where nobody need log in.
    fn token<'a>(&'a self, task: &'a Task, account: &'a str) -> BoxFuture<'a, Result<Option<String>>>;
}

/// What every attempt is told of the server.
#[derive(Clone)]
pub struct Surroundings {
    /// Where this server can be reached from this machine.
    pub url: String,
    /// A file with the certificate authority that signed for it, if it signs for itself.
    pub authority: Option<String>,
    /// What attempts show.
    pub credentials: Arc<dyn Credentials>,
}

impl std::fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Variables of the server's own environment that attempts get. They find this very program last in their `PATH`, so that
/// steps can call it without its being installed.
pub(super) fn inherited() -> Vec<(String, String)> {
    let wanted =
        |name: &str| INHERITED.contains(&name) || INHERITED_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    let program = std::env::current_exe().ok();
    let folder = program.as_deref().and_then(Path::parent).and_then(Path::to_str);
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| wanted(name))
        .map(|(name, value)| match folder {
            Some(folder) if name == "PATH" => (name, with_folder(&value, folder)),
            _ => (name, value),
        })
        .collect()
}

/// A `PATH` that holds a folder; where it does not yet, as the last.
fn with_folder(path: &str, folder: &str) -> String {
    if path.split(':').any(|known| known == folder) { path.to_owned() } else { format!("{path}:{folder}") }
}

impl Surroundings {
    /// What an attempt of `task` is told.
    pub(super) async fn of(&self, task: &Task, account: &str) -> Result<Vec<(String, String)>> {
        let parent = traceparent(&task.trace, task.no, task.attempt);
        let mut env = vec![
            ("MCPLANE_URL".to_owned(), self.url.clone()),
            ("MCPLANE_NAMESPACE".to_owned(), task.namespace.to_string()),
            ("MCPLANE_TASK_ID".to_owned(), task.id.clone()),
            ("MCPLANE_TASK_NAME".to_owned(), task.name.clone()),
            ("MCPLANE_ATTEMPT".to_owned(), task.attempt.to_string()),
            ("MLFLOW_TRACKING_URI".to_owned(), self.url.clone()),
            ("MLFLOW_WORKSPACE".to_owned(), task.namespace.to_string()),
            ("PYTHONUNBUFFERED".to_owned(), "1".to_owned()),
            ("TRACEPARENT".to_owned(), parent),
            ("X_TRACE_ID".to_owned(), task.trace.clone()),
        ];
        if let Some(file) = &self.authority {
            env.push(("MLFLOW_TRACKING_SERVER_CERT_PATH".to_owned(), file.clone()));
            env.push(("MCPLANE_CA_FILE".to_owned(), file.clone()));
        }
        if let Some(token) = self.credentials.token(task, account).await? {
            env.push(("MLFLOW_TRACKING_TOKEN".to_owned(), token.clone()));
            env.push(("MCPLANE_TOKEN".to_owned(), token));
        }
        Ok(env)
    }
}

/// W3C's `traceparent` for an attempt: the task's trace, and a span that is always the same for the attempt.
fn traceparent(trace: &str, no: i64, attempt: i64) -> String {
    let span = crate::retry::mix(no.unsigned_abs() ^ attempt.unsigned_abs().rotate_left(32)).max(1);
    format!("00-{trace}-{span:016x}-01")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_last_in_a_path_and_once() {
        assert_eq!(with_folder("/usr/bin:/bin", "/opt"), "/usr/bin:/bin:/opt");
        assert_eq!(with_folder("/opt:/bin", "/opt"), "/opt:/bin");
    }

    #[test]
    fn a_traceparent_is_one() {
        let parent = traceparent("0123456789abcdef0123456789abcdef", 7, 1);
        let read = mcplane_core::TraceId::from_traceparent(&parent).unwrap();
        assert_eq!(read.to_string(), "0123456789abcdef0123456789abcdef");
        assert_ne!(parent, traceparent("0123456789abcdef0123456789abcdef", 7, 2));
    }
}
