//! Limits on attempts, kept in memory.
//!
//! The counts are lost when a node restarts; it is enough that guessing is slow. Nodes that share a store send each
//! other what they count ([`Update`]). That includes names without an account: otherwise the shared protection itself
//! would reveal which accounts exist. `docs/adr/0005` has the reasons.

mod bucket;
mod key;
mod quotas;
mod remote_guesses;
mod reports;
mod reserved;
mod signed_in;
mod steady_clock;
mod update;

use std::hash::RandomState;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use authlog_application::ports::{
    Attempt, AttemptLimiter, Clock, Entropy, Guess, GuessOutcome, Reservation, ReservedGuess,
    ReservedRegistration,
};
use authlog_domain::{ClientId, UserId};
use tokio::sync::mpsc;

use bucket::Buckets;
pub(crate) use key::Network;
use key::{Key, Kind};
use remote_guesses::{GuessIds, RemoteGuesses};
pub(crate) use reports::HEAD_LENGTH;
use reports::Reports;
use reserved::HeldGuess;
use signed_in::SignedIn;
use steady_clock::SteadyClock;
pub use update::Update;
use update::UpdateKind;

/// The generic cell rate algorithm (ITU-T I.371) over accounts, names and addresses.
///
/// Names and addresses are personal data. They are kept as keyed hashes, under a key that lives as long as the
/// process or that nodes share. The addresses of one IPv6 /64 count as one. If no address is known, only the limits
/// that need none apply. Memory is bounded, about 70 MB in all: of the 102,400 buckets of each limit the emptiest are
/// dropped first, so that no flood of other names or addresses hides a guesser.
pub struct GcraAttemptLimiter(Arc<Limits>);

/// What is counted.
struct Limits {
    clock: SteadyClock,
    key: Key,
    reports: Option<Reports>,
    updates: Option<mpsc::Sender<Update>>,
    guess_ids: GuessIds,
    remote_guesses: RemoteGuesses,
    guesses_at_name: Buckets,
    guesses: Buckets,
    persistent_guesses: Buckets,
    guesses_from_anywhere: Buckets,
    codes_from_anywhere: Buckets,
    failures: Buckets,
    sign_ins: Buckets,
    registrations: Buckets,
    mail_from_address: Buckets,
    mail_to_name: Buckets,
    refreshes_of_session: Buckets,
    refreshes_of_account: Buckets,
    passkey_sign_ins: Buckets,
    redeemed_codes: Buckets,
    device_requests_of_client: Buckets,
    device_requests_from_address: Buckets,
    user_codes_of_account: Buckets,
    user_codes_from_address: Buckets,
    own_changes: Buckets,
    signed_in: SignedIn,
}

impl GcraAttemptLimiter {
    /// An empty limiter that shares nothing with other nodes.
    pub fn new(clock: Arc<dyn Clock>, entropy: &dyn Entropy) -> Self {
        let key = Key::OfProcess(RandomState::new());
        Self::with(clock, key, None, None, GuessIds::new(entropy))
    }

    /// A limiter that sends its updates to a channel, for other nodes with the same key to [`apply`](Self::apply).
    /// Updates are dropped while the channel is full: a fast guesser is slowed down on this node all the same.
    pub fn shared(
        clock: Arc<dyn Clock>,
        key: &[u8],
        entropy: &dyn Entropy,
    ) -> (Self, mpsc::Receiver<Update>) {
        let (updates, receiver) = mpsc::channel(MAX_QUEUED_UPDATES);
        let reports = Reports::new(key, Arc::clone(&clock), entropy);
        let guess_ids = GuessIds::new(entropy);
        let limiter = Self::with(
            clock,
            Key::shared(key),
            Some(reports),
            Some(updates),
            guess_ids,
        );
        (limiter, receiver)
    }

