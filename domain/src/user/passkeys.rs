//! The passkeys of an account: their events, and the decisions about them.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::decide::check_epoch;
use super::second_factors::others_ended;
use super::{MAX_FACTORS, ProvedEpoch, Registered, UserEvent, UserRefusal};
use crate::{FactorId, PasskeyTransport, RevocationReason, SessionId, Timestamp};

/// A passkey was enrolled.
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are independent facts that an authenticator reports"
)]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PasskeyEnrolled {
    /// When the event occurred.
    pub at: Timestamp,
    /// The factor. The public key and the credential id are stored under this id, sealed, and in no event.
    pub factor: FactorId,
    /// The RP ID, to which the passkey is bound: the host name of this service.
    pub rp_id: String,
    /// The model of the authenticator as it claims; zero if it does not.
    pub aaguid: Uuid,
    /// How clients can reach the authenticator.
    pub transports: Vec<PasskeyTransport>,
    /// Whether the authenticator finds the passkey without its id, so that the person does not type a name.
    pub discoverable: bool,
    /// Whether the authenticator verified the person, by a PIN or a fingerprint for example.
    pub user_verified: bool,
    /// Whether the passkey can be copied to other devices of the person.
    pub backup_eligible: bool,
    /// Whether it was copied already.
    pub backed_up: bool,
}

/// A passkey was used with a signature counter that is not higher than the stored one. There may be a copy of its private key
/// (WebAuthn §6.1.1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PasskeyCounterWentBack {
    /// When the event occurred.
    pub at: Timestamp,
    /// The factor.
    pub factor: FactorId,
    /// The counter of the last use.
    pub stored: u32,
    /// The counter of this use.
    pub received: u32,
}

/// A passkey of an account, as far as later decisions depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolledPasskey {
    /// The factor.
    pub factor: FactorId,
    /// When it was enrolled.
    pub enrolled_at: Timestamp,
    /// The model of the authenticator as it claims; zero if it does not.
    pub aaguid: Uuid,
    /// Whether the passkey can be copied to other devices of the person.
    pub backup_eligible: bool,
}

impl From<&PasskeyEnrolled> for EnrolledPasskey {
    fn from(event: &PasskeyEnrolled) -> Self {
        Self {
            factor: event.factor,
            enrolled_at: event.at,
            aaguid: event.aaguid,
            backup_eligible: event.backup_eligible,
        }
    }
}

/// Enrol a passkey whose attestation was verified. Its public key is stored together with the event.
#[derive(Clone, Debug)]
pub struct EnrolPasskey {
    /// The event. A repetition with the same factor has no effect.
    pub enrolled: PasskeyEnrolled,
    /// The epoch under which the password was checked.
    pub proved: ProvedEpoch,
    /// The session in which it is enrolled. If it is the first factor of the account, every other session ends.
    pub session: SessionId,
}

/// Record that the signature counter of a passkey went back.
#[derive(Clone, Debug)]
pub struct NotePasskeyCounter {
    /// The event.
    pub noted: PasskeyCounterWentBack,
    /// The epoch under which the passkey was used.
    pub proved: ProvedEpoch,
}

pub(super) fn enrol_passkey(
    account: &Registered,
    command: EnrolPasskey,
) -> Result<Vec<UserEvent>, UserRefusal> {
    if account.second_factors.has(command.enrolled.factor) {
        return Ok(vec![]);
    }
    check_epoch(account, command.proved)?;
    if account.second_factors.count() >= MAX_FACTORS {
        return Err(UserRefusal::TooManyFactors);
    }
    let ended = account.second_factors.is_empty().then(|| {
        let kept = Some(command.session);
        others_ended(account, command.enrolled.at, RevocationReason::Owner, kept)
    });
    let enrolled = UserEvent::PasskeyEnrolled(command.enrolled);
    Ok(std::iter::once(enrolled).chain(ended).collect())
}

pub(super) fn note_passkey_counter(
    account: &Registered,
    command: NotePasskeyCounter,
) -> Result<Vec<UserEvent>, UserRefusal> {
    check_epoch(account, command.proved)?;
    if !account.second_factors.has(command.noted.factor) {
        return Err(UserRefusal::NoSuchFactor);
    }
    Ok(vec![UserEvent::PasskeyCounterWentBack(command.noted)])
}
