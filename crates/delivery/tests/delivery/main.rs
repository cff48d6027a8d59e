//! The gateway between real sockets; rollouts over each database.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests report by panicking")]

mod gateway;
mod rig;
mod rollouts;

use mcplane_testkit::suite::{self, Case};
use rollouts::Store;

const CASES: &[(&str, Case<Store>)] = mcplane_testkit::cases![
    rollouts::{
        a_worse_version_goes_back_and_an_equal_one_never, what_was_measured_survives_a_crash,
        without_traffic_nothing_is_decided, of_two_servers_one_decides_on_what_both_saw, people_have_the_last_word,
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_passes_on_sqlite() {
    suite::run(CASES, Store::sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_passes_on_postgres() {
    suite::run(CASES, Store::postgres).await;
}
