//! Responses that ask the client to retry later.

use std::error::Error;
use std::time::Duration;

use axum::http::header::RETRY_AFTER;
use axum::response::Response;

/// `Retry-After` of a response during an outage of the store. Most outages are short, and an attempt costs little.
const AFTER_AN_OUTAGE: Duration = Duration::from_secs(1);

/// Adds `Retry-After` to `response` (RFC 9110 §10.2.3): whole seconds, rounded up, at least one, so that no client
/// retries too early.
pub(crate) fn retry_later(mut response: Response, after: Duration) -> Response {
    let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
    response
        .headers_mut()
        .insert(RETRY_AFTER, seconds.max(1).into());
    response
}

/// Marks a refusal for overload, which `process_request` may send with a delay.
#[derive(Clone, Copy)]
pub(super) struct Overloaded;

/// Marks `response` as a refusal for overload, and adds `Retry-After`.
pub(crate) fn overloaded(mut response: Response, after: Duration) -> Response {
    response.extensions_mut().insert(Overloaded);
    retry_later(response, after)
}

/// Marks the response to a request that failed because the store was unavailable.
#[derive(Clone, Copy)]
pub(super) struct Outage;

/// Marks `response` as the consequence of an outage, and logs `cause`. Callers do not log it again.
pub(crate) fn unavailable(mut response: Response, cause: &(dyn Error + 'static)) -> Response {
    tracing::error!(error = chain(cause), "unavailable");
    response.extensions_mut().insert(Outage);
    retry_later(response, AFTER_AN_OUTAGE)
}

fn chain(error: &(dyn Error + 'static)) -> String {
    std::iter::successors(Some(error), |&error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;

    #[test]
    fn the_wait_is_in_whole_seconds_rounded_up_and_at_least_one() {
        for (millis, seconds) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2"), (59_400, "60")] {
            let response = retry_later(().into_response(), Duration::from_millis(millis));
            assert_eq!(response.headers()[RETRY_AFTER], seconds, "{millis} ms");
        }
    }

    #[test]
    fn a_chain_of_errors_is_printed_from_the_outside_in() {
        let inner = std::io::Error::other("the disk is full");
        let outer = authlog_application::ports::StoreError::Unavailable(Box::new(inner));
        assert_eq!(chain(&outer), "the store is unavailable: the disk is full");
    }
}
