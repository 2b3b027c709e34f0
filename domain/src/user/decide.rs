//! What may happen to an account, and what does not.

use std::time::Duration;

use super::{
    EmailChanged, EmailVerificationRequested, EmailVerified, PasswordChanged, PasswordRehashed,
    PasswordReset, PasswordResetRequested, ProvedEpoch, Registered, RoleChanged, SessionsRevoked,
    User, UserErased, UserEvent, UserLocked, UserRegistered, UserUnlocked,
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
    pub verification: Option<VerificationLink>,
}

/// A link about an e-mail address.
#[derive(Clone, Copy, Debug)]
pub struct VerificationLink {
    /// Names the request for it.
    pub verification: VerificationId,
    /// From this instant on the link is no good.
    pub expires_at: Timestamp,
}

/// Allow a password to be reset once, until an instant.
#[derive(Clone, Debug)]
pub struct RequestPasswordReset {
    /// Now.
    pub at: Timestamp,
    /// Names this request. Asking again under one name is asking once, however late the repetition comes.
    pub reset: ResetId,
    /// The address to which the link is mailed. It is refused if the account has another one by now.
    pub email: Email,
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
    /// When the session counted and the password was the current one.
    pub proved: ProvedEpoch,
}

/// On whose authority a command is carried out that an account's owner can give, and others as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// The account's owner, who proved to be so under this epoch.
    Owner(ProvedEpoch),
    /// An administrator or the operator, who need not prove anything about the account.
    Administrator,
}

impl Authority {
    /// Refuses an owner whose proof is of an earlier epoch.
    fn check(self, account: &Registered) -> Result<(), UserRefusal> {
        match self {
            Self::Owner(proved) => same_epoch(account, proved),
            Self::Administrator => Ok(()),
        }
    }

    const fn reason(self) -> RevocationReason {
        match self {
            Self::Owner(_) => RevocationReason::Owner,
            Self::Administrator => RevocationReason::Administrator,
        }
    }
}

/// End the sessions of an account.
#[derive(Clone, Copy, Debug)]
pub struct RevokeSessions {
    /// Now.
    pub at: Timestamp,
    /// On whose authority.
    pub authority: Authority,
    /// The one that goes on.
    pub kept: Option<SessionId>,
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
    /// The link.
    pub link: VerificationLink,
    /// The address that the account is to have; `None` for the one that it has.
    pub email: Option<Email>,
    /// When its owner proved to be so: by a session for a link to the address that the account has, by the password for
    /// another address.
    pub proved: ProvedEpoch,
}

/// Follow a mailed link. The owner of the mailbox need not be the account's, so that it takes a proof of that, too.
#[derive(Clone, Copy, Debug)]
pub struct ConfirmEmail {
    /// Now.
    pub at: Timestamp,
    /// The request that the link belongs to.
    pub verification: VerificationId,
    /// When the password was proved, or the session counted that follows the link.
    pub proved: ProvedEpoch,
    /// The session that follows the link: every other one ends.
    pub kept: Option<SessionId>,
}

/// Put an end to an account.
#[derive(Clone, Copy, Debug)]
pub struct Erase {
    /// Now.
    pub at: Timestamp,
    /// On whose authority.
    pub authority: Authority,
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
    /// The account has another address than the one to which the link would be mailed.
    #[error("the account has another e-mail address by now")]
    AddressChanged,
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

impl User {
    /// The events that `command` leads to; none where it changes nothing.
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
        // Whoever asks again, because the answer was lost, has what they asked for.
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
            same_epoch(account, command.proved)?;
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
    }
}

/// Whoever was signed in before an account was taken back must not act on it afterwards, however late their command comes:
/// a session that is kept would come back to life.
fn same_epoch(account: &Registered, proved: ProvedEpoch) -> Result<(), UserRefusal> {
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
    [Some(registered), requested]
        .into_iter()
        .flatten()
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

/// Nothing is to be proved of an address that is verified, or of none.
fn request_email_verification(
    account: &Registered,
    command: RequestEmailVerification,
) -> Result<Vec<UserEvent>, UserRefusal> {
    if command.email.is_none() && (account.email_verified || account.email.is_none()) {
        return Ok(vec![]);
    }
    same_epoch(account, command.proved)?;
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

/// The owner of the mailbox was not known before. A person who registered with another person's address, or had it changed
/// to that, may have sessions: they end, but for the one that follows the link.
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
    same_epoch(account, command.proved)?;
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
