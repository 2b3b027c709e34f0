//! What the use cases need of the world, as traits; `infrastructure` has the adapters.
//!
//! A port is a role. To add one: a trait here that says what comes back when it fails, an adapter in
//! `infrastructure`, a field of [`Parts`](crate::Parts), and a behaviour suite that every adapter passes.

mod attempts;
mod clock;
mod directory;
mod doctor;
mod event_log;
mod event_store;
mod health;
mod history;
mod housekeeping;
mod mail;
mod mail_gate;
mod mail_queue;
mod master_keys;
mod passwords;
mod publication;
mod rebuild;
mod recorded_event;
mod reset_requests;
mod revocations;
mod tokens;
mod transparency;

pub use attempts::{
    Attempt, AttemptLimiter, Guess, GuessOutcome, Reservation, ReservedGuess, ReservedRegistration,
};
pub use clock::{Clock, ClockReading, Entropy};
pub use directory::{
    Account, Directory, Identifier, IdentifierKind, LiveSessions, OVER_SESSIONS_KEPT,
    SessionRecord, SessionStanding, SignInRecord,
};
pub use doctor::{Check, Diagnosis, Divergences, Doctor, Finding};
pub use event_log::{
    ChangedAccounts, EventLog, HoldUp, HoldUpBy, LeafHash, LogCursor, LogFilter, LogHead, LogPage,
    LoggedEvent, ReadOnError,
};
pub use event_store::{
    Append, AppendError, Base, CredentialRecord, EventStore, OpaqueTokenRecord, StagedStream,
    StoreError, StreamId, TooLate,
};
pub use health::{Health, NotReady};
pub use history::{History, HistoryFilter, HistoryPage, Moment, PastEvent, PastState};
pub use housekeeping::{Housekeeping, LogMark, SweptSessions};
pub use mail::{KeptMail, Mail, MailError, Mailer};
pub use mail_gate::{Admission, MailGate, MailKind, MailQuota, QueuedMail};
pub use mail_queue::{DueMail, MailQueue};
pub use master_keys::{MasterKeyRotation, Rewrapped, SharedSecrets};
pub use passwords::{
    HashStanding, HashingClient, HashingError, HashingPlace, PasswordHash, PasswordHasher,
    UnusableHash,
};
pub use publication::Publication;
pub use rebuild::{Rebuild, Stretch};
pub use recorded_event::RecordedEvent;
pub use reset_requests::{ResetRequest, ResetRequests};
pub use revocations::{Revocation, RevocationReader, RevocationSink, RevocationSource};
pub use tokens::{
    OpaqueToken, SecretTokens, TokenClaims, TokenDigest, TokenError, TokenKind, Tokens,
    VerifiedToken,
};
pub use transparency::{
    AuditProgress, ConsistencyProof, InclusionProof, LogIntegrity, ProofError, TransparencyLog,
};
