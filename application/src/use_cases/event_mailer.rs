//! Telling people by mail what happened to their accounts, and mailing links about e-mail addresses.
//!
//! Which events are told stands in `authlog-projections`; each waits in a queue that its own append filled. The text is
//! made when it is sent: nothing secret waits anywhere. A node that ends between the sending and the note that it was
//! sent leaves the mail to be sent once more; otherwise each goes out once.

use std::sync::Arc;

use authlog_domain::session::SessionEvent;
use authlog_domain::user::{EmailVerificationRequested, UserEvent};
use authlog_domain::{AggregateKind, Email, Timestamp, UserId};
use tokio::sync::Notify;

use super::mail_errands::{self, Delay};
use crate::authlog::{Parts, Settings};
use crate::ports::{DueMail, Mail, StoreError, StreamId};

/// Sends the mails that tell of events.
pub struct EventMailer {
    errand: Errand,
    wake: Arc<Notify>,
}

/// What handling one entry takes.
#[derive(Clone)]
struct Errand {
    parts: Parts,
    settings: Arc<Settings>,
}

impl EventMailer {
    pub(crate) fn new(parts: Parts, settings: Arc<Settings>, wake: Arc<Notify>) -> Self {
        Self {
            errand: Errand { parts, settings },
            wake,
        }
    }

    /// Works until it is dropped. A mail that is interrupted is taken up again later.
    pub async fn run(self) {
        mail_errands::run(self.errand, self.wake).await;
    }
}

impl mail_errands::Errand for Errand {
    type Entry = DueMail;

    const WHAT: &'static str = "mail about an event";

    fn parts(&self) -> &Parts {
        &self.parts
    }

    fn name(due: &DueMail) -> String {
        format!("user {}", due.user)
    }

    fn attempts(due: &DueMail) -> u32 {
        due.attempts
    }

    async fn take(
        &self,
        now: Timestamp,
        leased_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<DueMail>, StoreError> {
        self.parts
            .mail_queue
            .take_due_mail(now, leased_until, limit)
            .await
    }

    async fn complete(&self, due: &DueMail) -> Result<(), StoreError> {
        self.parts.mail_queue.complete_mail(due).await
    }

    async fn postpone(&self, due: &DueMail, at: Timestamp) -> Result<(), StoreError> {
        self.parts.mail_queue.postpone_mail(due, at).await
    }

    async fn carry_out(&self, due: &DueMail) -> Result<(), Delay> {
        match self.compose(due).await? {
            Some(mail) => mail_errands::send(&self.parts, mail).await,
            None => Ok(()),
        }
    }
}

impl Errand {
    /// The mail, if there still is anybody to tell and anything to say.
    async fn compose(&self, due: &DueMail) -> Result<Option<Mail>, Delay> {
        let Some(account) = self.parts.directory.account(due.user).await? else {
            return Ok(None);
        };
        if due.stream.kind == AggregateKind::Session {
            let event: Option<SessionEvent> = self.event(due).await?;
            return Ok(match (event, account.email) {
                (Some(SessionEvent::RefreshTokenReused(event)), Some(to)) => {
                    Some(reused(due.user, to, event.at))
                }
                _ => None,
            });
        }
        let Some(event) = self.event::<UserEvent>(due).await? else {
            return Ok(None);
        };
        let user = due.user;
        let to = account.email;
        Ok(match event {
            UserEvent::PasswordChanged(event) => to.map(|to| new_password(user, to, event.at)),
            UserEvent::PasswordReset(event) => to.map(|to| new_password(user, to, event.at)),
            UserEvent::UserLocked(event) => to.map(|to| locked(user, to, event.at)),
            UserEvent::EmailChanged(event) => {
                let before = self.address_before(user, due.sequence).await?;
                before.map(|to| new_address(user, to, event.at))
            }
            UserEvent::EmailVerificationRequested(event) => {
                let now = self.parts.clock.now();
                // A newer link replaced this one, or it was followed, or it expired: it would be no good.
                let pending = account
                    .pending_verification
                    .filter(|pending| pending.allows(event.verification, now));
                pending
                    .and_then(|pending| pending.email.or(to))
                    .map(|to| self.link(user, to, &event))
            }
            _ => None,
        })
    }

