//! Revocations, as both stores read them from events that end sessions.

use authlog_application::ports::{Revocation, StoreError};
use authlog_domain::user::RaisedEpoch;
use authlog_domain::{AggregateKind, EventKind, SessionId, UserId};

use super::unreadable;

/// The SQL condition that the type of an event is one that ends sessions. The partial indexes of both stores use the
/// same words in the same order: a query uses an index only if its condition matches. A test compares the list with
/// the catalogue.
macro_rules! is_of_revoking_type {
    () => {
        "event_type IN ('LoggedOut', 'RefreshTokenReused', 'SessionRevoked', 'PasswordReset', 'PasswordChanged', 'SessionsRevoked', 'RoleChanged', 'UserLocked', 'UserErased')"
    };
}
pub(crate) use is_of_revoking_type;

/// The revocation that follows from a stored event; `None` if the event ends no session, as a change of role in its
/// first version.
pub(crate) fn revocation(
    event_type: &str,
    aggregate_id: uuid::Uuid,
    raised: Option<RaisedEpoch>,
) -> Result<Option<Revocation>, StoreError> {
    let user = UserId::new(aggregate_id);
    let Some(kind) = EventKind::from_stored(event_type).filter(|kind| kind.ends_sessions()) else {
        return Ok(None);
    };
    if kind.aggregate() == AggregateKind::Session {
        return Ok(Some(Revocation::Session(SessionId::new(aggregate_id))));
    }
    match raised {
        Some(raised) => Ok(Some(Revocation::of_account(user, kind, raised))),
        None if kind == EventKind::RoleChanged => Ok(None),
        None => Err(unreadable(NoEpoch)),
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

/// An event that ends every session of an account names the epoch that begins.
#[derive(Debug, thiserror::Error)]
#[error("a stored event that ends sessions names no session epoch")]
struct NoEpoch;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_indexes_name_exactly_the_types_of_events_that_end_sessions() {
        let named: BTreeSet<&str> = is_of_revoking_type!()
            .trim_start_matches("event_type IN (")
            .trim_end_matches(')')
            .split(", ")
            .map(|name| name.trim_matches('\''))
            .collect();
        let ending = EventKind::ALL
            .into_iter()
            .filter(|kind| kind.ends_sessions());
        assert_eq!(named, ending.map(EventKind::stored_type).collect());
    }
}
