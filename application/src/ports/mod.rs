//! The ports: traits for everything outside of the process that the use cases need. `infrastructure` implements them.
//!
//! To add a port, write a trait here whose documentation says what each method returns when it fails, an adapter in
//! `infrastructure`, a field of [`Parts`](crate::Parts), and tests that every adapter has to pass.
//!
//! The rows and stored events in the ports are defined in `authlog-projections`, and identifiers in
//! `authlog-domain`. They are re-exported here, so that a user of a port imports its types from one module.

mod attempts;
mod breached_passwords;
mod client_assertions;
mod clients;
mod clock;
mod device_authorizations;
mod directory;
mod doctor;
mod dpop_proofs;
mod event_log;
mod event_store;
mod health;
mod history;
mod housekeeping;
mod logouts;
mod mail;
mod mail_gate;
mod mail_queue;
mod master_keys;
mod oauth_tokens;
mod passkeys;
mod passwords;
mod publication;
mod rebuild;
mod reset_requests;
mod revocations;
mod second_factors;
mod tokens;
mod transparency;

pub use authlog_domain::{Identifier, IdentifierKind};
pub use authlog_projections::{
    Account, Base, ClientRecord, RecordedEvent, Revocation, SESSION_ROW_RETENTION, SessionRecord,
    StagedStream, StreamId,
};

pub use attempts::{
    Attempt, AttemptLimiter, Guess, GuessOutcome, Reservation, ReservedGuess, ReservedRegistration,
};
pub use breached_passwords::{BreachLookup, BreachedPasswords};
pub use client_assertions::{AssertionRefusal, ClientAssertions};
pub use clients::{ClientSecrets, Clients, ClientsPage};
pub use clock::{Clock, ClockReading, Entropy};
pub use device_authorizations::{DeviceAuthorizations, StoredDeviceAuthorization, UserCodeDigest};
pub use directory::{Directory, LiveSessions, SessionWithAccount, SignInRecord};
pub use doctor::{Check, Diagnosis, Divergences, Doctor, Finding};
pub use dpop_proofs::{DpopProofs, ProofHolder, ProofRefusal, ProvedRequest, VerifiedProof};
pub use event_log::{
    BlockingTransaction, ChangedAccounts, CommitPlace, EventLog, LeafHash, LogCoverage, LogCursor,
    LogFilter, LogGrowth, LogHead, LogPage, LoggedEvent, ReadOnError, TransactionHolder,
};
pub use event_store::{
    Append, AppendError, Appended, CredentialRecord, EventId, EventStore, OpaqueTokenRecord,
    StoreError, TooLate,
};
pub use health::{Health, NotReady};
pub use history::{History, HistoryFilter, HistoryPage, Moment, PastEvent, PastState};
pub use housekeeping::{Housekeeping, LogMark, SweptSessions};
pub use logouts::{
    DueLogout, LogoutQueue, LogoutReceiver, LogoutSendError, LogoutSender, QueuedLogouts,
    WaitingLogouts,
};
pub use mail::{LocalMail, Mail, MailError, Mailer};
pub use mail_gate::{Admission, MailGate, MailKind, MailQuota, QueuedMail};
pub use mail_queue::{DueMail, MailQueue};
pub use master_keys::{MasterKeyRotation, Rewrapped, SharedSecrets};
pub use oauth_tokens::{
    ClientTokenClaims, IdTokenError, LogoutClaims, OAuthClaims, VerifiedOAuthToken,
};
pub use passkeys::{
    AssertionResponse, AttestationResponse, Ceremony, CredentialDigest, PasskeyCredential,
    PasskeyVerifier, PasskeyWithAccount, RelyingParty, StoredPasskey, VerifiedAssertion,
    VerifiedAttestation,
};
pub use passwords::{
    HashStrength, HashingClient, HashingError, HashingPlace, PasswordHash, PasswordHasher,
    UnusableHash,
};
pub use publication::Publication;
pub use rebuild::{Rebuild, StreamRange};
pub use reset_requests::{ResetRequest, ResetRequests};
pub use revocations::{RevocationReader, RevocationSink, RevocationSource};
pub use second_factors::{
    FactorChange, FactorChangeKind, RecoveryDigest, SealedFor, SecondFactorSecrets, StoredTotp,
    TotpSecret,
};
pub use tokens::{
    BrowserSecret, OpaqueToken, SecretTokens, TokenClaims, TokenDigest, TokenError, TokenKind,
    Tokens, VerifiedToken,
};
pub use transparency::{
    AuditProgress, ConsistencyProof, InclusionProof, LogIntegrity, ProofError, TransparencyLog,
};
