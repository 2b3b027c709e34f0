//! The proofs of the log: its key, its newest checkpoint, and proofs for auditors who kept earlier checkpoints.

use std::sync::Arc;

use authlog_application::ports::ProofError;
use authlog_application::{Auditor, Refusal};
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::Api;
use crate::native::caller::Bearer;
use crate::native::problem::{problem, refused};

/// The error for an invalid query.
const USAGE: &str = "Send ?index=<log index>[&size=<tree size>], or ?from=<size>&to=<size>; \
    log indexes and sizes are whole numbers, 1 or more.";

#[derive(Serialize)]
struct InclusionOut {
    log_index: u64,
    tree_size: u64,
    leaf_hash: String,
    hashes: Vec<String>,
    checkpoint: Option<String>,
}

#[derive(Serialize)]
struct ConsistencyOut {
    from: u64,
    to: u64,
    hashes: Vec<String>,
}

/// Which proof is asked for.
#[derive(Debug, PartialEq, Eq)]
enum ProofQuery {
    Inclusion { index: u64, size: Option<u64> },
    Consistency { from: u64, to: u64 },
}

/// The routes.
pub(in crate::native) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/audit/log/key", get(key))
        .route("/audit/log/checkpoint", get(checkpoint))
        .route("/audit/log/proof", get(proof))
}

/// The key that verifies checkpoints, as a vkey (C2SP `signed-note`).
async fn key(State(api): State<Arc<Api>>, Bearer(auditor): Bearer<Auditor>) -> Response {
    let log = api.authlog.transparency(&auditor);
    text(format!("{}\n", log.key()))
}

/// The newest checkpoint: a signed note (C2SP `tlog-checkpoint`).
async fn checkpoint(
    State(api): State<Arc<Api>>,
    Bearer(auditor): Bearer<Auditor>,
) -> Result<Response, Response> {
    match api.authlog.transparency(&auditor).latest_checkpoint().await {
        Ok(Some(note)) => Ok(text(note)),
        Ok(None) => Err(problem(
            StatusCode::NOT_FOUND,
            "There is no checkpoint yet: the log is empty, or its first event is less than a second old.",
        )),
        Err(error) => Err(refused(error.into())),
    }
}

/// An inclusion proof of an event, or a consistency proof of two tree sizes.
async fn proof(
    State(api): State<Arc<Api>>,
    Bearer(auditor): Bearer<Auditor>,
    RawQuery(query): RawQuery,
) -> Result<Response, Response> {
    let log = api.authlog.transparency(&auditor);
    let query = ProofQuery::parse(query.as_deref().unwrap_or_default())
        .map_err(|detail| problem(StatusCode::BAD_REQUEST, detail))?;
    match query {
        ProofQuery::Inclusion { index, size } => {
            let proof = log.prove_inclusion(index, size).await.map_err(unproven)?;
            Ok(fresh(Json(InclusionOut {
                log_index: proof.log_index,
                tree_size: proof.tree_size,
                leaf_hash: base64(&proof.leaf_hash),
                hashes: proof.hashes.iter().map(base64).collect(),
                checkpoint: proof.checkpoint,
            })))
        }
        ProofQuery::Consistency { from, to } => {
            let proof = log.prove_consistency(from, to).await.map_err(unproven)?;
            Ok(fresh(Json(ConsistencyOut {
                from: proof.from,
                to: proof.to,
                hashes: proof.hashes.iter().map(base64).collect(),
            })))
        }
    }
}

impl ProofQuery {
    /// # Errors
    /// A sentence for the client.
    fn parse(query: &str) -> Result<Self, &'static str> {
        let mut numbers: [Option<u64>; 4] = [None; 4];
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let names = ["index", "size", "from", "to"];
            let Some(at) = names.iter().position(|known| *known == name) else {
                continue;
            };
            // The stores use signed 64-bit integers.
            let number = value
                .parse()
                .ok()
                .filter(|number| (1..=1 << 62).contains(number));
            if number.is_none() || numbers[at].is_some() {
                return Err(USAGE);
            }
            numbers[at] = number;
        }
        match numbers {
            [Some(index), size, None, None] => Ok(Self::Inclusion { index, size }),
            [None, None, Some(from), Some(to)] if from <= to => Ok(Self::Consistency { from, to }),
            _ => Err(USAGE),
        }
    }
}

fn unproven(error: ProofError) -> Response {
    match error {
        ProofError::Beyond { reached } => problem(
            StatusCode::NOT_FOUND,
            &format!(
                "The requested proof is beyond the end of the tree or of its checkpoints, which is {reached}."
            ),
        ),
        ProofError::InvalidRange => problem(StatusCode::BAD_REQUEST, USAGE),
        ProofError::Store(error) => refused(Refusal::from(error)),
    }
}

fn text(body: String) -> Response {
    let media_type = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
    fresh((media_type, body))
}

/// A cached proof could be of an older tree.
fn fresh(answer: impl IntoResponse) -> Response {
    ([(CACHE_CONTROL, "no-store")], answer).into_response()
}

/// With padding (RFC 4648 §4), as in checkpoints.
fn base64(hash: &[u8; 32]) -> String {
    STANDARD.encode(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_asks_for_one_proof() {
        let inclusion = |index, size| Ok(ProofQuery::Inclusion { index, size });
        assert_eq!(ProofQuery::parse("index=7"), inclusion(7, None));
        assert_eq!(
            ProofQuery::parse("size=9&index=7&x=y"),
            inclusion(7, Some(9))
        );
        let consistency = Ok(ProofQuery::Consistency { from: 3, to: 3 });
        assert_eq!(ProofQuery::parse("from=3&to=3"), consistency);
    }

    #[test]
    fn an_invalid_query_is_refused() {
        for query in [
            "",
            "index=0",
            "index=-1",
            "index=seven",
            "index=9223372036854775808",
            "index=1&index=1",
            "index=1&size=0",
            "size=5",
            "from=1",
            "to=1",
            "from=3&to=2",
            "from=0&to=2",
            "index=1&from=1&to=2",
            "index=1&to=2",
        ] {
            assert!(ProofQuery::parse(query).is_err(), "{query}");
        }
    }
}
