//! The real `kubectl`, with a home directory of its own.

use crate::process::{Background, Output, find, run};
use crate::tools_dir;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use tempfile::TempDir;

/// Oldest release whose behaviour the suites know.
const OLDEST: u32 = 28;

/// `kubectl` that talks to one server as one caller.
#[derive(Debug)]
pub struct Kubectl {
    binary: &'static Path,
    home: TempDir,
}

/// Arguments as one line of words, or as a list where an argument holds spaces.
pub trait Args {
    /// The arguments one by one.
    fn words(&self) -> Vec<&str>;
}

impl Args for &str {
    fn words(&self) -> Vec<&str> {
        self.split_whitespace().collect()
    }
}

impl<const N: usize> Args for [&str; N] {
    fn words(&self) -> Vec<&str> {
        self.to_vec()
    }
}

impl Kubectl {
    /// Anonymous over plain HTTP, as on loopback without login.
    pub fn http(url: &str) -> Self {
        let kubeconfig = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": url}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": ""}}],
        });
        Self::with_kubeconfig(&kubeconfig.to_string())
    }

    /// With a kubeconfig made elsewhere.
    pub fn with_kubeconfig(text: &str) -> Self {
        let home = tempfile::Builder::new().prefix("kubectl-").tempdir().expect("temporary directory");
        std::fs::write(home.path().join("config"), text).expect("kubeconfig");
        Self { binary: binary(), home }
    }

    /// Directory for files of the test; `kubectl` runs in it.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// A command to change further or to spawn.
    pub fn command(&self, args: impl Args) -> Command {
        let mut command = Command::new(self.binary);
        let home = self.home.path();
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("LC_ALL", "C");
        command.env("HOME", home).env("KUBECONFIG", home.join("config")).env("KUBECACHEDIR", home.join("cache"));
        command.current_dir(home).args(args.words());
        command
    }

    /// Runs to the end, whatever comes of it.
    pub fn run(&self, args: impl Args) -> Output {
        run(&mut self.command(args), None)
    }

    /// Runs to the end with standard input (`-f -`).
    pub fn feed(&self, args: impl Args, stdin: &str) -> Output {
        run(&mut self.command(args), Some(stdin.as_bytes()))
    }

    /// Starts it beside the test (`get -w`).
    pub fn spawn(&self, args: impl Args) -> Background {
        Background::start(&mut self.command(args))
    }

    /// Standard output of a success.
    #[track_caller]
    pub fn ok(&self, args: impl Args) -> String {
        self.run(args).ok()
    }

    /// Standard error of a failure.
    #[track_caller]
    pub fn err(&self, args: impl Args) -> String {
        self.run(args).err()
    }

    /// `kubectl … -o json`, parsed.
    #[track_caller]
    pub fn json(&self, args: impl Args) -> serde_json::Value {
        let mut words = args.words();
        words.extend(["-o", "json"]);
        let text = run(self.command("").args(words), None).ok();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
    }
}

fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let chosen = std::env::var_os("MCPLANE_TEST_KUBECTL").map(PathBuf::from);
        let candidates = chosen.into_iter().chain(find("kubectl", &[])).chain(find_in_tools());
        let mut seen = Vec::new();
        for candidate in candidates {
            match minor(&candidate) {
                Some(minor) if minor >= OLDEST => return candidate,
                other => seen.push(format!("{} is 1.{other:?}", candidate.display())),
            }
        }
        panic!("kubectl 1.{OLDEST} or newer is missing ({seen:?}): run `cargo xtask setup`")
    })
}

fn find_in_tools() -> Option<PathBuf> {
    Some(tools_dir().join("kubectl")).filter(|file| file.is_file())
}

fn minor(binary: &Path) -> Option<u32> {
    let output = run(Command::new(binary).args(["version", "--client", "-o", "json"]), None);
    let value: serde_json::Value = serde_json::from_str(&output.stdout).ok()?;
    value["clientVersion"]["minor"].as_str()?.trim_end_matches('+').parse().ok()
}
