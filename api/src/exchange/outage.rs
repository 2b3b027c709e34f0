//! Answers that ask for patience.

use std::error::Error;
use std::time::Duration;

use axum::http::header::RETRY_AFTER;
use axum::response::Response;

/// What does not work now is seldom away for long, and asking costs us little.
const AFTER_AN_OUTAGE: Duration = Duration::from_secs(1);

/// `response`, with the time after which it is worth asking again (RFC 9110 §10.2.3): whole seconds, at least one, so
/// that nobody comes back too early.
pub(crate) fn retry_later(mut response: Response, after: Duration) -> Response {
    let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
    response
        .headers_mut()
        .insert(RETRY_AFTER, seconds.max(1).into());
    response
}

/// Marks a response that refuses a request because there is too much to do. It is held back for a moment (see `carry_out`).
#[derive(Clone, Copy)]
pub(super) struct Overloaded;

/// `response`, for a request that is refused because there is too much to do.
pub(crate) fn overloaded(mut response: Response, after: Duration) -> Response {
    response.extensions_mut().insert(Overloaded);
    retry_later(response, after)
}

/// Marks a response to a request that failed because the store could not be used.
#[derive(Clone, Copy)]
pub(super) struct Outage;

/// `response`, for an outage of which `cause` is logged here and nowhere else.
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
    fn a_chain_of_errors_is_told_from_the_outside_in() {
        let inner = std::io::Error::other("the disk is full");
        let outer = authlog_application::ports::StoreError::Unavailable(Box::new(inner));
        assert_eq!(chain(&outer), "the store is unavailable: the disk is full");
    }
}
