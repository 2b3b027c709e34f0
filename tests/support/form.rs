//! Comparison of whole answers: members that differ from run to run are checked for their form, all others for their
//! value.
//!
//! An expected answer is JSON in which one of the constants below stands for any value of this form.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

/// This instant, `2024-07-24T16:34:05.337Z`.
pub const NOW_MILLIS: &str = "<now, YYYY-MM-DDTHH:MM:SS.mmmZ>";
/// This instant, `2025-11-23 21:38:00`.
pub const NOW_CALENDAR: &str = "<now, YYYY-MM-DD HH:MM:SS>";
/// This instant, `22-07-2022 06:49:25`.
pub const NOW_DAY_FIRST: &str = "<now, DD-MM-YYYY HH:MM:SS>";
/// This instant in seconds since 1970.
pub const NOW_UNIX: &str = "<now, Unix seconds>";
/// This instant in milliseconds since 1970.
pub const NOW_UNIX_MILLIS: &str = "<now, Unix milliseconds>";
/// This instant by RFC 3339.
pub const NOW_RFC3339: &str = "<now, RFC 3339>";
/// Any instant by RFC 3339.
pub const RFC3339: &str = "<RFC 3339>";
/// A signed token.
pub const JWT: &str = "<JWT>";
/// A UUID.
pub const UUID: &str = "<UUID>";
/// A UUID of 122 random bits (RFC 9562 version 4).
pub const RANDOM_UUID: &str = "<random UUID>";
/// A non-negative integer that every JSON reader can represent.
pub const NUMBER: &str = "<number>";
/// A text that is not empty.
pub const TEXT: &str = "<text>";
/// A non-empty list of texts that are not empty.
pub const TEXTS: &str = "<texts>";

/// This instant.
#[expect(
    clippy::disallowed_methods,
    reason = "a client of the service reads a clock of its own"
)]
pub fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

/// Asserts that `actual` equals `expected`, in which forms can stand for values.
#[track_caller]
pub fn assert_fits(expected: &Value, actual: &Value, what: &str) {
    let redacted = redact(expected, actual);
    assert_eq!(
        &redacted, expected,
        "{what} (left: as it is, right: as it should be)\nunredacted: {actual}"
    );
}

/// `actual`, with each value that has the expected form replaced by the form.
fn redact(expected: &Value, actual: &Value) -> Value {
    match (expected, actual) {
        (Value::String(form), value) if has_form(form, value) => expected.clone(),
        (Value::Object(expected), Value::Object(actual)) => actual
            .iter()
            .map(|(name, value)| {
                let redacted = expected
                    .get(name)
                    .map_or_else(|| value.clone(), |expected| redact(expected, value));
                (name.clone(), redacted)
            })
            .collect(),
        (Value::Array(expected), Value::Array(actual)) if expected.len() == actual.len() => {
            let pairs = expected.iter().zip(actual);
            pairs
                .map(|(expected, actual)| redact(expected, actual))
                .collect()
        }
        _ => actual.clone(),
    }
}

fn has_form(form: &str, value: &Value) -> bool {
    match form {
        NOW_MILLIS => instant_with_millis(value).is_some_and(is_now),
        NOW_CALENDAR => calendar(value).is_some_and(is_now),
        NOW_DAY_FIRST => day_first(value).is_some_and(is_now),
        NOW_RFC3339 => rfc3339(value).is_some_and(is_now),
        NOW_UNIX => unix(value, 1).is_some_and(is_now),
        NOW_UNIX_MILLIS => unix(value, 1000).is_some_and(is_now),
        RFC3339 => rfc3339(value).is_some(),
        JWT => value.as_str().is_some_and(is_jwt),
        UUID => uuid(value).is_some(),
        RANDOM_UUID => uuid(value).is_some_and(|uuid| uuid.get_version_num() == 4),
        NUMBER => value.as_u64().is_some_and(|number| number < 1 << 53),
        TEXT => is_text(value),
        TEXTS => value
            .as_array()
            .is_some_and(|texts| !texts.is_empty() && texts.iter().all(is_text)),
        _ => false,
    }
}

/// Whether the instant is within half an hour of now: less than any mistake of zone, unit or field order, and far more
/// than any test takes.
fn is_now(instant: OffsetDateTime) -> bool {
    (now() - instant).abs() < time::Duration::minutes(29)
}

fn is_text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.trim().is_empty())
}

/// The RFC 3339 instant in `value`.
pub fn rfc3339(value: &Value) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(value.as_str()?, &Rfc3339).ok()
}

fn instant_with_millis(value: &Value) -> Option<OffsetDateTime> {
    let text = value.as_str()?;
    (text.len() == "2024-07-24T16:34:05.337Z".len() && text.ends_with('Z'))
        .then(|| rfc3339(value))
        .flatten()
}

fn calendar(value: &Value) -> Option<OffsetDateTime> {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    Some(
        PrimitiveDateTime::parse(value.as_str()?, format)
            .ok()?
            .assume_utc(),
    )
}

fn day_first(value: &Value) -> Option<OffsetDateTime> {
    let format = format_description!("[day]-[month]-[year] [hour]:[minute]:[second]");
    Some(
        PrimitiveDateTime::parse(value.as_str()?, format)
            .ok()?
            .assume_utc(),
    )
}

fn unix(value: &Value, a_second: i64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(value.as_i64()? / a_second).ok()
}

fn uuid(value: &Value) -> Option<uuid::Uuid> {
    let text = value.as_str()?;
    (text.len() == 36)
        .then(|| uuid::Uuid::try_parse(text).ok())
        .flatten()
}

fn is_jwt(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    let decodes = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
    let is_json = |part: &str| {
        decodes(part).is_some_and(|bytes| serde_json::from_slice::<Value>(&bytes).is_ok())
    };
    matches!(parts[..], [header, claims, signature]
        if is_json(header) && is_json(claims) && decodes(signature).is_some_and(|s| s.len() >= 32))
}
