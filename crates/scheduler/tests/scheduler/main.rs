//! Tasks as clients meet them: door, services, engine and store together, without sockets. One suite, run on each database.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod faults;
mod queues;
mod rig;
mod servers;
mod simulation;
mod tasks;
mod transport;

use mcplane_testkit::suite::{self, Case};
use rig::Store;

const CASES: &[(&str, Case<Store>)] = mcplane_testkit::cases![
    tasks::{
        tasks_are_done, tasks_are_checked, keys_make_tasks_unique, failures_are_tried_again, a_delay_is_kept,
        tasks_are_cancelled, dead_letters_are_replayed, limits_hold, quotas_hold, quotas_show_what_tasks_use, what_does_not_fit_says_so, lists_have_pages,
    },
    queues::{ queues_are_paused_and_bounded },
    transport::{ deliveries_are_leased_once, deliveries_come_again },
    rig::{ a_restart_goes_on, a_new_engine_takes_over },
    faults::{
        what_is_delivered_twice_runs_once, a_set_clock_starts_nothing_early_or_twice, a_set_clock_fires_a_cron_job_once,
    },
];

/// What only databases know that several servers share.
const SHARED: &[(&str, Case<Store>)] = mcplane_testkit::cases![
    servers::{
        changes_at_one_server_reach_the_other, who_loses_the_lead_finishes_what_it_began, who_stops_hands_the_lead_over,
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

#[tokio::test(flavor = "multi_thread")]
async fn several_servers_share_postgres() {
    suite::run(SHARED, Store::postgres).await;
}
