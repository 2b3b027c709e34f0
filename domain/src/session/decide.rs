//! What may happen in a session, and what does not.

use std::time::Duration;

use super::{
    LoggedIn, LoggedOut, RefreshTokenReused, Session, SessionEvent, Started, TokenRefreshed,
};
use crate::{Rotation, Timestamp, UserId};

/// A wish about a session.
#[derive(Clone, Debug)]
pub enum SessionCommand {
    /// Sign in.
    Start(StartSession),
    /// Exchange a refresh token.
    Refresh(RefreshSession),
    /// End it.
    LogOut(LogOut),
}

/// Sign in: the password has been checked.
#[derive(Clone, Copy, Debug)]
pub struct StartSession {
    /// Now.
    pub at: Timestamp,
    /// Who.
    pub user: UserId,
    /// The account's session epoch, read together with the credential that was checked.
    pub epoch: u32,
    /// How the refresh token behaves; `None` for a session without one.
    pub rotation: Option<Rotation>,
    /// When the last token that is issued now expires.
    pub expires_at: Timestamp,
}

/// Exchange a refresh token whose signature has been checked.
#[derive(Clone, Copy, Debug)]
pub struct RefreshSession {
    /// Now.
    pub at: Timestamp,
    /// The account's session epoch.
    pub account_epoch: u32,
    /// The generation that the token names.
    pub generation: u32,
    /// When a replacement would expire; `None` where the caller has no way to hand one over, so that the token that
    /// it used must stay good.
    pub replacement_expires_at: Option<Timestamp>,
    /// How long the generation before the current one is still taken for a retry.
    pub grace: Duration,
}

/// End a session.
#[derive(Clone, Copy, Debug)]
pub struct LogOut {
    /// Now.
    pub at: Timestamp,
}

/// Why a command about a session is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionRefusal {
    /// There is a session under this id.
    #[error("the session has started")]
    AlreadyStarted,
    /// There is no session under this id.
    #[error("there is no such session")]
    NotStarted,
    /// It was ended, expired, or the account has moved to a later epoch.
    #[error("the session has ended")]
    Ended,
    /// The session has no refresh token, or none of this generation yet.
    #[error("the session has no such refresh token")]
    NoSuchRefreshToken,
}

/// The events that `command` makes of `session`.
pub(super) fn decide(
    session: &Session,
    command: SessionCommand,
) -> Result<Vec<SessionEvent>, SessionRefusal> {
    match (session, command) {
        (Session::NotStarted, SessionCommand::Start(command)) => Ok(vec![start(command)]),
        (Session::Started(_), SessionCommand::Start(_)) => Err(SessionRefusal::AlreadyStarted),
        (Session::NotStarted, _) => Err(SessionRefusal::NotStarted),
        (Session::Started(session), SessionCommand::Refresh(command)) => refresh(session, command),
        (Session::Started(session), SessionCommand::LogOut(command)) => log_out(session, command),
    }
}

fn start(command: StartSession) -> SessionEvent {
    SessionEvent::LoggedIn(LoggedIn {
        at: command.at,
        user: command.user,
        epoch: command.epoch,
        rotation: command.rotation,
        expires_at: command.expires_at,
    })
}

fn refresh(
    session: &Started,
    command: RefreshSession,
) -> Result<Vec<SessionEvent>, SessionRefusal> {
    if !session.is_live(command.account_epoch, command.at) {
        return Err(SessionRefusal::Ended);
    }
    let Some(rotation) = session.rotation else {
        return Err(SessionRefusal::NoSuchRefreshToken);
    };
    if command.generation > session.generation {
        return Err(SessionRefusal::NoSuchRefreshToken);
    }
    let refreshed = |generation, expires_at| {
        vec![SessionEvent::TokenRefreshed(TokenRefreshed {
            at: command.at,
            generation,
            expires_at,
        })]
    };
    if command.generation == session.generation {
        return Ok(match (rotation, command.replacement_expires_at) {
            (Rotation::Rotating, Some(expires_at)) => refreshed(session.generation + 1, expires_at),
            _ => refreshed(session.generation, session.expires_at),
        });
    }
    // The client may not have received the replacement, or have sent one request from two tabs: it gets the same
    // successor again (RFC 9700 §4.14.2 leaves such leeway to the server).
    let is_retry = command.generation + 1 == session.generation
        && command.at.since(session.rotated_at) < command.grace;
    if is_retry {
        return Ok(refreshed(session.generation, session.expires_at));
    }
    Ok(vec![SessionEvent::RefreshTokenReused(RefreshTokenReused {
        at: command.at,
        generation: command.generation,
    })])
}

fn log_out(session: &Started, command: LogOut) -> Result<Vec<SessionEvent>, SessionRefusal> {
    if session.ended {
        return Err(SessionRefusal::Ended);
    }
    Ok(vec![SessionEvent::LoggedOut(LoggedOut { at: command.at })])
}