    fn with(
        clock: Arc<dyn Clock>,
        key: Key,
        reports: Option<Reports>,
        updates: Option<mpsc::Sender<Update>>,
        guess_ids: GuessIds,
    ) -> Self {
        Self(Arc::new(Limits {
            clock: SteadyClock::new(clock),
            key,
            reports,
            updates,
            guess_ids,
            remote_guesses: RemoteGuesses::new(),
            guesses_at_name: Buckets::new(quotas::GUESSES_AT_NAME),
            guesses: Buckets::new(quotas::GUESSES),
            persistent_guesses: Buckets::new(quotas::PERSISTENT_GUESSES),
            guesses_from_anywhere: Buckets::new(quotas::GUESSES_FROM_ANYWHERE),
            codes_from_anywhere: Buckets::new(quotas::CODES_FROM_ANYWHERE),
            failures: Buckets::new(quotas::FAILURES_FROM_ADDRESS),
            sign_ins: Buckets::new(quotas::SIGN_INS),
            registrations: Buckets::new(quotas::REGISTRATIONS_FROM_ADDRESS),
            mail_from_address: Buckets::new(quotas::MAIL_FROM_ADDRESS),
            mail_to_name: Buckets::new(quotas::MAIL_TO_NAME),
            refreshes_of_session: Buckets::new(quotas::REFRESHES_OF_SESSION),
            refreshes_of_account: Buckets::new(quotas::REFRESHES_OF_ACCOUNT),
            passkey_sign_ins: Buckets::new(quotas::PASSKEY_SIGN_INS),
            redeemed_codes: Buckets::new(quotas::REDEEMED_CODES),
            device_requests_of_client: Buckets::new(quotas::DEVICE_REQUESTS_OF_CLIENT),
            device_requests_from_address: Buckets::new(quotas::DEVICE_REQUESTS_FROM_ADDRESS),
            user_codes_of_account: Buckets::new(quotas::USER_CODES_OF_ACCOUNT),
            user_codes_from_address: Buckets::new(quotas::USER_CODES_FROM_ADDRESS),
            own_changes: Buckets::new(quotas::CHANGES_OF_OWN_ACCOUNT),
            signed_in: SignedIn::new(),
        }))
    }

    /// A report of these updates for the other nodes; `None` if this limiter shares nothing.
    pub(crate) fn report(&self, updates: &[Update]) -> Option<String> {
        Some(self.0.reports.as_ref()?.write(updates))
    }

    /// Counts the attempts in a report of another node. A report that no node wrote, or that was received before, is
    /// ignored.
    pub(crate) fn apply_report(&self, report: &str) {
        let read = |reports: &Reports| reports.read(report);
        match self.0.reports.as_ref().and_then(read) {
            Some(updates) => updates.into_iter().for_each(|update| self.apply(update)),
            None => tracing::warn!(
                "an attempt report was ignored: no node wrote it recently. Check who else can connect to the database"
            ),
        }
    }

    /// Counts what another node counted.
    pub fn apply(&self, update: Update) {
        let limits = &*self.0;
        let now = limits.clock.now();
        let Update {
            kind,
            key,
            guess,
            age,
        } = update;
        match kind {
            UpdateKind::Guess => {
                limits.guesses.count(key, now);
                limits.persistent_guesses.count(key, now);
                limits.remote_guesses.add(guess);
            }
            UpdateKind::TakenBack => {
                // If the other update was lost, the guess was not counted here.
                if limits.remote_guesses.remove(guess) {
                    let age = Duration::from_millis(age.into());
                    limits.guesses.take_back(key, age, now);
                    limits.persistent_guesses.take_back(key, age, now);
                }
            }
            // Counted only if the quota has room, so that a wait that others cause stays short.
            UpdateKind::FailedAtAccount => {
                let _ = limits.guesses_from_anywhere.take(key, now);
            }
            UpdateKind::WrongCode => {
                let _ = limits.codes_from_anywhere.take(key, now);
            }
            UpdateKind::FailedFromNetwork => limits.failures.count(key, now),
            UpdateKind::OwnChange => limits.own_changes.count(key, now),
            UpdateKind::SignedIn => {
                limits.signed_in.remember(key, now);
            }
        }
    }
}

/// The maximum number of updates that wait to be sent: as many as a node makes in some seconds of continuous hashing.
const MAX_QUEUED_UPDATES: usize = 1024;

impl Limits {
    fn send(&self, update: Update) {
        if let Some(updates) = &self.updates {
            let _ = updates.try_send(update);
        }
    }

    fn network_key(&self, network: &Network) -> Option<u64> {
        let hash = || self.key.hash(Kind::Network, [network.as_bytes(), b""]);
        network.is_known().then(hash)
    }

    /// The key of a typed name and a network.
    fn name_key(&self, name: &str, network: &Network) -> u64 {
        let parts = [name.as_bytes(), network.as_bytes()];
        self.key.hash(Kind::Name, parts)
    }

    fn account_key(&self, account: UserId) -> u64 {
        self.account_key_at(account, None)
    }

    /// The key of an account at an application; without one, that of the account.
    fn account_key_at(&self, account: UserId, client: Option<&ClientId>) -> u64 {
        let id = account.as_uuid();
        let client = client.map_or("", ClientId::as_str);
        let parts = [&id.as_bytes()[..], client.as_bytes()];
        self.key.hash(Kind::Account, parts)
    }

