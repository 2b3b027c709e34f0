//! What may happen to an account, and what does not.

use std::time::Duration;

use super::{
    EmailChanged, EmailVerificationRequested, EmailVerified, PasswordChanged, PasswordRehashed,
    PasswordReset, PasswordResetRequested, Registered, RoleChanged, SessionsRevoked, User,
    UserErased, UserEvent, UserLocked, UserRegistered, UserUnlocked,
};
use crate::{
    AccountNumber, CredentialId, Email, PersonName, Personal, Phone, ResetId, RevocationReason,
    Role, SessionId, Timestamp, Username, VerificationId,
};

/// How many password resets an account may be sent within [`RESET_REQUEST_WINDOW`], so that nobody's mailbox can be
/// flooded through us. By the time that a further one is sent none of these has expired: whoever uses them all up keeps
/// nobody from resetting their password.
pub const MAX_RESET_REQUESTS: usize = 5;

/// The time over which [`MAX_RESET_REQUESTS`] counts: as long as a reset can be carried out.
pub const RESET_REQUEST_WINDOW: Duration = Duration::from_secs(30 * 60);

/// How many links about e-mail addresses an account may be sent within [`VERIFICATION_REQUEST_WINDOW`], so that nobody's
/// mailbox can be flooded through us.
pub const MAX_VERIFICATION_REQUESTS: usize = 5;

/// The time over which [`MAX_VERIFICATION_REQUESTS`] counts.
pub const VERIFICATION_REQUEST_WINDOW: Duration = Duration::from_secs(30 * 60);

/// A wish about an account.
#[derive(Clone, Debug)]
pub enum UserCommand {
    /// Make the account.
    Register(RegisterUser),
    /// Allow its password to be reset once.
    RequestPasswordReset(RequestPasswordReset),
    /// Carry the reset out.
    ResetPassword(ResetPassword),
    /// Keep the password under another hash.
    RehashPassword(RehashPassword),
    /// Give it another password.
    ChangePassword(ChangePassword),
    /// End its sessions.
    RevokeSessions(RevokeSessions),
    /// Let it do other things.
    ChangeRole(ChangeRole),
    /// Let nobody sign in to it.
    Lock(Lock),
    /// Let it be signed in to again.
    Unlock(Unlock),
    /// Have a link mailed that proves whose an e-mail address is.
    RequestEmailVerification(RequestEmailVerification),
    /// Follow that link.
    ConfirmEmail(ConfirmEmail),
    /// Put an end to it, and to all that is known of its person.
    Erase(Erase),
}

/// Make an account. That its identifiers are nobody else's is for the store to see to.
#[derive(Clone, Debug)]
pub struct RegisterUser {
    /// Now.
    pub at: Timestamp,
    /// A number that no account has.
    pub number: AccountNumber,
    /// The username, if it is not the e-mail address.
    pub username: Option<Username>,
    /// The e-mail address.
    pub email: Option<Email>,
    /// The person's name.
    pub name: Option<PersonName>,
    /// The person's telephone number.
    pub phone: Option<Phone>,
    /// What the account may do.
    pub role: Role,
    /// Names the password hash that is stored with the event.
    pub credential: CredentialId,
    /// The link that is to prove whose the e-mail address is, where one is wanted at once.
    pub verification: Option<RequestEmailVerification>,
}

/// Allow a password to be reset once, until an instant.
#[derive(Clone, Copy, Debug)]
pub struct RequestPasswordReset {
    /// Now.
    pub at: Timestamp,
    /// Names this request. Asking again under one name is asking once, however late the repetition comes.
    pub reset: ResetId,
    /// From this instant on the reset is no longer allowed.
    pub expires_at: Timestamp,
}

/// Carry a reset out.
#[derive(Clone, Copy, Debug)]
pub struct ResetPassword {
    /// Now.
    pub at: Timestamp,
    /// The request that allows it.
    pub reset: ResetId,
    /// Names the password hash that is stored with the event.
    pub credential: CredentialId,
}

