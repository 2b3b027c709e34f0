//! The query of `GET /audit/events`.

use authlog_application::ports::LogFilter;
use authlog_domain::{AuthenticationLevel, UserId};
use axum::http::HeaderMap;
use axum::http::header::ACCEPT;

use crate::native::query::{event_types, level, limit, log_index, parsed, read_parameters};

/// The number of events in a response that does not follow the log, unless `limit` is given.
const DEFAULT_LIMIT: u64 = 1000;

/// What a reader of the log asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FeedQuery {
    /// Only events after this log index.
    pub after: u64,
    /// The largest number of events; `None` for as many as occur while the reader stays connected.
    pub limit: Option<u64>,
    /// Whether to wait for new events at the end of the log.
    pub follow: bool,
    /// Which events.
    pub filter: LogFilter,
    /// Events only whose actor is not known to have been authenticated at this level or a higher one.
    pub below: Option<AuthenticationLevel>,
    /// Whether the response consists of server-sent events. Otherwise it is NDJSON.
    pub server_sent: bool,
    /// Whether a server-sent event names its type in its `event` field. A reader without a listener for that type only
    /// receives events without that field (HTML Standard §9.2.6).
    pub named: bool,
}

impl FeedQuery {
    /// Parses the query, and the headers `Accept` and `Last-Event-ID`.
    ///
    /// # Errors
    /// A sentence for the client about the first invalid parameter.
    pub fn parse(query: Option<&str>, headers: &HeaderMap) -> Result<Self, String> {
        let server_sent = header(headers, ACCEPT.as_str()).contains("text/event-stream");
        let mut feed = Self {
            after: 0,
            limit: None,
            // A browser's EventSource cannot send `follow`, and would only reconnect at the end.
            follow: server_sent,
            filter: LogFilter::default(),
            below: None,
            server_sent,
            named: true,
        };
        read_parameters(query, |name, value| feed.read(name, value))?;
        if server_sent && headers.contains_key("last-event-id") {
            // Where a reconnecting reader stopped takes precedence over where it began.
            feed.after = log_index("Last-Event-ID", header(headers, "last-event-id"))?;
        }
        if !feed.follow {
            feed.limit.get_or_insert(DEFAULT_LIMIT);
        }
        Ok(feed)
    }

    fn read(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "after" => self.after = log_index(name, value)?,
            "limit" => self.limit = Some(limit(value)?),
            "follow" => {
                let follow = match value {
                    "true" | "1" | "" => Some(true),
                    "false" | "0" => Some(false),
                    _ => None,
                };
                self.follow = parsed(name, follow, "true or false")?;
            }
            "event" => {
                let named = match value {
                    "type" => Some(true),
                    "message" => Some(false),
                    _ => None,
                };
                self.named = parsed(name, named, "type or message")?;
            }
            "user" => {
                let user = UserId::parse(value);
                self.filter.user = Some(parsed(name, user, "the id of an account")?);
            }
            "type" => event_types(value, &mut self.filter.event_types)?,
            "below" => self.below = Some(level(name, value)?),
            _ => {}
        }
        Ok(())
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn parse(query: &str, headers: &[(&'static str, &'static str)]) -> Result<FeedQuery, String> {
        let headers = headers.iter().map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        FeedQuery::parse(Some(query), &headers.collect())
    }

    #[test]
    fn a_response_ends_at_a_thousand_events_unless_it_follows() {
        assert_eq!(parse("", &[]).unwrap().limit, Some(1000));
        assert_eq!(parse("follow=true", &[]).unwrap().limit, None);
        assert_eq!(parse("follow=true&limit=7", &[]).unwrap().limit, Some(7));
    }

    #[test]
    fn the_last_event_id_of_a_reader_takes_precedence_over_after() {
        let sse = ("accept", "text/event-stream");
        let query = parse("after=3", &[sse, ("last-event-id", "41")]).unwrap();
        assert!(query.follow && query.server_sent);
        assert_eq!(query.after, 41);
        assert_eq!(parse("after=3", &[sse]).unwrap().after, 3);
    }

    #[test]
    fn a_type_is_recognised_by_either_of_its_names() {
        let query = parse("type=LoggedIn,dev.authlog.user.registered.v1", &[]).unwrap();
        assert_eq!(query.filter.event_types, ["LoggedIn", "UserRegistered"]);
    }

    #[test]
    fn a_type_that_is_repeated_a_thousand_times_is_in_the_filter_once() {
        let names = "LoggedIn,dev.authlog.user.registered.v1,".repeat(1000);
        let query = parse(&format!("type={}", names.trim_end_matches(',')), &[]).unwrap();
        assert_eq!(query.filter.event_types, ["LoggedIn", "UserRegistered"]);
    }

    #[test]
    fn an_invalid_parameter_is_named_in_the_error() {
        for query in [
            "after=-1",
            "after=9223372036854775808",
            "after=x",
            "limit=0",
            "limit=many",
            "follow=perhaps",
            "event=all",
            "user=jo",
            "below=2",
            "type=Unheard",
        ] {
            let name = query.split('=').next().unwrap();
            let error = parse(query, &[]).unwrap_err();
            assert!(error.starts_with(name) && error.ends_with('.'), "{error}");
        }
    }
}
