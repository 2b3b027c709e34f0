//! The decision functions of the `User` aggregate.

use std::time::Duration;

use super::breached_password::{ReportBreachedPassword, report_breached_password};
use super::consents::{GiveConsent, WithdrawConsent, give_consent, withdraw_consent};
use super::factor_labels::{RenameFactor, rename_factor};
use super::passkeys::{EnrolPasskey, NotePasskeyCounter, enrol_passkey, note_passkey_counter};
use super::second_factors::{
    EnrolTotp, ImportedTotp, IssueRecoveryCodes, RemoveFactor, UseRecoveryCode, enrol_totp,
    issue_recovery_codes, remove_factor, use_recovery_code,
};
use super::{
    EmailChanged, EmailVerificationRequested, EmailVerified, PasswordChanged, PasswordRehashed,
    PasswordReset, PasswordResetRequested, ProvedEpoch, Registered, RoleChanged, SessionsRevoked,
    User, UserErased, UserEvent, UserLocked, UserRegistered, UserUnlocked,
};
use crate::{
    AccountNumber, CredentialId, Email, PersonName, Personal, Phone, ResetId, RevocationReason,
    Role, SessionId, Timestamp, Username, VerificationId,
};

/// How many password resets are sent to an account within [`RESET_REQUEST_WINDOW`], so that its mailbox cannot be
/// flooded. A reset is valid for as long as it counts. So while the limit refuses further requests, the newest reset is
/// still valid, and an attacker who uses up the limit does not keep the owner from resetting the password.
pub const MAX_RESET_REQUESTS: usize = 5;

/// The period over which [`MAX_RESET_REQUESTS`] counts: the lifetime of a reset.
pub const RESET_REQUEST_WINDOW: Duration = Duration::from_secs(30 * 60);

/// How many verification links are sent for an account within [`VERIFICATION_REQUEST_WINDOW`], so that no
/// mailbox can be flooded.
pub const MAX_VERIFICATION_REQUESTS: usize = 5;

/// The period over which [`MAX_VERIFICATION_REQUESTS`] counts.
pub const VERIFICATION_REQUEST_WINDOW: Duration = Duration::from_secs(30 * 60);

/// A command to the `User` aggregate.
#[derive(Clone, Debug)]
pub enum UserCommand {
    /// Register the account.
    Register(RegisterUser),
    /// Allow one password reset.
    RequestPasswordReset(RequestPasswordReset),
    /// Reset the password.
    ResetPassword(ResetPassword),
    /// Replace the hash of an unchanged password.
    RehashPassword(RehashPassword),
    /// Change the password.
    ChangePassword(ChangePassword),
    /// End the account's sessions.
    RevokeSessions(RevokeSessions),
    /// Change the role.
    ChangeRole(ChangeRole),
    /// Lock the account.
    Lock(Lock),
    /// Unlock the account.
    Unlock(Unlock),
    /// Mail a link that verifies an e-mail address.
    RequestEmailVerification(RequestEmailVerification),
    /// Confirm the e-mail address that such a link verifies.
    ConfirmEmail(ConfirmEmail),
    /// Enrol an authenticator app.
    EnrolTotp(EnrolTotp),
    /// Enrol a passkey.
    EnrolPasskey(EnrolPasskey),
    /// Record that the signature counter of a passkey went back.
    NotePasskeyCounter(NotePasskeyCounter),
    /// Remove second factors.
    RemoveFactor(RemoveFactor),
    /// Replace the recovery codes.
    IssueRecoveryCodes(IssueRecoveryCodes),
    /// Use a recovery code.
    UseRecoveryCode(UseRecoveryCode),
    /// Give a second factor a label.
    RenameFactor(RenameFactor),
    /// Record that the password is on a list of breached ones.
    ReportBreachedPassword(ReportBreachedPassword),
    /// Consent to what an application may do.
    GiveConsent(GiveConsent),
    /// Withdraw the consent to an application.
    WithdrawConsent(WithdrawConsent),
    /// Erase the account and all personal data about its owner.
    Erase(Erase),
}

