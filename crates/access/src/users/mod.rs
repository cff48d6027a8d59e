//! Local users.

pub mod password;
