//! The kinds of aggregate, with the names under which their events are stored.

use cqrs_es::Aggregate;

use crate::{Client, EventKind, RefusedLogins, Session, User};

/// A kind of aggregate. Its name is part of every stored event and never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AggregateKind {
    /// An account.
    User,
    /// A session: one sign-in.
    Session,
    /// The refused logins of one account on one day.
    RefusedLogins,
    /// An OAuth client. Its events belong to no account.
    Client,
}

impl AggregateKind {
    /// Every kind, in the order in which a rebuild visits them.
    pub const ALL: [Self; 4] = [Self::User, Self::Session, Self::RefusedLogins, Self::Client];

    /// The stored name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => User::TYPE,
            Self::Session => Session::TYPE,
            Self::RefusedLogins => RefusedLogins::TYPE,
            Self::Client => Client::TYPE,
        }
    }

    /// The kind with this stored name. `None` if there is none.
    pub fn from_stored(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The personal fields of events of this type; see [`EventKind::personal_fields`]. Empty for a type that this
    /// program does not know, or that belongs to another kind of aggregate.
    pub fn personal_fields(self, event_type: &str) -> &'static [&'static str] {
        EventKind::from_stored(event_type)
            .filter(|kind| kind.aggregate() == self)
            .map_or(&[], EventKind::personal_fields)
    }
}
