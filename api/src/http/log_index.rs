//! The header with the log index of the last event that a request has appended, so that a reader can wait for it.

use authlog_application::{Authlog, LastAppended};
use axum::http::header::HeaderName;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use tokio::time::{Instant, timeout_at};

/// The header with the log index.
pub(super) const LOG_INDEX: HeaderName = HeaderName::from_static("authlog-log-index");

/// With this header a client asks for what takes time (RFC 7240 §2).
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// The preferences that the answer has followed (RFC 7240 §3).
pub(super) const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The preference to wait for the log index.
const PREFERENCE: &str = "log-index";

/// Whether a request prefers to wait for the log index.
pub(super) fn prefers_log_index(headers: &HeaderMap) -> bool {
    let values = headers.get_all(PREFER).iter();
    let mut texts = values.filter_map(|value| value.to_str().ok());
    texts.any(|text| preferences(text).any(|it| it.eq_ignore_ascii_case(PREFERENCE)))
}

/// The names of the preferences in the value of one header: `name[=value][;parameter…]`, separated by commas. Values may be quoted,
/// and hold any of these characters.
fn preferences(text: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let mut escaped = false;
    let parts = text.split(move |character| {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        character == ',' && !quoted
    });
    parts.filter_map(|part| part.split(['=', ';']).next().map(str::trim))
}

/// Runs the work of a request, and adds the log index to its answer. If the store assigns the index later, the answer waits for
/// it only if the client prefers that, only for a moment, and not after `until`: what has been done is answered in time.
pub(super) async fn with_log_index(
    work: impl Future<Output = Response>,
    authlog: &Authlog,
    is_preferred: bool,
    until: Instant,
) -> Response {
    let (mut response, last) = LastAppended::by(work).await;
    let Some(last) = last else {
        return response;
    };
    let index = match last.log_index {
        Some(index) => Some(index),
        None if is_preferred => {
            let found = timeout_at(until, authlog.log_index_of(last.event)).await;
            found.ok().flatten()
        }
        None => None,
    };
    if let Some(index) = index {
        let headers = response.headers_mut();
        headers.insert(LOG_INDEX, index.into());
        if is_preferred {
            headers.insert(PREFERENCE_APPLIED, HeaderValue::from_static(PREFERENCE));
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preference_is_found_among_others() {
        for (values, expected) in [
            (&["log-index"] as &[&'static str], true),
            (&["Log-Index"], true),
            (&["respond-async, log-index; strict"], true),
            (&["wait=10", "handling=lenient,\tlog-index"], true),
            (&["log-index=\"\""], true),
            (&[r#"foo="a, \", log-index", log-index"#], true),
            (&[], false),
            (&[""], false),
            (&["log-indexes"], false),
            (&["index; log-index"], false),
            (&["foo=log-index"], false),
            (&[r#"foo="a, log-index""#], false),
            (&[r#"foo="a\", log-index"#], false),
        ] {
            let headers = values
                .iter()
                .map(|it| (PREFER, HeaderValue::from_static(it)));
            let headers: HeaderMap = headers.collect();
            assert_eq!(prefers_log_index(&headers), expected, "{values:?}");
        }
    }
}
