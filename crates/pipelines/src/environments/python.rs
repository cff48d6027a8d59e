//! Interpreters that environments are made with.

use std::collections::HashMap;
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio::sync::Mutex;

/// An interpreter.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Python {
    /// Its path.
    pub executable: String,
    /// Its version, with how it was built.
    pub version: String,
    /// Folders of packages that it comes with and that environments made with it share: those of an image's environment.
    #[serde(default)]
    pub parents: Vec<String>,
}

/// How long an interpreter may take to tell its version.
const PATIENCE: Duration = Duration::from_secs(30);
/// What it is asked; whether its packages count is the only argument.
const QUESTION: &str = "import json, sys, sysconfig; \
    parents = sorted({sysconfig.get_path('purelib'), sysconfig.get_path('platlib')}) if sys.argv[1] == 'image' else []; \
    print(json.dumps({'executable': sys.executable, 'version': sys.version, 'parents': parents}))";

/// Interpreters by the command that starts them, asked once.
#[derive(Debug, Default)]
pub struct Pythons {
    known: Mutex<HashMap<String, Python>>,
}

impl Pythons {
    /// The interpreter of this machine, or that of an image's virtual environment.
    ///
    /// # Errors
    /// A sentence that says what is missing.
    pub async fn find(&self, venv: Option<&str>) -> Result<Python, String> {
        let command = venv.map_or_else(|| "python3".to_owned(), |venv| format!("{venv}/bin/python3"));
        let mut known = self.known.lock().await;
        if let Some(python) = known.get(&command) {
            return Ok(python.clone());
        }
        let python = ask(&command, venv.is_some()).await?;
        known.insert(command, python.clone());
        Ok(python)
    }
}

async fn ask(command: &str, image: bool) -> Result<Python, String> {
    let mut asked = Command::new(command);
    let whose = if image { "image" } else { "host" };
    asked.args(["-I", "-c", QUESTION, whose]).stdin(Stdio::null()).kill_on_drop(true);
    let answer = tokio::time::timeout(PATIENCE, asked.output()).await;
    let answer = answer.map_err(|_| format!("{command} did not tell its version within {} s", PATIENCE.as_secs()))?;
    let answer = answer.map_err(|error| {
        format!("functions in Python need an interpreter, and {command} can't be started: {error}; install Python 3")
    })?;
    if !answer.status.success() {
        let told = String::from_utf8_lossy(&answer.stderr);
        return Err(format!("{command} can't be used: {}", told.lines().last().unwrap_or_default()));
    }
    serde_json::from_slice(&answer.stdout).map_err(|error| format!("{command} did not tell its version: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_interpreter_tells_its_version() {
        let pythons = Pythons::default();
        let python = pythons.find(None).await.unwrap();
        assert!(python.executable.starts_with('/') && python.version.starts_with("3."), "{python:?}");
        assert!(python.parents.is_empty());
        let missing = pythons.find(Some("/nowhere")).await.unwrap_err();
        assert!(missing.contains("/nowhere/bin/python3 can't be started"), "{missing}");
    }
}
