//! The row of a session has the same state as its events.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use authlog_domain::session::{
    LoggedIn, LoggedOut, RefreshTokenReused, SessionEvent, SessionRevoked, SteppedUp,
    TokenRefreshed,
};
use authlog_domain::{
    AggregateKind, AuthenticationLevel, AuthenticationMethods, ClientId, FactorId,
    RevocationReason, Rotation, Scopes, Session, SessionId, Timestamp, UserId,
};
use authlog_projections::{Base, RecordedEvent, Row, StagedStream, StreamId, row_after, session};
use cqrs_es::{Aggregate, DomainEvent};
use proptest::prelude::*;
use uuid::Uuid;

const ID: Uuid = Uuid::from_u128(2);

fn at(minute: u64) -> Timestamp {
    Timestamp::from_unix_millis(1_700_000_000_000).plus(Duration::from_secs(60 * minute))
}

/// The events of one session: a login, followed by refreshes that replace the token or repeat it and by step-ups, and perhaps
/// an end.
fn life() -> impl Strategy<Value = Vec<SessionEvent>> {
    let refreshes = proptest::collection::vec((any::<bool>(), 1..20_u64, any::<bool>()), 0..12);
    let end = proptest::option::of(0..3);
    (refreshes, end, any::<bool>()).prop_map(|(refreshes, end, rotates)| {
        let rotation = if rotates {
            Rotation::Rotating
        } else {
            Rotation::Reusable
        };
        let mut events = vec![SessionEvent::LoggedIn(LoggedIn {
            at: at(0),
            user: UserId::new(Uuid::from_u128(1)),
            epoch: 3,
            rotation: Some(rotation),
            expires_at: at(60),
            amr: rotates.then_some(AuthenticationMethods::PASSWORD_AND_CODE),
            acr: rotates.then_some(AuthenticationLevel::Aal2),
            auth_time: rotates.then_some(at(0)),
            factor: rotates.then_some(FactorId::new(Uuid::from_u128(2))),
            client: rotates.then(|| ClientId::from_stored("shop")),
            scopes: rotates.then(|| Scopes::from_stored("openid")),
            audience: vec![],
            parent: rotates.then_some(SessionId::new(Uuid::from_u128(9))),
            dpop_jkt: None,
        })];
        let (mut minute, mut generation) = (0, 0);
        for (replaces, pause, steps_up) in refreshes {
            minute += pause;
            if steps_up {
                events.push(SessionEvent::SteppedUp(SteppedUp {
                    at: at(minute),
                    amr: AuthenticationMethods::PASSWORD_AND_CODE,
                    acr: AuthenticationLevel::Aal2,
                    auth_time: at(minute),
                    factor: None,
                }));
            }
            generation += u32::from(replaces && rotates);
            events.push(SessionEvent::TokenRefreshed(TokenRefreshed {
                at: at(minute),
                generation,
                expires_at: at(minute + 60),
            }));
        }
        let at = at(minute + 1);
        events.extend(end.map(|end| match end {
            0 => SessionEvent::LoggedOut(LoggedOut { at }),
            1 => SessionEvent::RefreshTokenReused(RefreshTokenReused { at, generation: 0 }),
            _ => SessionEvent::SessionRevoked(SessionRevoked {
                at,
                reason: RevocationReason::Owner,
            }),
        }));
        events
    })
}

fn recorded(events: &[SessionEvent]) -> Vec<RecordedEvent> {
    (1..)
        .zip(events)
        .map(|(sequence, event)| RecordedEvent {
            aggregate_id: ID.to_string(),
            sequence,
            aggregate_type: Session::TYPE.to_owned(),
            event_type: event.event_type(),
            event_version: event.event_version(),
            payload: serde_json::to_value(event).unwrap(),
            metadata: serde_json::json!({"contract": "users"}),
        })
        .collect()
}

proptest! {
    #[test]
    fn a_row_leads_to_the_same_decisions_as_its_events(life in life()) {
        let mut aggregate = Session::default();
        let recorded = recorded(&life);
        for (index, event) in life.iter().enumerate() {
            aggregate.apply(event.clone());
            let row = session(&recorded[..=index]).unwrap().unwrap();
            prop_assert_eq!(row.id, SessionId::new(ID));
            prop_assert_eq!(row.version, index as u64 + 1);
            prop_assert_eq!(&Session::Started(row.state()), &aggregate);
        }
    }

    #[test]
    fn a_row_folded_in_two_steps_equals_one_folded_in_one(life in life(), split in 1..12_usize) {
        let recorded = recorded(&life);
        let split = split.min(recorded.len());
        let staged = StagedStream {
            stream: StreamId { kind: AggregateKind::Session, id: ID.to_string() },
            base: Base::Session(Box::new(session(&recorded[..split]).unwrap().unwrap())),
            new: recorded[split..].to_vec(),
        };
        let whole = session(&recorded).unwrap().unwrap();
        prop_assert_eq!(row_after(&staged).unwrap(), Some(Row::Session(Box::new(whole))));
    }
}
