//! The row of an account has the same state as its events.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use authlog_domain::user::{
    EmailChanged, EmailVerificationRequested, EmailVerified, PasswordChanged, PasswordRehashed,
    PasswordReset, PasswordResetRequested, RoleChanged, SessionsRevoked, UserEvent, UserLocked,
    UserRegistered, UserUnlocked,
};
use authlog_domain::{
    AccountNumber, AggregateKind, CredentialId, Email, Personal, ResetId, RevocationReason, Role,
    SessionId, Timestamp, User, UserId, Username, VerificationId,
};
use authlog_projections::{
    Account, Base, RecordedEvent, Row, StagedStream, StreamId, account, claim_changes, row_after,
};
use cqrs_es::{Aggregate, DomainEvent};
use proptest::prelude::*;
use uuid::Uuid;

const ID: Uuid = Uuid::from_u128(1);

fn at(minute: u64) -> Timestamp {
    Timestamp::from_unix_millis(1_700_000_000_000).plus(Duration::from_secs(60 * minute))
}

fn email(number: u128) -> Email {
    Email::parse(&format!("ada{number}@people.example")).unwrap()
}

/// An event with ids made of `number`. `kind` selects its type; `epoch` is the account's session epoch, which is raised as
/// in the program.
fn event(kind: u8, minute: u64, number: u128, epoch: &mut u32) -> UserEvent {
    let (at, expires_at) = (at(minute), at(minute + 30));
    let id = Uuid::from_u128(number);
    let (credential, reset) = (CredentialId::new(id), ResetId::new(id));
    let verification = VerificationId::new(id);
    let mut next_epoch = || {
        *epoch += 1;
        *epoch
    };
    match kind {
        0 => UserEvent::PasswordResetRequested(PasswordResetRequested {
            at,
            reset,
            expires_at,
        }),
        1 => UserEvent::PasswordReset(PasswordReset {
            at,
            reset,
            credential,
            session_epoch: next_epoch(),
        }),
        2 => UserEvent::PasswordRehashed(PasswordRehashed { at, credential }),
        3 => UserEvent::PasswordChanged(PasswordChanged {
            at,
            credential,
            session_epoch: next_epoch(),
            kept_session: SessionId::new(id),
        }),
        4 => UserEvent::SessionsRevoked(SessionsRevoked {
            at,
            reason: RevocationReason::Owner,
            session_epoch: next_epoch(),
            kept_session: number.is_multiple_of(2).then_some(SessionId::new(id)),
        }),
        5 => UserEvent::RoleChanged(RoleChanged {
            at,
            role: Role::ALL[number as usize % Role::ALL.len()],
            session_epoch: Some(next_epoch()),
        }),
        6 => UserEvent::UserLocked(UserLocked {
            at,
            session_epoch: next_epoch(),
        }),
        7 => UserEvent::UserUnlocked(UserUnlocked { at }),
        8 | 9 => UserEvent::EmailVerificationRequested(EmailVerificationRequested {
            at,
            verification,
            email: (kind == 9).then(|| Personal::Known(email(number))),
            expires_at,
        }),
        10 => UserEvent::EmailVerified(EmailVerified { at, verification }),
        _ => UserEvent::EmailChanged(EmailChanged {
            at,
            verification,
            email: Personal::Known(email(number)),
        }),
    }
}

/// The events of one account: a registration, followed by any later ones.
fn life() -> impl Strategy<Value = Vec<UserEvent>> {
    let later = proptest::collection::vec((0..12_u8, 1..20_u64, 2..9_u128), 0..24);
    (any::<bool>(), later).prop_map(|(has_email, later)| {
        let mut events = vec![UserEvent::UserRegistered(UserRegistered {
            at: at(0),
            number: AccountNumber::new(7),
            username: Username::parse("ada").ok().map(Personal::Known),
            email: has_email.then(|| Personal::Known(email(1))),
            name: None,
            phone: None,
            role: Role::User,
            credential: CredentialId::new(Uuid::from_u128(1)),
        })];
        let (mut minute, mut epoch) = (0, 0);
        for (kind, pause, number) in later {
            minute += pause;
            events.push(event(kind, minute, number, &mut epoch));
        }
        events
    })
}

fn recorded(events: &[UserEvent]) -> Vec<RecordedEvent> {
    (1..)
        .zip(events)
        .map(|(sequence, event)| RecordedEvent {
            aggregate_id: ID.to_string(),
            sequence,
            aggregate_type: User::TYPE.to_owned(),
            event_type: event.event_type(),
            event_version: event.event_version(),
            payload: serde_json::to_value(event).unwrap(),
            metadata: serde_json::json!({}),
        })
        .collect()
}

fn staged(base: Account, new: &[RecordedEvent]) -> StagedStream {
    StagedStream {
        stream: StreamId {
            kind: AggregateKind::User,
            id: ID.to_string(),
        },
        base: Base::Account(Box::new(base)),
        new: new.to_vec(),
    }
}

proptest! {
    #[test]
    fn a_row_leads_to_the_same_decisions_as_its_events(life in life()) {
        let mut user = User::default();
        let recorded = recorded(&life);
        for (index, event) in life.iter().enumerate() {
            user.apply(event.clone());
            let row = account(&recorded[..=index]).unwrap().unwrap();
            prop_assert_eq!(row.id, UserId::new(ID));
            prop_assert_eq!(row.version, index as u64 + 1);
            prop_assert_eq!(&User::Registered(row.state()), &user);
        }
    }

    #[test]
    fn a_row_folded_in_two_steps_equals_one_folded_in_one(life in life(), split in 1..24_usize) {
        let recorded = recorded(&life);
        let (before, new) = recorded.split_at(split.min(recorded.len()));
        let base = account(before).unwrap().unwrap();
        let whole = account(&recorded).unwrap().unwrap();
        let after = row_after(&staged(base.clone(), new)).unwrap();
        prop_assert_eq!(after, Some(Row::Account(Box::new(whole.clone()))));
        let changes = claim_changes(Some(&base), &whole);
        prop_assert_eq!(changes.claimed.is_empty(), base.email == whole.email);
        let was_replaced = base.email.is_some() && base.email != whole.email;
        prop_assert_eq!(changes.released.len(), usize::from(was_replaced));
    }

    /// A missing value in a row is not filled in by later events, because they do not repeat the earlier requests.
    #[test]
    fn recent_requests_that_are_missing_in_a_row_stay_missing(life in life(), split in 1..24_usize) {
        let recorded = recorded(&life);
        let (before, new) = recorded.split_at(split.min(recorded.len()));
        let mut base = account(before).unwrap().unwrap();
        base.recent_requests = None;
        let mut expected = account(&recorded).unwrap().unwrap();
        expected.recent_requests = None;
        let after = row_after(&staged(base, new)).unwrap();
        prop_assert_eq!(after, Some(Row::Account(Box::new(expected))));
    }
}
