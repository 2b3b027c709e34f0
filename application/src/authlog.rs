//! The façade of the application: its ports, its settings and its background workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use authlog_domain::Role;
use authlog_domain::session::Limits;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::account_cache::AccountCache;
use crate::client_cache::ClientCache;
use crate::device_polls::DevicePolls;
use crate::ports::{
    AttemptLimiter, BreachedPasswords, ClientAssertions, ClientSecrets, Clients, Clock,
    DeviceAuthorizations, Directory, DpopProofs, Entropy, EventLog, EventStore, Health, History,
    Housekeeping, LocalMail, LogIntegrity, LogoutQueue, LogoutSender, MailGate, MailQueue, Mailer,
    PasskeyVerifier, PasswordHasher, Publication, RelyingParty, ResetRequests, RevocationSource,
    SecondFactorSecrets, SecretTokens, StoreError, Tokens, TransparencyLog,
};
use crate::unanswered_refreshes::UnansweredRefreshes;
use crate::unit_of_work::CommandExecutor;
use crate::use_cases::ChallengeSerials;
use crate::workers::{
    Background, BackgroundWorker, BreachChecker, EventMailer, Housekeeper, LogFeed, LogIndexFinder,
    LogoutDeliverer, LogoutQueuer, MailSweeper, OutdatedPassword, PasswordRenewer, ProvedPassword,
    RefusedLogin, RefusedLoginRecorder, ResetMailer, RevocationTail,
};
use crate::{Auditor, Operator, PasswordPolicy, Refusal, RevocationList};

/// The ports of the application.
#[derive(Clone)]
pub struct Parts {
    /// The streams of events, one per aggregate.
    pub events: Arc<dyn EventStore>,
    /// The events in the order of the log.
    pub log: Arc<dyn EventLog>,
    /// The history of each account.
    pub history: Arc<dyn History>,
    /// How far the log has been published; `None` where it is not published.
    pub publication: Option<watch::Receiver<Publication>>,
    /// Proofs that the log was not changed.
    pub transparency: Arc<dyn TransparencyLog>,
    /// Whether the log still matches its signed checkpoints.
    pub integrity: watch::Receiver<LogIntegrity>,
    /// The read models.
    pub directory: Arc<dyn Directory>,
    /// The registered clients.
    pub clients: Arc<dyn Clients>,
    /// Derives the secrets of clients.
    pub client_secrets: Arc<dyn ClientSecrets>,
    /// Verifies the signed assertions of clients.
    pub client_assertions: Arc<dyn ClientAssertions>,
    /// Verifies proofs of clients that they hold a key.
    pub dpop_proofs: Arc<dyn DpopProofs>,
    /// The requests of devices.
    pub device_authorizations: Arc<dyn DeviceAuthorizations>,
    /// Checks whether the store can be used.
    pub health: Arc<dyn Health>,
    /// Removes expired data.
    pub housekeeping: Arc<dyn Housekeeping>,
    /// Sessions that ended and accounts that were erased, on any node.
    pub revocations: Arc<dyn RevocationSource>,
    /// The queue of requests to reset a password.
    pub reset_requests: Arc<dyn ResetRequests>,
    /// The queue of mail about accounts.
    pub mail_queue: Arc<dyn MailQueue>,
    /// The queue of logout tokens.
    pub logout_queue: Arc<dyn LogoutQueue>,
    /// Sends logout tokens.
    pub logout_sender: Arc<dyn LogoutSender>,
    /// Limits the mail to one mailbox.
    pub mail_gate: Arc<dyn MailGate>,
    /// Hashes passwords.
    pub hasher: Arc<dyn PasswordHasher>,
    /// The list of breached passwords; `None` if there is none.
    pub breached_passwords: Option<Arc<dyn BreachedPasswords>>,
    /// Signs and verifies tokens.
    pub tokens: Arc<dyn Tokens>,
    /// Creates and parses the tokens of mailed links, and computes the digests of opaque tokens.
    pub secrets: Arc<dyn SecretTokens>,
    /// Computes codes of second factors and seals what a client keeps of them.
    pub factor_secrets: Arc<dyn SecondFactorSecrets>,
    /// Verifies what passkeys sign.
    pub passkeys: Arc<dyn PasskeyVerifier>,
    /// Sends mail.
    pub mailer: Arc<dyn Mailer>,
    /// Mail that this node keeps as files.
    pub local_mail: Arc<dyn LocalMail>,
    /// Limits attempts, such as wrong passwords.
    pub limiter: Arc<dyn AttemptLimiter>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The source of ids and secrets.
    pub entropy: Arc<dyn Entropy>,
}

