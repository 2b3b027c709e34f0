//! An account that an administrator changes, with a history of any length.

use std::sync::Arc;

use authlog_application::ports::RecordedEvent;
use authlog_application::ports::{Account, Append, Base, StagedStream, StreamId};
use authlog_domain::user::{UserEvent, UserUnlocked};
use authlog_domain::{AggregateKind, UserId};
use authlog_infrastructure::postgres::PostgresStore;
use authlog_infrastructure::sealing::MasterKey;
use authlog_infrastructure::sqlite::SqliteStore;
use authlog_infrastructure::system::SystemEntropy;
use cqrs_es::DomainEvent as _;
use serde_json::{Value, json};

use super::contract::Tokens;
use super::endpoint::Endpoint;
use super::meter::{Meter, Spent};
use super::program::Program;
use super::store::Store;
use super::{own, staff};

/// An administrator and the account of another person.
pub struct AdministeredAccount {
    pub meter: Meter,
    administrator: Tokens,
    pub account: String,
}

impl AdministeredAccount {
    pub async fn on(store: Store) -> Self {
        let meter = Meter::on(store).await;
        let ann = meter.signed_in_person().await;
        let administrator = staff::signed_in(&meter.service, "root", "admin").await;
        let found = meter.http.send(own::USERS).bearer(&administrator.access);
        let found = found.query(&format!("email={}", ann.email)).await.json();
        let account = found["users"][0]["id"].as_str().unwrap().to_owned();
        Self {
            meter,
            administrator,
            account,
        }
    }

    pub async fn asks(&self, method: &'static str, rest: &str, body: &Value) {
        let path = format!("/admin/users/{}{rest}", self.account);
        let request = self.meter.http.send(Endpoint::at(method, path.leak()));
        let request = request.bearer(&self.administrator.access);
        let answer = request.json(body).await;
        assert!(answer.status < 300, "{answer}");
    }

    pub async fn gives_role(&self, role: &str) {
        self.asks("PUT", "/role", &json!({"role": role})).await;
    }

    /// The cost of changing the account's role this many times.
    pub async fn changes(&self, times: u64) -> Spent {
        let spent = self.meter.spent(async || {
            for number in 0..times {
                let role = ["auditor", "user"][number as usize % 2];
                self.gives_role(role).await;
            }
        });
        spent.await
    }

    /// Adds this many events to the account's stream, a thousand at a time, as another node could.
    pub async fn lengthen_the_stream(&self, events: u64) {
        let node = another_node(&self.meter.service).await;
        let user = UserId::parse(&self.account).unwrap();
        for _ in 0..events / 1000 {
            let row = node.account(user).await.unwrap().unwrap();
            let append = Append {
                streams: vec![unlocked(row, 1000)],
                ..Append::default()
            };
            node.append(append).await.unwrap();
        }
    }
}

/// A second connection to the service's store.
pub async fn another_node(service: &Program) -> Arc<dyn authlog_infrastructure::Store> {
    let data = service.settings.data();
    let master = MasterKey::load(&data.join("master.key")).unwrap();
    let entropy = Arc::new(SystemEntropy);
    match service.settings.get("AUTHLOG_DATABASE_URL") {
        Some(url) => {
            let opened = PostgresStore::open(url, false, master, entropy).await;
            Arc::new(opened.unwrap())
        }
        None => {
            let opened = SqliteStore::open(&data.join("authlog.db"), master, entropy);
            Arc::new(opened.unwrap())
        }
    }
}

/// Unlocks the account this many times: events that change nothing but its version.
fn unlocked(row: Account, times: usize) -> StagedStream {
    let id = row.id.to_string();
    let event = UserEvent::UserUnlocked(UserUnlocked { at: row.updated_at });
    let first = row.version + 1;
    let new = (first..first + times as u64).map(|sequence| RecordedEvent {
        aggregate_id: id.clone(),
        sequence,
        aggregate_type: AggregateKind::User.as_str().to_owned(),
        event_type: event.event_type(),
        event_version: event.event_version(),
        payload: serde_json::to_value(&event).unwrap(),
        metadata: json!({"user_id": id}),
    });
    StagedStream {
        new: new.collect(),
        stream: StreamId {
            kind: AggregateKind::User,
            id,
        },
        base: Base::Account(Box::new(row)),
    }
}
