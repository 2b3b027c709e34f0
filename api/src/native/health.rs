//! Liveness and readiness of the node.

use std::error::Error;
use std::sync::Arc;

use authlog_application::ports::{AuditProgress, BlockingTransaction, NotReady, TransactionHolder};
use authlog_application::{Behind, Lag};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use super::problem::problem;
use crate::Api;
use crate::http::{retry_later, unavailable};

/// `Retry-After` of a node that is not ready. Outcomes of requests are counted by the second.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// 200: the program is running. The store is not queried, because an outage of the store must not restart the program.
pub(super) async fn live() -> Response {
    Json(json!({ "status": "ok" })).into_response()
}

/// 200 if the node can serve requests, otherwise 503: the store is unavailable, writes to it fail, most requests of the
/// last five seconds that change something failed because of the store, or the program is about to stop. The body also
/// reports how far the log and the stream are behind and which background workers run. These do not change the status:
/// waiting events are not lost, and sending requests elsewhere would not make them wait less. A log that was tampered
/// with does not change it either: the service continues, and an operator decides.
pub(super) async fn ready(State(api): State<Arc<Api>>) -> Response {
    if api.draining.is_cancelled() {
        return problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "This node is about to stop.",
        );
    }
    match api.authlog.ready().await {
        Ok(()) if api.capacity.outages.is_ongoing(Instant::now()) => retry_later(
            problem(
                StatusCode::SERVICE_UNAVAILABLE,
                "Most requests that change something fail now.",
            ),
            RETRY_DELAY,
        ),
        Ok(()) => {
            let lag = api.authlog.lag().await.ok();
            let integrity = api.authlog.log_integrity();
            Json(json!({
                "status": "ready",
                "lag": lag.as_ref().map(lag_json),
                "log": {
                    "tampered": integrity.tampered,
                    "waiting_for": integrity.waiting_for,
                    "audit": audit(&integrity.audit),
                },
                "workers": workers(&api),
            }))
            .into_response()
        }
        Err(refusal) => {
            let cause = refusal.source().unwrap_or(&refusal);
            let detail = if is_not_writing(cause) {
                "Writes to the store fail now."
            } else {
                "The store cannot be used now."
            };
            unavailable(problem(StatusCode::SERVICE_UNAVAILABLE, detail), cause)
        }
    }
}

fn is_not_writing(cause: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(cause), |&error| error.source()).any(<dyn Error>::is::<NotReady>)
}

/// The states of the background workers, by name.
fn workers(api: &Api) -> Value {
    let workers = api.workers.all();
    let states = workers.iter().map(|worker| {
        let state = json!({ "up": worker.is_up(), "restarts": worker.restarts() });
        (worker.name().to_owned(), state)
    });
    Value::Object(states.collect())
}

fn audit(audit: &AuditProgress) -> Value {
    json!({
        "checked": audit.checked,
        "of": audit.of,
        "passes": audit.passes,
        "completed_at": audit.completed_at,
    })
}

fn lag_json(lag: &Lag) -> Value {
    let mut sequencer = behind(lag.sequencer);
    sequencer["held_up_by"] = lag.held_up.as_ref().map_or(Value::Null, held_up_by);
    json!({
        "log_index": lag.log_index,
        "sequencer": sequencer,
        "publisher": lag.publisher.map(|publisher| {
            let mut out = behind(publisher);
            out["trouble"] = json!(lag.trouble);
            out
        }),
    })
}

/// Identifies the transaction for an operator, without further details: `/readyz` is public unless a proxy restricts
/// it.
fn held_up_by(hold_up: &BlockingTransaction) -> Value {
    let by = match &hold_up.by {
        TransactionHolder::Session {
            pid,
            application_name,
            state,
        } => json!({ "pid": pid, "application_name": application_name, "state": state }),
        TransactionHolder::PreparedTransaction { gid } => json!({ "prepared_transaction": gid }),
    };
    let mut out = json!({
        "database": hold_up.database,
        "seconds": hold_up.age.map(|age| age.as_secs()),
    });
    if let (Value::Object(out), Value::Object(by)) = (&mut out, by) {
        out.extend(by);
    }
    out
}

fn behind(behind: Behind) -> Value {
    json!({ "events": behind.events, "seconds": behind.age.as_secs_f64() })
}
