//! What a reader of an account's past asks for.

use authlog_application::ports::{HistoryFilter, Moment};
use authlog_application::published::add_listed_kinds;
use authlog_domain::{SessionId, Timestamp};

/// Events in an answer, unless another number is asked for.
const DEFAULT_LIMIT: u32 = 100;

/// The most that are answered at once: about a megabyte.
pub(super) const MAX_LIMIT: u32 = 1000;

/// Which part of a history.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HistoryQuery {
    /// Events with places in the log after this one.
    pub after: u64,
    /// No more than this many.
    pub limit: u32,
    /// Which events.
    pub filter: HistoryFilter,
}

impl HistoryQuery {
    /// Reads the query; the error is a sentence for the client.
    pub fn parse(query: &str) -> Result<Self, String> {
        let mut parsed = Self {
            after: 0,
            limit: DEFAULT_LIMIT,
            filter: HistoryFilter::default(),
        };
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            parsed.read(&name, &value)?;
        }
        Ok(parsed)
    }

    fn read(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "after" => {
                let place = value.parse().ok();
                // The stores count in signed 64-bit numbers.
                let place = place.filter(|place| i64::try_from(*place).is_ok());
                self.after =
                    place.ok_or("after has to be a log index: a whole number from 0 on")?;
            }
            "limit" => {
                let limit = value.parse().ok().filter(|limit| *limit > 0);
                let limit: u32 = limit.ok_or("limit has to be a whole number from 1 on")?;
                self.limit = limit.min(MAX_LIMIT);
            }
            "since" => self.filter.since = Some(instant(name, value)?),
            "until" => self.filter.until = Some(instant(name, value)?),
            "session" => {
                let session = SessionId::parse(value);
                self.filter.session = Some(session.ok_or("session has to be the id of a session")?);
            }
            "type" => add_listed_kinds(value, &mut self.filter.event_types)
                .map_err(|error| format!("type {error}"))?,
            // Unknown members of a request are passed over, here as elsewhere.
            _ => {}
        }
        Ok(())
    }
}

/// Which moment of an account.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct StateQuery {
    /// The moment; `None` for now.
    pub at: Option<Moment>,
}

impl StateQuery {
    /// Reads the query; the error is a sentence for the client.
    pub fn parse(query: &str) -> Result<Self, String> {
        let mut at = None;
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            if name == "at" {
                let moment = Moment::parse(&plus_restored(&value));
                at = Some(moment.ok_or(
                    "at has to be a log index or an RFC 3339 instant, such as 2025-06-01T12:00:00Z",
                )?);
            }
        }
        Ok(Self { at })
    }
}

fn instant(name: &str, value: &str) -> Result<Timestamp, String> {
    Timestamp::parse(&plus_restored(value)).ok_or_else(|| {
        format!("{name} has to be an RFC 3339 instant, such as 2025-06-01T12:00:00Z")
    })
}

/// Whoever writes `+02:00` into a query has written a space. No instant has one there.
fn plus_restored(value: &str) -> String {
    value.replace(' ', "+")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_history_is_asked_for_by_place_time_type_and_session() {
        let session = "0192d3f0-0000-7000-8000-000000000001";
        let query = format!(
            "after=7&limit=5000&since=2025-06-01T12:00:00+02:00&until=2025-06-02T00:00:00Z\
             &type=LoggedIn,dev.authlog.session.logged-out.v1&session={session}&unheard=of"
        );
        let parsed = HistoryQuery::parse(&query).unwrap();
        assert_eq!((parsed.after, parsed.limit), (7, MAX_LIMIT));
        assert_eq!(
            parsed.filter,
            HistoryFilter {
                since: Timestamp::parse("2025-06-01T10:00:00Z"),
                until: Timestamp::parse("2025-06-02T00:00:00Z"),
                event_types: vec!["LoggedIn".to_owned(), "LoggedOut".to_owned()],
                session: SessionId::parse(session),
            }
        );
    }

    #[test]
    fn a_type_that_is_named_a_thousand_times_is_asked_for_once() {
        let names = "LoggedIn,dev.authlog.session.logged-in.v1,LoggedOut,".repeat(1000);
        let names = names.trim_end_matches(',');
        let parsed = HistoryQuery::parse(&format!("type={names}&type={names}")).unwrap();
        assert_eq!(parsed.filter.event_types, ["LoggedIn", "LoggedOut"]);
    }

    #[test]
    fn what_cannot_be_read_is_told_by_its_name() {
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
            "type=Unheard",
        ] {
            let member = query.split('=').next().unwrap();
            let told = HistoryQuery::parse(query).unwrap_err();
            assert!(told.contains(member), "{query}: {told}");
        }
        for query in ["at=noon", "at=9999-12-31T23:59:59-00:01"] {
            assert!(
                StateQuery::parse(query).unwrap_err().contains("at"),
                "{query}"
            );
        }
        assert_eq!(StateQuery::parse("").unwrap().at, None);
    }
}
