//! Working through a durable queue of mail: taking what is due, handing it over, trying again later.

use std::convert::Infallible;
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

/// How long one node has an entry to itself: short enough that what a crashed node had taken is not late.
const LEASE: Duration = Duration::from_secs(45);

/// How often the lease of an entry is renewed while its mail is handed over, so that none goes out twice.
const RENEW_EVERY: Duration = Duration::from_secs(15);

/// How often the queue is looked at when nobody wakes the mailer, for what another node left behind.
const IDLE: Duration = Duration::from_secs(1);

/// The first pause after a failure; each further one is twice as long, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// A mail server that was away is tried again at least this often.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How often a mail is handed over that no server acknowledges. Each time may have delivered it.
const MOST_UNACKNOWLEDGED: u32 = 5;

/// The pause after the first time; each further one is four times as long. The last is 64 minutes.
const FIRST_UNACKNOWLEDGED_PAUSE: Duration = Duration::from_secs(60);

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

    fn now(&self) -> Timestamp;

    /// What to call an entry in the log: nothing personal.
    fn name(entry: &Self::Entry) -> String;

    /// How often it was tried.
    fn attempts(entry: &Self::Entry) -> u32;

    /// How often its mail was handed over and not acknowledged.
    fn unacknowledged(entry: &Self::Entry) -> u32;

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

    /// Makes an entry due again at `at`, after so many mails that were not acknowledged.
    fn postpone(
        &self,
        entry: &Self::Entry,
        at: Timestamp,
        unacknowledged: u32,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Works until it is dropped. An entry that is interrupted is taken up again later.
///
/// No entry waits until others have been handed over, unless there are [`AT_ONCE`]: how long one mail takes must not show
/// in the next one's time, which could tell that there was one.
pub(super) async fn run<E: Errand>(errand: E, wake: Arc<Notify>) {
    let mut under_way = JoinSet::new();
    loop {
        while under_way.try_join_next().is_some() {}
        let free = AT_ONCE.saturating_sub(under_way.len() as u32);
        if free == 0 {
            under_way.join_next().await;
            continue;
        }
        let now = errand.now();
        match errand.take(now, now.plus(LEASE), free).await {
            Ok(due) if due.is_empty() => {
                let _ = tokio::time::timeout(IDLE, wake.notified()).await;
            }
            Ok(due) => {
                for entry in due {
                    let errand = errand.clone();
                    under_way.spawn(async move { handle(&errand, &entry).await });
                }
            }
            Err(error) => {
                tracing::warn!(what = E::WHAT, %error, "the mail queue cannot be read; mail waits until it can");
                tokio::time::sleep(IDLE).await;
            }
        }
    }
}

async fn handle<E: Errand>(errand: &E, entry: &E::Entry) {
    let (what, name) = (E::WHAT, E::name(entry));
    let before = E::unacknowledged(entry);
    let carried_out = tokio::select! {
        carried_out = errand.carry_out(entry) => carried_out,
        never = keep_leased(errand, entry) => match never {},
    };
    let settled = match carried_out {
        Ok(()) => errand.complete(entry).await,
        Err(Delay::Mail(MailError::Permanent(error))) => {
            tracing::warn!(what, name, %error, "a mail was rejected permanently and will not be sent again");
            errand.complete(entry).await
        }
        Err(Delay::Mail(MailError::Unacknowledged(error))) => {
            let handed_over = before + 1;
            let pause = pause_after_unacknowledged(handed_over);
            tracing::warn!(
                what,
                name,
                %error,
                handed_over,
                retry_in = ?pause,
                "the mail server did not confirm a mail; it may have been delivered"
            );
            match pause {
                Some(pause) => {
                    let again_at = errand.now().plus(pause);
                    errand.postpone(entry, again_at, handed_over).await
                }
                None => errand.complete(entry).await,
            }
        }
        Err(Delay::MailboxFull { until }) => {
            tracing::debug!(what, name, %until, "a mail is delayed: the limit of its mailbox is reached");
            errand.postpone(entry, until, before).await
        }
        Err(delay) => {
            let pause = pause_after(E::attempts(entry));
            tracing::warn!(
                what,
                name,
                error = %delay,
                cause = delay.source().map(tracing::field::display),
                retry_in = ?pause,
                "a mail could not be sent; will retry"
            );
            let again_at = errand.now().plus(pause);
            errand.postpone(entry, again_at, before).await
        }
    };
    if let Err(error) = settled {
        tracing::warn!(what, name, %error, "the outcome of a mail could not be stored; the mail will be processed again");
    }
}

/// Renews the lease of an entry until it is dropped.
async fn keep_leased<E: Errand>(errand: &E, entry: &E::Entry) -> Infallible {
    loop {
        tokio::time::sleep(RENEW_EVERY).await;
        let until = errand.now().plus(LEASE);
        let renewed = errand
            .postpone(entry, until, E::unacknowledged(entry))
            .await;
        if let Err(error) = renewed {
            tracing::debug!(what = E::WHAT, %error, "a lease was not renewed");
        }
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
                tracing::debug!(
                    kind = kind.as_str(),
                    "a link is not mailed: the limit of its mailbox is reached"
                );
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

/// How long to wait after a mail was handed over so many times without being acknowledged; `None` to give it up: it was
/// delivered, or will never be.
fn pause_after_unacknowledged(handed_over: u32) -> Option<Duration> {
    let times = 4_u32.checked_pow(handed_over.saturating_sub(1))?;
    (handed_over < MOST_UNACKNOWLEDGED).then(|| FIRST_UNACKNOWLEDGED_PAUSE.saturating_mul(times))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::time::Instant;

    use super::*;

    /// A queue with one entry, and a mail server that answers after a while in some way.
    #[derive(Clone)]
    struct Queue {
        begun: Instant,
        answers_after: Duration,
        answer: fn() -> Result<(), Delay>,
        waiting: Arc<Mutex<Option<Waiting>>>,
        handed_over: Arc<Mutex<Vec<u64>>>,
    }

    #[derive(Clone, Copy)]
    struct Waiting {
        due_at: Timestamp,
        attempts: u32,
        unacknowledged: u32,
    }

    impl Queue {
        fn with(answers_after: Duration, answer: fn() -> Result<(), Delay>) -> Self {
            Self {
                begun: Instant::now(),
                answers_after,
                answer,
                waiting: Arc::new(Mutex::new(Some(Waiting {
                    due_at: Timestamp::from_unix_millis(0),
                    attempts: 0,
                    unacknowledged: 0,
                }))),
                handed_over: Arc::default(),
            }
        }

        /// After how many seconds the mail was handed over, each time, within a day.
        async fn handed_over(self) -> Vec<u64> {
            let day = Duration::from_secs(24 * 60 * 60);
            let _ = tokio::time::timeout(day, run(self.clone(), Arc::default())).await;
            self.handed_over.lock().unwrap().clone()
        }
    }

    impl Errand for Queue {
        type Entry = Waiting;

        const WHAT: &'static str = "a mail of a test";

        fn now(&self) -> Timestamp {
            Timestamp::from_unix_millis(0).plus(self.begun.elapsed())
        }

        fn name(_: &Waiting) -> String {
            String::new()
        }

        fn attempts(entry: &Waiting) -> u32 {
            entry.attempts
        }

        fn unacknowledged(entry: &Waiting) -> u32 {
            entry.unacknowledged
        }

        async fn take(
            &self,
            now: Timestamp,
            leased_until: Timestamp,
            _: u32,
        ) -> Result<Vec<Waiting>, StoreError> {
            let mut waiting = self.waiting.lock().unwrap();
            let due = waiting.as_mut().filter(|entry| entry.due_at <= now);
            Ok(due.map_or_else(Vec::new, |entry| {
                entry.attempts += 1;
                entry.due_at = leased_until;
                vec![*entry]
            }))
        }

        async fn carry_out(&self, _: &Waiting) -> Result<(), Delay> {
            let seconds = self.begun.elapsed().as_secs();
            self.handed_over.lock().unwrap().push(seconds);
            tokio::time::sleep(self.answers_after).await;
            (self.answer)()
        }

        async fn complete(&self, _: &Waiting) -> Result<(), StoreError> {
            *self.waiting.lock().unwrap() = None;
            Ok(())
        }

        async fn postpone(
            &self,
            entry: &Waiting,
            at: Timestamp,
            unacknowledged: u32,
        ) -> Result<(), StoreError> {
            let mut waiting = self.waiting.lock().unwrap();
            let same = waiting.as_mut();
            if let Some(same) = same.filter(|same| same.attempts == entry.attempts) {
                same.due_at = at;
                same.unacknowledged = unacknowledged;
            }
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_mail_that_no_server_acknowledges_is_handed_over_five_times() {
        let lost = || Err(Delay::Mail(MailError::Unacknowledged("no answer".into())));
        let times = Queue::with(Duration::ZERO, lost).handed_over().await;
        let pauses: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(times.len(), 5, "{times:?}");
        for (pause, least) in pauses.iter().zip([60, 240, 960, 3840]) {
            assert!((least..least + 3).contains(pause), "{times:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_mail_that_was_not_handed_over_whole_is_tried_until_it_is() {
        let away = || Err(Delay::Mail(MailError::Transient("away".into())));
        let times = Queue::with(Duration::ZERO, away).handed_over().await;
        assert!(times.len() > 1000, "{}", times.len());
    }

    #[tokio::test(start_paused = true)]
    async fn a_mail_whose_server_takes_longer_than_a_lease_is_handed_over_once() {
        let taken = || Ok(());
        let times = Queue::with(LEASE * 3, taken).handed_over().await;
        assert_eq!(times, [0]);
    }

    #[test]
    fn pauses_grow_and_stay_bounded() {
        let pauses: Vec<u64> = [1, 2, 3, 6, 7, 8, 1000]
            .map(|attempts| pause_after(attempts).as_secs())
            .to_vec();
        assert_eq!(pauses, [1, 2, 4, 32, 60, 60, 60]);
    }
}
