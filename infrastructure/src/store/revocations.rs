//! Revocations, as both stores read them from events that end sessions.

use authlog_application::ports::{Revocation, StoreError};
use authlog_domain::user::RaisedEpoch;
use authlog_domain::{AggregateKind, EventKind, SessionId, UserId};

use super::unreadable;

/// Hands the types of the events that ended sessions before an event stored whether it does to a macro. No type is added: since
/// migration 0027 an append stores it. The partial indexes of both stores name these types in the same words and order as the
/// queries, because a query uses an index only if its condition matches.
macro_rules! revoking_types {
    ($with:ident) => {
        $with!(
            "LoggedOut",
            "RefreshTokenReused",
            "SessionRevoked",
            "PasswordReset",
            "PasswordChanged",
            "SessionsRevoked",
            "RoleChanged",
            "UserLocked",
            "UserErased"
        )
    };
}
pub(crate) use revoking_types;

/// The revocation that follows from a stored event; `None` if the event ends no session, as a change of role in its
/// first version. What `raised` reads from the payload is needed of an account's event only.
///
/// Of a kind that this program knows, the catalogue says whether it ends sessions. An event of another kind was appended by a
/// newer node and is here because it is stored that it does: one of a session ends that session, and one of an account names
/// the epoch that it begins, as all such events do.
pub(crate) fn revocation(
    aggregate_type: &str,
    event_type: &str,
    aggregate_id: uuid::Uuid,
    raised: impl FnOnce() -> Result<Option<RaisedEpoch>, StoreError>,
) -> Result<Option<Revocation>, StoreError> {
    let kind = EventKind::from_stored(event_type);
    if kind.is_some_and(|kind| !kind.ends_sessions()) {
        return Ok(None);
    }
    let known = kind.map(EventKind::aggregate);
    match known.or_else(|| AggregateKind::from_stored(aggregate_type)) {
        Some(AggregateKind::Session) => Ok(Some(Revocation::Session(SessionId::new(aggregate_id)))),
        Some(AggregateKind::User) => match raised()? {
            Some(raised) => {
                let user = UserId::new(aggregate_id);
                Ok(Some(Revocation::of_account(user, kind, raised)))
            }
            None if kind == Some(EventKind::RoleChanged) => Ok(None),
            None => Err(unreadable(EndsNothingKnown)),
        },
        Some(AggregateKind::RefusedLogins | AggregateKind::Client) | None => {
            Err(unreadable(EndsNothingKnown))
        }
    }
}

/// The revocation that was read from the event at `position`. An event that cannot be read is skipped and logged:
/// this program did not write it, and the deny list must contain the revocations after it.
pub(crate) fn readable_revocation<E: std::fmt::Display>(
    position: i64,
    read: Result<Option<Revocation>, E>,
) -> Option<Revocation> {
    read.unwrap_or_else(|error| {
        tracing::error!(
            position,
            %error,
            "an event that ends sessions cannot be read and ends none on this node; run `authlog log verify` and `authlog doctor`"
        );
        None
    })
}

/// An event that ends sessions names the session, or the epoch of the account that begins.
#[derive(Debug, thiserror::Error)]
#[error("a stored event that ends sessions names neither a session nor a session epoch")]
struct EndsNothingKnown;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_that_is_named_in_sql_ends_sessions() {
        macro_rules! list {
            ($($name:literal),+) => { [$($name),+] };
        }
        let types = revoking_types!(list).map(EventKind::from_stored);
        let ends = |kind: &Option<EventKind>| kind.is_some_and(EventKind::ends_sessions);
        assert!(types.iter().all(ends), "{types:?}");
    }
}
