#![doc = include_str!("../README.md")]

pub mod pods;
pub mod tasks;