    async fn event<E: serde::de::DeserializeOwned>(
        &self,
        due: &DueMail,
    ) -> Result<Option<E>, StoreError> {
        let events = self.parts.events.load(&due.stream).await?;
        let event = events
            .into_iter()
            .find(|event| event.sequence as u64 == due.sequence);
        event
            .map(|event| serde_json::from_value(event.payload))
            .transpose()
            .map_err(|error| StoreError::Unreadable(Box::new(error)))
    }

    /// The address that the account had before its event of that number.
    async fn address_before(
        &self,
        user: UserId,
        sequence: u64,
    ) -> Result<Option<Email>, StoreError> {
        let stream = StreamId {
            kind: AggregateKind::User,
            id: user.to_string(),
        };
        let mut address = None;
        for event in self.parts.events.load(&stream).await? {
            if event.sequence as u64 >= sequence {
                break;
            }
            let event = serde_json::from_value(event.payload)
                .map_err(|error| StoreError::Unreadable(Box::new(error)))?;
            match event {
                UserEvent::UserRegistered(event) => {
                    address = event.email.and_then(|email| email.known().cloned());
                }
                UserEvent::EmailChanged(event) => address = event.email.known().cloned(),
                _ => {}
            }
        }
        Ok(address)
    }

    fn link(&self, user: UserId, to: Email, event: &EmailVerificationRequested) -> Mail {
        let token = self
            .parts
            .secrets
            .verification_token(user, event.verification);
        let hours = self.settings.verification_lifetime.as_secs() / 3600;
        let page = &self.settings.verification_page;
        Mail {
            user,
            to,
            subject: "Confirm your e-mail address".to_owned(),
            text: format!(
                "Somebody, hopefully you, gave this address for an account.\n\
                 To confirm that it is yours, open this link within {hours} hours:\n\
                 \n\
                 {page}?token={token}\n\
                 \n\
                 If it was not you, do nothing.\n"
            ),
        }
    }
}

fn new_password(user: UserId, to: Email, at: Timestamp) -> Mail {
    notice(
        user,
        to,
        "Your password was changed",
        &format!("The password of your account was changed at {}.", said(at)),
        "If it was not you, reset your password at once: that signs everybody out.",
    )
}

fn new_address(user: UserId, to: Email, at: Timestamp) -> Mail {
    notice(
        user,
        to,
        "Your e-mail address was changed",
        &format!(
            "Your account got another e-mail address at {}. Mail about it does not come here any more.",
            said(at)
        ),
        "If it was not you, tell whoever runs this service at once.",
    )
}

fn locked(user: UserId, to: Email, at: Timestamp) -> Mail {
    notice(
        user,
        to,
        "Your account was locked",
        &format!(
            "Your account was locked at {}, and you were signed out everywhere.",
            said(at)
        ),
        "To have it unlocked, ask whoever runs this service.",
    )
}

fn reused(user: UserId, to: Email, at: Timestamp) -> Mail {
    notice(
        user,
        to,
        "You were signed out, to be safe",
        &format!(
            "At {} a key to one of your sessions was used a second time. Somebody may have copied it, so the session was ended.",
            said(at)
        ),
        "Sign in again. If this happens more than once, change your password.",
    )
}

fn notice(user: UserId, to: Email, subject: &str, happened: &str, to_do: &str) -> Mail {
    Mail {
        user,
        to,
        subject: subject.to_owned(),
        text: format!("{happened}\n\n{to_do}\n"),
    }
}

/// An instant as people read it, to the minute: `2026-11-21 10:55 UTC`.
fn said(at: Timestamp) -> String {
    let text = at.to_string();
    let (day, time) = text.split_once('T').unwrap_or((&text, ""));
    format!("{day} {} UTC", time.get(..5).unwrap_or(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_said_to_the_minute() {
        let at = Timestamp::parse("2026-11-21T10:55:18.367Z");
        assert_eq!(at.map(said).as_deref(), Some("2026-11-21 10:55 UTC"));
    }
}
