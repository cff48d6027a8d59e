//! The `scheduler` section.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use mcplane_core::units::HumanDuration;

use super::store::redact;
use super::{section, serde_as_text};

/// Attempts that a machine may run at a time.
const LARGEST_POOL: usize = 10_000;

section! {
    /// When work runs.
    pub struct SchedulerConfig {
        /// What timers are kept in; `time-wheel` is what there is.
        r#type: SchedulerType = SchedulerType,
        /// How fine the wheel is. Timers are not late by it: the scheduler sleeps to the next one.
        tick_duration: HumanDuration = HumanDuration(Duration::from_millis(100)),
        /// Attempts that run at a time on this machine.
        worker_pool_size: usize = 10,
        /// What carries ready tasks to those who run them: `store` for the database of `store.url`. Others, such as
        /// `redis://HOST:6379/1`, are refused until they are there.
        persistence: Persistence = Persistence::default(),
        /// How long tasks are kept once they are finished, unless a Job looks after them.
        retention: HumanDuration = HumanDuration(Duration::from_secs(30 * 86_400)),
    }
}

impl SchedulerConfig {
    pub(super) fn broken_rules(&self) -> Vec<String> {
        let mut rules = Vec::new();
        let tick = self.tick_duration.0;
        if !(Duration::from_millis(1)..=Duration::from_secs(60)).contains(&tick) {
            rules.push(format!("scheduler.tick-duration is {}: it must be between 1ms and 1m", self.tick_duration));
        }
        if !(1..=LARGEST_POOL).contains(&self.worker_pool_size) {
            rules.push(format!("scheduler.worker-pool-size must be between 1 and {LARGEST_POOL}"));
        }
        rules
    }
}

/// What timers are kept in. There is one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SchedulerType;

serde_as_text!(SchedulerType);

impl FromStr for SchedulerType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "time-wheel" => Ok(Self),
            other => Err(format!("{other:?} is no scheduler: write time-wheel")),
        }
    }
}

impl fmt::Display for SchedulerType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("time-wheel")
    }
}

/// What carries ready tasks. It may hold a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Persistence(String);

serde_as_text!(Persistence);

impl Default for Persistence {
    fn default() -> Self {
        Self("store".to_owned())
    }
}

impl Persistence {
    /// Refuses what does not exist yet.
    ///
    /// # Errors
    /// A sentence that says what to do.
    pub fn check(&self) -> Result<(), String> {
        if self.0 == "store" {
            return Ok(());
        }
        Err(format!(
            "scheduler.persistence is {}: this transport does not exist yet. Set it to `store` \
             (MCPLANE_SCHEDULER__PERSISTENCE=store) to carry tasks in the database",
            redact(&self.0)
        ))
    }
}

impl FromStr for Persistence {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let known = ["redis://", "rediss://", "amqp://", "amqps://"].iter().any(|scheme| text.starts_with(scheme));
        if text == "store" || known {
            return Ok(Self(text.to_owned()));
        }
        Err(format!("{:?} carries no tasks: write store, redis://HOST:PORT/DB or amqp://HOST", redact(text)))
    }
}

impl fmt::Display for Persistence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Persistence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Persistence({:?})", redact(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transports_that_are_not_there_are_refused_without_their_passwords() {
        let redis: Persistence = "redis://:secret@localhost:6379/1".parse().unwrap();
        let error = redis.check().unwrap_err();
        assert!(error.contains("redis://:***@localhost:6379/1") && error.contains("store"), "{error}");
        assert!(!format!("{redis:?}").contains("secret"));
        assert!("kafka://x".parse::<Persistence>().is_err());
        assert_eq!(Persistence::default().check(), Ok(()));
    }

    #[test]
    fn rules() {
        let config = SchedulerConfig { worker_pool_size: 0, ..SchedulerConfig::default() };
        assert_eq!(config.broken_rules(), ["scheduler.worker-pool-size must be between 1 and 10000"]);
        assert!(SchedulerConfig::default().broken_rules().is_empty());
    }
}
