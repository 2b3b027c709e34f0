//! The contract of every store: each function is one sentence of it, and runs as a test on each adapter.
//!
//! An adapter's test file implements [`World`] and calls `store_behaviour!(crate::open)`, where `open` gives each test a
//! world of its own. To add a sentence, write it as a function in the file of its port and name it in the macro below;
//! one that is not named is reported as dead code.

#![expect(clippy::unwrap_used, reason = "what fails in a test may panic")]

pub mod accounts;
pub mod applications;
pub mod clients;
pub mod devices;
pub mod directory;
pub mod erasure;
pub mod event_log;
pub mod event_store;
pub mod key_purposes;
pub mod live_sessions;
pub mod logouts;
pub mod mail;
pub mod mailboxes;
pub mod people;
pub mod predecessors;
pub mod proof;
pub mod read_models;
pub mod reset_requests;
pub mod revocations;
pub mod rotation;
pub mod schema;
pub mod sealing;
pub mod seals;
pub mod shared_secrets;
pub mod signing_keys;
pub mod system;
pub mod time_travel;

use std::sync::Arc;

use async_trait::async_trait;
use authlog_application::ports::StreamId;
use authlog_infrastructure::sealing::{MasterKey, MasterKeys};
use authlog_infrastructure::{OpenError, Store};

/// A store for one test, and access to its data that bypasses the store.
#[async_trait]
pub trait World: Send + Sync {
    /// The store.
    fn store(&self) -> Arc<dyn Store>;

    /// The same data, opened once more as another node or program would: nothing is shared in memory.
    async fn another_node(&self) -> Arc<dyn Store>;

    /// The master key of the store.
    fn master(&self) -> MasterKey;

    /// Tries to open the same data under these master keys.
    async fn open_with(&self, master: MasterKeys) -> Result<Arc<dyn Store>, OpenError>;

    /// Returns once everything that was acknowledged is in the event log.
    async fn settle(&self);

    /// The events, byte for byte as they are stored.
    async fn stored_events(&self) -> Vec<StoredEvent>;

    /// The event log, in order of its index.
    async fn event_log(&self) -> Vec<LogEntry>;

    /// How many rows a table has.
    async fn count(&self, table: &str) -> i64;

    /// Executes a statement of the SQL that all adapters have in common.
    async fn execute(&self, sql: &str);

    /// Executes a statement in this adapter's own SQL.
    async fn execute_own(&self, sqlite: &str, postgres: &str);

    /// Drops the triggers and rights that protect recorded data, as the owner of the database can.
    async fn drop_guards(&self);

    /// Changes a stored payload, bypassing the protection of events.
    async fn overwrite_payload(&self, stream: &StreamId, sequence: i64, payload: &str);
}

/// An event as it is stored.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    pub aggregate_type: String,
    pub aggregate_id: String,
    pub sequence: i64,
    pub event_type: String,
    pub event_version: String,
    pub recorded_at_micros: i64,
    pub payload: String,
    pub metadata: String,
}

/// An entry of the event log.
#[derive(Clone, Debug)]
pub struct LogEntry {
    pub log_index: i64,
    pub aggregate_type: String,
    pub aggregate_id: String,
    pub sequence: i64,
    pub leaf_hash: Vec<u8>,
}

/// How many rows there are of everything that an append can write.
pub async fn footprint(world: &impl World) -> Vec<(&'static str, i64)> {
    let mut counts = Vec::new();
    for table in [
        "events",
        "identifier_claims",
        "credentials",
        "opaque_tokens",
        "subject_keys",
        "accounts",
        "sessions",
        "clients",
        "mail_queue",
    ] {
        counts.push((table, world.count(table).await));
    }
    world.settle().await;
    counts.push(("event_log", world.count("event_log").await));
    counts
}

