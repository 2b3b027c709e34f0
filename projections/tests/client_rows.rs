//! The rows of clients: written one event at a time or folded at once, they are the same, and the domain agrees.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use authlog_domain::client::{
    ClientAuthMethod, ClientChange, ClientCommand, ClientEvent, ClientSettings, IdTokenAlg,
};
use authlog_domain::{AggregateKind, Client, ClientName, ClientSecretId, Scopes, Timestamp};
use authlog_projections::{Base, RecordedEvent, Row, StagedStream, StreamId, client, row_after};
use cqrs_es::{Aggregate as _, DomainEvent as _};
use uuid::Uuid;

fn settings(name: &str) -> ClientSettings {
    ClientSettings {
        name: ClientName::parse(name).unwrap(),
        redirect_uris: vec![],
        post_logout_redirect_uris: vec![],
        backchannel_logout_uri: None,
        grants: [].into(),
        scopes: Scopes::parse("openid").unwrap(),
        audiences: vec![],
        auth_method: ClientAuthMethod::ClientSecretBasic,
        jwks: None,
        require_pkce: true,
        dpop_bound: false,
        require_pushed_requests: false,
        id_token_alg: IdTokenAlg::Rs256,
        first_party: false,
    }
}

fn recorded(event: &ClientEvent, sequence: u64) -> RecordedEvent {
    RecordedEvent {
        aggregate_id: "shop".to_owned(),
        sequence,
        aggregate_type: AggregateKind::Client.as_str().to_owned(),
        event_type: event.event_type(),
        event_version: event.event_version(),
        payload: serde_json::to_value(event).unwrap(),
        metadata: serde_json::json!({}),
    }
}

#[test]
fn the_row_follows_the_aggregate_to_its_removal() {
    let secret = |number| ClientSecretId::new(Uuid::from_u128(number));
    let changes = [
        ClientChange::Register {
            settings: settings("Shop"),
            secret: secret(1),
        },
        ClientChange::Change {
            settings: settings("Old shop"),
        },
        ClientChange::IssueSecret { secret: secret(2) },
        ClientChange::RetireSecret { secret: secret(1) },
        ClientChange::Lock,
        ClientChange::Unlock,
        ClientChange::Remove,
    ];
    let (mut aggregate, mut events) = (Client::default(), Vec::new());
    let mut base = Base::Nothing;
    for change in changes {
        let at = Timestamp::from_unix_millis(events.len() as i64);
        let decided = aggregate.decide(ClientCommand { at, change }).unwrap();
        let mut new = Vec::new();
        for event in decided {
            let sequence = (events.len() + new.len()) as u64 + 1;
            new.push(recorded(&event, sequence));
            aggregate.apply(event);
        }
        events.extend(new.clone());
        let staged = StagedStream {
            stream: StreamId {
                kind: AggregateKind::Client,
                id: "shop".to_owned(),
            },
            base: base.clone(),
            new,
        };
        let Some(Row::Client(row)) = row_after(&staged).unwrap() else {
            panic!("a client has a row");
        };
        assert_eq!(row.aggregate(), aggregate);
        assert_eq!(row.version, events.len() as u64);
        assert_eq!(client(&events).unwrap().as_ref(), Some(&*row));
        base = Base::Client(row);
    }
    let row = client(&events).unwrap().unwrap();
    assert_eq!((row.state.clone(), row.registered()), (None, None));
}

#[test]
fn a_client_that_was_never_registered_has_no_row() {
    assert_eq!(client(&[]).unwrap(), None);
}