/// Register an account. The store makes sure that no other account has its identifiers.
#[derive(Clone, Debug)]
pub struct RegisterUser {
    /// The current time.
    pub at: Timestamp,
    /// The account's number, which no other account has.
    pub number: AccountNumber,
    /// The username, if there is one in addition to the e-mail address.
    pub username: Option<Username>,
    /// The e-mail address.
    pub email: Option<Email>,
    /// The person's name.
    pub name: Option<PersonName>,
    /// The person's telephone number.
    pub phone: Option<Phone>,
    /// The role of the account.
    pub role: Role,
    /// The id of the new password hash, which is stored together with the event.
    pub credential: CredentialId,
    /// The link that verifies the e-mail address, if one is to be mailed with the registration.
    pub verification: Option<VerificationLink>,
    /// The authenticator apps that an imported account has. Their seeds are stored together with the events.
    pub totp: Vec<ImportedTotp>,
}

/// A link that verifies an e-mail address.
#[derive(Clone, Copy, Debug)]
pub struct VerificationLink {
    /// The id of the request.
    pub verification: VerificationId,
    /// The instant from which the link is invalid.
    pub expires_at: Timestamp,
}

/// Allow one password reset until `expires_at`.
#[derive(Clone, Debug)]
pub struct RequestPasswordReset {
    /// The current time.
    pub at: Timestamp,
    /// The id of this request. A repetition with the same id has no effect, regardless of how late it arrives.
    pub reset: ResetId,
    /// The address to which the link is mailed. The command is refused if the account has another address.
    pub email: Email,
    /// The instant from which the reset is no longer possible.
    pub expires_at: Timestamp,
}

/// Reset the password.
#[derive(Clone, Copy, Debug)]
pub struct ResetPassword {
    /// The current time.
    pub at: Timestamp,
    /// The id of the request that allows the reset.
    pub reset: ResetId,
    /// The id of the new password hash, which is stored together with the event.
    pub credential: CredentialId,
}

/// Replace the hash of an unchanged password, because the parameters of new hashes are stronger.
#[derive(Clone, Copy, Debug)]
pub struct RehashPassword {
    /// The current time.
    pub at: Timestamp,
    /// The hash against which the password was checked. If the account has another one, the password may have changed,
    /// and the command has no effect.
    pub replaced: CredentialId,
    /// The id of the new password hash, which is stored together with the event.
    pub credential: CredentialId,
}

/// Change the password. The current one has been checked.
#[derive(Clone, Copy, Debug)]
pub struct ChangePassword {
    /// The current time.
    pub at: Timestamp,
    /// The id of the new password hash, which is stored together with the event.
    pub credential: CredentialId,
    /// The session in which the password is changed.
    pub session: SessionId,
    /// The epoch under which the session was live and the current password was checked.
    pub proved: ProvedEpoch,
}

/// On whose authority a command is given. For commands that both the owner of the account and an administrator may give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// The owner of the account, with a proof under this epoch.
    Owner(ProvedEpoch),
    /// An administrator, who needs no proof about the account.
    Administrator,
    /// The operator, who needs no proof about the account.
    Operator,
}

impl Authority {
    /// Refuses an owner whose proof is of an earlier epoch.
    pub(super) fn check(self, account: &Registered) -> Result<(), UserRefusal> {
        match self {
            Self::Owner(proved) => check_epoch(account, proved),
            Self::Administrator | Self::Operator => Ok(()),
        }
    }

    pub(super) const fn reason(self) -> RevocationReason {
        match self {
            Self::Owner(_) => RevocationReason::Owner,
            Self::Administrator => RevocationReason::Administrator,
            Self::Operator => RevocationReason::Operator,
        }
    }
}

/// End the sessions of an account.
#[derive(Clone, Copy, Debug)]
pub struct RevokeSessions {
    /// The current time.
    pub at: Timestamp,
    /// On whose authority the command is given.
    pub authority: Authority,
    /// The session that continues, if any.
    pub kept: Option<SessionId>,
}

/// Change the role of an account.
#[derive(Clone, Copy, Debug)]
pub struct ChangeRole {
    /// The current time.
    pub at: Timestamp,
    /// The new role.
    pub role: Role,
}

/// Lock an account: sign-in is refused until it is unlocked.
#[derive(Clone, Copy, Debug)]
pub struct Lock {
    /// The current time.
    pub at: Timestamp,
}

/// Unlock an account.
#[derive(Clone, Copy, Debug)]
pub struct Unlock {
    /// The current time.
    pub at: Timestamp,
}

