//! One behaviour suite, run on each database, and what only one of them can suffer.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod audit;
mod compaction;
mod feed;
mod history;
mod lifecycle;
mod migrations;
mod outage;
mod store;
mod units;

use mcplane_testkit::suite::{self, Case};
use store::Store;

const CASES: &[(&str, Case<Store>)] = mcplane_testkit::cases![
    units::{
        revisions_are_contiguous_and_ordered_whatever_fails,
        a_failing_unit_is_undone_alone,
        a_unit_cannot_ignore_a_failed_statement,
        a_group_whose_commit_fails_leaves_nothing,
        an_acknowledged_write_can_be_read_and_watched,
        a_caller_that_goes_away_leaves_all_or_nothing,
        what_postgres_cannot_store_fails_or_is_cleaned,
        large_units_and_large_groups_are_stored,
    },
    feed::{
        memory_serves_what_comes,
        the_table_serves_what_was,
        long_and_heavy_pasts_come_in_pages,
        readers_cross_from_table_to_memory_without_gap,
        a_list_can_always_be_followed,
        the_future_is_refused,
        observers_see_changes_before_their_writer,
    },
    compaction::{
        a_compacted_past_is_expired,
        compaction_goes_by_age,
        compaction_never_reaches_the_future,
        an_interrupted_compaction_is_completed,
        compaction_under_readers_loses_nothing_silently,
    },
    history::{ undoing_gives_every_past_state, undoing_uses_the_index_and_stays_linear },
    audit::{
        entries_are_chained_and_append_only,
        tampering_is_found,
        entries_are_found_by_each_field,
    },
    migrations::{
        an_old_database_is_migrated_with_its_data,
        a_migration_below_the_newest_is_applied,
        a_newer_database_is_refused,
        a_changed_migration_is_refused,
        servers_may_start_at_the_same_time,
    },
    lifecycle::{
        closing_completes_writes_and_ends_subscriptions,
        a_reopened_database_goes_on,
        snapshots_agree_with_themselves,
        readers_cannot_write,
        nothing_shows_a_secret,
        the_log_is_copied_while_the_writer_lives,
        connections_have_caches_of_their_own,
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
