//! Telling a service what a token is good for (RFC 7662).

use std::sync::Arc;

use authlog_domain::{SessionId, Timestamp};
use uuid::Uuid;

use crate::ports::{Account, OpaqueToken, SessionStanding, TokenKind, VerifiedToken};
use crate::{Authlog, Refusal, Standing, TokenInspector};

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
    pub account: Arc<Account>,
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
    /// What `token` is good for now; `None` if it is good for nothing, or for something else than
    /// what is expected: a service that asks about what it was presented must not take a refresh token for an answer.
    ///
    /// # Errors
    /// It cannot be told now.
    pub async fn introspect(
        &self,
        _by: &TokenInspector,
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
                    account: Arc::new(account),
                }),
            );
        }
        let Some(token) = self.verify_signed(token, now).await else {
            return Ok(None);
        };
        if token.kind == TokenKind::Access && expected == ExpectedToken::Access {
            match self.revocation_list.standing(&token, now) {
                Standing::Live => return self.active(&token).await,
                Standing::Ended => return Ok(None),
                Standing::Unknown => {}
            }
        }
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
                account: Arc::new(account),
            }),
        )
    }

    /// What an access token whose session counts is good for.
    async fn active(&self, token: &VerifiedToken) -> Result<Option<ActiveToken>, Refusal> {
        let account = self.account_at(token.user, token.session, token.epoch);
        let account = account.await?;
        Ok(account.map(|account| ActiveToken {
            account,
            session: token.session,
            token: Some(token.token),
            issued_at: token.issued_at,
            expires_at: token.expires_at,
        }))
    }
}
