//! Processing of a durable mail queue: leases due entries, sends their mail, retries later.

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use authlog_domain::{Email, Timestamp};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::Refusal;
use crate::authlog::Parts;
use crate::ports::{
    Admission, Clock, Directory, LocalMail, Mail, MailError, MailGate, MailKind, Mailer,
    QueuedMail, StoreError,
};

/// Entries that one node processes at a time.
const AT_ONCE: u32 = 16;

/// How long a node leases an entry. Another node handles the entries of a crashed node after this time.
const LEASE: Duration = Duration::from_secs(45);

/// The interval at which a lease is renewed while the mail is being sent, so that no other node sends it too.
const RENEW_EVERY: Duration = Duration::from_secs(15);

/// The interval at which the queue is polled without a wake-up, for entries that another node did not finish.
const IDLE: Duration = Duration::from_secs(1);

/// The first pause after a failure; each further one is twice as long, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause between two attempts to reach an unavailable mail server.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The largest number of attempts for a mail that the server does not acknowledge. Each attempt may have delivered it.
const MAX_UNACKNOWLEDGED: u32 = 5;

/// The pause after the first unacknowledged attempt; each further one is four times as long. The last is 64 minutes.
const FIRST_UNACKNOWLEDGED_PAUSE: Duration = Duration::from_secs(60);

/// Why a job is not finished yet.
#[derive(Debug, thiserror::Error)]
pub(super) enum Delay {
    #[error("the store refused it")]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Mail(#[from] MailError),
    #[error("the limit of the mailbox is reached")]
    MailboxFull { until: Timestamp },
}

impl From<StoreError> for Delay {
    fn from(error: StoreError) -> Self {
        Self::Refused(error.into())
    }
}

/// A kind of mail queue, and what to do with its entries.
pub(super) trait MailJob: Clone + Send + Sync + 'static {
    /// An entry.
    type Entry: Send + Sync;

    /// What the mail of this queue is, for log lines.
    const WHAT: &'static str;

    fn now(&self) -> Timestamp;

    /// The name of an entry in log lines, without personal data.
    fn name(entry: &Self::Entry) -> String;

    /// How many attempts were made.
    fn attempts(entry: &Self::Entry) -> u32;

    /// How many attempts the mail server did not acknowledge.
    fn unacknowledged(entry: &Self::Entry) -> u32;

    /// Leases up to `limit` due entries until `leased_until`. Other nodes do not see them until then.
    fn take(
        &self,
        now: Timestamp,
        leased_until: Timestamp,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Self::Entry>, StoreError>> + Send;

    /// Processes an entry.
    fn run_job(&self, entry: &Self::Entry) -> impl Future<Output = Result<(), Delay>> + Send;

    /// Removes an entry for good.
    fn complete(&self, entry: &Self::Entry) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Makes an entry due again at `at`, with this many unacknowledged attempts.
    fn postpone(
        &self,
        entry: &Self::Entry,
        at: Timestamp,
        unacknowledged: u32,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Works until it is dropped. An interrupted entry is retried when its lease expires.
///
/// Up to [`AT_ONCE`] entries are processed concurrently. If one entry waited for the mail of another, the delay of a mail
/// would reveal that another one was sent before it.
pub(super) async fn run<J: MailJob>(job: J, wake: Arc<Notify>) {
    let mut in_progress = JoinSet::new();
    loop {
        while in_progress.try_join_next().is_some() {}
        #[expect(clippy::cast_possible_truncation, reason = "at most `AT_ONCE`")]
        let free = AT_ONCE.saturating_sub(in_progress.len() as u32);
        if free == 0 {
            in_progress.join_next().await;
            continue;
        }
        let now = job.now();
        match job.take(now, now.plus(LEASE), free).await {
            Ok(due) if due.is_empty() => {
                let _ = tokio::time::timeout(IDLE, wake.notified()).await;
            }
            Ok(due) => {
                for entry in due {
                    let job = job.clone();
                    in_progress.spawn(async move { handle(&job, &entry).await });
                }
            }
            Err(error) => {
                tracing::warn!(what = J::WHAT, %error, "the mail queue cannot be read; mail waits until it can");
                tokio::time::sleep(IDLE).await;
            }
        }
    }
}

async fn handle<J: MailJob>(job: &J, entry: &J::Entry) {
    let (what, name) = (J::WHAT, J::name(entry));
    let before = J::unacknowledged(entry);
    let done = tokio::select! {
        done = job.run_job(entry) => done,
        never = keep_leased(job, entry) => match never {},
    };
    let settled = match done {
        Ok(()) => job.complete(entry).await,
        Err(Delay::Mail(MailError::Permanent(error))) => {
            tracing::warn!(what, name, %error, "a mail was rejected permanently and will not be sent again");
            job.complete(entry).await
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
                    let again_at = job.now().plus(pause);
                    job.postpone(entry, again_at, handed_over).await
                }
                None => job.complete(entry).await,
            }
        }
        Err(Delay::MailboxFull { until }) => {
            tracing::debug!(what, name, %until, "a mail is delayed: the limit of its mailbox is reached");
            job.postpone(entry, until, before).await
        }
        Err(delay) => {
            let pause = pause_after(J::attempts(entry));
            tracing::warn!(
                what,
                name,
                error = %delay,
                cause = delay.source().map(tracing::field::display),
                retry_in = ?pause,
                "a mail could not be sent; will retry"
            );
            let again_at = job.now().plus(pause);
            job.postpone(entry, again_at, before).await
        }
    };
    if let Err(error) = settled {
        tracing::warn!(what, name, %error, "the outcome of a mail could not be stored; the mail will be processed again");
    }
}

