//! What a reader of the log asks for.

use authlog_application::ports::LogFilter;
use authlog_application::published::add_listed_kinds;
use authlog_domain::UserId;
use axum::http::HeaderMap;
use axum::http::header::ACCEPT;

/// Events in an answer that does not follow, unless fewer are asked for.
const DEFAULT_LIMIT: u64 = 1000;

/// What a reader of the log asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FeedQuery {
    /// Events after this place.
    pub after: u64,
    /// No more than this many; `None` for as long as the reader stays.
    pub limit: Option<u64>,
    /// Whether to wait for more at the end of the log.
    pub follow: bool,
    /// Which events.
    pub filter: LogFilter,
    /// As server-sent events instead of NDJSON.
    pub server_sent: bool,
    /// Whether a server-sent event has its own type as event type. A reader that listens for no type by name hears only what
    /// has none (HTML Standard §9.2.6).
    pub named: bool,
}

impl FeedQuery {
    /// Reads the query and the headers that have a say; the error is a sentence for the client.
    pub fn parse(query: &str, headers: &HeaderMap) -> Result<Self, String> {
        let server_sent = header(headers, ACCEPT.as_str()).contains("text/event-stream");
        let mut parsed = Self {
            after: 0,
            limit: None,
            // A browser's EventSource cannot say so, and would only come back at once.
            follow: server_sent,
            filter: LogFilter::default(),
            server_sent,
            named: true,
        };
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            parsed.read(&name, &value)?;
        }
        if server_sent && headers.contains_key("last-event-id") {
            // The place that a reconnecting reader has reached comes before the one that it began with.
            parsed.after = place(header(headers, "last-event-id"), "Last-Event-ID")?;
        }
        if !parsed.follow {
            parsed.limit.get_or_insert(DEFAULT_LIMIT);
        }
        Ok(parsed)
    }

    fn read(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "after" => self.after = place(value, "after")?,
            "limit" => {
                let limit = value.parse().ok().filter(|limit| *limit > 0);
                self.limit = Some(limit.ok_or("limit has to be a whole number from 1 on")?);
            }
            "follow" => {
                self.follow = match value {
                    "true" | "1" | "" => true,
                    "false" | "0" => false,
                    _ => return Err("follow has to be true or false".to_owned()),
                }
            }
            "event" => {
                self.named = match value {
                    "type" => true,
                    "message" => false,
                    _ => return Err("event has to be type or message".to_owned()),
                }
            }
            "user" => {
                let user = UserId::parse(value).ok_or("user has to be the id of an account")?;
                self.filter.user = Some(user);
            }
            "type" => add_listed_kinds(value, &mut self.filter.event_types)
                .map_err(|error| format!("type {error}"))?,
            // Unknown members of a request are passed over, here as elsewhere.
            _ => {}
        }
        Ok(())
    }
}

fn place(text: &str, name: &str) -> Result<u64, String> {
    // The stores count in signed 64-bit numbers.
    text.parse()
        .ok()
        .filter(|place| i64::try_from(*place).is_ok())
        .ok_or_else(|| format!("{name} has to be a log index: a whole number from 0 on"))
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
        FeedQuery::parse(query, &headers.collect())
    }

    #[test]
    fn an_answer_ends_at_a_thousand_events_unless_it_follows() {
        assert_eq!(parse("", &[]).unwrap().limit, Some(1000));
        assert_eq!(parse("follow=true", &[]).unwrap().limit, None);
        assert_eq!(parse("follow=true&limit=7", &[]).unwrap().limit, Some(7));
    }

    #[test]
    fn the_place_that_a_reader_of_server_sent_events_has_reached_prevails() {
        let sse = ("accept", "text/event-stream");
        let query = parse("after=3", &[sse, ("last-event-id", "41")]).unwrap();
        assert!(query.follow && query.server_sent);
        assert_eq!(query.after, 41);
        assert_eq!(parse("after=3", &[sse]).unwrap().after, 3);
    }

    #[test]
    fn types_go_by_either_of_their_names() {
        let query = parse("type=LoggedIn,dev.authlog.user.registered.v1", &[]).unwrap();
        assert_eq!(query.filter.event_types, ["LoggedIn", "UserRegistered"]);
    }

    #[test]
    fn a_type_that_is_named_a_thousand_times_is_asked_for_once() {
        let names = "LoggedIn,dev.authlog.user.registered.v1,".repeat(1000);
        let query = parse(&format!("type={}", names.trim_end_matches(',')), &[]).unwrap();
        assert_eq!(query.filter.event_types, ["LoggedIn", "UserRegistered"]);
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        for query in [
            "after=-1",
            "after=9223372036854775808",
            "after=x",
            "limit=0",
            "limit=many",
            "follow=perhaps",
            "event=all",
            "user=jo",
            "type=Unheard",
        ] {
            let member = query.split('=').next().unwrap();
            assert!(parse(query, &[]).unwrap_err().contains(member), "{query}");
        }
    }
}
