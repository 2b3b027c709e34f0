//! Parsing of query parameters. Every error is a sentence for the client that names the parameter.

use authlog_application::published::add_listed_kinds;
use authlog_domain::AuthenticationLevel;

/// Passes the name and the value of each parameter to `read`, until one is invalid. Callers ignore unknown names.
///
/// # Errors
/// The first error of `read`.
pub(super) fn read_parameters(
    query: Option<&str>,
    mut read: impl FnMut(&str, &str) -> Result<(), String>,
) -> Result<(), String> {
    url::form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .try_for_each(|(name, value)| read(&name, &value))
}

/// The parsed value of the parameter `name`.
///
/// # Errors
/// There is none: the parameter must be `expected`.
pub(super) fn parsed<T>(name: &str, value: Option<T>, expected: &str) -> Result<T, String> {
    value.ok_or_else(|| format!("{name} must be {expected}."))
}

/// A log index, or 0 for the position before the first event.
///
/// # Errors
/// It is not a number, or is larger than the stores' signed 64-bit integers.
pub(super) fn log_index(name: &str, value: &str) -> Result<u64, String> {
    let index = value.parse().ok();
    let index = index.filter(|index| i64::try_from(*index).is_ok());
    parsed(name, index, "a log index: a whole number, 0 or more")
}

/// The largest number of entries in a response, at least 1.
///
/// # Errors
/// It is not such a number.
pub(super) fn limit(value: &str) -> Result<u64, String> {
    let limit = value.parse().ok().filter(|limit| *limit > 0);
    parsed("limit", limit, "a whole number, 1 or more")
}

/// The largest number of entries in a page, from 1 to `max`. A larger number counts as `max`.
///
/// # Errors
/// It is not such a number.
pub(super) fn page_limit(value: &str, max: u32) -> Result<u32, String> {
    Ok(u32::try_from(limit(value)?).map_or(max, |limit| limit.min(max)))
}

/// Parses a level of authentication: `aal2`, or the value of the claim `acr`.
pub(super) fn level(name: &str, value: &str) -> Result<AuthenticationLevel, String> {
    parsed(name, AuthenticationLevel::parse(value), "aal1 or aal2")
}

/// Adds the comma-separated types of events to `kinds`, each once, by their stored names.
///
/// # Errors
/// One of them is unknown.
pub(super) fn event_types(value: &str, kinds: &mut Vec<String>) -> Result<(), String> {
    add_listed_kinds(value, kinds).map_err(|error| format!("type {error}."))
}
