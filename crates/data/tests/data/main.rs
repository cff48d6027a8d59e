//! Contracts, reports and files as clients meet them, without sockets. One suite, run on each database.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod gates;
mod parquet_files;
mod reports;
mod rig;

use mcplane_testkit::suite::{self, Case};
use rig::Store;

const CASES: &[(&str, Case<Store>)] = mcplane_testkit::cases![
    gates::{ gates_are_checked, decisions_are_made_and_overridden },
    reports::{ contracts_are_checked, reports_are_kept_and_shown, what_was_not_told_is_told_later, a_namespace_goes_with_its_reports },
];

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_passes_on_sqlite() {
    suite::run(CASES, Store::sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_passes_on_postgres() {
    suite::run(CASES, Store::postgres).await;
}
