//! Features as users meet them: joins against their definition, views materialised from files, and what the server keeps
//! of it, on each database.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod join;
#[cfg(feature = "sql")]
mod materialize;
mod records;
mod rig;
mod tables;

use mcplane_testkit::suite::{self, Case};
use rig::Store;

const CASES: &[(&str, Case<Store>)] = mcplane_testkit::cases![
    records::{
        views_are_objects_with_rules, materialisations_are_on_record_once, what_is_told_must_fit_the_view,
        records_are_in_lineage, a_namespace_takes_its_records_along,
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
