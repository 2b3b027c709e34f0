//! The mail: of which events a person is told.

use authlog_application::ports::StagedStream;
use authlog_domain::session::SessionEvent;
use authlog_domain::user::UserEvent;
use authlog_domain::{AggregateKind, Timestamp};

use crate::{Unreadable, read};

/// A staged event of which the account's person is to be told by mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToldByMail {
    /// The event's number in its stream.
    pub sequence: usize,
    /// When it happened.
    pub at: Timestamp,
}

/// Those of the staged events of a stream of which the account's person is to be told: what whoever took the account
/// over would do, and links that were asked for.
///
/// # Errors
/// An event cannot be read.
pub fn told_by_mail(staged: &StagedStream) -> Result<Vec<ToldByMail>, Unreadable> {
    let mut told = Vec::new();
    for recorded in &staged.new {
        let at = match staged.stream.kind {
            AggregateKind::User => of_user(&read(recorded)?),
            AggregateKind::Session => of_session(&read(recorded)?),
            AggregateKind::RefusedLogins => None,
        };
        told.extend(at.map(|at| ToldByMail {
            sequence: recorded.sequence,
            at,
        }));
    }
    Ok(told)
}

fn of_user(event: &UserEvent) -> Option<Timestamp> {
    match event {
        UserEvent::PasswordReset(_)
        | UserEvent::PasswordChanged(_)
        | UserEvent::UserLocked(_)
        | UserEvent::EmailVerificationRequested(_)
        | UserEvent::EmailChanged(_) => Some(event.at()),
        UserEvent::UserRegistered(_)
        | UserEvent::PasswordResetRequested(_)
        | UserEvent::PasswordRehashed(_)
        | UserEvent::SessionsRevoked(_)
        | UserEvent::RoleChanged(_)
        | UserEvent::UserUnlocked(_)
        | UserEvent::EmailVerified(_)
        | UserEvent::UserErased(_) => None,
    }
}

fn of_session(event: &SessionEvent) -> Option<Timestamp> {
    match event {
        SessionEvent::RefreshTokenReused(event) => Some(event.at),
        SessionEvent::LoggedIn(_)
        | SessionEvent::TokenRefreshed(_)
        | SessionEvent::LoggedOut(_)
        | SessionEvent::SessionRevoked(_) => None,
    }
}
