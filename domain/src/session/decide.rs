//! The decision functions of the `Session` aggregate.

use std::time::Duration;

use super::{
    AuthorizationCodeReused, ClientGrant, LoggedIn, LoggedOut, RefreshTokenReused, Session,
    SessionEvent, SessionRevoked, Started, SteppedUp, TokenRefreshed,
};
use crate::{Authentication, RevocationReason, Rotation, Timestamp, UserId};

/// A command to the `Session` aggregate.
#[derive(Clone, Debug)]
pub enum SessionCommand {
    /// Start the session.
    Start(StartSession),
    /// Refresh the session.
    Refresh(RefreshSession),
    /// Log out of the session.
    LogOut(LogOut),
    /// Revoke the session.
    Revoke(RevokeSession),
    /// Record that the person was authenticated again.
    StepUp(StepUp),
    /// Record that the authorization code of the session was used again.
    ReuseCode(ReuseCode),
}

/// Start a session. The person was authenticated.
#[derive(Clone, Debug)]
pub struct StartSession {
    /// The current time.
    pub at: Timestamp,
    /// The account that signs in.
    pub user: UserId,
    /// The account's session epoch, from the same read as the credential that was checked.
    pub epoch: u32,
    /// How the refresh token behaves. `None` for a session without one.
    pub rotation: Option<Rotation>,
    /// When the last of the tokens that are issued now expires.
    pub expires_at: Timestamp,
    /// How the person was authenticated.
    pub authentication: Authentication,
    /// What the person granted to an application; `None` for a session of the person.
    pub grant: Option<ClientGrant>,
}

/// Refresh a session with a token whose signature has been checked.
#[derive(Clone, Copy, Debug)]
pub struct RefreshSession {
    /// The current time.
    pub at: Timestamp,
    /// The account's session epoch; for the account's kept session, that session's own epoch, so that it is live.
    pub account_epoch: u32,
    /// The generation of the presented token.
    pub generation: u32,
    /// When the replacement expires. `None` if the caller cannot deliver a replacement to the client; then only a
    /// reusable token is accepted, which needs none.
    pub replacement_expires_at: Option<Timestamp>,
    /// How long the previous generation is still accepted as a retry.
    pub grace: Duration,
    /// How long the session can continue.
    pub limits: Limits,
}

/// How long a session can continue, regardless of how often it is refreshed (NIST SP 800-63B-4 §2.1.3, §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest time from its start.
    pub lifetime: Duration,
    /// The longest time from one refresh to the next. `None` if only the lifetime of the refresh token limits it.
    pub idle: Option<Duration>,
}

/// Log out of a session.
#[derive(Clone, Copy, Debug)]
pub struct LogOut {
    /// The current time.
    pub at: Timestamp,
}

/// Revoke a session.
#[derive(Clone, Copy, Debug)]
pub struct RevokeSession {
    /// The current time.
    pub at: Timestamp,
    /// The account's session epoch; for the account's kept session, that session's own epoch, so that it is live.
    pub account_epoch: u32,
    /// Who revokes the session.
    pub reason: RevocationReason,
}

/// Record that the person in a session was authenticated again.
#[derive(Clone, Copy, Debug)]
pub struct StepUp {
    /// The current time.
    pub at: Timestamp,
    /// The account's session epoch; for the account's kept session, that session's own epoch, so that it is live.
    pub account_epoch: u32,
    /// How the person was authenticated.
    pub authentication: Authentication,
}

/// Record that the authorization code of a session was used again.
#[derive(Clone, Copy, Debug)]
pub struct ReuseCode {
    /// The current time.
    pub at: Timestamp,
    /// Whether the program repeats the request until it has its tokens, so that a second use may follow a lost answer.
    pub is_polled: bool,
}

/// Why a command to a session is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionRefusal {
    /// A session with this id exists.
    #[error("the session has started")]
    AlreadyStarted,
    /// No session with this id exists.
    #[error("there is no such session")]
    NotStarted,
    /// The session was ended, has expired, or started under an earlier session epoch.
    #[error("the session has ended")]
    Ended,
    /// The refresh token works once, and the caller cannot deliver its replacement to the client.
    #[error("the refresh token cannot be replaced where it was presented")]
    NoReplacement,
    /// The session has no refresh token, or the generation of the presented one was never issued.
    #[error("the session has no such refresh token")]
    NoSuchRefreshToken,
}

impl Session {
    /// The events that `command` leads to. Empty if it changes nothing.
    ///
    /// # Errors
    /// Why the command is refused.
    pub fn decide(&self, command: SessionCommand) -> Result<Vec<SessionEvent>, SessionRefusal> {
        decide(self, command)
    }
}

fn decide(session: &Session, command: SessionCommand) -> Result<Vec<SessionEvent>, SessionRefusal> {
    match (session, command) {
        (Session::NotStarted, SessionCommand::Start(command)) => Ok(vec![start(command)]),
        (Session::Started(_), SessionCommand::Start(_)) => Err(SessionRefusal::AlreadyStarted),
        (Session::NotStarted, _) => Err(SessionRefusal::NotStarted),
        (Session::Started(session), SessionCommand::Refresh(command)) => refresh(session, command),
        (Session::Started(session), SessionCommand::LogOut(command)) => log_out(session, command),
        (Session::Started(session), SessionCommand::Revoke(command)) => revoke(session, command),
        (Session::Started(session), SessionCommand::StepUp(command)) => step_up(session, command),
        (Session::Started(session), SessionCommand::ReuseCode(command)) => {
            Ok(reuse_code(session, command))
        }
    }
}

