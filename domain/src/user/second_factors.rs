//! The second factors of an account: their events, and the decisions about them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::decide::{Authority, check_epoch};
use super::{
    EnrolledPasskey, FactorRenamed, ProvedEpoch, Registered, SessionsRevoked, UserEvent,
    UserRefusal,
};
use crate::{
    FactorId, FactorLabel, Personal, RecoverySetId, RevocationReason, SessionId, Timestamp,
    TotpAlgorithm, TotpParameters,
};

/// How many second factors an account can have, passkeys among them. It bounds how many codes are compared at a login.
pub const MAX_FACTORS: usize = 10;

/// How many recovery codes are made at a time.
pub const RECOVERY_CODES: u32 = 10;

/// An authenticator app was enrolled: it showed a right code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TotpEnrolled {
    /// When the event occurred.
    pub at: Timestamp,
    /// The factor. Its seed is stored under this id, sealed, and in no event.
    pub factor: FactorId,
    /// The hash function of the codes.
    pub algorithm: TotpAlgorithm,
    /// The number of digits of a code.
    pub digits: u8,
    /// For how many seconds a code is shown.
    pub period: u32,
}

/// A second factor was removed. With the last one, the recovery codes are removed as well.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FactorRemoved {
    /// When the event occurred.
    pub at: Timestamp,
    /// The factor.
    pub factor: FactorId,
    /// Who requested it.
    pub reason: RevocationReason,
}

/// Recovery codes were made. Earlier ones are invalid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecoveryCodesIssued {
    /// When the event occurred.
    pub at: Timestamp,
    /// The id of these codes together.
    pub set: RecoverySetId,
    /// How many there are.
    pub count: u32,
}

/// A recovery code was used instead of an authenticator app, and is invalid now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecoveryCodeUsed {
    /// When the event occurred.
    pub at: Timestamp,
    /// The set to which the code belonged.
    pub set: RecoverySetId,
    /// How many codes of the set are left.
    pub left: u32,
}

/// The second factors of an account, as far as later decisions depend on them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecondFactors {
    /// The authenticator apps, in the order in which they were enrolled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub totp: Vec<EnrolledTotp>,
    /// The passkeys, in the order in which they were enrolled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passkeys: Vec<EnrolledPasskey>,
    /// The recovery codes, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_codes: Option<RecoveryCodes>,
    /// The labels of factors of any kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<FactorId, FactorLabel>,
}

/// An authenticator app of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolledTotp {
    /// The factor.
    pub factor: FactorId,
    /// When it was enrolled.
    pub enrolled_at: Timestamp,
}

/// The recovery codes of an account. The codes themselves are stored as digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryCodes {
    /// The id of the codes together.
    pub set: RecoverySetId,
    /// How many are left.
    pub left: u32,
}

impl SecondFactors {
    /// Whether the password alone is enough to sign in.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// How many there are, without recovery codes.
    pub fn count(&self) -> usize {
        self.totp.len() + self.passkeys.len()
    }

    /// Whether the account has this factor.
    pub fn has(&self, factor: FactorId) -> bool {
        self.ids().any(|id| id == factor)
    }

    fn ids(&self) -> impl Iterator<Item = FactorId> {
        let totp = self.totp.iter().map(|totp| totp.factor);
        totp.chain(self.passkeys.iter().map(|passkey| passkey.factor))
    }

    /// Applies an event of the account. Those about other things change nothing.
    pub(super) fn apply(&mut self, event: &UserEvent) {
        match event {
            UserEvent::TotpEnrolled(event) => self.totp.push(EnrolledTotp {
                factor: event.factor,
                enrolled_at: event.at,
            }),
            UserEvent::PasskeyEnrolled(event) => self.passkeys.push(event.into()),
            UserEvent::FactorRemoved(event) => {
                self.totp.retain(|totp| totp.factor != event.factor);
                self.labels.remove(&event.factor);
                self.passkeys
                    .retain(|passkey| passkey.factor != event.factor);
                if self.is_empty() {
                    self.recovery_codes = None;
                }
            }
            UserEvent::RecoveryCodesIssued(event) => {
                self.recovery_codes = Some(RecoveryCodes {
                    set: event.set,
                    left: event.count,
                });
            }
            UserEvent::RecoveryCodeUsed(event) => {
                self.recovery_codes = Some(RecoveryCodes {
                    set: event.set,
                    left: event.left,
                });
            }
            UserEvent::FactorRenamed(event) => {
                match event.label.as_ref().and_then(Personal::known) {
                    Some(label) => self.labels.insert(event.factor, label.clone()),
                    None => self.labels.remove(&event.factor),
                };
            }
            _ => {}
        }
    }
}

/// An authenticator app of an imported account. Its codes were checked by the service from which the account comes.
#[derive(Clone, Debug)]
pub struct ImportedTotp {
    /// The time of the import.
    pub at: Timestamp,
    /// The new factor.
    pub factor: FactorId,
    /// How its codes are computed.
    pub parameters: TotpParameters,
    /// Its label, if it has one.
    pub label: Option<FactorLabel>,
}

impl ImportedTotp {
    pub(super) fn into_events(self) -> impl Iterator<Item = UserEvent> {
        let Self {
            at,
            factor,
            parameters,
            label,
        } = self;
        let named = label.map(|label| FactorRenamed::event(at, factor, Some(label)));
        std::iter::once(totp_enrolled(at, factor, parameters)).chain(named)
    }
}