/// Makes a test of every sentence; `$open` is an async function that gives a [`World`].
macro_rules! store_behaviour {
    ($open:path) => {
        store_behaviour!($open, event_store: [
            an_append_is_read_back_in_order,
            a_stream_that_does_not_exist_is_empty,
            the_last_sequence_of_a_stream_is_that_of_its_last_event,
            the_last_events_of_a_type_are_read_without_the_others,
            recent_requests_follow_from_the_last_events_of_their_types,
            two_appends_at_the_same_sequence_conflict_and_the_loser_leaves_nothing,
            a_taken_identifier_is_reported_with_its_kind_and_leaves_nothing,
            a_registration_that_races_itself_a_hundred_times_wins_once,
            of_concurrent_commands_on_one_stream_one_wins_and_the_others_conflict,
            concurrent_refreshes_each_write_their_event_and_their_row,
            of_two_concurrent_commands_on_a_session_one_conflicts_and_other_sessions_are_not_affected,
            the_streams_of_one_append_become_visible_together,
            every_acknowledged_append_is_seen_at_once_by_every_node,
        ]);
        store_behaviour!($open, live_sessions: [
            the_sessions_that_count_by_sql_are_those_that_count_by_the_domain,
            the_rows_that_are_removed_are_those_that_are_over_by_the_domain,
        ]);
        store_behaviour!($open, applications: [
            a_session_of_an_application_is_live_only_while_its_parent_is,
            a_parent_that_was_changed_or_removed_counts_as_ended,
            a_changed_grant_or_consent_grants_nothing_until_it_is_repaired,
            of_a_hundred_appends_that_start_one_session_one_succeeds,
            sessions_without_a_parent_are_not_affected_by_the_lookup_of_others,
        ]);
        store_behaviour!($open, predecessors: [
            an_event_without_its_predecessor_is_a_conflict_and_leaves_nothing,
            nothing_is_appended_for_an_account_that_was_lost,
            of_concurrent_commands_only_those_without_a_predecessor_conflict,
            an_account_number_that_is_taken_is_not_drawn_again,
            a_forged_number_or_counter_stops_no_registration,
            an_append_after_its_deadline_is_refused,
        ]);
        store_behaviour!($open, sealing: [
            personal_fields_are_nowhere_in_the_stored_events_and_are_read_back,
            a_swapped_ciphertext_is_not_opened,
            without_its_key_a_stream_reads_as_erased,
        ]);
        store_behaviour!($open, directory: [
            an_account_is_found_by_username_and_by_email_however_they_are_spelt,
            only_identifiers_that_an_account_has_are_taken,
            a_password_replaces_the_one_before,
            sign_in_knows_only_the_password_that_the_account_names,
            account_numbers_start_at_one_and_never_repeat,
            accounts_are_listed_in_the_order_in_which_they_were_registered,
            a_reader_of_all_accounts_misses_none_that_is_registered_meanwhile,
            a_reader_of_all_accounts_continues_after_an_erased_account,
            an_opaque_token_finds_its_session_until_it_expires,
            unknown_accounts_and_sessions_are_not_found,
            an_open_store_is_healthy,
        ]);
        store_behaviour!($open, read_models: [
            rows_equal_the_fold_of_their_events,
            rebuild_repairs_damaged_rows_and_removes_orphans_while_appends_go_on,
            a_rebuild_visits_every_stream_once,
            a_stretch_ends_with_the_stream_of_its_last_event,
            a_rebuild_over_emptied_tables_writes_every_column,
            a_row_of_a_later_version_is_left_alone,
            an_account_that_the_list_leaves_out_is_found_and_listed_again,
            recent_requests_count_only_for_the_version_of_the_row_that_they_name,
            a_command_is_decided_on_the_row_and_not_on_earlier_events,
            sessions_that_are_over_are_removed_in_batches_and_nothing_brings_them_back,
        ]);
        store_behaviour!($open, revocations: [
            every_acknowledged_revocation_is_read,
            revocations_since_an_instant_leave_out_what_is_older,
            revocations_after_the_oldest_mark_are_read_by_their_position,
            the_log_is_read_from_a_mark_by_its_place,
            of_nodes_that_mark_the_log_concurrently_only_one_succeeds,
            an_unreadable_event_hides_no_other_revocation,
            an_event_of_an_unknown_kind_ends_what_its_row_says,
            whether_an_event_ends_sessions_is_stored_with_it,
            a_day_of_many_logouts_is_read_in_batches,
            a_reset_revokes_the_earlier_epochs,
            a_change_of_role_revokes_the_earlier_epochs,
            every_event_that_ends_sessions_is_read_with_the_session_that_is_kept,
        ]);
        store_behaviour!($open, accounts: [
            a_changed_address_is_claimed_and_the_one_before_is_free,
            people_who_race_for_one_address_get_it_once,
            an_append_that_would_leave_no_administrator_is_refused,
            live_sessions_are_listed_in_pages_with_their_origins,
            a_page_of_sessions_examines_a_bounded_number,
            other_sessions_are_those_of_the_current_epoch_and_the_one_that_was_kept,
            an_account_with_many_sessions_is_assumed_to_have_a_live_one,
        ]);
        store_behaviour!($open, clients: [
            a_client_is_read_as_it_was_written_on_every_node,
            clients_are_listed_in_the_order_of_their_ids_without_removed_ones,
            rows_of_clients_that_were_changed_hide_no_others_in_a_list,
            a_store_knows_whether_it_has_clients,
            of_concurrent_changes_of_a_client_one_wins,
            a_client_that_changes_during_a_rebuild_keeps_the_change,
            a_client_that_was_changed_or_put_back_is_treated_as_missing,
            events_of_a_client_are_in_the_log_and_in_no_account,
        ]);
        store_behaviour!($open, devices: [
            a_request_is_found_by_its_code_and_decided_once_on_every_node,
            a_code_that_is_taken_is_not_given_to_another_request,
            of_concurrent_decisions_about_a_device_one_wins,
            expired_requests_of_devices_are_removed_and_no_others,
        ]);
        store_behaviour!($open, logouts: [
            a_session_of_a_client_is_queued_when_it_or_its_parent_ends,
            sessions_that_end_with_an_epoch_are_queued_without_the_kept_one,
            what_ended_before_is_not_queued_again,
            events_that_end_no_session_are_passed_over_without_a_write,
            very_many_sessions_that_end_at_once_are_queued_in_batches,
            nodes_that_read_at_once_queue_each_session_once,
            an_erasure_queues_the_sessions_that_it_deletes,
            an_event_or_a_row_that_was_changed_delays_no_other,
            a_client_is_served_by_one_node_at_a_time,
            a_refused_token_waits_by_itself,
            a_rebuild_queues_nothing,
        ]);
        store_behaviour!($open, mailboxes: [
            an_account_is_found_by_every_spelling_of_its_mailbox,
            a_mailbox_is_one_account_however_it_is_spelt,
            mailboxes_of_the_previous_version_are_claimed_and_accounts_that_share_one_continue,
            mailboxes_are_claimed_again_after_the_upgrade_window,
            an_account_that_shares_a_mailbox_leaves_it_to_the_other,
        ]);
        store_behaviour!($open, mail: [
            mail_is_due_with_its_event_and_handled_by_one_node_at_a_time,
            events_while_a_mail_waits_are_counted_in_its_entry,
            events_while_a_mail_is_sent_are_due_afterwards,
            a_verified_previous_address_is_notified_and_queued_sealed,
            of_a_hundred_concurrent_mails_the_gate_admits_exactly_its_quota,
            an_admission_belongs_to_its_entry,
            the_quota_of_a_mailbox_refills_over_time,
            an_entry_that_cannot_be_read_delays_no_other,
            a_clock_that_was_ahead_closes_a_mailbox_for_less_than_a_day,
            requested_links_leave_room_for_notices,
            notices_of_all_kinds_share_the_limit_of_a_mailbox,
            the_quota_of_a_mailbox_outlives_the_account,
            budgets_that_are_full_again_are_removed,
            mail_that_was_postponed_by_a_fast_clock_is_due_at_once,
        ]);
        store_behaviour!($open, reset_requests: [
            a_request_is_taken_by_one_taker_and_reappears_after_its_lease,
            a_postponed_request_waits_and_a_completed_one_is_gone,
            requests_are_taken_oldest_first,
            a_request_that_cannot_be_read_is_given_up_and_others_are_taken,
            concurrent_takers_get_disjoint_requests,
            a_reset_request_that_was_postponed_by_a_fast_clock_is_due_at_once,
        ]);
        store_behaviour!($open, shared_secrets: [
            a_shared_secret_is_the_same_on_every_node,
            a_shared_secret_is_sealed,
            a_store_does_not_open_under_another_master_key,
        ]);
        store_behaviour!($open, signing_keys: [
            a_key_is_read_back_as_it_was_written_on_every_node,
            nodes_that_start_at_once_make_one_key,
            of_concurrent_key_changes_one_succeeds,
            a_private_key_is_sealed_for_its_key_id,
            an_old_row_does_not_bring_a_retired_key_back,
            a_program_remembers_a_retirement_when_the_whole_set_is_put_back,
            unusable_key_rows_are_left_out_and_can_be_removed,
            key_changes_of_an_older_node_are_accepted_during_an_upgrade,
            the_private_half_of_a_retired_key_is_deleted,
            keys_of_an_earlier_version_are_migrated,
            a_store_keeps_the_algorithm_of_its_keys_unless_a_setting_names_another,
            a_new_store_signs_with_es256_on_every_node,
            a_replaced_master_key_opens_no_signing_key,
        ]);
        store_behaviour!($open, key_purposes: [
            each_purpose_has_keys_of_its_own_that_change_by_themselves,
            nodes_that_start_at_once_make_one_key_of_id_tokens,
            a_key_of_id_tokens_that_was_changed_or_removed_is_a_fault_and_another_is_made,
            a_key_of_one_purpose_is_not_accepted_for_the_other,
            a_replaced_master_key_opens_no_key_of_id_tokens,
        ]);
        store_behaviour!($open, schema: [
            the_schema_of_this_program_has_no_fault,
            a_foreign_trigger_is_named,
            a_dropped_guard_is_named,
            a_changed_body_is_named,
            an_append_whose_rows_do_not_stay_is_refused_and_leaves_nothing,
        ]);
        store_behaviour!($open, proof: [
            an_unchanged_log_is_whole,
            an_event_that_was_changed_is_named,
            an_event_whose_leaf_was_changed_with_it_is_named,
            events_that_were_swapped_are_named,
            a_swapped_ciphertext_is_named,
            a_deleted_last_event_is_detected,
            a_deleted_account_is_detected,
            an_event_that_was_added_outside_the_log_is_named,
            the_audit_of_a_running_node_compares_every_event,
            the_audit_of_a_running_node_finds_an_event_that_is_not_in_the_log,
            the_audit_of_a_running_node_names_an_impossible_time,
            a_leaf_of_another_length_is_an_alarm,
            a_forged_checkpoint_is_found,
            a_log_that_was_rolled_back_contradicts_a_kept_checkpoint,
            a_node_that_remembers_a_checkpoint_signs_no_log_without_it,
            a_cut_is_detected_in_a_log_that_ends_with_a_stored_node,
            a_deleted_checkpoint_is_known_from_memory,
            a_node_of_the_tree_is_compared_and_rewritten,
            proofs_hold_at_every_size,
            an_export_verifies_and_no_line_of_it_can_be_changed_or_left_out,
        ]);
        store_behaviour!($open, erasure: [
            an_erased_account_leaves_its_events_and_nothing_else,
            every_node_knows_which_accounts_were_erased,
            an_erasure_changes_no_stored_event_and_no_leaf,
            other_accounts_are_untouched_by_an_erasure,
            nothing_is_appended_to_an_erased_account,
            an_erased_account_in_a_batch_is_refused_without_the_others,
            another_node_decrypts_nothing_of_an_erased_account,
            a_key_that_is_restored_after_the_erasure_decrypts_nothing,
            an_erasure_reaches_another_node,
            an_erased_person_can_register_again,
            a_rebuild_restores_nothing_of_an_erased_account,
            rows_of_erased_accounts_are_removed_by_a_rebuild,
            reset_requests_of_an_erased_account_are_removed,
            an_erasure_wins_over_everything_that_races_it,
            a_rebuild_during_erasures_restores_nothing,
            an_account_with_very_many_sessions_is_erased_at_once_and_its_sessions_in_batches,
            a_rebuild_removes_what_an_interrupted_erasure_left,
        ]);
        store_behaviour!($open, rotation: [
            after_a_rotation_the_new_key_opens_everything_and_the_old_one_nothing,
            an_interrupted_rotation_needs_both_keys_and_can_be_resumed,
            a_rotation_changes_no_stored_event,
            nodes_with_both_keys_register_while_a_rotation_goes_on,
            a_node_without_the_new_key_stores_nothing,
            an_erasure_during_a_rotation_is_kept,
            a_rotation_can_be_reversed,
        ]);
        store_behaviour!($open, seals: [
            a_planted_or_copied_password_hash_grants_no_access,
            a_row_that_was_changed_grants_nothing_until_it_is_repaired,
            a_row_that_was_restored_from_an_older_copy_grants_nothing,
            an_unreadable_row_is_treated_as_missing,
            a_planted_opaque_token_grants_no_access,
            a_store_of_the_previous_version_is_sealed_while_it_is_used,
            unsealed_rows_are_accepted_until_nodes_of_the_previous_version_are_gone,
            unsealed_rows_of_clients_and_their_sessions_are_never_accepted,
            a_rotation_of_the_master_key_keeps_every_seal,
            a_store_whose_secret_was_removed_is_not_opened,
        ]);
        store_behaviour!($open, event_log: [
            the_log_is_dense_complete_and_in_order_of_each_stream,
            each_leaf_is_the_hash_of_the_stored_event,
            a_reader_gets_exactly_the_events_that_match_the_filter,
            a_range_of_the_log_gives_the_changed_accounts,
            a_cursor_is_confirmed_by_the_entry_and_not_by_its_index_alone,
        ]);
        store_behaviour!($open, time_travel: [
            the_state_at_an_index_is_what_the_rows_were_at_that_index,
            a_state_at_an_instant_ends_with_the_last_event_recorded_by_then,
            a_history_is_complete_at_every_page_size,
            a_filtered_page_examines_a_thousand_events_and_the_next_continues_after_them,
            metadata_is_decrypted_and_reads_as_erased_without_its_key,
        ]);
    };
    ($open:path, $port:ident: [$($sentence:ident,)+]) => {
        mod $port {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $sentence() {
                    crate::store_behaviour::$port::$sentence(&$open().await).await;
                }
            )+
        }
    };
}