/// A login by password alone is stored in version 1, which reads as just that. So programs of the version before read it as
/// well, and the log does not grow.
fn start(command: StartSession) -> SessionEvent {
    let by_password = Authentication::by_password(command.at);
    let grant = command.grant;
    let is_more = command.authentication != by_password || grant.is_some();
    let more = Some(command.authentication).filter(|_| is_more);
    SessionEvent::LoggedIn(LoggedIn {
        at: command.at,
        user: command.user,
        epoch: command.epoch,
        rotation: command.rotation,
        expires_at: command.expires_at,
        amr: more.map(|it| it.amr),
        acr: more.map(|it| it.acr),
        auth_time: more.map(|it| it.auth_time),
        factor: more.and_then(|it| it.factor),
        client: grant.as_ref().map(|it| it.client.clone()),
        scopes: grant.as_ref().map(|it| it.scopes.clone()),
        parent: grant.as_ref().and_then(|it| it.parent),
        dpop_jkt: grant.as_ref().and_then(|it| it.dpop_jkt.clone()),
        audience: grant.map(|it| it.audience).unwrap_or_default(),
    })
}

fn refresh(
    session: &Started,
    command: RefreshSession,
) -> Result<Vec<SessionEvent>, SessionRefusal> {
    let Limits { lifetime, idle } = command.limits;
    let ends_at = session.started_at.plus(lifetime);
    let idle_for = command.at.since(session.last_used_at);
    if !session.is_live(command.account_epoch, command.at)
        || command.at >= ends_at
        || idle.is_some_and(|idle| idle_for >= idle)
    {
        return Err(SessionRefusal::Ended);
    }
    let Some(rotation) = session.rotation else {
        return Err(SessionRefusal::NoSuchRefreshToken);
    };
    if command.generation > session.generation {
        return Err(SessionRefusal::NoSuchRefreshToken);
    }
    let refreshed = |generation, expires_at: Timestamp| {
        vec![SessionEvent::TokenRefreshed(TokenRefreshed {
            at: command.at,
            generation,
            expires_at: ends_at.min(expires_at),
        })]
    };
    let is_current = command.generation == session.generation;
    // The client may not have received the replacement, or may have sent one request from each of two tabs. It gets the
    // same replacement again (RFC 9700 §4.14.2 leaves such leeway to the server).
    let is_retry = command.generation + 1 == session.generation
        && command.at.is_within(command.grace, session.rotated_at);
    match (rotation, command.replacement_expires_at) {
        (Rotation::Rotating, None) if is_current || is_retry => {
            return Err(SessionRefusal::NoReplacement);
        }
        (Rotation::Rotating, Some(expires_at)) if is_current => {
            return Ok(refreshed(session.generation + 1, expires_at));
        }
        _ if is_current || is_retry => {
            return Ok(refreshed(session.generation, session.expires_at));
        }
        _ => {}
    }
    Ok(vec![SessionEvent::RefreshTokenReused(RefreshTokenReused {
        at: command.at,
        generation: command.generation,
    })])
}

fn log_out(session: &Started, command: LogOut) -> Result<Vec<SessionEvent>, SessionRefusal> {
    if session.ended_at.is_some() {
        return Err(SessionRefusal::Ended);
    }
    Ok(vec![SessionEvent::LoggedOut(LoggedOut { at: command.at })])
}

fn revoke(session: &Started, command: RevokeSession) -> Result<Vec<SessionEvent>, SessionRefusal> {
    if !session.is_live(command.account_epoch, command.at) {
        return Err(SessionRefusal::Ended);
    }
    Ok(vec![SessionEvent::SessionRevoked(SessionRevoked {
        at: command.at,
        reason: command.reason,
    })])
}

/// The second use of a code shows that it was copied, and it is not known which use was the person's. Once the session has
/// ended, nothing is left to end.
///
/// A device repeats a request whose answer was lost. As long as no program has refreshed the session, this is more likely than a
/// copy, so the session ends without an alarm.
fn reuse_code(session: &Started, command: ReuseCode) -> Vec<SessionEvent> {
    if session.ended_at.is_some() {
        return vec![];
    }
    if command.is_polled && session.generation == 0 {
        let reason = RevocationReason::DeviceCodeRepeated;
        let at = command.at;
        return vec![SessionEvent::SessionRevoked(SessionRevoked { at, reason })];
    }
    vec![SessionEvent::AuthorizationCodeReused(
        AuthorizationCodeReused { at: command.at },
    )]
}

/// A session never gets a lower level than it has: then nothing changes.
fn step_up(session: &Started, command: StepUp) -> Result<Vec<SessionEvent>, SessionRefusal> {
    if !session.is_live(command.account_epoch, command.at) {
        return Err(SessionRefusal::Ended);
    }
    let Authentication {
        amr,
        acr,
        auth_time,
        factor,
    } = command.authentication;
    if acr < session.authentication.acr {
        return Ok(vec![]);
    }
    Ok(vec![SessionEvent::SteppedUp(SteppedUp {
        at: command.at,
        amr,
        acr,
        auth_time,
        factor,
    })])
}
