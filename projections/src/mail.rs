//! Mail: the events about which an account's owner is notified.

use authlog_domain::session::SessionEvent;
use authlog_domain::user::UserEvent;
use authlog_domain::{AggregateKind, Email, Notice, Timestamp};

use crate::accounts::account_after;
use crate::{RecordedEvent, StagedStream, Unreadable, read};

/// A mail about a staged event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotifiableEvent {
    /// The mail to send.
    pub notice: Notice,
    /// When the event occurred.
    pub at: Timestamp,
    /// The recipient, if that is not the account's address after the event.
    pub address: Option<Email>,
}

/// The mails about the staged events of a stream: notices of changes that a thief of the account would make, and requested
/// links.
///
/// # Errors
/// An event cannot be read.
pub fn events_to_mail(staged: &StagedStream) -> Result<Vec<NotifiableEvent>, Unreadable> {
    let mut mails = Vec::new();
    for recorded in &staged.new {
        mails.extend(match staged.stream.kind {
            AggregateKind::User => of_user(staged, recorded)?,
            AggregateKind::Session => of_session(&read(recorded)?),
            AggregateKind::RefusedLogins | AggregateKind::Client => None,
        });
    }
    Ok(mails)
}

fn of_user(
    staged: &StagedStream,
    recorded: &RecordedEvent,
) -> Result<Option<NotifiableEvent>, Unreadable> {
    let event: UserEvent = read(recorded)?;
    let Some(notice) = event.kind().notice() else {
        return Ok(None);
    };
    let address = match &event {
        UserEvent::EmailChanged(event) => {
            match former_address(staged, recorded, event.email.known())? {
                Some(former) => Some(former),
                None => return Ok(None),
            }
        }
        UserEvent::EmailVerificationRequested(event) => event
            .email
            .as_ref()
            .and_then(|email| email.known().cloned()),
        _ => None,
    };
    Ok(Some(NotifiableEvent {
        notice,
        at: event.at(),
        address,
    }))
}

/// The account's address before `recorded` changed it, if it was verified. Another spelling of the same mailbox is not
/// a change.
fn former_address(
    staged: &StagedStream,
    recorded: &RecordedEvent,
    now: Option<&Email>,
) -> Result<Option<Email>, Unreadable> {
    let earlier = staged.new.iter();
    let earlier = earlier.take_while(|event| event.sequence < recorded.sequence);
    let before = account_after(staged.base.account().cloned(), earlier)?;
    Ok(before
        .filter(|before| before.email_verified)
        .and_then(|before| before.email)
        .filter(|email| now.map(Email::comparable) != Some(email.comparable())))
}

fn of_session(event: &SessionEvent) -> Option<NotifiableEvent> {
    event.kind().notice().map(|notice| NotifiableEvent {
        notice,
        at: event.at(),
        address: None,
    })
}