    /// Counts an attempt against the limit of a network, if it is known, and against another limit: against both or none.
    fn take_both(
        (of_network, network): (&Buckets, Option<u64>),
        (others, key): (&Buckets, u64),
        now: i64,
    ) -> Result<(), Duration> {
        others.hold(key, now)?;
        let taken = network.map(|network| of_network.take(network, now));
        if let Some(Err(wait)) = taken {
            others.give_back(key, now);
            return Err(wait);
        }
        others.settle(key, now);
        Ok(())
    }
}

impl AttemptLimiter for GcraAttemptLimiter {
    fn count(&self, attempt: Attempt<'_>) -> Result<(), Duration> {
        let limits = &*self.0;
        let now = limits.clock.now();
        match attempt {
            Attempt::RequestMail {
                address,
                identifier,
            } => {
                let network = limits.network_key(&Network::of(address));
                let parts = [identifier.as_bytes(), b""];
                let name = limits.key.hash(Kind::Identifier, parts);
                let from_address = (&limits.mail_from_address, network);
                Limits::take_both(from_address, (&limits.mail_to_name, name), now)
            }
            // Not shared with other nodes: refreshes are too frequent.
            Attempt::Refresh {
                session,
                account,
                client,
            } => {
                let id = session.as_uuid();
                let session = limits.key.hash(Kind::Session, [&id.as_bytes()[..], b""]);
                limits.refreshes_of_session.take(session, now)?;
                let account = limits.account_key_at(account, client);
                limits.refreshes_of_account.take(account, now)
            }
            Attempt::PasskeySignIn { account } => limits
                .passkey_sign_ins
                .take(limits.account_key(account), now),
            Attempt::RedeemCode { account, client } => {
                let account = limits.account_key_at(account, Some(client));
                limits.redeemed_codes.take(account, now)
            }
            Attempt::RequestDeviceCode { client, address } => {
                let network = limits.network_key(&Network::of(address));
                let parts = [client.as_str().as_bytes(), b""];
                let client = limits.key.hash(Kind::Client, parts);
                let from_address = (&limits.device_requests_from_address, network);
                let of_client = (&limits.device_requests_of_client, client);
                Limits::take_both(from_address, of_client, now)
            }
            Attempt::EnterUserCode { account, address } => {
                let network = limits.network_key(&Network::of(address));
                let account = limits.account_key(account);
                let from_address = (&limits.user_codes_from_address, network);
                let of_account = (&limits.user_codes_of_account, account);
                Limits::take_both(from_address, of_account, now)
            }
            Attempt::ChangeOwnAccount { account } => {
                let account = limits.account_key(account);
                limits.own_changes.take(account, now)?;
                limits.send(Update::new(UpdateKind::OwnChange, account));
                Ok(())
            }
        }
    }

    fn reserve_registration(
        &self,
        address: Option<IpAddr>,
    ) -> Result<ReservedRegistration, Duration> {
        let limits = Arc::clone(&self.0);
        let network = limits.network_key(&Network::of(address));
        if let Some(network) = network {
            limits.registrations.hold(network, limits.clock.now())?;
        }
        Ok(ReservedRegistration::new(move |counts| {
            if let Some(network) = network {
                reserved::settle(&limits.registrations, network, counts, limits.clock.now());
            }
        }))
    }

    fn reserve(&self, guess: Guess<'_>) -> Result<Reservation, Duration> {
        HeldGuess::reserve(&self.0, guess).map(Reservation::new)
    }

    fn remember_sign_in(&self, address: Option<IpAddr>, names: &[String]) {
        let limits = &*self.0;
        let now = limits.clock.now();
        let network = Network::of(address);
        for name in names {
            let pair = limits.name_key(name, &network);
            if limits.signed_in.remember(pair, now) {
                limits.send(Update::new(UpdateKind::SignedIn, pair));
            }
        }
    }
}

/// No limits at all, for load tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoAttemptLimits;

impl AttemptLimiter for NoAttemptLimits {
    fn count(&self, _: Attempt<'_>) -> Result<(), Duration> {
        Ok(())
    }

    fn reserve_registration(&self, _: Option<IpAddr>) -> Result<ReservedRegistration, Duration> {
        Ok(ReservedRegistration::new(|_| {}))
    }

    fn reserve(&self, _: Guess<'_>) -> Result<Reservation, Duration> {
        Ok(Reservation::new(Self))
    }

    fn remember_sign_in(&self, _: Option<IpAddr>, _: &[String]) {}
}

impl ReservedGuess for NoAttemptLimits {
    fn at_account(&mut self, _: Option<UserId>) -> Result<(), Duration> {
        Ok(())
    }

    fn at_second_factor(&mut self, _: UserId) -> Result<(), Duration> {
        Ok(())
    }

    fn settle(&mut self, _: GuessOutcome) {}
}

#[cfg(test)]
mod tests;