/// Mail a link that verifies an e-mail address.
#[derive(Clone, Debug)]
pub struct RequestEmailVerification {
    /// The current time.
    pub at: Timestamp,
    /// The link.
    pub link: VerificationLink,
    /// The requested new address; `None` to verify the current one.
    pub email: Option<Email>,
    /// The epoch of the owner's proof: a live session for a link to the current address, the password for another
    /// address.
    pub proved: ProvedEpoch,
}

/// Confirm an e-mail address with the mailed link. The link proves access to the mailbox only, so the command also needs a
/// proof that the person owns the account.
#[derive(Clone, Copy, Debug)]
pub struct ConfirmEmail {
    /// The current time.
    pub at: Timestamp,
    /// The id of the request to which the link belongs.
    pub verification: VerificationId,
    /// The epoch under which the password was checked, or under which the session that follows the link was live.
    pub proved: ProvedEpoch,
    /// The session in which the link is followed, if any. Every other session ends.
    pub kept: Option<SessionId>,
}

/// Erase an account.
#[derive(Clone, Copy, Debug)]
pub struct Erase {
    /// The current time.
    pub at: Timestamp,
    /// On whose authority the command is given.
    pub authority: Authority,
}

/// Why a command to an account is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserRefusal {
    /// An account with this id exists.
    #[error("the account is registered")]
    AlreadyRegistered,
    /// No account with this id exists.
    #[error("there is no such account")]
    NotRegistered,
    /// The account was erased.
    #[error("the account was erased")]
    Erased,
    /// The reset was not requested, was carried out, was replaced by a newer one, or has expired.
    #[error("the password reset is not pending")]
    ResetNotPending,
    /// The link would be mailed to an address that is no longer the account's.
    #[error("the e-mail address of the account has changed")]
    AddressChanged,
    /// The limit of [`MAX_RESET_REQUESTS`] is reached.
    #[error("too many password resets were requested")]
    TooManyResetRequests,
    /// The link was not requested, was followed, was replaced by a newer one, or has expired.
    #[error("the verification is not pending")]
    VerificationNotPending,
    /// The limit of [`MAX_VERIFICATION_REQUESTS`] is reached.
    #[error("too many verifications were requested")]
    TooManyVerificationRequests,
    /// The account has as many second factors as it can have.
    #[error("the account has too many second factors")]
    TooManyFactors,
    /// The account has no such second factor.
    #[error("the account has no such second factor")]
    NoSuchFactor,
    /// The account has no second factor.
    #[error("the account has no second factor")]
    NoSecondFactor,
    /// The account has no recovery code that was not used.
    #[error("the account has no recovery code left")]
    NoSuchRecoveryCode,
    /// The account has consents to as many applications as it can have.
    #[error("the account has too many consents")]
    TooManyConsents,
    /// The proof is of an earlier session epoch: the owner has taken the account back since.
    #[error("the session epoch was raised after the proof")]
    EpochPassed,
}

impl User {
    /// The events that `command` leads to. Empty if it changes nothing.
    ///
    /// # Errors
    /// Why the command is refused.
    pub fn decide(&self, command: UserCommand) -> Result<Vec<UserEvent>, UserRefusal> {
        decide(self, command)
    }
}

