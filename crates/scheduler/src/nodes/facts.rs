//! What a machine says of itself.

use crate::tasks::Demand;

/// Facts of a machine that do not change while its server runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// What attempts may take of it together.
    pub capacity: Demand,
    /// Attempts that run at a time.
    pub pods: usize,
    /// The machine, as its system names it.
    pub machine_id: String,
    /// Changes with each start of the machine.
    pub boot_id: String,
    /// Version of the kernel.
    pub kernel: String,
    /// Name and version of the system.
    pub os_image: String,
}

impl Facts {
    /// Facts of this machine.
    pub fn gather(capacity: Demand, pods: usize) -> Self {
        let line = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let system = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
        let pretty = system.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
        Self {
            capacity,
            pods,
            machine_id: line("/etc/machine-id"),
            boot_id: line("/proc/sys/kernel/random/boot_id"),
            kernel: line("/proc/sys/kernel/osrelease"),
            os_image: pretty.unwrap_or(std::env::consts::OS).trim_matches('"').to_owned(),
        }
    }
}