fn totp_enrolled(at: Timestamp, factor: FactorId, parameters: TotpParameters) -> UserEvent {
    let TotpParameters {
        algorithm,
        digits,
        period,
    } = parameters;
    UserEvent::TotpEnrolled(TotpEnrolled {
        at,
        factor,
        algorithm,
        digits,
        period,
    })
}

/// Enrol an authenticator app, which has shown a right code. Its seed is stored together with the event.
#[derive(Clone, Debug)]
pub struct EnrolTotp {
    /// The current time.
    pub at: Timestamp,
    /// The new factor. A repetition with the same id has no effect.
    pub factor: FactorId,
    /// How its codes are computed.
    pub parameters: TotpParameters,
    /// Its label, if it has one.
    pub label: Option<FactorLabel>,
    /// The epoch under which the password was checked.
    pub proved: ProvedEpoch,
    /// The session in which it is enrolled. If it is the first factor of the account, every other session ends.
    pub session: SessionId,
}

/// Remove second factors.
#[derive(Clone, Copy, Debug)]
pub struct RemoveFactor {
    /// The current time.
    pub at: Timestamp,
    /// The factor; `None` for all of them.
    pub factor: Option<FactorId>,
    /// On whose authority the command is given.
    pub authority: Authority,
    /// The session that continues, if any.
    pub kept: Option<SessionId>,
}

/// Replace the recovery codes. The digests of the new ones are stored together with the event.
#[derive(Clone, Copy, Debug)]
pub struct IssueRecoveryCodes {
    /// The current time.
    pub at: Timestamp,
    /// The id of the new codes together.
    pub set: RecoverySetId,
    /// The epoch under which the password was checked.
    pub proved: ProvedEpoch,
}

/// Use a recovery code to sign in. The store deletes its digest together with the event, and refuses both if there is no
/// such digest.
#[derive(Clone, Copy, Debug)]
pub struct UseRecoveryCode {
    /// The current time.
    pub at: Timestamp,
    /// The epoch under which the password was checked.
    pub proved: ProvedEpoch,
}

pub(super) fn enrol_totp(
    account: &Registered,
    command: EnrolTotp,
) -> Result<Vec<UserEvent>, UserRefusal> {
    if account.second_factors.has(command.factor) {
        return Ok(vec![]);
    }
    check_epoch(account, command.proved)?;
    if account.second_factors.count() >= MAX_FACTORS {
        return Err(UserRefusal::TooManyFactors);
    }
    let (at, factor) = (command.at, command.factor);
    let named = command
        .label
        .map(|label| FactorRenamed::event(at, factor, Some(label)));
    let enrolled = totp_enrolled(at, factor, command.parameters);
    let ended = account.second_factors.is_empty().then(|| {
        let kept = Some(command.session);
        others_ended(account, at, RevocationReason::Owner, kept)
    });
    Ok(std::iter::once(enrolled)
        .chain(named)
        .chain(ended)
        .collect())
}

/// The event that ends every session of the account except `kept`. The first factor ends them because the password alone
/// opened them. The removal of a factor ends them because it may have opened them. The new epoch also invalidates every
/// enrolment that was begun before, so that a factor that was removed cannot be confirmed again.
pub(super) fn others_ended(
    account: &Registered,
    at: Timestamp,
    reason: RevocationReason,
    kept: Option<SessionId>,
) -> UserEvent {
    UserEvent::SessionsRevoked(SessionsRevoked {
        at,
        reason,
        session_epoch: account.session_epoch + 1,
        kept_session: kept,
    })
}

pub(super) fn remove_factor(
    account: &Registered,
    command: RemoveFactor,
) -> Result<Vec<UserEvent>, UserRefusal> {
    command.authority.check(account)?;
    let removed = account.second_factors.ids();
    let removed = removed.filter(|factor| command.factor.is_none_or(|it| it == *factor));
    let reason = command.authority.reason();
    let mut events: Vec<_> = removed
        .map(|factor| {
            UserEvent::FactorRemoved(FactorRemoved {
                at: command.at,
                factor,
                reason,
            })
        })
        .collect();
    if events.is_empty() {
        return match command.factor {
            Some(_) => Err(UserRefusal::NoSuchFactor),
            None => Ok(events),
        };
    }
    events.push(others_ended(account, command.at, reason, command.kept));
    Ok(events)
}

/// Without a second factor there is nothing to recover, and the password alone is enough.
pub(super) fn issue_recovery_codes(
    account: &Registered,
    command: IssueRecoveryCodes,
) -> Result<Vec<UserEvent>, UserRefusal> {
    check_epoch(account, command.proved)?;
    if account.second_factors.is_empty() {
        return Err(UserRefusal::NoSecondFactor);
    }
    Ok(vec![UserEvent::RecoveryCodesIssued(RecoveryCodesIssued {
        at: command.at,
        set: command.set,
        count: RECOVERY_CODES,
    })])
}

pub(super) fn use_recovery_code(
    account: &Registered,
    command: UseRecoveryCode,
) -> Result<Vec<UserEvent>, UserRefusal> {
    check_epoch(account, command.proved)?;
    match account.second_factors.recovery_codes {
        Some(RecoveryCodes { set, left }) if left > 0 => {
            Ok(vec![UserEvent::RecoveryCodeUsed(RecoveryCodeUsed {
                at: command.at,
                set,
                left: left - 1,
            })])
        }
        _ => Err(UserRefusal::NoSuchRecoveryCode),
    }
}
