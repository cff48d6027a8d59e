#![doc = include_str!("../README.md")]

pub mod code;
pub mod cronjobs;
pub mod dispatch;
pub mod fairness;
pub mod http;
pub mod jobs;
pub mod logs;
pub mod nodes;
pub mod pods;
pub mod processes;
pub mod queues;
pub mod retry;
pub mod scheduler;
pub mod scope;
pub mod tasks;
pub mod timers;
pub mod transport;

pub use scheduler::{Config, Parts, Scheduler};
