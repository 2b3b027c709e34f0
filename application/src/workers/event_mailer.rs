//! Sends notices about events of accounts, and links that verify e-mail addresses.
//!
//! `authlog-projections` decides which events lead to a mail. Each such mail waits in a queue that the append of its event
//! filled. The text is composed at sending time from the queue entry and the current account, so no secret is queued and no
//! event is read. A node that crashes after sending and before recording it sends the mail once more; otherwise each mail is
//! sent once.
//!
//! Notices go only to verified addresses. Links also go to unverified ones: verifying the address is their purpose.

use std::sync::Arc;

use authlog_domain::user::PendingVerification;
use authlog_domain::{Email, Timestamp};
use tokio::sync::Notify;

use super::mail_jobs::{self, Delay, MailDelivery, MailJob};
use super::{Stop, Worker};
use crate::authlog::{Parts, Settings};
use crate::ports::{
    Account, DueMail, Identifier, Mail, MailKind, MailQueue, QueuedMail, SecretTokens, StoreError,
};

/// Sends the queued mail about accounts.
pub(crate) struct EventMailer {
    job: EventMailJob,
    wake: Arc<Notify>,
}

/// What an entry of the queue is handled with.
#[derive(Clone)]
struct EventMailJob {
    queue: Arc<dyn MailQueue>,
    secrets: Arc<dyn SecretTokens>,
    delivery: MailDelivery,
    settings: Arc<Settings>,
}

impl EventMailer {
    pub(crate) fn new(parts: &Parts, settings: Arc<Settings>, wake: Arc<Notify>) -> Self {
        let job = EventMailJob {
            queue: Arc::clone(&parts.mail_queue),
            secrets: Arc::clone(&parts.secrets),
            delivery: MailDelivery::new(parts),
            settings,
        };
        Self { job, wake }
    }
}

impl Worker for EventMailer {
    const NAME: &'static str = "event_mailer";
    const STOP: Stop = Stop::Abort;

    /// Works until it is dropped. An interrupted mail is retried when its lease expires.
    async fn run(&mut self) {
        mail_jobs::run(self.job.clone(), Arc::clone(&self.wake)).await;
    }
}

impl MailJob for EventMailJob {
    type Entry = DueMail;

    const WHAT: &'static str = "mail about an event";

    fn now(&self) -> Timestamp {
        self.delivery.now()
    }

    fn name(due: &DueMail) -> String {
        format!("user {}", due.user)
    }

    fn attempts(due: &DueMail) -> u32 {
        due.attempts
    }

    fn unacknowledged(due: &DueMail) -> u32 {
        due.unacknowledged
    }

    async fn take(
        &self,
        now: Timestamp,
        leased_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<DueMail>, StoreError> {
        self.queue.take_due_mail(now, leased_until, limit).await
    }

    async fn complete(&self, due: &DueMail) -> Result<(), StoreError> {
        self.queue.complete_mail(due).await
    }

    async fn postpone(
        &self,
        due: &DueMail,
        at: Timestamp,
        unacknowledged: u32,
    ) -> Result<(), StoreError> {
        let due = DueMail {
            unacknowledged,
            ..due.clone()
        };
        self.queue.postpone_mail(&due, at).await
    }

    async fn run_job(&self, due: &DueMail) -> Result<(), Delay> {
        let Some(mail) = self.compose(due).await? else {
            return Ok(());
        };
        let entry = QueuedMail::Due(due.id);
        if self.delivery.admit(entry, &mail.to, due.kind).await? {
            self.delivery.send(mail).await?;
        }
        Ok(())
    }
}

impl EventMailJob {
    /// The mail; `None` if there is no address to send it to, or it no longer applies.
    async fn compose(&self, due: &DueMail) -> Result<Option<Mail>, Delay> {
        let Some(account) = self.delivery.directory.account(due.user).await? else {
            return Ok(None);
        };
        let notice: fn(&DueMail, Email) -> Mail = match due.kind {
            MailKind::PasswordChanged => new_password,
            MailKind::EmailChanged => {
                let former = due.address.clone();
                return Ok(former.map(|to| new_address(due, to)));
            }
            MailKind::AccountLocked => locked,
            MailKind::RefreshTokenReused => reused,
            MailKind::AddressWanted => wanted,
            MailKind::SecondFactorAdded => factor_added,
            MailKind::PasskeyCounterWentBack => passkey_copied,
            MailKind::SecondFactorRemoved => factor_removed,
            MailKind::RecoveryCodes => recovery_codes,
            MailKind::PasswordBreached => password_breached,
            MailKind::VerificationLink => return self.link(due, &account).await,
            // Reset links have a queue of their own.
            MailKind::ResetLink => return Ok(None),
        };
        let verified = account.email.filter(|_| account.email_verified);
        Ok(verified.map(|to| notice(due, to)))
    }

