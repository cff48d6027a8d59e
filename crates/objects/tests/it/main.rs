//! The object API as clients meet it: door, engine and store together, without sockets. One suite, run on each database.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod audit;
mod bodies;
mod collector;
mod crud;
mod deletion;
mod discovery;
mod dry_run;
mod lists;
mod model;
mod namespaces;
mod patches;
mod quotas;
mod representations;
mod rig;
mod secrets;
mod validation;
mod versions;
mod watches;

use mcplane_testkit::suite::{self, Case};
use rig::Store;

const CASES: &[(&str, Case<Store>)] = mcplane_testkit::cases![
    crud::{
        objects_live_and_die,
        only_the_server_owns_what_it_owns,
        names_are_generated,
        stale_updates_conflict,
        updates_without_a_revision_win,
        updates_name_the_object_of_the_path,
        status_is_a_subresource,
        generations_count_changes_of_the_spec,
        a_change_that_changes_nothing_is_none,
        strange_paths_and_methods_are_refused,
        many_patch_one_object,
    },
    patches::{
        json_patches,
        merge_patches,
        strategic_patches,
        patches_with_a_revision_are_conditional,
        patches_of_the_status,
        wrong_patches_are_refused,
    },
    deletion::{
        preconditions_are_checked,
        wrong_options_delete_nothing,
        finalizers_hold_an_object,
        a_set_finalizer_decides_unless_told_otherwise,
        collections_are_deleted_by_selectors,
        large_collections_are_deleted,
        a_held_object_is_counted_once,
    },
    dry_run::{ nothing_changes_and_the_answer_tells_what_would },
    validation::{ unknown_and_repeated_fields, warnings_are_few, rules_of_metadata_and_kinds, defaults_are_applied },
    bodies::{ hostile_bodies_change_nothing, large_bodies_are_refused, objects_do_not_grow_without_bound },
    lists::{
        selectors_select,
        pages_are_true_at_one_revision,
        a_compacted_past_is_expired,
        revisions_mean_what_they_mean_in_kubernetes,
        forged_tokens_are_refused,
        long_lists_stream_at_one_revision,
        an_interrupted_list_is_no_list,
    },
    model::{ every_past_list_is_exact },
    representations::{ tables, metadata_alone, yaml, nothing_else },
    versions::{ one_shape_in_every_version, protobuf_is_read },
    watches::{
        a_watch_follows_a_revision,
        a_watch_without_revision_begins_with_what_is,
        initial_events_end_with_a_bookmark,
        selections_see_objects_come_and_go,
        namespaces_and_names_filter,
        watches_end_in_time,
        old_and_future_revisions_are_told,
        concurrent_writes_are_seen_once_and_in_order,
        a_name_in_the_path_is_the_only_one,
    },
    quotas::{ a_storm_of_creates_stops_at_the_limit, counters_follow_every_way_to_go, status_follows },
    namespaces::{
        creation_needs_a_living_namespace,
        creation_races_deletion_without_orphans,
        held_content_is_reported_and_then_goes,
        permanent_namespaces_stay,
    },
    secrets::{ the_store_never_holds_a_secret, secrets_survive_a_restart },
    collector::{
        background_collects_three_levels,
        foreground_collects_dependents_first,
        orphans_stay,
        two_owners,
        dangling_and_cluster_owners,
        a_freed_dependent_is_never_collected,
        a_restart_in_the_middle,
        controllers_stop_whenever_they_are_told,
    },
    audit::{ every_outcome_is_recorded },
    discovery::{ documents_are_as_recorded },
];

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_passes_on_sqlite() {
    suite::run(CASES, Store::sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_passes_on_postgres() {
    suite::run(CASES, Store::postgres).await;
}