/// Who may make an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistrationPolicy {
    /// Everyone who reaches the service.
    Open,
    /// The operator, at the command line.
    Closed,
}

/// The settings of the application.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The requirements for a new password.
    pub password_policy: PasswordPolicy,
    /// How long a reset token is valid.
    pub reset_lifetime: Duration,
    /// How long the previous refresh token is still accepted, as a retry of its client.
    pub refresh_grace: Duration,
    /// The limits of a session's lifetime.
    pub session_limits: Limits,
    /// Whether a link that verifies the e-mail address is mailed at registration.
    pub verifies_email: bool,
    /// Whether signing in requires a verified e-mail address.
    pub requires_verified_email: bool,
    /// Whether a login of an account with an authenticator app accepts the code after the password, in the same field.
    pub accepts_password_with_code: bool,
    /// The roles whose accounts need a second factor for everything but to enrol one.
    pub second_factor_roles: Vec<Role>,
    /// This service as authenticators know it; `None` if its public URL has no host name, so that there are no passkeys.
    pub relying_party: Option<RelyingParty>,
    /// Who may make an account.
    pub registration: RegistrationPolicy,
    /// How long a verification link is valid.
    pub verification_lifetime: Duration,
    /// The URL of the page that confirms an e-mail address. The token is appended as the query parameter `token`.
    pub verification_page: String,
    /// The URL of the page that sets a new password. The reset token is appended as the query parameter `token`.
    pub reset_page: String,
}

/// The use cases of Authlog. Cheap to clone.
#[derive(Clone)]
pub struct Authlog {
    pub(crate) parts: Parts,
    pub(crate) settings: Arc<Settings>,
    pub(crate) executor: Arc<CommandExecutor>,
    pub(crate) revocation_list: Arc<RevocationList>,
    pub(crate) unanswered_refreshes: Arc<UnansweredRefreshes>,
    pub(crate) refused_logins: mpsc::Sender<RefusedLogin>,
    pub(crate) outdated_passwords: mpsc::Sender<OutdatedPassword>,
    pub(crate) proved_passwords: mpsc::Sender<ProvedPassword>,
    /// Wakes the [`ResetMailer`].
    pub(crate) reset_requested: Arc<Notify>,
    /// Wakes the [`EventMailer`].
    pub(crate) mail_due: Arc<Notify>,
    /// Wakes the [`Housekeeper`], which deletes the remaining sessions of erased accounts.
    pub(crate) sessions_left: Arc<Notify>,
    pub(crate) feed: Arc<LogFeed>,
    pub(crate) log_indexes: Arc<LogIndexFinder>,
    pub(crate) account_cache: Arc<AccountCache>,
    pub(crate) challenge_serials: Arc<ChallengeSerials>,
    pub(crate) client_cache: Arc<ClientCache>,
    pub(crate) device_polls: Arc<DevicePolls>,
    /// Logout tokens that this node could not deliver.
    undelivered_logouts: Arc<AtomicU64>,
    /// Tells the [`LogoutDeliverer`] to end when the last clone is dropped.
    _stops_deliverer: Arc<DropGuard>,
}

