//! Secrets of second factors.

use authlog_domain::{FactorId, Timestamp, TotpParameters, UserId};
use zeroize::Zeroizing;

use super::{CredentialDigest, PasskeyCredential, UserCodeDigest};

/// The seed of an authenticator app, with what else its codes are computed from. It has no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct TotpSecret {
    /// How codes are computed.
    pub parameters: TotpParameters,
    /// The seed.
    pub seed: Zeroizing<Vec<u8>>,
}

/// An authenticator app of an account, with its secret.
pub struct StoredTotp {
    /// The factor.
    pub factor: FactorId,
    /// Its secret.
    pub secret: TotpSecret,
    /// The last time step whose code was used. Codes of it and of earlier steps are invalid (RFC 6238 §5.2).
    pub last_step: u64,
}

/// The digest under which a recovery code is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct RecoveryDigest(pub [u8; 32]);

/// A change of what is stored of an account's second factors, in the same statement as the events about it.
#[derive(Clone)]
pub struct FactorChange {
    /// The account.
    pub user: UserId,
    /// What changes.
    pub what: FactorChangeKind,
}

/// What changes of an account's second factors.
#[derive(Clone)]
pub enum FactorChangeKind {
    /// An authenticator app is added.
    Enrol {
        /// The new factor.
        factor: FactorId,
        /// Its secret.
        secret: TotpSecret,
        /// The time step of the code that confirmed it, which is used.
        step: u64,
    },
    /// A passkey is added. The append is refused ([`AppendError::PasskeyTaken`](super::AppendError::PasskeyTaken)) if its
    /// credential id belongs to a passkey already, of this account or another.
    EnrolPasskey {
        /// The new factor.
        factor: FactorId,
        /// The digest of its credential id.
        digest: CredentialDigest,
        /// What it signs with.
        credential: PasskeyCredential,
        /// Its signature counter.
        sign_count: u32,
        /// Whether it was copied to other devices.
        backed_up: bool,
    },
    /// A passkey is used. The append is refused ([`AppendError::CodeUsed`](super::AppendError::CodeUsed)) if it signed this
    /// challenge or a later one before.
    UsePasskey {
        /// The factor.
        factor: FactorId,
        /// The serial number of the challenge. A challenge that is issued later has a higher one.
        challenge: i64,
        /// A serial number that no right clock has reached. If the passkey signed a later challenge before, a clock was ahead, and
        /// that counts for nothing: otherwise the passkey could not be used until the clocks have caught up.
        latest: i64,
        /// The signature counter of this use.
        sign_count: u32,
        /// Whether it was copied to other devices.
        backed_up: bool,
    },
    /// A factor is removed, or all are. With the last one, the recovery codes are removed as well.
    Remove(Option<FactorId>),
    /// A code is used. The append is refused ([`AppendError::CodeUsed`](super::AppendError::CodeUsed)) if this or a later one
    /// was used before.
    UseCode {
        /// The factor.
        factor: FactorId,
        /// The time step of the code.
        step: u64,
    },
    /// The recovery codes are replaced by those with these digests.
    IssueRecoveryCodes(Vec<RecoveryDigest>),
    /// A recovery code is used. The append is refused if it is not one of the account's.
    UseRecoveryCode(RecoveryDigest),
}

/// What a value is sealed for. A value that was sealed for one purpose opens for no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealedFor {
    /// An authenticator app that has to show a right code.
    Enrolment,
    /// A login whose second factor is missing.
    Challenge,
    /// A passkey that has to be created.
    PasskeyEnrolment,
    /// A login that begins with a passkey.
    PasskeySignIn,
    /// A session that is to be stepped up with a passkey.
    PasskeyStepUp,
    /// An authorization code, which an application redeems.
    AuthorizationCode,
    /// An authorization request for which the person has to sign in.
    AuthorizationAsked,
    /// An authorization request that a client pushed.
    PushedRequest,
    /// A device code, with which a device asks for its tokens.
    DeviceCode,
    /// What a device asks for, in a row.
    DeviceRequest,
    /// What a person decided about a device, in a row.
    DeviceDecision,
}

/// Computes codes and seals what a client keeps between two requests.
pub trait SecondFactorSecrets: Send + Sync {
    /// The time step around `now` whose code is `code`: the current one, the one before or the one after (RFC 6238 §5.2).
    fn matching_step(&self, secret: &TotpSecret, code: &str, now: Timestamp) -> Option<u64>;

    /// The keyed digest of a recovery code of the account, in its normalised form.
    fn recovery_digest(&self, user: UserId, code: &str) -> RecoveryDigest;

    /// The keyed digest of the credential id of a passkey.
    fn credential_digest(&self, credential_id: &[u8]) -> CredentialDigest;

    /// The keyed digest of the user code of a device, in its normalised form.
    fn user_code_digest(&self, code: &str) -> UserCodeDigest;

    /// The value, sealed, in characters that are safe in URLs and headers. `None` if it cannot be encrypted.
    fn seal(&self, purpose: SealedFor, value: &[u8]) -> Option<String>;

    /// The value; `None` unless this service sealed it for this purpose.
    fn open(&self, purpose: SealedFor, sealed: &str) -> Option<Zeroizing<Vec<u8>>>;
}