fn decide(user: &User, command: UserCommand) -> Result<Vec<UserEvent>, UserRefusal> {
    match (user, command) {
        (User::Unregistered, UserCommand::Register(command)) => Ok(register(command)),
        (User::Registered(_), UserCommand::Register(_)) => Err(UserRefusal::AlreadyRegistered),
        (User::Unregistered, _) => Err(UserRefusal::NotRegistered),
        // A client repeats the command if the response was lost. The account is erased, as requested.
        (User::Erased, UserCommand::Erase(_)) => Ok(vec![]),
        (User::Erased, _) => Err(UserRefusal::Erased),
        (User::Registered(account), UserCommand::Erase(command)) => {
            command.authority.check(account)?;
            Ok(vec![UserEvent::UserErased(UserErased {
                at: command.at,
                session_epoch: account.session_epoch + 1,
            })])
        }
        (User::Registered(account), UserCommand::RequestPasswordReset(command)) => {
            request_password_reset(account, &command)
        }
        (User::Registered(account), UserCommand::ResetPassword(command)) => {
            reset_password(account, command)
        }
        (User::Registered(account), UserCommand::RehashPassword(command)) => {
            Ok(rehash_password(account, command))
        }
        (User::Registered(account), UserCommand::ChangeRole(command)) => {
            Ok(change_role(account, command))
        }
        (User::Registered(account), UserCommand::ChangePassword(command)) => {
            check_epoch(account, command.proved)?;
            Ok(vec![UserEvent::PasswordChanged(PasswordChanged {
                at: command.at,
                credential: command.credential,
                session_epoch: account.session_epoch + 1,
                kept_session: command.session,
            })])
        }
        (User::Registered(account), UserCommand::RevokeSessions(command)) => {
            command.authority.check(account)?;
            Ok(vec![UserEvent::SessionsRevoked(SessionsRevoked {
                at: command.at,
                reason: command.authority.reason(),
                session_epoch: account.session_epoch + 1,
                kept_session: command.kept,
            })])
        }
        (User::Registered(account), UserCommand::Lock(command)) => Ok(lock(account, command)),
        (User::Registered(account), UserCommand::Unlock(command)) => Ok(unlock(account, command)),
        (User::Registered(account), UserCommand::RequestEmailVerification(command)) => {
            request_email_verification(account, command)
        }
        (User::Registered(account), UserCommand::ConfirmEmail(command)) => {
            confirm_email(account, command)
        }
        (User::Registered(account), UserCommand::EnrolTotp(command)) => {
            enrol_totp(account, command)
        }
        (User::Registered(account), UserCommand::EnrolPasskey(command)) => {
            enrol_passkey(account, command)
        }
        (User::Registered(account), UserCommand::NotePasskeyCounter(command)) => {
            note_passkey_counter(account, command)
        }
        (User::Registered(account), UserCommand::RemoveFactor(command)) => {
            remove_factor(account, command)
        }
        (User::Registered(account), UserCommand::IssueRecoveryCodes(command)) => {
            issue_recovery_codes(account, command)
        }
        (User::Registered(account), UserCommand::UseRecoveryCode(command)) => {
            use_recovery_code(account, command)
        }
        (User::Registered(account), UserCommand::RenameFactor(command)) => {
            rename_factor(account, command)
        }
        (User::Registered(account), UserCommand::ReportBreachedPassword(command)) => {
            Ok(report_breached_password(account, command))
        }
        (User::Registered(account), UserCommand::GiveConsent(command)) => {
            give_consent(account, command)
        }
        (User::Registered(account), UserCommand::WithdrawConsent(command)) => {
            withdraw_consent(account, command)
        }
    }
}

/// Refuses a proof of an earlier epoch. A person who was signed in before the owner took the account back must not act
/// on it afterwards, regardless of how late the command arrives. Otherwise that person could name an ended session as the
/// kept one, which would make it live again.
pub(super) fn check_epoch(account: &Registered, proved: ProvedEpoch) -> Result<(), UserRefusal> {
    if proved.epoch() == account.session_epoch {
        Ok(())
    } else {
        Err(UserRefusal::EpochPassed)
    }
}

fn register(command: RegisterUser) -> Vec<UserEvent> {
    let verification = command.verification.filter(|_| command.email.is_some());
    let registered = UserEvent::UserRegistered(UserRegistered {
        at: command.at,
        number: command.number,
        username: command.username.map(Personal::Known),
        email: command.email.map(Personal::Known),
        name: command.name.map(Personal::Known),
        phone: command.phone.map(Personal::Known),
        role: command.role,
        credential: command.credential,
    });
    let requested = verification.map(|link| email_verification_requested(command.at, link, None));
    let enrolled = command.totp.into_iter().flat_map(ImportedTotp::into_events);
    [Some(registered), requested]
        .into_iter()
        .flatten()
        .chain(enrolled)
        .collect()
}

fn email_verification_requested(
    at: Timestamp,
    link: VerificationLink,
    email: Option<Email>,
) -> UserEvent {
    UserEvent::EmailVerificationRequested(EmailVerificationRequested {
        at,
        verification: link.verification,
        email: email.map(Personal::Known),
        expires_at: link.expires_at,
    })
}

