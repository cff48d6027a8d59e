//! The README's first command: builds mcplane, starts it, and drives it with kubectl as a newcomer would.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::{Fault, setup, shell};

const READY_WITHIN: Duration = Duration::from_secs(20);

/// Options: `--once` stops the server at the end; `--data-dir DIR` (default `mcplane-data`); `--listen ADDR:PORT`.
pub(crate) fn run(args: &[String]) -> Result<(), Fault> {
    let value = |flag: &str, default: &str| {
        let place = args.iter().position(|arg| arg == flag);
        place.and_then(|place| args.get(place + 1)).map_or_else(|| default.to_owned(), Clone::clone)
    };
    let (data, listen) = (value("--data-dir", "mcplane-data"), value("--listen", "127.0.0.1:5080"));
    let kubectl = setup::kubectl()?;

    say("Building mcplane (a few minutes the first time)");
    shell::run(&mut shell::cargo(&["build", "--release", "--package", "mcplane"]))?;
    let binary = shell::target_dir()?.join("release/mcplane");

    say(&format!("Starting mcplane server --data-dir {data} --listen {listen}"));
    let mut server = Server(
        Command::new(binary)
            .args(["server", "--data-dir", &data, "--listen", &listen])
            .spawn()
            .map_err(|error| format!("the server could not be started: {error}"))?,
    );
    let url = server.wait_until_ready(Path::new(&data))?;
    tour(&kubectl, &url)?;
    if args.iter().any(|arg| arg == "--once") {
        return Ok(());
    }
    say(&format!(
        "The server goes on until Ctrl-C. Try, in another terminal:\n    kubectl -s {url} get namespaces\n    kubectl -s {url} api-resources"
    ));
    server.0.wait().map(drop).map_err(|error| error.to_string())
}

/// The mission's manifests, applied and looked at.
fn tour(kubectl: &Path, url: &str) -> Result<(), Fault> {
    let run = |line: &str| {
        say(&format!("kubectl {line}"));
        shell::run(Command::new(kubectl).args(["-s", url]).args(line.split(' ')).current_dir(shell::root()))
    };
    run("apply -f examples/manifests/namespace.yaml")?;
    for name in ["resource_quota", "virtual_service_canary", "virtual_service_full"] {
        run(&format!("apply -n development -f examples/manifests/{name}.yaml"))?;
    }
    run("get -n development resourcequotas,virtualservices")?;
    // The canary grows: the weights change while everything runs.
    let patch = r#"[{"op":"replace","path":"/spec/http/0/route/0/weight","value":50},{"op":"replace","path":"/spec/http/0/route/1/weight","value":50}]"#;
    run(&format!("patch -n development virtualservice user-service --type=json -p {patch}"))?;
    run("get -n development virtualservice user-service -o yaml")
}

fn say(text: &str) {
    let mut out = std::io::stdout();
    // A closed terminal is no reason to fail.
    let _ = writeln!(out, "\n==> {text}");
}

struct Server(Child);

impl Server {
    fn wait_until_ready(&mut self, data: &Path) -> Result<String, Fault> {
        let start = Instant::now();
        while start.elapsed() < READY_WITHIN {
            if let Some(code) = self.0.try_wait().map_err(|error| error.to_string())? {
                return Err(format!("the server ended with {code}"));
            }
            let told = std::fs::read_to_string(data.join("server.json")).ok();
            let told: Option<serde_json::Value> = told.and_then(|text| serde_json::from_str(&text).ok());
            if let Some(told) = told.filter(|told| told["pid"] == self.0.id())
                && let Some(url) = told["url"].as_str()
            {
                return Ok(url.to_owned());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(format!("the server was not ready within {READY_WITHIN:?}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGTERM, so that it closes its store; it is gone already after a Ctrl-C, which reaches it as well.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}
