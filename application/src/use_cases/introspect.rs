//! Token introspection (RFC 7662).

use std::sync::Arc;

use authlog_domain::{Authentication, SessionId, Timestamp};
use uuid::Uuid;

use crate::access::LiveAccess;
use crate::ports::{Account, OpaqueToken, SessionWithAccount, TokenKind, VerifiedToken};
use crate::{Authlog, Introspected, Refusal, TokenInspector};

/// The kind of token that a service asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpectedToken {
    /// An access token that was presented to the service.
    Access,
    /// A refresh token of Authlog.
    Refresh,
}

/// An active token.
pub struct ActiveToken {
    /// Its account.
    pub account: Arc<Account>,
    /// Its session.
    pub session: SessionId,
    /// `jti`; an opaque token has none.
    pub token: Option<Uuid>,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it expires.
    pub expires_at: Timestamp,
    /// How the person was authenticated. `None` for a signed token of an earlier version, which does not say it.
    pub authentication: Option<Authentication>,
}

impl ActiveToken {
    /// A token of a live session. `claims` are those of a signed token; `None` for an opaque access token.
    fn of(claims: Option<&VerifiedToken>, standing: SessionWithAccount) -> Self {
        let SessionWithAccount {
            session, account, ..
        } = standing;
        Self {
            session: session.id,
            token: claims.map(|claims| claims.token),
            issued_at: claims.map_or(session.started_at, |claims| claims.issued_at),
            expires_at: claims.map_or(session.expires_at, |claims| claims.expires_at),
            // A refresh token says nothing of the authentication. Its session does, which an earlier access token may not
            // have been issued for.
            authentication: match claims {
                Some(claims) if claims.kind == TokenKind::Access => claims.authentication,
                _ => Some(session.authentication),
            },
            account: Arc::new(account),
        }
    }
}

impl Authlog {
    /// The token, if it is active (RFC 7662) and of the expected kind; otherwise `None`. The caller says which kind it
    /// expects, so that a service does not accept a refresh token as an access token.
    ///
    /// To an account, only the tokens of contracts are active. A service that asks with one reads nothing of scopes, and would take
    /// a token of an application for the person. A client learns of both.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`].
    pub async fn introspect(
        &self,
        by: &TokenInspector,
        token: &str,
        expected: ExpectedToken,
    ) -> Result<Option<Introspected>, Refusal> {
        if let Some(client) = by.client() {
            return self.introspect_as(client, token, expected).await;
        }
        let active = self.introspect_contract(token, expected).await?;
        Ok(active.map(Introspected::Contract))
    }

    /// The token of a contract, if it is active and of the expected kind.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`].
    pub(crate) async fn introspect_contract(
        &self,
        token: &str,
        expected: ExpectedToken,
    ) -> Result<Option<ActiveToken>, Refusal> {
        let now = self.parts.clock.now();
        match expected {
            ExpectedToken::Access => match self.check_access(token, now).await? {
                None => Ok(None),
                Some(LiveAccess::DenyList(claims)) => self.active(&claims).await,
                Some(LiveAccess::Store { claims, standing }) => {
                    Ok(Some(ActiveToken::of(claims.as_ref(), *standing)))
                }
            },
            ExpectedToken::Refresh => self.active_refresh_token(token, now).await,
        }
    }

    /// The token, if it is the current refresh token of a live session. The previous one is not active: it is accepted only
    /// as a retry of its client.
    async fn active_refresh_token(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<Option<ActiveToken>, Refusal> {
        if OpaqueToken::parse(token).is_some() {
            return Ok(None);
        }
        let Some(claims) = self.verify_signed(token, now).await else {
            return Ok(None);
        };
        let TokenKind::Refresh { generation } = claims.kind else {
            return Ok(None);
        };
        let standing = self.parts.directory.session(claims.session).await?;
        let live = standing
            .filter(|it| it.session.generation == generation)
            .filter(|it| it.is_live(now));
        Ok(live.map(|standing| ActiveToken::of(Some(&claims), standing)))
    }

    /// The access token with these claims, whose session is live, with its account.
    async fn active(&self, claims: &VerifiedToken) -> Result<Option<ActiveToken>, Refusal> {
        let account = self.account_at(claims.user, claims.session, claims.epoch);
        let account = account.await?;
        Ok(account.map(|account| ActiveToken {
            account,
            session: claims.session,
            token: Some(claims.token),
            issued_at: claims.issued_at,
            expires_at: claims.expires_at,
            authentication: claims.authentication,
        }))
    }
}
