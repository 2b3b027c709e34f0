//! The façade: the parts it is made of and the settings it goes by.

use std::sync::Arc;
use std::time::Duration;

use authlog_domain::session::Limits;
use tokio::sync::{Notify, mpsc, watch};

use crate::known_accounts::KnownAccounts;
use crate::ports::{
    AttemptLimiter, Clock, Directory, Entropy, EventLog, EventStore, Health, History, Housekeeping,
    KeptMail, LogIntegrity, MailGate, MailQueue, Mailer, PasswordHasher, Publication,
    ResetRequests, RevocationSource, SecretTokens, StoreError, Tokens, TransparencyLog,
};
use crate::unanswered_refreshes::UnansweredRefreshes;
use crate::unit_of_work::Journal;
use crate::use_cases::{OutdatedPassword, RefusedLogin};
use crate::{
    Auditor, EventMailer, Housekeeper, LogFeed, MailSweeper, Operator, PasswordPolicy,
    PasswordRenewer, Refusal, RefusedLoginRecorder, ResetMailer, RevocationList, RevocationTail,
};

/// What the façade is made of.
#[derive(Clone)]
pub struct Parts {
    /// The events, aggregate by aggregate.
    pub events: Arc<dyn EventStore>,
    /// The events in their one order.
    pub log: Arc<dyn EventLog>,
    /// What happened to each account.
    pub history: Arc<dyn History>,
    /// How far they have been published; `None` where nothing is.
    pub publication: Option<watch::Receiver<Publication>>,
    /// What proves the log.
    pub transparency: Arc<dyn TransparencyLog>,
    /// Whether the log still is the one that was signed.
    pub integrity: watch::Receiver<LogIntegrity>,
    /// The read models.
    pub directory: Arc<dyn Directory>,
    /// Tells whether the store can be used.
    pub health: Arc<dyn Health>,
    /// Removes what has expired.
    pub housekeeping: Arc<dyn Housekeeping>,
    /// News of ended sessions.
    pub revocations: Arc<dyn RevocationSource>,
    /// The queue of requests to reset a password.
    pub reset_requests: Arc<dyn ResetRequests>,
    /// The queue of what people are told by mail.
    pub mail_queue: Arc<dyn MailQueue>,
    /// Bounds the mail that one mailbox is sent.
    pub mail_gate: Arc<dyn MailGate>,
    /// Hashes passwords.
    pub hasher: Arc<dyn PasswordHasher>,
    /// Signs and verifies tokens.
    pub tokens: Arc<dyn Tokens>,
    /// Makes and reads reset tokens.
    pub secrets: Arc<dyn SecretTokens>,
    /// Sends mail.
    pub mailer: Arc<dyn Mailer>,
    /// What is kept of it.
    pub kept_mail: Arc<dyn KeptMail>,
    /// Limits guessing.
    pub limiter: Arc<dyn AttemptLimiter>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Makes ids and secrets.
    pub entropy: Arc<dyn Entropy>,
}

/// What the façade goes by.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is asked of a new password.
    pub password_policy: PasswordPolicy,
    /// How long a password reset can be carried out.
    pub reset_lifetime: Duration,
    /// How long the refresh token before the current one is still taken for a client's retry.
    pub refresh_grace: Duration,
    /// How long a session can go on.
    pub session_limits: Limits,
    /// Whether a link is mailed at the registration that proves whose the e-mail address is.
    pub verifies_email: bool,
    /// Whether nobody can sign in whose e-mail address was not verified.
    pub requires_verified_email: bool,
    /// How long a link about an e-mail address is good.
    pub verification_lifetime: Duration,
    /// The address of the page on which a person confirms an e-mail address; the token is appended as the query parameter
    /// `token`.
    pub verification_page: String,
    /// The address of the page on which a person types a new password; the reset token is appended as the query
    /// parameter `token`.
    pub reset_page: String,
}

/// What Authlog does for people. Cheap to clone.
#[derive(Clone)]
pub struct Authlog {
    pub(crate) parts: Parts,
    pub(crate) settings: Arc<Settings>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) revocation_list: Arc<RevocationList>,
    pub(crate) unanswered_refreshes: Arc<UnansweredRefreshes>,
    pub(crate) refused_logins: mpsc::Sender<RefusedLogin>,
    pub(crate) outdated_passwords: mpsc::Sender<OutdatedPassword>,
    pub(crate) reset_requested: Arc<Notify>,
    pub(crate) mail_due: Arc<Notify>,
    pub(crate) sessions_left: Arc<Notify>,
    pub(crate) feed: Arc<LogFeed>,
    pub(crate) known_accounts: Arc<KnownAccounts>,
}

