//! The events of the `Session` aggregate. They are stored forever: names and fields never change their meaning.

use cqrs_es::DomainEvent;
use serde::{Deserialize, Serialize};

use super::ClientGrant;
use crate::catalogue::catalogued;
use crate::{
    Audience, Authentication, AuthenticationLevel, AuthenticationMethods, ClientId, FactorId,
    KeyThumbprint, RevocationReason, Rotation, Scopes, SessionId, Timestamp, UserId,
};

/// An event of the `Session` aggregate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SessionEvent {
    /// A person or a program signed in.
    LoggedIn(LoggedIn),
    /// The refresh token was replaced or used.
    TokenRefreshed(TokenRefreshed),
    /// A refresh token was reused after its replacement. It was copied, so the session ended.
    RefreshTokenReused(RefreshTokenReused),
    /// The authorization code of the session was used a second time. It was copied, so the session ended.
    AuthorizationCodeReused(AuthorizationCodeReused),
    /// The owner logged out of the session.
    LoggedOut(LoggedOut),
    /// The session was revoked: by its owner from another session, or by an administrator.
    SessionRevoked(SessionRevoked),
    /// The person in the session was authenticated again.
    SteppedUp(SteppedUp),
}

/// A person or a program signed in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoggedIn {
    /// When the event occurred.
    pub at: Timestamp,
    /// The account that signed in.
    pub user: UserId,
    /// The account's session epoch under which the password was checked.
    pub epoch: u32,
    /// How the session's refresh token behaves. `None` if it has none.
    pub rotation: Option<Rotation>,
    /// The instant from which no token of the session is valid, unless it is refreshed before.
    pub expires_at: Timestamp,
    /// By which methods the person was authenticated. Version 1 has none of this and the following members: the session was
    /// started with a password alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amr: Option<AuthenticationMethods>,
    /// The level of the authentication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr: Option<AuthenticationLevel>,
    /// When the person was authenticated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<Timestamp>,
    /// The second factor that was used, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<FactorId>,
    /// The application to which the person granted access, by which alone the session is used. Versions before 3 have none of
    /// this and the following members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientId>,
    /// What was granted to the application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Scopes>,
    /// The resources for which its access tokens are (RFC 8707).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audience: Vec<Audience>,
    /// The session in which the person granted it. This one ends with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<SessionId>,
    /// The key to which the session's refresh tokens are bound (RFC 9449 §5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dpop_jkt: Option<KeyThumbprint>,
}

impl LoggedIn {
    /// What was granted to an application. `None` for a session of a person.
    pub fn grant(&self) -> Option<ClientGrant> {
        Some(ClientGrant {
            client: self.client.clone()?,
            scopes: self.scopes.clone().unwrap_or_default(),
            audience: self.audience.clone(),
            parent: self.parent,
            dpop_jkt: self.dpop_jkt.clone(),
        })
    }

    /// How the person was authenticated. Version 1 reads as a password alone.
    pub fn authentication(&self) -> Authentication {
        let by_password = Authentication::by_password(self.at);
        Authentication {
            amr: self.amr.unwrap_or(by_password.amr),
            acr: self.acr.unwrap_or(by_password.acr),
            auth_time: self.auth_time.unwrap_or(by_password.auth_time),
            factor: self.factor,
        }
    }
}

/// The refresh token was replaced or used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenRefreshed {
    /// When the event occurred.
    pub at: Timestamp,
    /// The new current generation.
    pub generation: u32,
    /// The instant from which no token of the session is valid, unless it is refreshed before.
    pub expires_at: Timestamp,
}

/// A refresh token was reused after its replacement, and the session ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RefreshTokenReused {
    /// When the event occurred.
    pub at: Timestamp,
    /// The generation of the reused token.
    pub generation: u32,
}

/// The authorization code or the device code of the session was used a second time, and the session ended (RFC 6749 §4.1.2).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuthorizationCodeReused {
    /// When the event occurred.
    pub at: Timestamp,
}

/// The owner logged out of the session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoggedOut {
    /// When the event occurred.
    pub at: Timestamp,
}

/// The session was revoked: by its owner from another session, or by an administrator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionRevoked {
    /// When the event occurred.
    pub at: Timestamp,
    /// Who revoked the session.
    pub reason: RevocationReason,
}

/// The person in the session was authenticated again, at the level of before or a higher one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SteppedUp {
    /// When the event occurred.
    pub at: Timestamp,
    /// By which methods the person was authenticated.
    pub amr: AuthenticationMethods,
    /// The level of the authentication.
    pub acr: AuthenticationLevel,
    /// When the person was authenticated.
    pub auth_time: Timestamp,
    /// The second factor that was used, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<FactorId>,
}

impl SteppedUp {
    /// How the person is authenticated from now on.
    pub fn authentication(&self) -> Authentication {
        Authentication {
            amr: self.amr,
            acr: self.acr,
            auth_time: self.auth_time,
            factor: self.factor,
        }
    }
}

catalogued!(
    SessionEvent: LoggedIn, TokenRefreshed, RefreshTokenReused, AuthorizationCodeReused, LoggedOut, SessionRevoked,
    SteppedUp,
);

impl DomainEvent for SessionEvent {
    fn event_type(&self) -> String {
        self.kind().stored_type().to_owned()
    }

    fn event_version(&self) -> String {
        let version = match self {
            Self::LoggedIn(event) if event.client.is_some() => 3,
            Self::LoggedIn(event) if event.acr.is_some() => 2,
            Self::LoggedIn(_) => 1,
            _ => self.kind().version(),
        };
        version.to_string()
    }
}
