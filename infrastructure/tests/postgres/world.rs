//! People, their sessions, and the appends that their doings come down to.

use authlog_application::ports::{
    Append, CredentialRecord, Entropy, EventStore, Identifier, OpaqueTokenRecord, PasswordHash,
    StagedStream, StreamId, TokenDigest,
};
use authlog_domain::session::{LoggedIn, LoggedOut, SessionEvent, TokenRefreshed};
use authlog_domain::user::{PasswordReset, UserEvent, UserRegistered};
use authlog_domain::{
    AccountNumber, AggregateKind, CredentialId, Email, PersonName, Personal, ResetId, Role,
    Rotation, SessionId, Timestamp, UserId, Username,
};
use cqrs_es::DomainEvent;
use cqrs_es::persist::SerializedEvent;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

/// The randomness of the operating system.
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        aws_lc_rs::rand::fill(bytes).unwrap();
    }
}

impl OsEntropy {
    pub fn number() -> u128 {
        let mut bytes = [0; 16];
        Self.fill(&mut bytes);
        u128::from_le_bytes(bytes)
    }
}

pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_millis(1_700_000_000_000 + seconds * 1000 + 337)
}

fn id() -> Uuid {
    OsEntropy.random_uuid()
}

fn metadata(user: UserId) -> serde_json::Value {
    json!({
        "user_id": user.to_string(),
        "request_id": id().to_string(),
        "contract": "users",
        "ip": "192.0.2.1",
    })
}

/// The stream grown by `events`.
pub fn staged<E: DomainEvent + Serialize>(
    stream: StreamId,
    user: UserId,
    prior: Vec<SerializedEvent>,
    events: &[E],
) -> StagedStream {
    let new = (prior.len() + 1..).zip(events).map(|(sequence, event)| {
        SerializedEvent::new(
            stream.id.clone(),
            sequence,
            stream.kind.as_str().to_owned(),
            event.event_type(),
            event.event_version(),
            serde_json::to_value(event).unwrap(),
            metadata(user),
        )
    });
    StagedStream {
        new: new.collect(),
        stream,
        prior,
    }
}

/// Somebody, and one session of theirs.
#[derive(Clone, Copy)]
pub struct Person {
    pub user: UserId,
    pub session: SessionId,
    pub credential: CredentialId,
}

impl Person {
    pub fn new() -> Self {
        Self {
            user: UserId::new(id()),
            session: SessionId::new(id()),
            credential: CredentialId::new(id()),
        }
    }

    pub fn user_stream(&self) -> StreamId {
        StreamId {
            kind: AggregateKind::User,
            id: self.user.to_string(),
        }
    }

    pub fn session_stream(&self) -> StreamId {
        StreamId {
            kind: AggregateKind::Session,
            id: self.session.to_string(),
        }
    }

    pub fn hash(&self) -> String {
        format!("$argon2id${}", self.credential)
    }

    /// The digest of the person's opaque token.
    pub fn digest(&self) -> TokenDigest {
        let mut digest = [0; 32];
        digest[..16].copy_from_slice(self.session.as_uuid().as_bytes());
        TokenDigest(digest)
    }

    /// Registers under `username` with an e-mail address to match, and signs in: all that one command can write.
    pub fn registers(&self, username: &str, number: i64) -> Append {
        let email = format!("{username}@example.org");
        let registered = UserEvent::UserRegistered(UserRegistered {
            at: at(0),
            number: AccountNumber::new(number),
            username: Some(Personal::Known(Username::parse(username).unwrap())),
            email: Some(Personal::Known(Email::parse(&email).unwrap())),
            name: Some(Personal::Known(
                PersonName::parse("Ann\u{e9} O’Neil").unwrap(),
            )),
            phone: None,
            role: Role::Auditor,
            credential: self.credential,
        });
        let logged_in = SessionEvent::LoggedIn(LoggedIn {
            at: at(1),
            user: self.user,
            epoch: 0,
            rotation: Some(Rotation::Rotating),
            expires_at: at(3600),
        });
        Append {
            streams: vec![
                staged(self.user_stream(), self.user, vec![], &[registered]),
                staged(self.session_stream(), self.user, vec![], &[logged_in]),
            ],
            credential: Some(CredentialRecord {
                user: self.user,
                credential: self.credential,
                hash: PasswordHash::from_stored(self.hash()),
            }),
            opaque_token: Some(OpaqueTokenRecord {
                digest: self.digest(),
                session: self.session,
                expires_at: at(1800),
            }),
        }
    }

    /// The session grows by `event`.
    pub async fn session_grows(&self, store: &dyn EventStore, event: SessionEvent) -> Append {
        let prior = store.load(&self.session_stream()).await.unwrap();
        Append {
            streams: vec![staged(self.session_stream(), self.user, prior, &[event])],
            ..Append::default()
        }
    }

    /// The account grows by a reset of its password.
    pub async fn resets(&self, store: &dyn EventStore, session_epoch: u32) -> Append {
        let prior = store.load(&self.user_stream()).await.unwrap();
        let reset = UserEvent::PasswordReset(PasswordReset {
            at: at(60),
            reset: ResetId::new(id()),
            credential: self.credential,
            session_epoch,
        });
        Append {
            streams: vec![staged(self.user_stream(), self.user, prior, &[reset])],
            ..Append::default()
        }
    }
}

pub fn refreshed(generation: u32) -> SessionEvent {
    SessionEvent::TokenRefreshed(TokenRefreshed {
        at: at(10 + i64::from(generation)),
        generation,
        expires_at: at(7200),
    })
}

pub fn logged_out() -> SessionEvent {
    SessionEvent::LoggedOut(LoggedOut { at: at(100) })
}

pub fn username(name: &str) -> Identifier {
    Identifier::parse(name).unwrap()
}
