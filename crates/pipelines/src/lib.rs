#![doc = include_str!("../README.md")]

pub mod expression;
pub mod ir;
mod placeholders;
mod resolve;
pub mod run;
pub mod values;
