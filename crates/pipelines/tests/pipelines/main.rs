//! Pipelines that the Kubeflow Pipelines SDK compiled.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod machine;
