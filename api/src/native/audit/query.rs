//! The query of `GET /audit/events`.

use std::ops::RangeInclusive;
use std::time::Duration;

use authlog_application::ports::LogFilter;
use authlog_domain::{AuthenticationLevel, Timestamp, UserId};
use axum::http::HeaderMap;
use axum::http::header::ACCEPT;

use crate::native::query::{event_types, level, limit, log_index, parsed, read_parameters};

/// The number of events in a response that does not follow the log, unless `limit` is given.
const DEFAULT_LIMIT: u64 = 1000;

/// The times between two heartbeats that a reader may ask for, in milliseconds.
const HEARTBEAT: RangeInclusive<u64> = 250..=15_000;

/// Where a reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// After this log index.
    After(u64),
    /// At the first event that was recorded at this instant or later.
    Since(Timestamp),
}

/// What a reader of the log asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FeedQuery {
    /// Where the reader begins.
    pub start: Start,
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
    /// The time between two heartbeats; `None` without heartbeats.
    pub heartbeat: Option<Duration>,
}

/// The positions that a query names, before one of them is chosen.
#[derive(Default)]
struct Positions {
    after: Option<u64>,
    since: Option<Timestamp>,
}

impl FeedQuery {
    /// Parses the query, and the headers `Accept` and `Last-Event-ID`.
    ///
    /// # Errors
    /// A sentence for the client about the first invalid parameter.
    pub fn parse(query: Option<&str>, headers: &HeaderMap) -> Result<Self, String> {
        let server_sent = header(headers, ACCEPT.as_str()).contains("text/event-stream");
        let mut positions = Positions::default();
        let mut feed = Self {
            start: Start::After(0),
            limit: None,
            // A browser's EventSource cannot send `follow`, and would only reconnect at the end.
            follow: server_sent,
            filter: LogFilter::default(),
            below: None,
            server_sent,
            named: true,
            heartbeat: None,
        };
        read_parameters(query, |name, value| feed.read(name, value, &mut positions))?;
        feed.start = match positions {
            Positions {
                after: Some(_),
                since: Some(_),
            } => {
                return Err("since cannot be combined with after.".to_owned());
            }
            Positions {
                since: Some(since), ..
            } => Start::Since(since),
            Positions { after, .. } => Start::After(after.unwrap_or_default()),
        };
        if server_sent && headers.contains_key("last-event-id") {
            // Where a reconnecting reader stopped takes precedence over where it began.
            let last = log_index("Last-Event-ID", header(headers, "last-event-id"))?;
            feed.start = Start::After(last);
        }
        if feed.heartbeat.is_some() && !feed.follow {
            return Err("heartbeat needs follow=true or server-sent events.".to_owned());
        }
        if !feed.follow {
            feed.limit.get_or_insert(DEFAULT_LIMIT);
        }
        Ok(feed)
    }

    fn read(&mut self, name: &str, value: &str, positions: &mut Positions) -> Result<(), String> {
        match name {
            "after" => positions.after = Some(log_index(name, value)?),
            "since" => {
                let since = Timestamp::parse(value);
                let expected = "an instant as in RFC 3339, such as 2026-11-30T06:00:00Z";
                positions.since = Some(parsed(name, since, expected)?);
            }
            "heartbeat" => {
                let millis = value.parse().ok().filter(|it| HEARTBEAT.contains(it));
                let expected = "a whole number of milliseconds from 250 to 15000";
                let millis = parsed(name, millis, expected)?;
                self.heartbeat = Some(Duration::from_millis(millis));
            }
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
        assert_eq!(query.start, Start::After(41));
        assert_eq!(parse("after=3", &[sse]).unwrap().start, Start::After(3));
        let since = "since=2026-11-30T06:00:00Z";
        let query = parse(since, &[sse, ("last-event-id", "41")]).unwrap();
        assert_eq!(query.start, Start::After(41));
    }

    #[test]
    fn a_reader_begins_after_an_index_or_at_an_instant() {
        assert_eq!(parse("", &[]).unwrap().start, Start::After(0));
        let instant = Timestamp::parse("2026-11-30T06:00:00Z").unwrap();
        let since = parse("since=2026-11-30T06:00:00Z", &[]).unwrap();
        assert_eq!(since.start, Start::Since(instant));
        let error = parse("after=0&since=2026-11-30T06:00:00Z", &[]).unwrap_err();
        assert_eq!(error, "since cannot be combined with after.");
    }

    #[test]
    fn only_a_reader_that_follows_may_have_heartbeats() {
        let sse = ("accept", "text/event-stream");
        let every = Some(Duration::from_millis(250));
        let followed = parse("follow=true&heartbeat=250", &[]).unwrap();
        assert_eq!(followed.heartbeat, every);
        assert_eq!(parse("heartbeat=250", &[sse]).unwrap().heartbeat, every);
        assert_eq!(parse("", &[sse]).unwrap().heartbeat, None);
        let error = parse("heartbeat=250", &[]).unwrap_err();
        assert!(error.contains("follow=true"), "{error}");
        assert!(parse("heartbeat=250&follow=false", &[]).is_err());
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
            "since=yesterday",
            "since=",
            "since=2026-11-30",
            "follow=true&heartbeat=249",
            "follow=true&heartbeat=15001",
            "follow=true&heartbeat=1e3",
            "follow=true&heartbeat=",
        ] {
            let query = query.trim_start_matches("follow=true&");
            let name = query.split('=').next().unwrap();
            let error = parse(query, &[]).unwrap_err();
            assert!(error.starts_with(name) && error.ends_with('.'), "{error}");
        }
    }
}