/// The work that goes on beside the requests. Each has a `run` to be driven until it returns.
pub struct Background {
    /// Records refused logins.
    pub refused_logins: RefusedLoginRecorder,
    /// Hashes passwords anew whose hashes are outdated.
    pub password_renewer: PasswordRenewer,
    /// Sends the mails that resets need.
    pub reset_mailer: ResetMailer,
    /// Sends the mails that tell of events.
    pub event_mailer: EventMailer,
    /// Hears of sessions that end on other nodes.
    pub revocation_tail: RevocationTail,
    /// Removes what has expired.
    pub housekeeper: Housekeeper,
    /// Deletes mail to people whose accounts were erased, wherever that was done.
    pub mail_sweeper: MailSweeper,
    /// Keeps the end of the log in memory for those who follow it.
    pub feed: Arc<LogFeed>,
}

impl Authlog {
    /// The façade over `parts`, the proof that its owner is the operator, and the work that goes on in the background.
    pub fn new(parts: Parts, settings: Settings) -> (Self, Operator, Background) {
        let settings = Arc::new(settings);
        let journal = Arc::new(Journal::new(
            Arc::clone(&parts.events),
            Arc::clone(&parts.directory),
        ));
        let revocation_list = Arc::new(RevocationList::new(Arc::clone(&parts.clock)));
        let reset_requested = Arc::new(Notify::new());
        let mail_due = Arc::new(Notify::new());
        let sessions_left = Arc::new(Notify::new());
        let (refused_logins, recorder) = RefusedLoginRecorder::new(Arc::clone(&journal));
        let (outdated_passwords, password_renewer) =
            PasswordRenewer::new(parts.clone(), Arc::clone(&journal));
        let (erased, mail_sweeper) = MailSweeper::new(&parts);
        let feed = Arc::new(LogFeed::new(Arc::clone(&parts.log)));
        let background = Background {
            housekeeper: Housekeeper::new(
                Arc::clone(&parts.housekeeping),
                Arc::clone(&parts.clock),
                Arc::clone(&sessions_left),
            ),
            feed: Arc::clone(&feed),
            refused_logins: recorder,
            password_renewer,
            reset_mailer: ResetMailer::new(
                parts.clone(),
                Arc::clone(&journal),
                Arc::clone(&settings),
                Arc::clone(&reset_requested),
            ),
            event_mailer: EventMailer::new(
                parts.clone(),
                Arc::clone(&settings),
                Arc::clone(&mail_due),
            ),
            revocation_tail: RevocationTail::new(
                Arc::clone(&parts.revocations),
                Arc::clone(&parts.clock),
                Arc::clone(&revocation_list),
                Arc::clone(&feed.known_accounts),
                erased,
            ),
            mail_sweeper,
        };
        let authlog = Self {
            unanswered_refreshes: Arc::new(UnansweredRefreshes::new(Arc::clone(&parts.clock))),
            parts,
            settings,
            journal,
            revocation_list,
            refused_logins,
            outdated_passwords,
            reset_requested,
            mail_due,
            sessions_left,
            known_accounts: Arc::clone(&feed.known_accounts),
            feed,
        };
        (authlog, Operator::new(), background)
    }

    /// Whether requests can be served.
    ///
    /// # Errors
    /// They cannot.
    pub async fn ready(&self) -> Result<(), Refusal> {
        Ok(self.parts.health.check().await?)
    }

    /// The proofs that the log was not changed.
    pub fn transparency(&self, _by: &Auditor) -> &dyn TransparencyLog {
        &*self.parts.transparency
    }

    /// The newest signed checkpoint of the log. It holds the log's size and a hash, and nothing of any account.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn latest_checkpoint(&self) -> Result<Option<String>, StoreError> {
        self.parts.transparency.latest_checkpoint().await
    }

    /// Whether the log still is the one that was signed, as far as this node can tell.
    pub fn log_integrity(&self) -> LogIntegrity {
        self.parts.integrity.borrow().clone()
    }

    /// The public keys that verify tokens, as a JSON Web Key Set (RFC 7517).
    pub fn key_set(&self) -> serde_json::Value {
        self.parts.tokens.key_set(self.parts.clock.now())
    }

    /// `iss` and `aud` of every signed token.
    pub fn issuer_and_audience(&self) -> (&str, &str) {
        (self.parts.tokens.issuer(), self.parts.tokens.audience())
    }
}
