//! Working through a durable queue of mail: taking what is due, handing it over, trying again later.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use authlog_domain::{Email, Timestamp};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::Refusal;
use crate::authlog::Parts;
use crate::ports::{Admission, Mail, MailError, MailKind, QueuedMail, StoreError};

/// How many entries one node works on at a time.
const AT_ONCE: u32 = 16;

/// How long one node has an entry to itself: longer than handing a mail over can take, so that none goes out twice, and
/// short enough that what a crashed node had taken is not late.
const LEASE: Duration = Duration::from_secs(45);

/// How often the queue is looked at when nobody wakes the mailer, for what another node left behind.
const IDLE: Duration = Duration::from_secs(1);

/// The first pause after a failure; each further one is twice as long, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// A mail server that was away is tried again at least this often.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Why an entry could not be carried out yet.
#[derive(Debug, thiserror::Error)]
pub(super) enum Delay {
    #[error("the store did not let it be made")]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Mail(#[from] MailError),
    #[error("the mailbox was sent enough for now")]
    MailboxFull { until: Timestamp },
}

impl From<StoreError> for Delay {
    fn from(error: StoreError) -> Self {
        Self::Refused(error.into())
    }
}

/// What one queue holds, and what is done about it.
pub(super) trait Errand: Clone + Send + Sync + 'static {
    /// An entry.
    type Entry: Send + Sync;

    /// What its mails are, in the log.
    const WHAT: &'static str;

    fn parts(&self) -> &Parts;

    /// What to call an entry in the log: nothing personal.
    fn name(entry: &Self::Entry) -> String;

    /// How often it was tried.
    fn attempts(entry: &Self::Entry) -> u32;

    /// Takes up to `limit` entries that are due, and hides them from others until `leased_until`.
    fn take(
        &self,
        now: Timestamp,
        leased_until: Timestamp,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Self::Entry>, StoreError>> + Send;

    /// Does what is to be done.
    fn carry_out(&self, entry: &Self::Entry) -> impl Future<Output = Result<(), Delay>> + Send;

    /// Removes an entry for good.
    fn complete(&self, entry: &Self::Entry) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Makes an entry due again at `at`.
    fn postpone(
        &self,
        entry: &Self::Entry,
        at: Timestamp,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Works until it is dropped. An entry that is interrupted is taken up again later.
pub(super) async fn run<E: Errand>(errand: E, wake: Arc<Notify>) {
    loop {
        match handle_due(&errand).await {
            Ok(0) => {
                let _ = tokio::time::timeout(IDLE, wake.notified()).await;
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(what = E::WHAT, %error, "mail is waiting");
                tokio::time::sleep(IDLE).await;
            }
        }
    }
}

/// Handles what is due, and says how many entries that were.
async fn handle_due<E: Errand>(errand: &E) -> Result<usize, StoreError> {
    let now = errand.parts().clock.now();
    let due = errand.take(now, now.plus(LEASE), AT_ONCE).await?;
    let count = due.len();
    let mut under_way = JoinSet::new();
    for entry in due {
        let errand = errand.clone();
        under_way.spawn(async move { handle(&errand, &entry).await });
    }
    while under_way.join_next().await.is_some() {}
    Ok(count)
}

async fn handle<E: Errand>(errand: &E, entry: &E::Entry) {
    let (what, name) = (E::WHAT, E::name(entry));
    let settled = match errand.carry_out(entry).await {
        Ok(()) => errand.complete(entry).await,
        Err(Delay::Mail(MailError::Permanent(error))) => {
            tracing::warn!(what, name, %error, "a mail was refused for good");
            errand.complete(entry).await
        }
        Err(Delay::MailboxFull { until }) => {
            tracing::debug!(what, name, %until, "a mail waits until its mailbox may be sent more");
            errand.postpone(entry, until).await
        }
        Err(delay) => {
            let pause = pause_after(E::attempts(entry));
            tracing::warn!(
                what,
                name,
                error = %delay,
                cause = delay.source().map(tracing::field::display),
                retry_in = ?pause,
                "a mail could not be sent yet"
            );
            let again_at = errand.parts().clock.now().plus(pause);
            errand.postpone(entry, again_at).await
        }
    };
    if let Err(error) = settled {
        tracing::warn!(what, name, %error, "a mail will be taken up again");
    }
}

/// Asks the gate whether the mail may go out; not, where a link is surplus or its entry is gone: a person asks for another
/// link.
///
/// # Errors
/// It is a notice, which waits until the mailbox may be sent more.
pub(super) async fn admitted(
    parts: &Parts,
    entry: QueuedMail,
    to: &Email,
    kind: MailKind,
) -> Result<bool, Delay> {
    let now = parts.clock.now();
    match parts.mail_gate.admit(entry, to, kind, now).await? {
        Admission::Admitted => Ok(true),
        Admission::Gone => Ok(false),
        Admission::Refused { until } => match kind {
            MailKind::VerificationLink | MailKind::ResetLink => {
                tracing::debug!(kind = kind.as_str(), "a surplus link is not mailed");
                Ok(false)
            }
            MailKind::PasswordChanged
            | MailKind::EmailChanged
            | MailKind::AccountLocked
            | MailKind::RefreshTokenReused
            | MailKind::AddressWanted => Err(Delay::MailboxFull { until }),
        },
    }
}

/// Hands a mail over. An erasure deletes the mail that it finds; what is written at the same moment is deleted by whoever
/// writes it.
pub(super) async fn send(parts: &Parts, mail: Mail) -> Result<(), Delay> {
    let user = mail.user;
    parts.mailer.send(mail).await?;
    if parts.directory.account(user).await?.is_none() {
        parts.kept_mail.forget(user).await?;
    }
    Ok(())
}

/// How long to wait after the `attempts`-th attempt failed.
fn pause_after(attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(1).min(16);
    FIRST_PAUSE
        .saturating_mul(1 << doublings)
        .min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        let pauses: Vec<u64> = [1, 2, 3, 6, 7, 8, 1000]
            .map(|attempts| pause_after(attempts).as_secs())
            .to_vec();
        assert_eq!(pauses, [1, 2, 4, 32, 60, 60, 60]);
    }
}