/// Keep a password under another hash.
#[derive(Clone, Copy, Debug)]
pub struct RehashPassword {
    /// Now.
    pub at: Timestamp,
    /// The hash that it was checked against. If the account has another by now, its password is another, too.
    pub replaced: CredentialId,
    /// Names the password hash that is stored with the event.
    pub credential: CredentialId,
}

/// Give an account another password: the old one has been checked.
#[derive(Clone, Copy, Debug)]
pub struct ChangePassword {
    /// Now.
    pub at: Timestamp,
    /// Names the password hash that is stored with the event.
    pub credential: CredentialId,
    /// The session in which it is done.
    pub session: SessionId,
    /// The account's session epoch when the session counted and the password was the current one.
    pub account_epoch: u32,
}

/// End the sessions of an account.
#[derive(Clone, Copy, Debug)]
pub struct RevokeSessions {
    /// Now.
    pub at: Timestamp,
    /// On whose wish.
    pub reason: RevocationReason,
    /// The one that goes on.
    pub kept: Option<SessionId>,
    /// The account's session epoch when that one counted; `None` where there is none.
    pub account_epoch: Option<u32>,
}

/// Let an account do other things.
#[derive(Clone, Copy, Debug)]
pub struct ChangeRole {
    /// Now.
    pub at: Timestamp,
    /// What it may do from now on.
    pub role: Role,
}

/// Let nobody sign in to an account.
#[derive(Clone, Copy, Debug)]
pub struct Lock {
    /// Now.
    pub at: Timestamp,
}

/// Let an account be signed in to again.
#[derive(Clone, Copy, Debug)]
pub struct Unlock {
    /// Now.
    pub at: Timestamp,
}

/// Have a link mailed that proves whose an e-mail address is.
#[derive(Clone, Debug)]
pub struct RequestEmailVerification {
    /// Now.
    pub at: Timestamp,
    /// Names the request.
    pub verification: VerificationId,
    /// The address that the account is to have; `None` for the one that it has.
    pub email: Option<Email>,
    /// From this instant on the link is no good.
    pub expires_at: Timestamp,
    /// The account's session epoch when the password was proved that another address takes.
    pub account_epoch: Option<u32>,
}

/// Follow a mailed link.
#[derive(Clone, Copy, Debug)]
pub struct ConfirmEmail {
    /// Now.
    pub at: Timestamp,
    /// The request that the link belongs to.
    pub verification: VerificationId,
}

/// Put an end to an account.
#[derive(Clone, Copy, Debug)]
pub struct Erase {
    /// Now.
    pub at: Timestamp,
}

/// Why a command about an account is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserRefusal {
    /// There is an account under this id.
    #[error("the account is registered")]
    AlreadyRegistered,
    /// There is no account under this id.
    #[error("there is no such account")]
    NotRegistered,
    /// There was an account, and it was erased.
    #[error("the account was erased")]
    Erased,
    /// The reset was never asked for, was carried out, was replaced by a newer one or has expired.
    #[error("the password reset is not pending")]
    ResetNotPending,
    /// More resets were asked for than an account may be sent.
    #[error("too many password resets were asked for")]
    TooManyResetRequests,
    /// The link was never asked for, was followed, was replaced by a newer one or has expired.
    #[error("the verification is not pending")]
    VerificationNotPending,
    /// More links were asked for than an account may be sent.
    #[error("too many verifications were asked for")]
    TooManyVerificationRequests,
    /// What was proved before was proved under an earlier session epoch: somebody took the account back meanwhile.
    #[error("the session epoch was raised meanwhile")]
    EpochPassed,
}

