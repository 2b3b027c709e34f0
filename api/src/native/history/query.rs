//! The queries of an account's history and of its state.

use authlog_application::ports::{HistoryFilter, Moment};
use authlog_domain::{SessionId, Timestamp};

use crate::native::query::{event_types, level, log_index, page_limit, parsed, read_parameters};

/// The number of events in a page, unless `limit` is given.
const DEFAULT_LIMIT: u32 = 100;

/// The largest number of events in a page: about a megabyte.
pub(super) const MAX_LIMIT: u32 = 1000;

/// Which part of a history.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HistoryQuery {
    /// Only events after this log index.
    pub after: u64,
    /// The largest number of events, up to [`MAX_LIMIT`].
    pub limit: u32,
    /// Which events.
    pub filter: HistoryFilter,
}

impl HistoryQuery {
    /// # Errors
    /// A sentence for the client about the first invalid parameter.
    pub fn parse(query: Option<&str>) -> Result<Self, String> {
        let mut history = Self {
            after: 0,
            limit: DEFAULT_LIMIT,
            filter: HistoryFilter::default(),
        };
        read_parameters(query, |name, value| history.read(name, value))?;
        Ok(history)
    }

    fn read(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "after" => self.after = log_index(name, value)?,
            "limit" => self.limit = page_limit(value, MAX_LIMIT)?,
            "since" => self.filter.since = Some(instant(name, value)?),
            "until" => self.filter.until = Some(instant(name, value)?),
            "session" => {
                let session = SessionId::parse(value);
                self.filter.session = Some(parsed(name, session, "the id of a session")?);
            }
            "type" => event_types(value, &mut self.filter.event_types)?,
            "below" => self.filter.below = Some(level(name, value)?),
            _ => {}
        }
        Ok(())
    }

    /// The number of events for whose memory the request is charged: with [`HistoryFilter::below`], the store reads more of
    /// them than it returns.
    pub fn charged(&self) -> u32 {
        if self.filter.below.is_some() {
            MAX_LIMIT
        } else {
            self.limit
        }
    }
}

/// Which state of an account.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct StateQuery {
    /// The log index or the instant; `None` for the current state.
    pub at: Option<Moment>,
}

impl StateQuery {
    /// # Errors
    /// A sentence for the client about the first invalid parameter.
    pub fn parse(query: Option<&str>) -> Result<Self, String> {
        let expected = "a log index or an RFC 3339 instant, such as 2025-06-01T12:00:00Z";
        let mut at = None;
        read_parameters(query, |name, value| {
            if name == "at" {
                let moment = Moment::parse(&with_plus(value));
                at = Some(parsed(name, moment, expected)?);
            }
            Ok(())
        })?;
        Ok(Self { at })
    }
}

fn instant(name: &str, value: &str) -> Result<Timestamp, String> {
    let expected = "an RFC 3339 instant, such as 2025-06-01T12:00:00Z";
    parsed(name, Timestamp::parse(&with_plus(value)), expected)
}

/// Reads a space as the plus sign of an offset: an unencoded `+02:00` in a query decodes to ` 02:00`. No valid instant
/// has a space.
fn with_plus(value: &str) -> String {
    value.replace(' ', "+")
}

#[cfg(test)]
mod tests {
    use authlog_domain::AuthenticationLevel;

    use super::*;

    #[test]
    fn a_history_is_filtered_by_index_time_type_and_session() {
        let session = "0192d3f0-0000-7000-8000-000000000001";
        let query = format!(
            "after=7&limit=5000&since=2025-06-01T12:00:00+02:00&until=2025-06-02T00:00:00Z\
             &below=aal2&type=LoggedIn,dev.authlog.session.logged-out.v1&session={session}&unheard=of"
        );
        let parsed = HistoryQuery::parse(Some(&query)).unwrap();
        assert_eq!((parsed.after, parsed.limit), (7, MAX_LIMIT));
        assert_eq!(
            parsed.filter,
            HistoryFilter {
                since: Timestamp::parse("2025-06-01T10:00:00Z"),
                until: Timestamp::parse("2025-06-02T00:00:00Z"),
                event_types: vec!["LoggedIn".to_owned(), "LoggedOut".to_owned()],
                session: SessionId::parse(session),
                below: Some(AuthenticationLevel::Aal2),
            }
        );
    }

    #[test]
    fn a_type_that_is_repeated_a_thousand_times_is_in_the_filter_once() {
        let names = "LoggedIn,dev.authlog.session.logged-in.v1,LoggedOut,".repeat(1000);
        let names = names.trim_end_matches(',');
        let parsed = HistoryQuery::parse(Some(&format!("type={names}&type={names}"))).unwrap();
        assert_eq!(parsed.filter.event_types, ["LoggedIn", "LoggedOut"]);
    }

    #[test]
    fn an_invalid_parameter_is_named_in_the_error() {
        for query in [
            "after=-1",
            "after=9223372036854775808",
            "limit=0",
            "limit=many",
            "since=yesterday",
            "since=0000-01-01T00:00:00+00:01",
            "until=9999-12-31T23:59:59-23:59",
            "until=2025-06-01",
            "session=mine",
            "below=aal3",
            "type=Unheard",
        ] {
            let name = query.split('=').next().unwrap();
            let error = HistoryQuery::parse(Some(query)).unwrap_err();
            assert!(error.contains(name), "{query}: {error}");
        }
        for query in ["at=noon", "at=9999-12-31T23:59:59-00:01"] {
            assert!(
                StateQuery::parse(Some(query)).unwrap_err().contains("at"),
                "{query}"
            );
        }
        assert_eq!(StateQuery::parse(None).unwrap().at, None);
    }
}
