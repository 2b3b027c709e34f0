//! The cost of operations in statements, password hashes and events, counted and not timed.

use std::collections::BTreeMap;

use super::http::Http;
use super::statements::{Calls, Statements};
use super::{Contract, Person, Program, Settings, Store, eventually, own};

/// Statements, each identified by a part of its text. A statement may also contain the part of one that is listed later, but
/// not of one that is listed earlier: the first part that matches names it.
pub mod asked {
    pub const ACCOUNT_AND_HASH: &str = "JOIN credentials p";
    pub const ACCOUNT: &str = "FROM accounts a WHERE a.user_id";
    pub const SESSION: &str = "s JOIN accounts a ON a.user_id = s.user_id WHERE asked.session_id";
    pub const OPAQUE_TOKEN: &str = "FROM opaque_tokens t";
    pub const TAKEN_NAMES: &str = "SELECT digest FROM identifier_claims";
    pub const ACCOUNT_NUMBER: &str = "SELECT nextval";
    pub const ACCOUNT_KEY: &str = "SELECT wrapped FROM subject_keys";
    pub const AUTHENTICATOR_APPS: &str = "FROM second_factors f";
    pub const OTHER_SESSIONS: &str = "count(*) OVER () AS sessions";
    pub const LAST_SEQUENCE: &str = "SELECT coalesce(max(sequence)";
    pub const EVENTS: &str = "FROM events WHERE aggregate_type = $1 AND aggregate_id = $2";
    pub const APPEND: &str = "INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, ends_sessions) SELECT";
    /// A variant that PostgreSQL plans several times as fast.
    pub const APPEND_TO_SESSION: &str = "INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, ends_sessions) VALUES";
}

/// The cost of one operation.
#[derive(Clone, Copy)]
pub struct Price {
    /// The statements on PostgreSQL, each by its name in [`asked`].
    pub statements: &'static [&'static str],
    pub hashes: u64,
    pub events: u64,
}

/// No statement, no hash and no event.
pub const NOTHING: Price = Price {
    statements: &[],
    hashes: 0,
    events: 0,
};

/// The cost of several operations.
#[derive(Debug, PartialEq, Eq)]
pub struct Spent {
    /// Statements by name, or in full if they have none. Empty on SQLite, which does not count them.
    statements: BTreeMap<String, u64>,
    hashes: u64,
    events: u64,
}

/// The counters of `/metrics`.
pub struct Counted {
    pub hashes: u64,
    pub events: u64,
}

/// A service whose costs are measured.
pub struct Meter {
    pub service: Program,
    pub http: Http,
    statements: Option<Statements>,
}

impl Meter {
    /// A service on an empty store of that kind.
    pub async fn on(store: Store) -> Self {
        // Log lines of thousands of requests would hide problems.
        let settings = Settings::on(store).with("AUTHLOG_LOG", "warn");
        let service = settings.with_cheap_hashing().start().await;
        Self {
            http: service.http(),
            statements: (store == Store::Postgres).then(|| Statements::of(&service)),
            service,
        }
    }

    /// The cost of `operations`.
    pub async fn spent(&self, operations: impl AsyncFnOnce()) -> Spent {
        let counted = self.counted().await;
        let asked = self.asked().await;
        operations().await;
        let statements = match (&self.statements, asked) {
            (Some(statements), Some(before)) => by_name(statements.since(&before).await),
            _ => BTreeMap::new(),
        };
        let Counted { hashes, events } = self.counted().await;
        Spent {
            statements,
            hashes: hashes - counted.hashes,
            events: events - counted.events,
        }
    }

    /// Asserts that the operations cost no more than this. On a busy machine the revocation feed can be half a second
    /// late, and the node then queries the database for each token; so the operations are repeated. A real excess
    /// occurs every time.
    pub async fn comes_to_cost(&self, price: &Spent, spend: impl AsyncFn() -> Spent) {
        for _ in 0..5 {
            if spend().await == *price {
                return;
            }
        }
        assert_eq!(spend().await, *price);
    }

    /// This many times the price.
    pub fn times(&self, times: u64, price: Price) -> Spent {
        let mut statements = BTreeMap::new();
        if self.statements.is_some() {
            for name in price.statements {
                *statements.entry((*name).to_owned()).or_default() += times;
            }
        }
        Spent {
            statements,
            hashes: times * price.hashes,
            events: times * price.events,
        }
    }

    async fn asked(&self) -> Option<Calls> {
        match &self.statements {
            Some(statements) => Some(statements.so_far().await),
            None => None,
        }
    }

    /// The hashes and events so far, once all events have a log index. Reading them executes only background statements.
    pub async fn counted(&self) -> Counted {
        eventually("every event has a log index", async || {
            let metrics = self.service.send(own::METRICS).await.body;
            let metric = |name: &str| -> Option<u64> {
                let value = metrics.lines().find_map(|line| line.strip_prefix(name))?;
                value.trim().parse().ok()
            };
            let waiting = metric("authlog_lag_events{stage=\"sequencer\"}")?;
            (waiting == 0).then_some(())?;
            Some(Counted {
                // The metric is absent until the first one.
                hashes: metric("authlog_password_hashes_total").unwrap_or(0),
                events: metric("authlog_log_index")?,
            })
        })
        .await
    }

    /// Registers Ann and signs her in, so that the service has the account's key in its cache.
    pub async fn signed_in_person(&self) -> Person {
        let ann = Person::called("ann");
        Contract::V1Auth.registers(&self.http, &ann).await;
        Contract::V1Auth.signs_in(&self.http, &ann).await;
        ann
    }
}

fn by_name(calls: Calls) -> BTreeMap<String, u64> {
    const NAMES: [&str; 13] = [
        asked::ACCOUNT_AND_HASH,
        asked::ACCOUNT,
        asked::SESSION,
        asked::OPAQUE_TOKEN,
        asked::TAKEN_NAMES,
        asked::ACCOUNT_NUMBER,
        asked::ACCOUNT_KEY,
        asked::AUTHENTICATOR_APPS,
        asked::OTHER_SESSIONS,
        asked::LAST_SEQUENCE,
        asked::EVENTS,
        asked::APPEND,
        asked::APPEND_TO_SESSION,
    ];
    let mut by_name = BTreeMap::new();
    for (text, calls) in calls.of_operations() {
        let name = NAMES.into_iter().find(|name| text.contains(name));
        let name = name.map_or(text, str::to_owned);
        *by_name.entry(name).or_default() += calls;
    }
    by_name
}
