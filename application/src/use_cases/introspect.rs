//! Telling a service what a token is good for (RFC 7662).

use authlog_domain::{SessionId, Timestamp};
use uuid::Uuid;

use crate::ports::{Account, OpaqueToken, SessionStanding, TokenKind};
use crate::{Authlog, Refusal};

/// What a service expects a token to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpectedToken {
    /// Something that was presented to it to authenticate.
    Access,
    /// Something to be exchanged here.
    Refresh,
}

/// A token that is good at this moment.
pub struct ActiveToken {
    /// Whose it is.
    pub account: Account,
    /// Of which session.
    pub session: SessionId,
    /// `jti`; an opaque token has none.
    pub token: Option<Uuid>,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it expires.
    pub expires_at: Timestamp,
}

impl Authlog {
    /// What `token` is good for now, by the store's word; `None` if it is good for nothing, or for something else than
    /// what is expected: a service that asks about what it was presented must not take a refresh token for an answer.
    ///
    /// # Errors
    /// It cannot be told now.
    pub async fn introspect(
        &self,
        token: &str,
        expected: ExpectedToken,
    ) -> Result<Option<ActiveToken>, Refusal> {
        let now = self.parts.clock.now();
        let directory = &self.parts.directory;
        if let Some(opaque) = OpaqueToken::parse(token) {
            if expected != ExpectedToken::Access {
                return Ok(None);
            }
            let digest = self.parts.secrets.digest(&opaque);
            let standing = directory.session_by_opaque_token(&digest, now).await?;
            let live = standing.filter(|standing| standing.is_live(now));
            return Ok(
                live.map(|SessionStanding { session, account }| ActiveToken {
                    session: session.id,
                    token: None,
                    issued_at: session.started_at,
                    expires_at: session.expires_at,
                    account,
                }),
            );
        }
        let Some(token) = self.verify_signed(token, now).await else {
            return Ok(None);
        };
        let standing = directory.session(token.session).await?;
        let live = standing.filter(|standing| {
            let is_expected = match (token.kind, expected) {
                (TokenKind::Access, ExpectedToken::Access) => true,
                // The one before is taken for a client's retry alone.
                (TokenKind::Refresh { generation }, ExpectedToken::Refresh) => {
                    generation == standing.session.generation
                }
                _ => false,
            };
            is_expected && standing.is_live(now)
        });
        Ok(
            live.map(|SessionStanding { session, account }| ActiveToken {
                session: session.id,
                token: Some(token.token),
                issued_at: token.issued_at,
                expires_at: token.expires_at,
                account,
            }),
        )
    }
}
