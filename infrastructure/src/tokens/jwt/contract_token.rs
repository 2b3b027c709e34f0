//! The claims of the tokens of contracts.

use authlog_application::ports::{TokenKind, VerifiedToken};
use authlog_domain::{
    Authentication, AuthenticationLevel, AuthenticationMethods, SessionId, Timestamp, UserId,
};
use serde::Deserialize;
use uuid::Uuid;

use super::format::from_seconds;

/// The required claims of a token of a contract. `iss` and `aud` are one string each, as this program writes them: a token of
/// OAuth, whose `aud` is a list, is none.
#[derive(Deserialize)]
pub(super) struct Claims {
    iss: String,
    aud: String,
    sub: UserId,
    sid: SessionId,
    jti: Uuid,
    iat: i64,
    exp: i64,
    nbf: Option<i64>,
    epoch: u32,
    generation: Option<u32>,
    amr: Option<AuthenticationMethods>,
    acr: Option<AuthenticationLevel>,
    auth_time: Option<i64>,
}

impl Claims {
    /// When the token begins to be valid, and its content, if it is of this issuer and for this audience.
    pub(super) fn check(
        self,
        is_access: bool,
        issuer: &str,
        audience: &str,
    ) -> Option<(Timestamp, VerifiedToken)> {
        if self.iss != issuer || self.aud != audience {
            return None;
        }
        Some((
            begin(self.nbf)?,
            VerifiedToken {
                kind: kind(is_access, self.generation)?,
                token: self.jti,
                user: self.sub,
                session: self.sid,
                epoch: self.epoch,
                issued_at: from_seconds(self.iat)?,
                expires_at: from_seconds(self.exp)?,
                authentication: authentication(self.amr, self.acr, self.auth_time),
            },
        ))
    }
}

/// When the token begins to be valid, which is always if it does not say so; `None` if the time is out of range.
pub(super) fn begin(nbf: Option<i64>) -> Option<Timestamp> {
    from_seconds(nbf.unwrap_or(0))
}

/// The kind of a token; `None` for a refresh token without a generation.
pub(super) fn kind(is_access: bool, generation: Option<u32>) -> Option<TokenKind> {
    if is_access {
        return Some(TokenKind::Access);
    }
    let generation = generation?;
    Some(TokenKind::Refresh { generation })
}

/// How the person was authenticated, if the token says it.
pub(super) fn authentication(
    amr: Option<AuthenticationMethods>,
    acr: Option<AuthenticationLevel>,
    auth_time: Option<i64>,
) -> Option<Authentication> {
    Some(Authentication {
        amr: amr?,
        acr: acr?,
        auth_time: from_seconds(auth_time?)?,
        factor: None,
    })
}
