//! The `agent` section.

use std::collections::BTreeMap;
use std::time::Duration;

use mcplane_core::units::{ByteSize, HumanDuration};
use mcplane_pipelines::environments::Limits;
use mcplane_scheduler::processes::Image;
use mcplane_scheduler::tasks::Demand;

use super::section;

section! {
    /// What runs work on this machine.
    pub struct AgentConfig {
        /// What images stand for, since work runs as processes: for each, `venv` (a Python virtual environment), `command`
        /// (what runs when the container gives none) and `env`.
        images: BTreeMap<String, Image> = BTreeMap::new(),
        /// How long logs of attempts are kept once they ended.
        log_retention: HumanDuration = HumanDuration(Duration::from_secs(7 * 86_400)),
        /// What folders of attempts that ended may take together; the oldest go first.
        log_size: ByteSize = ByteSize(10 << 30),
        /// How long a Python environment of pipelines is kept that no run uses.
        environment_retention: HumanDuration = HumanDuration(Duration::from_secs(30 * 86_400)),
        /// What Python environments of pipelines may take together; those used least recently go first, none that a run uses.
        environment_size: ByteSize = ByteSize(20 << 30),
        section /// What this machine has to give.
        capacity: CapacityConfig,
    }
}

section! {
    /// What this machine has to give.
    pub struct CapacityConfig {
        /// Processors; 0 for as many as there are.
        cpu: f64 = 0.0,
        /// Memory; 0 for as much as there is.
        memory: ByteSize = ByteSize(0),
        /// Devices such as GPUs.
        gpu: u32 = 0,
    }
}

impl AgentConfig {
    /// What environments of steps may cost.
    pub fn environments(&self) -> Limits {
        Limits { retention: self.environment_retention.0, size: self.environment_size.0 }
    }

    pub(super) fn broken_rules(&self) -> Vec<String> {
        let cpu = self.capacity.cpu;
        let wrong = !(0.0..=1e6).contains(&cpu);
        wrong.then(|| format!("agent.capacity.cpu is {cpu}: it must be a number of processors")).into_iter().collect()
    }
}

impl CapacityConfig {
    /// What is there, or is said to be.
    pub fn resolve(&self) -> Demand {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let cpu = if self.cpu > 0.0 { self.cpu } else { cpus as f64 };
        let memory = if self.memory.0 > 0 { self.memory.0 } else { machine_memory() };
        Demand {
            cpu_milli: (cpu * 1000.0).round() as i64,
            memory: i64::try_from(memory).unwrap_or(i64::MAX),
            gpu: i64::from(self.gpu),
        }
    }
}

/// Bytes of memory of this machine; as good as any if it can't be told.
fn machine_memory() -> u64 {
    let told = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = told.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.map_or(i64::MAX.unsigned_abs(), |kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacity_is_that_of_the_machine_unless_told() {
        let machine = CapacityConfig::default().resolve();
        assert!(machine.cpu_milli >= 1000 && machine.memory > 1 << 20 && machine.gpu == 0, "{machine:?}");
        let told = CapacityConfig { cpu: 2.5, memory: ByteSize(1 << 30), gpu: 1 }.resolve();
        assert_eq!(told, Demand { cpu_milli: 2500, memory: 1 << 30, gpu: 1 });
    }
}