    /// The mail with the account's newest link; `None` if that link was used, has expired, or is for another address than
    /// this entry. An entry without an address is for any link: earlier versions stored no address.
    ///
    /// If the address belongs to another account, the owner of that account gets a notice instead. The notice is an entry of
    /// its own, so that the time that this entry takes does not reveal that a mail is sent.
    async fn link(&self, due: &DueMail, account: &Account) -> Result<Option<Mail>, Delay> {
        let now = self.delivery.now();
        let pending = account.pending_verification.as_ref();
        let is_valid = |it: &&PendingVerification| it.allows(it.verification, now);
        let Some(pending) = pending.filter(is_valid).filter(|it| is_about(due, it)) else {
            return Ok(None);
        };
        let Some(to) = pending.email.as_ref().or(account.email.as_ref()) else {
            return Ok(None);
        };
        let identifier = Identifier::Email(to.clone());
        let owner = self.delivery.directory.find_account(&identifier).await?;
        if let Some(owner) = owner.filter(|owner| owner.id != due.user) {
            if owner.email_verified {
                self.queue
                    .enqueue_mail(owner.id, MailKind::AddressWanted, due.happened_at)
                    .await?;
            }
            return Ok(None);
        }
        let token = self
            .secrets
            .verification_token(due.user, pending.verification);
        let hours = self.settings.verification_lifetime.as_secs() / 3600;
        let page = &self.settings.verification_page;
        Ok(Some(Mail {
            entry: due.id,
            user: due.user,
            to: to.clone(),
            subject: "Confirm your e-mail address".to_owned(),
            text: format!(
                "Someone, hopefully you, gave this address {when} for {which}.\n\
                 To confirm that it is yours, open this link within {hours} hours:\n\
                 \n\
                 {page}?token={token}\n\
                 \n\
                 {otherwise}\n",
                which = which_account(account),
                when = when(due),
                otherwise = match pending.email {
                    Some(_) => OTHER_ADDRESS,
                    None => OWN_ADDRESS,
                },
            ),
        }))
    }
}

/// Advice to a person who did not request the link, where it is for the address given at the registration.
const OWN_ADDRESS: &str = "The link asks for the password of that account. If you did not register it, do not confirm: \
                           do nothing, or have a new password set, which signs the other person out.";

/// The same advice where the link is for a new address of the account.
const OTHER_ADDRESS: &str = "If it was not you, do nothing.";

/// Describes the account of a link without its current address: the mailbox that receives the link may not belong to the
/// account's owner.
fn which_account(account: &Account) -> String {
    let registered = account.created_at.to_the_minute();
    match &account.username {
        Some(username) => format!(
            "the account \"{}\", which was registered at {registered}",
            username.as_str()
        ),
        None => format!("an account that was registered at {registered}"),
    }
}

/// Whether an entry of the queue is about this link. An entry without an address is about any link.
fn is_about(due: &DueMail, pending: &PendingVerification) -> bool {
    let comparable = |email: &Option<Email>| email.as_ref().map(Email::comparable);
    due.address.is_none() || comparable(&pending.email) == comparable(&due.address)
}

fn new_password(due: &DueMail, to: Email) -> Mail {
    let happened = format!("The password of your account was changed {}.", when(due));
    let to_do = "If it was not you, reset your password at once: that signs everybody out.";
    notice(due, to, "Your password was changed", &happened, to_do)
}

fn new_address(due: &DueMail, to: Email) -> Mail {
    let happened = format!(
        "Your account was given another e-mail address {}. Mail about it does not come here any more.",
        when(due)
    );
    let to_do = "If it was not you, contact the people who run this service at once.";
    notice(due, to, "Your e-mail address was changed", &happened, to_do)
}

fn locked(due: &DueMail, to: Email) -> Mail {
    let happened = format!(
        "Your account was locked {}, and you were signed out everywhere.",
        when(due)
    );
    let to_do = "To have it unlocked, ask the people who run this service.";
    notice(due, to, "Your account was locked", &happened, to_do)
}

fn reused(due: &DueMail, to: Email) -> Mail {
    let happened = format!(
        "A key to one of your sessions was used a second time {}. It may have been copied, so the session was ended.",
        when(due)
    );
    let to_do = "Sign in again. If this happens more than once, change your password.";
    notice(due, to, "You were signed out, to be safe", &happened, to_do)
}

fn factor_added(due: &DueMail, to: Email) -> Mail {
    let happened = format!(
        "An authenticator app or a passkey was added to your account {}. Your password alone does not sign in any more.",
        when(due)
    );
    let to_do = "If it was not you, ask the people who run this service to remove it, and change your password.";
    let subject = "An authenticator app or a passkey was added";
    notice(due, to, subject, &happened, to_do)
}

fn passkey_copied(due: &DueMail, to: Email) -> Mail {
    let happened = format!(
        "A passkey of your account was used {}, and its counter was not higher than at the use before. There may be a copy of \
         the passkey, or its device is faulty. The login was not refused.",
        when(due)
    );
    let to_do = "If it was not you, remove the passkey and end your other sessions. If this happens more than once, replace it.";
    notice(
        due,
        to,
        "Your passkey may have been copied",
        &happened,
        to_do,
    )
}

fn factor_removed(due: &DueMail, to: Email) -> Mail {
    let happened = format!(
        "An authenticator app or a passkey was removed from your account {}.",
        when(due)
    );
    let to_do = "If it was not you and you did not ask for it, change your password at once and add it again.";
    let subject = "An authenticator app or a passkey was removed";
    notice(due, to, subject, &happened, to_do)
}

fn recovery_codes(due: &DueMail, to: Email) -> Mail {
    let happened = format!(
        "Recovery codes of your account were made or used {}.",
        when(due)
    );
    let to_do = "If it was not you, change your password at once and make new recovery codes.";
    notice(
        due,
        to,
        "Your recovery codes were made or used",
        &happened,
        to_do,
    )
}

fn password_breached(due: &DueMail, to: Email) -> Mail {
    let happened = format!(
        "You signed in {} with a password that is on a list of breached passwords. Others know it, and can try it here.",
        when(due)
    );
    let to_do = "Set a new password, here and at every other service where you use this one.";
    notice(
        due,
        to,
        "Your password is on a list of breached ones",
        &happened,
        to_do,
    )
}

fn wanted(due: &DueMail, to: Email) -> Mail {
    let happened = format!(
        "The owner of another account asked to use this e-mail address {}. Nothing was changed: the address stays with your \
         account, and no link was sent.",
        when(due)
    );
    let to_do = "If it was you, you have two accounts: to use this address with the other one, give this account another \
                 address first, or erase it. If it was not you, you need not do anything.";
    notice(
        due,
        to,
        "Your e-mail address was asked for",
        &happened,
        to_do,
    )
}

fn notice(due: &DueMail, to: Email, subject: &str, happened: &str, to_do: &str) -> Mail {
    Mail {
        entry: due.id,
        user: due.user,
        to,
        subject: subject.to_owned(),
        text: format!("{happened}\n\n{to_do}\n"),
    }
}

/// When the event occurred; if it occurred several times since the last mail, how often, and when last.
fn when(due: &DueMail) -> String {
    let at = due.happened_at.to_the_minute();
    match due.happened {
        0 | 1 => format!("at {at}"),
        times => format!("{times} times, most recently at {at}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_event_is_mailed_with_its_count() {
        let due = |happened| DueMail {
            id: uuid::Uuid::nil(),
            user: authlog_domain::UserId::new(uuid::Uuid::nil()),
            kind: MailKind::PasswordChanged,
            address: None,
            happened,
            happened_at: Timestamp::from_unix_millis(0),
            attempts: 1,
            unacknowledged: 0,
        };
        assert_eq!(when(&due(1)), "at 1970-01-01 00:00 UTC");
        let several = "12 times, most recently at 1970-01-01 00:00 UTC";
        assert_eq!(when(&due(12)), several);
    }

    #[test]
    fn an_entry_without_an_address_is_about_any_link() {
        let address = |text: &str| Some(Email::from_stored(text));
        let due = |address| DueMail {
            id: uuid::Uuid::nil(),
            user: authlog_domain::UserId::new(uuid::Uuid::nil()),
            kind: MailKind::VerificationLink,
            address,
            happened: 1,
            happened_at: Timestamp::from_unix_millis(0),
            attempts: 1,
            unacknowledged: 0,
        };
        let pending = |email| PendingVerification {
            verification: authlog_domain::VerificationId::new(uuid::Uuid::nil()),
            email,
            expires_at: Timestamp::from_unix_millis(0),
        };
        let wanted = pending(address("ann@example.com"));
        assert!(is_about(&due(None), &wanted));
        assert!(is_about(&due(None), &pending(None)));
        assert!(is_about(&due(address("ANN@example.com")), &wanted));
        assert!(!is_about(&due(address("bob@example.com")), &wanted));
        assert!(!is_about(&due(address("bob@example.com")), &pending(None)));
    }
}
