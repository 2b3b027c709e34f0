//! The kinds of aggregate, by the stable names under which their events are stored.

use cqrs_es::Aggregate;

use crate::{EventKind, RefusedLogins, Session, User};

/// A kind of aggregate. The names are part of every stored event and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AggregateKind {
    /// An account.
    User,
    /// One sign-in.
    Session,
    /// One account's refused logins of one day.
    RefusedLogins,
}

impl AggregateKind {
    /// Every kind, in the order in which a rebuild visits them.
    pub const ALL: [Self; 3] = [Self::User, Self::Session, Self::RefusedLogins];

    /// The stored name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => User::TYPE,
            Self::Session => Session::TYPE,
            Self::RefusedLogins => RefusedLogins::TYPE,
        }
    }

    /// The kind stored under `name`, if there is one.
    pub fn from_stored(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Where the personal fields of its events of this type lie; see [`EventKind::personal_fields`]. Of a type that it does
    /// not have there are none.
    pub fn personal_fields(self, event_type: &str) -> &'static [&'static str] {
        EventKind::from_stored(event_type)
            .filter(|kind| kind.aggregate() == self)
            .map_or(&[], EventKind::personal_fields)
    }
}
