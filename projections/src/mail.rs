//! The mail: of which events a person is told.

use authlog_application::ports::{MailKind, StagedStream};
use authlog_domain::session::SessionEvent;
use authlog_domain::user::UserEvent;
use authlog_domain::{AggregateKind, Email, Timestamp};
use cqrs_es::persist::SerializedEvent;

use crate::{Unreadable, account, read};

/// What a staged event has the account's person told by mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldByMail {
    /// What happened.
    pub kind: MailKind,
    /// When.
    pub at: Timestamp,
    /// The address to tell, where that is not the one that the account has afterwards.
    pub former_address: Option<Email>,
}

/// What the staged events of a stream have the account's person told: what a thief of the account would do, and links that
/// were asked for.
///
/// # Errors
/// An event cannot be read.
pub fn told_by_mail(staged: &StagedStream) -> Result<Vec<ToldByMail>, Unreadable> {
    let mut told = Vec::new();
    for recorded in &staged.new {
        told.extend(match staged.stream.kind {
            AggregateKind::User => of_user(staged, recorded)?,
            AggregateKind::Session => of_session(&read(recorded)?),
            AggregateKind::RefusedLogins => None,
        });
    }
    Ok(told)
}

fn of_user(
    staged: &StagedStream,
    recorded: &SerializedEvent,
) -> Result<Option<ToldByMail>, Unreadable> {
    let event: UserEvent = read(recorded)?;
    let kind = match &event {
        UserEvent::PasswordReset(_) | UserEvent::PasswordChanged(_) => MailKind::PasswordChanged,
        UserEvent::UserLocked(_) => MailKind::AccountLocked,
        UserEvent::EmailVerificationRequested(_) => MailKind::VerificationLink,
        UserEvent::EmailChanged(_) => MailKind::EmailChanged,
        UserEvent::UserRegistered(_)
        | UserEvent::PasswordResetRequested(_)
        | UserEvent::PasswordRehashed(_)
        | UserEvent::SessionsRevoked(_)
        | UserEvent::RoleChanged(_)
        | UserEvent::UserUnlocked(_)
        | UserEvent::EmailVerified(_)
        | UserEvent::UserErased(_) => return Ok(None),
    };
    let former_address = match &event {
        UserEvent::EmailChanged(event) => {
            match former_address(staged, recorded, event.email.known())? {
                Some(former) => Some(former),
                None => return Ok(None),
            }
        }
        _ => None,
    };
    Ok(Some(ToldByMail {
        kind,
        at: event.at(),
        former_address,
    }))
}

/// The address that the account had before `recorded` gave it another one, if that was known to be its person's. Another
/// spelling of one address is no other address.
fn former_address(
    staged: &StagedStream,
    recorded: &SerializedEvent,
    now: Option<&Email>,
) -> Result<Option<Email>, Unreadable> {
    let earlier = staged.new.iter();
    let earlier = earlier.take_while(|event| event.sequence < recorded.sequence);
    let before = account(staged.prior.iter().chain(earlier))?;
    Ok(before
        .filter(|before| before.email_verified)
        .and_then(|before| before.email)
        .filter(|email| now.map(Email::comparable) != Some(email.comparable())))
}

fn of_session(event: &SessionEvent) -> Option<ToldByMail> {
    match event {
        SessionEvent::RefreshTokenReused(event) => Some(ToldByMail {
            kind: MailKind::RefreshTokenReused,
            at: event.at,
            former_address: None,
        }),
        SessionEvent::LoggedIn(_)
        | SessionEvent::TokenRefreshed(_)
        | SessionEvent::LoggedOut(_)
        | SessionEvent::SessionRevoked(_) => None,
    }
}