/// The events that `command` makes of `user`; none where it changes nothing.
pub(super) fn decide(user: &User, command: UserCommand) -> Result<Vec<UserEvent>, UserRefusal> {
    match (user, command) {
        (User::Unregistered, UserCommand::Register(command)) => Ok(register(command)),
        (User::Registered(_), UserCommand::Register(_)) => Err(UserRefusal::AlreadyRegistered),
        (User::Unregistered, _) => Err(UserRefusal::NotRegistered),
        // Whoever asks again, because the answer was lost, has what they asked for.
        (User::Erased, UserCommand::Erase(_)) => Ok(vec![]),
        (User::Erased, _) => Err(UserRefusal::Erased),
        (User::Registered(account), UserCommand::Erase(command)) => {
            Ok(vec![UserEvent::UserErased(UserErased {
                at: command.at,
                session_epoch: account.session_epoch + 1,
            })])
        }
        (User::Registered(account), UserCommand::RequestPasswordReset(command)) => {
            request_password_reset(account, command)
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
            same_epoch(account, Some(command.account_epoch))?;
            Ok(vec![UserEvent::PasswordChanged(PasswordChanged {
                at: command.at,
                credential: command.credential,
                session_epoch: account.session_epoch + 1,
                kept_session: command.session,
            })])
        }
        (User::Registered(account), UserCommand::RevokeSessions(command)) => {
            same_epoch(account, command.account_epoch)?;
            Ok(vec![UserEvent::SessionsRevoked(SessionsRevoked {
                at: command.at,
                reason: command.reason,
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
    }
}

/// Whoever was signed in before an account was taken back must not act on it afterwards, however late their command comes:
/// a session that is kept would come back to life.
fn same_epoch(account: &Registered, proved_under: Option<u32>) -> Result<(), UserRefusal> {
    match proved_under {
        Some(epoch) if epoch != account.session_epoch => Err(UserRefusal::EpochPassed),
        _ => Ok(()),
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
    let requested = verification.map(email_verification_requested);
    [Some(registered), requested]
        .into_iter()
        .flatten()
        .collect()
}

fn email_verification_requested(command: RequestEmailVerification) -> UserEvent {
    UserEvent::EmailVerificationRequested(EmailVerificationRequested {
        at: command.at,
        verification: command.verification,
        email: command.email.map(Personal::Known),
        expires_at: command.expires_at,
    })
}

/// Nothing is to be proved of an address that is verified, or of none.
fn request_email_verification(
    account: &Registered,
    command: RequestEmailVerification,
) -> Result<Vec<UserEvent>, UserRefusal> {
    if command.email.is_none() && (account.email_verified || !account.has_email) {
        return Ok(vec![]);
    }
    same_epoch(account, command.account_epoch)?;
    let recent = account
        .recent_requests
        .verifications
        .iter()
        .filter(|at| command.at.is_within(VERIFICATION_REQUEST_WINDOW, **at))
        .count();
    if recent >= MAX_VERIFICATION_REQUESTS {
        return Err(UserRefusal::TooManyVerificationRequests);
    }
    Ok(vec![email_verification_requested(command)])
}

fn confirm_email(
    account: &Registered,
    command: ConfirmEmail,
) -> Result<Vec<UserEvent>, UserRefusal> {
    let ConfirmEmail { at, verification } = command;
    match &account.pending_verification {
        Some(pending) if pending.allows(verification, at) => {
            Ok(vec![match pending.email.clone() {
                Some(email) => UserEvent::EmailChanged(EmailChanged {
                    at,
                    verification,
                    email: Personal::Known(email),
                }),
                None => UserEvent::EmailVerified(EmailVerified { at, verification }),
            }])
        }
        _ => Err(UserRefusal::VerificationNotPending),
    }
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
    command: RequestPasswordReset,
) -> Result<Vec<UserEvent>, UserRefusal> {
    if account
        .pending_reset
        .is_some_and(|pending| pending.reset == command.reset)
    {
        return Ok(vec![]);
    }
    // A repetition that comes after the reset was carried out or replaced must not bring it back.
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