impl Authlog {
    /// The façade over `parts`, the only proof of being the operator, and the background workers, which the caller starts.
    pub fn new(parts: Parts, settings: Settings) -> (Self, Operator, Background) {
        let settings = Arc::new(settings);
        let executor = Arc::new(CommandExecutor::new(
            Arc::clone(&parts.events),
            Arc::clone(&parts.directory),
            Arc::clone(&parts.clients),
        ));
        let revocation_list = Arc::new(RevocationList::new(Arc::clone(&parts.clock)));
        let reset_requested = Arc::new(Notify::new());
        let mail_due = Arc::new(Notify::new());
        let sessions_left = Arc::new(Notify::new());
        let (refused_logins, recorder) = RefusedLoginRecorder::new(Arc::clone(&executor));
        let (outdated_passwords, password_renewer) =
            PasswordRenewer::new(&parts, Arc::clone(&executor));
        let (proved_passwords, breach_checker) =
            BreachChecker::new(&parts, Arc::clone(&executor), Arc::clone(&mail_due));
        let (erased, mail_sweeper) = MailSweeper::new(&parts);
        let feed = Arc::new(LogFeed::new(Arc::clone(&parts.log)));
        let log_indexes = Arc::new(LogIndexFinder::new(Arc::clone(&parts.log)));
        let reset_mailer = ResetMailer::new(
            &parts,
            Arc::clone(&executor),
            Arc::clone(&settings),
            Arc::clone(&reset_requested),
        );
        let event_mailer = EventMailer::new(&parts, Arc::clone(&settings), Arc::clone(&mail_due));
        let revocation_tail = RevocationTail::new(
            Arc::clone(&parts.revocations),
            Arc::clone(&parts.clock),
            Arc::clone(&revocation_list),
            Arc::clone(&feed.account_cache),
            erased,
        );
        let logouts_queued = Arc::new(Notify::new());
        let undelivered_logouts = Arc::<AtomicU64>::default();
        let logout_queuer = LogoutQueuer::new(
            Arc::clone(&parts.logout_queue),
            feed.log_end(),
            Arc::clone(&logouts_queued),
        );
        let stopped = CancellationToken::new();
        let logout_deliverer = LogoutDeliverer::new(
            &parts,
            Arc::clone(&executor),
            logouts_queued,
            Arc::clone(&undelivered_logouts),
            stopped.clone(),
        );
        let housekeeper = Housekeeper::new(
            Arc::clone(&parts.housekeeping),
            Arc::clone(&parts.clock),
            Arc::clone(&sessions_left),
        );
        let background = vec![
            BackgroundWorker::new(password_renewer),
            BackgroundWorker::new(breach_checker),
            BackgroundWorker::new(reset_mailer),
            BackgroundWorker::new(event_mailer),
            BackgroundWorker::new(revocation_tail),
            BackgroundWorker::new(housekeeper),
            BackgroundWorker::new(mail_sweeper),
            BackgroundWorker::new(Arc::clone(&feed)),
            BackgroundWorker::new(feed.freshness_watch()),
            BackgroundWorker::new(Arc::clone(&log_indexes)),
            BackgroundWorker::new(logout_queuer),
            BackgroundWorker::new(logout_deliverer),
            BackgroundWorker::new(recorder),
        ];
        let authlog = Self {
            unanswered_refreshes: Arc::new(UnansweredRefreshes::new(Arc::clone(&parts.clock))),
            device_polls: Arc::new(DevicePolls::new(Arc::clone(&parts.clock))),
            parts,
            settings,
            executor,
            revocation_list,
            refused_logins,
            outdated_passwords,
            proved_passwords,
            reset_requested,
            mail_due,
            sessions_left,
            account_cache: Arc::clone(&feed.account_cache),
            client_cache: Arc::clone(&feed.client_cache),
            feed,
            log_indexes,
            challenge_serials: Arc::default(),
            undelivered_logouts,
            _stops_deliverer: Arc::new(stopped.drop_guard()),
        };
        (authlog, Operator::new(), background)
    }

    /// Checks that requests can be served.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`]: the store cannot be used.
    pub async fn ready(&self) -> Result<(), Refusal> {
        Ok(self.parts.health.check().await?)
    }

    /// The proofs that the log was not tampered with.
    pub fn transparency(&self, _by: &Auditor) -> &dyn TransparencyLog {
        &*self.parts.transparency
    }

    /// The newest signed checkpoint of the log. It holds the size of the log and a hash, and no data of
    /// any account.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn latest_checkpoint(&self) -> Result<Option<String>, StoreError> {
        self.parts.transparency.latest_checkpoint().await
    }

    /// How many logout tokens this node could not deliver for a day, since its start.
    pub fn undelivered_logouts(&self) -> u64 {
        self.undelivered_logouts.load(Ordering::Relaxed)
    }

    /// How many clients have not been reached with a logout token since their last attempt.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn clients_without_logouts(&self) -> Result<u64, StoreError> {
        self.parts.logout_queue.failing_receivers().await
    }

    /// Whether the log still matches its signed checkpoints, as far as this node knows.
    pub fn log_integrity(&self) -> LogIntegrity {
        self.parts.integrity.borrow().clone()
    }

    /// The public keys that verify tokens, as a JSON Web Key Set (RFC 7517).
    pub fn key_set(&self) -> serde_json::Value {
        self.parts.tokens.key_set(self.parts.clock.now())
    }

    /// The algorithms that sign ID tokens now.
    pub fn id_token_algorithms(&self) -> Vec<&'static str> {
        self.parts
            .tokens
            .id_token_algorithms(self.parts.clock.now())
    }

    /// `iss` and `aud` of every signed token.
    pub fn issuer_and_audience(&self) -> (&str, &str) {
        (self.parts.tokens.issuer(), self.parts.tokens.audience())
    }
}
