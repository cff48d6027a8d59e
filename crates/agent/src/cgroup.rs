//! Control groups, version 2: the only means here to bound the memory of several processes together.
//!
//! They are used where the group that this process is in has been handed to it (systemd's `Delegate=yes`, a container
//! with a writable tree) and passes the controllers on. Elsewhere those limits are told as not enforced.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::protocol::Limits;

const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

/// A group in which groups of attempts can be made, if there is one.
pub(crate) fn find() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = locate(&mounts, &own)?;
    usable(&group).then_some(group)
}

/// The folder of this process's group: `0::/path` below where version 2 is mounted.
fn locate(mounts: &str, own: &str) -> Option<PathBuf> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let mount = mounts.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        kind.starts_with("cgroup2 ").then(|| place.split(' ').nth(4)).flatten()
    })?;
    Some(Path::new(mount).join(path))
}

/// Whether groups made inside get the controllers. Asking for them fails while the group itself holds processes, unless
/// it is the root of the tree.
fn usable(group: &Path) -> bool {
    let control = group.join("cgroup.subtree_control");
    let passes = || {
        let text = fs::read_to_string(&control).unwrap_or_default();
        CONTROLLERS.iter().all(|name| text.split_ascii_whitespace().any(|word| word == *name))
    };
    if !passes() {
        let wanted: Vec<String> = CONTROLLERS.iter().map(|name| format!("+{name}")).collect();
        let _ = fs::write(&control, wanted.join(" "));
    }
    let probe = group.join(format!("mcplane-probe-{}", std::process::id()));
    passes() && fs::create_dir(&probe).and_then(|()| fs::remove_dir(&probe)).is_ok()
}

/// The group of one attempt.
#[derive(Debug)]
pub(crate) struct Cgroup(PathBuf);

impl Cgroup {
    /// Makes the group of an attempt that wants limits; which of them can't be enforced comes with it.
    pub(crate) fn create(parent: Option<&Path>, attempt: Uuid, limits: &Limits) -> (Option<Self>, Vec<String>) {
        let wanted = settings(limits);
        if wanted.is_empty() {
            return (None, Vec::new());
        }
        let all = || wanted.iter().map(|setting| setting.limit.to_owned()).collect();
        let Some(parent) = parent else { return (None, all()) };
        let path = parent.join(format!("mcplane-{attempt}"));
        if fs::create_dir(&path).is_err() && !path.is_dir() {
            return (None, all());
        }
        let refused = wanted.iter().filter(|setting| fs::write(path.join(setting.file), &setting.value).is_err());
        let unenforced = refused.map(|setting| setting.limit.to_owned()).collect();
        // All or none: a trainer without one of its workers would wait forever.
        let _ = fs::write(path.join("memory.oom.group"), "1");
        (Some(Self(path)), unenforced)
    }

    /// What a process writes its id to, to be in it.
    pub(crate) fn entrance(&self) -> PathBuf {
        self.0.join("cgroup.procs")
    }

    /// Ends everything in it at once.
    pub(crate) fn kill(&self) {
        let _ = fs::write(self.0.join("cgroup.kill"), "1");
    }

    /// Whether it ran out of memory.
    pub(crate) fn out_of_memory(&self) -> bool {
        let events = fs::read_to_string(self.0.join("memory.events")).unwrap_or_default();
        events.lines().any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count.trim() != "0"))
    }

    /// Removes it; it must be empty.
    pub(crate) fn remove(&self) -> io::Result<()> {
        fs::remove_dir(&self.0)
    }
}

struct Setting {
    limit: &'static str,
    file: &'static str,
    value: String,
}

fn settings(limits: &Limits) -> Vec<Setting> {
    const PERIOD_US: u64 = 100_000;
    const LEAST_QUOTA_US: u64 = 1_000;
    let cpu = limits.cpu_milli.map(|milli| {
        let quota = milli.saturating_mul(PERIOD_US / 1000).max(LEAST_QUOTA_US);
        Setting { limit: "cpu", file: "cpu.max", value: format!("{quota} {PERIOD_US}") }
    });
    let number = |limit, file, value: Option<u64>| value.map(|value| Setting { limit, file, value: value.to_string() });
    let memory = number("memory", "memory.max", limits.memory_bytes);
    let processes = number("processes", "pids.max", limits.processes);
    [cpu, memory, processes].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "30 23 0:26 / /sys/fs/cgroup rw shared:9 - tmpfs tmpfs ro,mode=755\n\
        31 30 0:27 / /sys/fs/cgroup/unified rw,nosuid shared:10 - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn the_own_group_is_found() {
        let own = "4:memory:/a\n0::/system.slice/mcplane.service\n";
        let expected = Path::new("/sys/fs/cgroup/unified/system.slice/mcplane.service");
        assert_eq!(locate(MOUNTS, own).as_deref(), Some(expected));
        assert_eq!(locate(MOUNTS, "4:memory:/a\n"), None);
        assert_eq!(locate("", own), None);
    }

    #[test]
    fn limits_become_settings() {
        let parent = tempfile::tempdir().unwrap();
        let limits =
            Limits { cpu_milli: Some(1500), memory_bytes: Some(1 << 30), processes: Some(64), ..Limits::default() };
        let (group, unenforced) = Cgroup::create(Some(parent.path()), Uuid::from_u128(1), &limits);
        let group = group.unwrap();
        let text = |name: &str| fs::read_to_string(group.0.join(name)).unwrap();
        assert_eq!(text("cpu.max"), "150000 100000");
        assert_eq!((text("memory.max"), text("pids.max")), ("1073741824".into(), "64".into()));
        assert!(unenforced.is_empty() && !group.out_of_memory());
        fs::write(group.0.join("memory.events"), "low 0\noom 1\noom_kill 2\n").unwrap();
        assert!(group.out_of_memory());
    }

    #[test]
    fn what_nobody_enforces_is_told() {
        let limits = Limits { memory_bytes: Some(1), processes: Some(1), ..Limits::default() };
        let (group, unenforced) = Cgroup::create(None, Uuid::from_u128(1), &limits);
        assert!(group.is_none());
        assert_eq!(unenforced, ["memory", "processes"]);
        assert!(Cgroup::create(None, Uuid::from_u128(1), &Limits::default()).1.is_empty());
    }
}
