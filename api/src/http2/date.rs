//! The `Date` header of responses.

use std::cell::RefCell;
use std::time::{Duration, UNIX_EPOCH};

use axum::http::HeaderValue;

thread_local! {
    /// The last second that was formatted, and its text.
    static WRITTEN: RefCell<(i64, HeaderValue)> = const { RefCell::new((i64::MIN, HeaderValue::from_static(""))) };
}

/// The second as an HTTP date (RFC 9110 §5.6.7). It is formatted once for all responses of a second.
pub(super) fn date(second: i64) -> HeaderValue {
    WRITTEN.with_borrow_mut(|(written, value)| {
        if *written != second {
            let since_epoch = Duration::from_secs(u64::try_from(second).unwrap_or(0));
            let text = httpdate::fmt_http_date(UNIX_EPOCH + since_epoch);
            if let Ok(date) = HeaderValue::from_str(&text) {
                (*written, *value) = (second, date);
            }
        }
        value.clone()
    })
}
