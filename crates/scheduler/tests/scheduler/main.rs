//! Tasks as clients meet them: door, services, engine and store together, without sockets. One suite, run on each database.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod queues;
mod rig;
mod simulation;
mod tasks;
mod transport;

use mcplane_testkit::suite::{self, Case};
use rig::Store;

const CASES: &[(&str, Case<Store>)] = mcplane_testkit::cases![
    tasks::{
        tasks_are_done, tasks_are_checked, keys_make_tasks_unique, failures_are_tried_again, a_delay_is_kept,
        tasks_are_cancelled, dead_letters_are_replayed, limits_hold, quotas_hold, what_does_not_fit_says_so, lists_have_pages,
    },
    queues::{ queues_are_paused_and_bounded },
    transport::{ deliveries_are_leased_once, deliveries_come_again },
    rig::{ a_restart_goes_on, a_new_engine_takes_over },
];

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_passes_on_sqlite() {
    suite::run(CASES, Store::sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_passes_on_postgres() {
    suite::run(CASES, Store::postgres).await;
}