/// Changes nothing if the current address is to be verified and is missing or already verified.
fn request_email_verification(
    account: &Registered,
    command: RequestEmailVerification,
) -> Result<Vec<UserEvent>, UserRefusal> {
    if command.email.is_none() && (account.email_verified || account.email.is_none()) {
        return Ok(vec![]);
    }
    check_epoch(account, command.proved)?;
    let recent = account
        .recent_requests
        .verifications
        .iter()
        .filter(|at| command.at.is_within(VERIFICATION_REQUEST_WINDOW, **at))
        .count();
    if recent >= MAX_VERIFICATION_REQUESTS {
        return Err(UserRefusal::TooManyVerificationRequests);
    }
    Ok(vec![email_verification_requested(
        command.at,
        command.link,
        command.email,
    )])
}

/// Before this, nothing showed who owns the mailbox. A person who registered with another person's address, or changed
/// the address to it, may have sessions. They end, except for the session that follows the link.
fn confirm_email(
    account: &Registered,
    command: ConfirmEmail,
) -> Result<Vec<UserEvent>, UserRefusal> {
    let ConfirmEmail {
        at, verification, ..
    } = command;
    let pending = account
        .pending_verification
        .as_ref()
        .filter(|pending| pending.allows(verification, at))
        .ok_or(UserRefusal::VerificationNotPending)?;
    check_epoch(account, command.proved)?;
    let confirmed = match pending.email.clone() {
        Some(email) => UserEvent::EmailChanged(EmailChanged {
            at,
            verification,
            email: Personal::Known(email),
        }),
        None => UserEvent::EmailVerified(EmailVerified { at, verification }),
    };
    let revoked = UserEvent::SessionsRevoked(SessionsRevoked {
        at,
        reason: RevocationReason::Owner,
        session_epoch: account.session_epoch + 1,
        kept_session: command.kept,
    });
    Ok(vec![confirmed, revoked])
}

fn lock(account: &Registered, command: Lock) -> Vec<UserEvent> {
    if account.locked {
        return vec![];
    }
    vec![UserEvent::UserLocked(UserLocked {
        at: command.at,
        session_epoch: account.session_epoch + 1,
    })]
}

fn unlock(account: &Registered, command: Unlock) -> Vec<UserEvent> {
    if !account.locked {
        return vec![];
    }
    vec![UserEvent::UserUnlocked(UserUnlocked { at: command.at })]
}

fn request_password_reset(
    account: &Registered,
    command: &RequestPasswordReset,
) -> Result<Vec<UserEvent>, UserRefusal> {
    let comparable = command.email.comparable();
    if account.email.as_ref().map(Email::comparable) != Some(comparable) {
        return Err(UserRefusal::AddressChanged);
    }
    if account
        .pending_reset
        .is_some_and(|pending| pending.reset == command.reset)
    {
        return Ok(vec![]);
    }
    // A late repetition must not revive a reset that was carried out or replaced.
    if account
        .recent_requests
        .resets
        .iter()
        .any(|(reset, _)| *reset == command.reset)
    {
        return Err(UserRefusal::ResetNotPending);
    }
    let recent = account
        .recent_requests
        .resets
        .iter()
        .filter(|(_, at)| command.at.is_within(RESET_REQUEST_WINDOW, *at))
        .count();
    if recent >= MAX_RESET_REQUESTS {
        return Err(UserRefusal::TooManyResetRequests);
    }
    Ok(vec![UserEvent::PasswordResetRequested(
        PasswordResetRequested {
            at: command.at,
            reset: command.reset,
            expires_at: command.expires_at,
        },
    )])
}

fn reset_password(
    account: &Registered,
    command: ResetPassword,
) -> Result<Vec<UserEvent>, UserRefusal> {
    match account.pending_reset {
        Some(pending) if pending.allows(command.reset, command.at) => {
            Ok(vec![UserEvent::PasswordReset(PasswordReset {
                at: command.at,
                reset: command.reset,
                credential: command.credential,
                session_epoch: account.session_epoch + 1,
            })])
        }
        _ => Err(UserRefusal::ResetNotPending),
    }
}

fn rehash_password(account: &Registered, command: RehashPassword) -> Vec<UserEvent> {
    if account.credential != command.replaced {
        return vec![];
    }
    vec![UserEvent::PasswordRehashed(PasswordRehashed {
        at: command.at,
        credential: command.credential,
    })]
}

fn change_role(account: &Registered, command: ChangeRole) -> Vec<UserEvent> {
    if account.role == command.role {
        return vec![];
    }
    vec![UserEvent::RoleChanged(RoleChanged {
        at: command.at,
        role: command.role,
        session_epoch: Some(account.session_epoch + 1),
    })]
}
