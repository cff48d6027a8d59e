//! Tracking as clients meet it: door, services and store together, without sockets. One suite, run on each database.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod artifacts;
mod attacks;
mod datasets;
mod evaluation_datasets;
mod experiments;
mod graphql;
mod lineage;
mod logged_models;
mod metrics;
mod models;
mod purge;
mod registry;
mod rig;
mod runs;
mod scorers;
mod search;
mod traces;
mod webhooks;
mod workspaces;

use mcplane_testkit::suite::{self, Case};
use rig::Store;

const CASES: &[(&str, Case<Store>)] = mcplane_testkit::cases![
    artifacts::{
        files_come_and_go, no_path_leads_out, clients_may_name_this_server_by_its_address, workspaces_keep_their_files,
    },
    attacks::{
        locations_mean_one_place, headers_name_no_files, nothing_runs_in_browsers, forms_of_foreign_pages_are_refused,
        encoded_names_are_other_names, sizes_are_limited, nothing_is_run,
    },
    datasets::{ inputs_are_logged_once, outputs_are_models_with_steps, datasets_are_found_by_experiment },
    evaluation_datasets::{ datasets_merge_records, datasets_are_found },
    experiments::{
        experiments_live_and_die, locations_are_checked, requests_are_checked, workspaces_are_apart, pages_learn_what_is_not_here,
    },
    graphql::{ pages_get_what_they_select, errors_are_told_beside_data },
    lineage::{
        versions_lead_back_to_data_and_code, what_others_report_joins_what_is_known, events_are_checked_and_counted_once,
        lineage_stays_in_its_namespace, answers_are_bounded, events_of_runs_are_for_others,
    },
    logged_models::{
        models_live_and_die, model_requests_are_checked, models_have_files, runs_keep_the_history_of_models,
        models_are_searched, pages_of_models_belong_to_their_search,
    },
    metrics::{ metrics_are_logged_once, points_are_checked, histories_grow_and_repeat_nothing, batches_are_all_or_nothing },
    search::{
        runs_are_filtered, runs_are_sorted_and_paged, values_of_any_length_are_sorted, deep_pages_are_those_of_the_whole, experiments_are_searched,
    },
    models::{
        models_live_and_die, versions_live_and_die, aliases_name_versions, the_registry_is_searched,
        sources_stay_where_they_belong, versions_are_copied,
    },
    registry::{
        verified_versions_never_change, folders_are_content_too, verified_content_is_read_back, versions_are_compared_and_stable,
        the_object_api_shows_the_registry,
    },
    purge::{
        purged_things_leave_nothing, purges_are_asked_for_precisely, a_broken_off_purge_is_finished,
        a_namespace_takes_along_what_it_tracked, uploads_hold_a_namespace,
    },
    runs::{ runs_live_and_die, names_are_tags, parameters_are_written_once },
    scorers::{ scorers_are_versions },
    traces::{
        traces_live_and_die, spans_come_before_or_after, exports_are_checked, exports_may_be_json, traces_are_assessed,
        traces_are_found, traces_are_measured, older_clients_are_served,
    },
    webhooks::{
        webhooks_live_and_die, webhook_requests_are_checked, changes_are_told_in_order, deliveries_are_tried_again,
        messages_are_given_up, the_dead_are_sent_again, messages_outlive_their_server, several_servers_send_once, runs_are_told_to_openlineage,
    },
    workspaces::{ workspaces_live_and_die, workspace_requests_are_checked },
];

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_passes_on_sqlite() {
    suite::run(CASES, Store::sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_passes_on_postgres() {
    suite::run(CASES, Store::postgres).await;
}