/// Renews the lease of an entry until it is dropped.
async fn keep_leased<J: MailJob>(job: &J, entry: &J::Entry) -> Infallible {
    loop {
        tokio::time::sleep(RENEW_EVERY).await;
        let until = job.now().plus(LEASE);
        let renewed = job.postpone(entry, until, J::unacknowledged(entry)).await;
        if let Err(error) = renewed {
            tracing::debug!(what = J::WHAT, %error, "a lease was not renewed");
        }
    }
}

/// Sends mail within the limits of its mailbox.
#[derive(Clone)]
pub(crate) struct MailDelivery {
    gate: Arc<dyn MailGate>,
    mailer: Arc<dyn Mailer>,
    local_mail: Arc<dyn LocalMail>,
    pub(super) directory: Arc<dyn Directory>,
    clock: Arc<dyn Clock>,
}

impl MailDelivery {
    pub(super) fn new(parts: &Parts) -> Self {
        Self {
            gate: Arc::clone(&parts.mail_gate),
            mailer: Arc::clone(&parts.mailer),
            local_mail: Arc::clone(&parts.local_mail),
            directory: Arc::clone(&parts.directory),
            clock: Arc::clone(&parts.clock),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether the mail may be sent. A link above the limit of its mailbox is dropped, because the person can request
    /// another; so is a mail whose queue entry is gone.
    ///
    /// # Errors
    /// [`Delay::MailboxFull`] for a notice, which waits until the limit allows it, or that the store does not answer.
    pub(super) async fn admit(
        &self,
        entry: QueuedMail,
        to: &Email,
        kind: MailKind,
    ) -> Result<bool, Delay> {
        match self.gate.admit(entry, to, kind, self.now()).await? {
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
                | MailKind::AddressWanted
                | MailKind::SecondFactorAdded
                | MailKind::PasskeyCounterWentBack
                | MailKind::SecondFactorRemoved
                | MailKind::RecoveryCodes
                | MailKind::PasswordBreached => Err(Delay::MailboxFull { until }),
            },
        }
    }

    /// Sends a mail. An erasure deletes the local copies that it finds. A copy that is written while the account is erased is
    /// deleted here.
    pub(super) async fn send(&self, mail: Mail) -> Result<(), Delay> {
        let user = mail.user;
        self.mailer.send(mail).await?;
        if self.directory.account(user).await?.is_none() {
            self.local_mail.forget(user).await?;
        }
        Ok(())
    }
}

/// How long to wait after the `attempts`-th attempt failed.
fn pause_after(attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(1).min(16);
    FIRST_PAUSE
        .saturating_mul(1 << doublings)
        .min(LONGEST_PAUSE)
}

/// How long to wait after this many unacknowledged attempts; `None` to give up: the mail was delivered, or never will be.
fn pause_after_unacknowledged(handed_over: u32) -> Option<Duration> {
    let times = 4_u32.checked_pow(handed_over.saturating_sub(1))?;
    (handed_over < MAX_UNACKNOWLEDGED).then(|| FIRST_UNACKNOWLEDGED_PAUSE.saturating_mul(times))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::time::Instant;

    use super::*;

    /// A queue with one entry, and a mail server that gives `answer` after `answers_after`.
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

        /// The seconds after which each attempt of one day was made.
        async fn handed_over(self) -> Vec<u64> {
            let day = Duration::from_secs(24 * 60 * 60);
            let _ = tokio::time::timeout(day, run(self.clone(), Arc::default())).await;
            self.handed_over.lock().unwrap().clone()
        }
    }

    impl MailJob for Queue {
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

        async fn run_job(&self, _: &Waiting) -> Result<(), Delay> {
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
    async fn an_unacknowledged_mail_is_attempted_five_times() {
        let lost = || Err(Delay::Mail(MailError::Unacknowledged("no answer".into())));
        let times = Queue::with(Duration::ZERO, lost).handed_over().await;
        let pauses: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(times.len(), 5, "{times:?}");
        for (pause, least) in pauses.iter().zip([60, 240, 960, 3840]) {
            assert!((least..least + 3).contains(pause), "{times:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_mail_that_the_server_did_not_receive_is_retried_without_limit() {
        let away = || Err(Delay::Mail(MailError::Transient("away".into())));
        let times = Queue::with(Duration::ZERO, away).handed_over().await;
        assert!(times.len() > 1000, "{}", times.len());
    }

    #[tokio::test(start_paused = true)]
    async fn a_mail_that_takes_longer_than_a_lease_is_sent_once() {
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
