//! The metrics of the node, for Prometheus.

use std::sync::{Arc, Once};

use authlog_application::Behind;
use authlog_application::ports::AuditProgress;
use authlog_domain::Timestamp;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use crate::Api;

/// The media type of Prometheus' text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Registers the descriptions of the metrics, once.
static DESCRIBED: Once = Once::new();

/// Returns every metric. The lags of the log and of the stream are measured when they are requested.
pub(super) async fn metrics(State(api): State<Arc<Api>>) -> Response {
    DESCRIBED.call_once(describe);
    workers(&api);
    let integrity = api.authlog.log_integrity();
    metrics::gauge!("authlog_log_tampered").set(u32::from(integrity.tampered.is_some()));
    audit(&integrity.audit);
    logouts(&api).await;
    if let Ok(lag) = api.authlog.lag().await {
        metrics::gauge!("authlog_log_index").set(as_gauge(lag.log_index));
        behind("sequencer", lag.sequencer);
        checkpoint(&api).await;
        metrics::gauge!("authlog_publisher_active").set(u32::from(lag.publisher.is_some()));
        metrics::gauge!("authlog_publisher_alarm").set(u32::from(lag.alarm));
        // A node that no longer publishes must not go on reporting its last lag.
        behind("publisher", lag.publisher.unwrap_or_default());
    }
    ([(CONTENT_TYPE, TEXT_FORMAT)], (api.metrics)()).into_response()
}

fn describe() {
    for (name, says) in [
        (
            "authlog_log_tampered",
            "1 if the log differs from what was signed",
        ),
        ("authlog_log_index", "The log index of the last event"),
        (
            "authlog_log_audit_checked",
            "Events that the current audit pass has compared with the log",
        ),
        (
            "authlog_log_audit_size",
            "Events that the current audit pass has to compare with the log",
        ),
        (
            "authlog_log_audit_completed_seconds",
            "When the last complete audit pass ended, in seconds since 1970",
        ),
        (
            "authlog_checkpoint_size",
            "Events that the newest signed checkpoint covers",
        ),
        (
            "authlog_publisher_active",
            "1 if this node publishes the log to NATS",
        ),
        (
            "authlog_publisher_alarm",
            "1 if the stream has messages that are not events of the log, or does not accept more messages",
        ),
        (
            "authlog_lag_events",
            "Events that wait to be ordered (sequencer) or published (publisher)",
        ),
        (
            "authlog_lag_seconds",
            "Age of the oldest event that waits to be ordered (sequencer) or published (publisher)",
        ),
        (
            "authlog_logout_clients_failing",
            "Clients that could not be sent a logout token at the last attempt",
        ),
        ("authlog_worker_up", "1 if the background worker runs"),
    ] {
        metrics::describe_gauge!(name, says);
    }
    for (name, says) in [
        (
            "authlog_worker_restarts_total",
            "Restarts of the background worker after a failure",
        ),
        (
            "authlog_log_audit_passes_total",
            "Complete audit passes of this node",
        ),
        ("authlog_password_hashes_total", "Computed password hashes"),
        (
            "authlog_breached_password_lookups_total",
            "Passwords that were looked up in the list of breached ones",
        ),
        (
            "authlog_logout_tokens_total",
            "Logout tokens that this node sent, by outcome: delivered, refused by the client, or failed",
        ),
        (
            "authlog_logout_tokens_undelivered_total",
            "Logout tokens that were given up after a day",
        ),
        (
            "authlog_log_lines_lost_total",
            "Log lines that were discarded because they could not be written in time",
        ),
    ] {
        metrics::describe_counter!(name, says);
    }
}

/// Which background workers run, and how often each was restarted after a failure.
fn workers(api: &Api) {
    for worker in api.workers.all() {
        let name = worker.name();
        metrics::gauge!("authlog_worker_up", "worker" => name).set(u32::from(worker.is_up()));
        metrics::counter!("authlog_worker_restarts_total", "worker" => name)
            .absolute(worker.restarts());
    }
}

/// The progress of the audit that compares the stored events with the log.
fn audit(audit: &AuditProgress) {
    metrics::gauge!("authlog_log_audit_checked").set(as_gauge(audit.checked));
    metrics::gauge!("authlog_log_audit_size").set(as_gauge(audit.of));
    metrics::counter!("authlog_log_audit_passes_total").absolute(audit.passes);
    let completed_at = audit.completed_at.map_or(0, Timestamp::unix_seconds);
    metrics::gauge!("authlog_log_audit_completed_seconds").set(completed_at as f64);
}

/// Whether logout tokens reach the clients.
async fn logouts(api: &Api) {
    let undelivered = api.authlog.undelivered_logouts();
    metrics::counter!("authlog_logout_tokens_undelivered_total").absolute(undelivered);
    if let Ok(failing) = api.authlog.clients_without_logouts().await {
        metrics::gauge!("authlog_logout_clients_failing").set(as_gauge(failing));
    }
}

/// How much of the log the newest checkpoint covers. A checkpoint that stays behind needs attention.
async fn checkpoint(api: &Api) {
    let newest = api.authlog.latest_checkpoint().await;
    let size = newest.ok().flatten().and_then(|note| {
        // The second line of a checkpoint (C2SP tlog-checkpoint).
        note.lines().nth(1)?.parse().ok()
    });
    metrics::gauge!("authlog_checkpoint_size").set(as_gauge(size.unwrap_or(0)));
}

fn behind(stage: &'static str, behind: Behind) {
    metrics::gauge!("authlog_lag_events", "stage" => stage).set(as_gauge(behind.events));
    metrics::gauge!("authlog_lag_seconds", "stage" => stage).set(behind.age.as_secs_f64());
}

/// A count as a gauge: exact up to 2⁵³, which no log reaches.
fn as_gauge(count: u64) -> f64 {
    count as f64
}
