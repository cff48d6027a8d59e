#![doc = include_str!("../README.md")]

pub mod admission;
pub mod audit;
pub mod controllers;
pub mod events;
pub mod http;
pub mod kind;
pub mod kinds;
pub mod mirror;
pub mod object;
mod quota;
pub mod roles;
pub mod schemas;
mod selection;
pub mod service;
pub mod storage;
pub mod subresource;

pub use kind::{Column, Kind, NameRule, RegisteredKind, Registry, Resource, Scope};
pub use mirror::Mirror;
pub use quota::Quotas;
pub use service::Objects;
pub use subresource::{Action, Perform, Read, Reading};
