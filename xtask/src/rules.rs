//! Checks that no compiler makes; what they check against is in [`crate::policy`].

use crate::policy::{self, Outsider};
use crate::{Fault, shell, spdx};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) fn run() -> Result<(), Fault> {
    let all = Graph::read(&[])?;
    let linux = Graph::read(&["--filter-platform", "x86_64-unknown-linux-gnu"])?;
    let mut faults = Vec::new();
    layers(&all, &mut faults);
    outsiders(&all, &mut faults);
    licences(&all, &mut faults);
    banned(&all, &mut faults);
    duplicates(&linux, &mut faults);
    manifests(&all, &mut faults);
    files(&mut faults)?;
    match faults.as_slice() {
        [] => {
            println!("{} packages keep the rules.", all.packages.len());
            Ok(())
        }
        faults => Err(format!("{} rules broken:\n  {}", faults.len(), faults.join("\n  "))),
    }
}

/// What `cargo metadata` tells of the dependencies that are built.
struct Graph {
    packages: Vec<Package>,
}

struct Package {
    name: String,
    version: String,
    licence: Option<String>,
    manifest: String,
    member: bool,
    /// Name and kind (`normal`, `dev`, `build`).
    dependencies: Vec<(String, String)>,
}

impl Graph {
    fn read(args: &[&str]) -> Result<Self, Fault> {
        let text = shell::output(shell::cargo(&["metadata", "--locked", "--format-version", "1"]).args(args))?;
        let value: Value = serde_json::from_str(&text).map_err(|error| format!("cargo metadata: {error}"))?;
        let ids = |list: &Value, key: &str| -> BTreeSet<String> {
            let entries = list.as_array().into_iter().flatten();
            entries.map(|entry| text_of(if key.is_empty() { entry } else { &entry[key] })).collect()
        };
        let members = ids(&value["workspace_members"], "");
        let built = ids(&value["resolve"]["nodes"], "id");
        let packages = value["packages"].as_array().into_iter().flatten();
        let packages = packages.filter(|package| built.contains(&text_of(&package["id"]))).map(|package| Package {
            name: text_of(&package["name"]),
            version: text_of(&package["version"]),
            licence: package["license"].as_str().map(str::to_owned),
            manifest: text_of(&package["manifest_path"]),
            member: members.contains(&text_of(&package["id"])),
            dependencies: dependencies(&package["dependencies"]),
        });
        Ok(Self { packages: packages.collect() })
    }

    fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.member)
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn dependencies(list: &Value) -> Vec<(String, String)> {
    let entries = list.as_array().into_iter().flatten();
    entries.map(|entry| (text_of(&entry["name"]), entry["kind"].as_str().unwrap_or("normal").to_owned())).collect()
}

/// Crates know only the layers below; a test may know the test kit beside.
fn layers(graph: &Graph, faults: &mut Vec<String>) {
    let members: BTreeSet<&str> = graph.members().map(|member| member.name.as_str()).collect();
    for member in graph.members() {
        let Some((_, below)) = policy::LAYERS.iter().find(|(name, _)| *name == member.name) else {
            faults.push(format!("{} has no place in the layers: add it to xtask's policy", member.name));
            continue;
        };
        for (name, kind) in member.dependencies.iter().filter(|(name, _)| members.contains(name.as_str())) {
            let allowed = below.contains(&name.as_str()) || (kind == "dev" && name == policy::TESTKIT);
            if !allowed {
                faults.push(format!("{} must not depend on {name} ({kind})", member.name));
            }
        }
    }
}

/// What is heavy stays in the crates that exist for it.
fn outsiders(graph: &Graph, faults: &mut Vec<String>) {
    for member in graph.members() {
        for (name, _) in member.dependencies.iter().filter(|(_, kind)| kind != "dev") {
            let outsider = policy::OUTSIDERS.iter().find(|Outsider { name: outsider, .. }| outsider == name);
            if let Some(Outsider { homes, .. }) = outsider.filter(|outsider| !outsider.homes.contains(&&*member.name)) {
                faults.push(format!("{} must not depend on {name}: only {} may", member.name, homes.join(", ")));
            }
        }
    }
}

fn licences(graph: &Graph, faults: &mut Vec<String>) {
    let accepted = |licence: &str| policy::LICENCES.contains(&licence);
    for Package { name, version, licence, .. } in &graph.packages {
        let Some(licence) = licence else {
            faults.push(format!("{name} {version} names no licence"));
            continue;
        };
        if spdx::satisfied(licence, &accepted) != Some(true) {
            faults.push(format!("{name} {version}: licence {licence} is not accepted"));
        }
    }
}

fn banned(graph: &Graph, faults: &mut Vec<String>) {
    for package in &graph.packages {
        if let Some((name, reason)) = policy::BANNED.iter().find(|(name, _)| *name == package.name) {
            faults.push(format!("{name} is banned: {reason}"));
        }
    }
}

/// One version of each crate, but for a list with reasons that may not outlive its entries.
fn duplicates(graph: &Graph, faults: &mut Vec<String>) {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in &graph.packages {
        versions.entry(&package.name).or_default().insert(&package.version);
    }
    versions.retain(|_, versions| versions.len() > 1);
    for (name, versions) in &versions {
        if !policy::DUPLICATES.iter().any(|(known, _)| known == name) {
            let versions = versions.iter().copied().collect::<Vec<_>>().join(", ");
            faults.push(format!("{name} is built in {versions}: unify them, or give xtask's policy the reason"));
        }
    }
    for (name, _) in policy::DUPLICATES.iter().filter(|(name, _)| !versions.contains_key(name)) {
        faults.push(format!("{name} is no longer doubled: remove it from xtask's policy"));
    }
}

/// The workspace forbids unsafe code, and every member takes the workspace's lints.
fn manifests(graph: &Graph, faults: &mut Vec<String>) {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    if !read(&shell::root().join("Cargo.toml").to_string_lossy()).contains("unsafe_code = \"forbid\"") {
        faults.push("the workspace must forbid unsafe code".into());
    }
    for member in graph.members().filter(|member| !read(&member.manifest).contains("[lints]\nworkspace = true")) {
        faults.push(format!("{} must take the workspace's lints", member.name));
    }
}

fn files(faults: &mut Vec<String>) -> Result<(), Fault> {
    let mut git = std::process::Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(shell::root());
    for name in shell::output(&mut git)?.lines() {
        let Ok(text) = std::fs::read_to_string(shell::root().join(name)) else { continue };
        let lines = text.lines().count();
        if name.ends_with(".rs") && lines > policy::LONGEST_FILE {
            faults.push(format!("{name} has {lines} lines, more than {}", policy::LONGEST_FILE));
        }
        if name == "Cargo.lock" {
            continue;
        }
        for word in policy::FORBIDDEN_WORDS.iter().map(|parts| parts.concat()) {
            if let Some(at) = text.lines().position(|line| line.contains(&word)) {
                faults.push(format!("{name}:{}: must not mention {word}", at + 1));
            }
        }
    }
    Ok(())
}
