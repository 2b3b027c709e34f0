//! Authentication of the tokens that people granted to applications. They are never accepted where a [`Caller`](super::Caller) is
//! needed: an application has what was granted to it, and not what the person may do.

use std::sync::Arc;

use authlog_domain::{KeyThumbprint, Scopes, Timestamp};

use super::{AuthenticatedClient, DpopProof};
use crate::ports::{
    Account, OAuthClaims, SessionWithAccount, TokenKind, VerifiedOAuthToken, VerifiedToken,
};
use crate::{Authlog, Refusal, TokenStatus};

/// A token of an application whose session is live.
pub struct LiveApplication {
    /// The claims that the tokens of contracts have as well.
    pub token: VerifiedToken,
    /// Its other claims.
    pub oauth: Arc<OAuthClaims>,
    /// The person's account.
    pub account: Arc<Account>,
}

/// How a token reached this service.
#[derive(Clone, Copy)]
pub(crate) enum TokenUse<'a> {
    /// The caller presents it with the scheme `Bearer`.
    Bearer,
    /// The caller presents it with the scheme `DPoP`, and this proof.
    Proved(&'a DpopProof),
}

impl TokenUse<'_> {
    /// Whether a token that is bound to this key may be used so. A bound token is useless to a bearer, and a bearer token is
    /// refused with the scheme `DPoP`: an attacker could present a stolen one with a key of their own (RFC 9449 §7.1).
    pub(crate) fn fits(self, key: Option<&KeyThumbprint>) -> bool {
        match self {
            Self::Bearer => key.is_none(),
            Self::Proved(proof) => key == Some(proof.key()),
        }
    }
}

impl AuthenticatedClient {
    /// Whether the person lets the client do all of this. A client of the operator's own needs no consent.
    pub(crate) fn is_permitted(&self, account: &Account, scopes: &Scopes) -> bool {
        self.client().settings.first_party || account.consents.cover(self.id(), scopes)
    }

    /// Whether the consent that was given at `given_at` still permits all of this. Without `given_at`, no consent is needed.
    pub(crate) fn has_consent_of(
        &self,
        account: &Account,
        scopes: &Scopes,
        given_at: Option<Timestamp>,
    ) -> bool {
        given_at.is_none_or(|given_at| {
            let consents = &account.consents;
            let is_same = consents
                .of(self.id())
                .is_some_and(|it| it.given_at == given_at);
            is_same && consents.cover(self.id(), scopes)
        })
    }
}

impl Authlog {
    /// The claims of a signed token of OAuth; `None` if its signature is wrong or it has expired at `now`. If another node signed
    /// it with a key that this node has not loaded yet, the key is loaded.
    pub(crate) async fn verify_oauth(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Option<VerifiedOAuthToken> {
        let tokens = &self.parts.tokens;
        match tokens.verify_oauth(token, now) {
            None if tokens.learn_key(token).await => tokens.verify_oauth(token, now),
            verified => verified,
        }
    }

    /// The bearer of an access token of an application at this service; `None` if it is not valid here, or may not be used so.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`].
    pub(crate) async fn check_application(
        &self,
        token: &str,
        used: TokenUse<'_>,
        now: Timestamp,
    ) -> Result<Option<LiveApplication>, Refusal> {
        let verified = self.verify_oauth(token, now).await;
        let verified = verified.filter(|it| it.is_for(self.parts.tokens.issuer()));
        match verified {
            Some(VerifiedOAuthToken::Session { token, oauth })
                if token.kind == TokenKind::Access && used.fits(oauth.key.as_ref()) =>
            {
                self.live_application(token, &oauth, now).await
            }
            _ => Ok(None),
        }
    }

    /// The token with its account, if its session is live and its client may be used. An access token is checked in memory, with
    /// the session that it ends with, unless the deny list may be incomplete. A refresh token has to be the current one.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`].
    pub(crate) async fn live_application(
        &self,
        token: VerifiedToken,
        oauth: &Arc<OAuthClaims>,
        now: Timestamp,
    ) -> Result<Option<LiveApplication>, Refusal> {
        let client = self.client(&oauth.client).await?;
        if client.is_none_or(|client| client.locked) {
            return Ok(None);
        }
        let account = match token.kind {
            TokenKind::Access => {
                let list = &self.revocation_list;
                match list.standing_under(&token, oauth.parent, now) {
                    TokenStatus::Ended => return Ok(None),
                    TokenStatus::Live => {
                        self.account_at(token.user, token.session, token.epoch)
                            .await?
                    }
                    TokenStatus::Unknown => {
                        let standing = self.standing_of(&token, oauth, now).await?;
                        standing.map(|standing| Arc::new(standing.account))
                    }
                }
            }
            TokenKind::Refresh { generation } => {
                let standing = self.standing_of(&token, oauth, now).await?;
                standing
                    .filter(|standing| standing.session.generation == generation)
                    .map(|standing| Arc::new(standing.account))
            }
        };
        Ok(account.map(|account| LiveApplication {
            token,
            oauth: Arc::clone(oauth),
            account,
        }))
    }

    /// The live session of a token, by a query.
    async fn standing_of(
        &self,
        token: &VerifiedToken,
        oauth: &OAuthClaims,
        now: Timestamp,
    ) -> Result<Option<SessionWithAccount>, Refusal> {
        let standing = self.parts.directory.session(token.session).await?;
        Ok(standing.filter(|standing| {
            let grant = standing.session.grant.as_ref();
            standing.is_live(now) && grant.is_some_and(|grant| grant.client == oauth.client)
        }))
    }
}
