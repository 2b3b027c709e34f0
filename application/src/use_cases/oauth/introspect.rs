//! Introspection (RFC 7662) and revocation (RFC 7009) by clients.

use std::sync::Arc;

use authlog_domain::client::{RegisteredClient, ServiceScope};
use authlog_domain::session::{LogOut, SessionCommand};
use authlog_domain::{SessionId, UserId};

use super::GrantRefusal;
use crate::access::{AuthenticatedClient, LiveApplication};
use crate::ports::{ClientTokenClaims, Revocation, TokenKind, VerifiedOAuthToken};
use crate::{ActiveToken, Authlog, ExpectedToken, Refusal, RequestContext};

/// An active token, by its kind.
pub enum Introspected {
    /// A token of a contract.
    Contract(ActiveToken),
    /// A token that a person granted to an application.
    Application(LiveApplication),
    /// The access token of a client itself.
    Client(Arc<ClientTokenClaims>),
}

impl Authlog {
    /// The token, if it is active and the client may know; `None` for any other. A client introspects the tokens that were issued
    /// to it. A resource server, which is a client without grants, introspects the access tokens for its audiences. A client with
    /// the scope `tokens.introspect` introspects every token, also those of contracts.
    ///
    /// # Errors
    /// [`GrantRefusal::Unavailable`]. A client that authenticates with nothing introspects no token:
    /// [`GrantRefusal::InvalidClient`].
    pub async fn introspect_for_client(
        &self,
        by: &AuthenticatedClient,
        token: &str,
        expected: ExpectedToken,
    ) -> Result<Option<Introspected>, GrantRefusal> {
        if !by.is_confidential() {
            return Err(GrantRefusal::InvalidClient);
        }
        Ok(self.introspect_as(by.client(), token, expected).await?)
    }

    /// As [`Self::introspect_for_client`], for a client that has proved who it is.
    pub(crate) async fn introspect_as(
        &self,
        by: &RegisteredClient,
        token: &str,
        expected: ExpectedToken,
    ) -> Result<Option<Introspected>, Refusal> {
        let now = self.parts.clock.now();
        let Some(verified) = self.verify_oauth(token, now).await else {
            if !inspects_all(by) {
                return Ok(None);
            }
            let active = self.introspect_contract(token, expected).await?;
            return Ok(active.map(Introspected::Contract));
        };
        if !may_introspect(by, &verified, expected) {
            return Ok(None);
        }
        Ok(match verified {
            VerifiedOAuthToken::Client(claims) => {
                let client = self.client_of_token(&claims).await?;
                client.map(|_| Introspected::Client(claims))
            }
            VerifiedOAuthToken::Session { token, oauth } => {
                let live = self.live_application(token, &oauth, now).await?;
                live.map(Introspected::Application)
            }
        })
    }

    /// Ends the session of a token that was issued to the client. Any other text changes nothing, and is no error
    /// (RFC 7009 §2.2): so a client learns nothing of other clients' tokens.
    ///
    /// # Errors
    /// [`GrantRefusal::UnsupportedTokenType`] for a token that the client got for itself, or [`GrantRefusal::Unavailable`].
    pub async fn revoke_for_client(
        &self,
        by: &AuthenticatedClient,
        token: &str,
        context: &RequestContext,
    ) -> Result<(), GrantRefusal> {
        let now = self.parts.clock.now();
        match self.verify_oauth(token, now).await {
            Some(VerifiedOAuthToken::Session { token, oauth }) if oauth.client == *by.id() => {
                Ok(self
                    .end_application(token.user, token.session, context)
                    .await?)
            }
            // It has no session that could end, and expires within minutes.
            Some(VerifiedOAuthToken::Client(claims)) if claims.client == *by.id() => {
                Err(GrantRefusal::UnsupportedTokenType)
            }
            Some(VerifiedOAuthToken::Session { .. } | VerifiedOAuthToken::Client(_)) | None => {
                Ok(())
            }
        }
    }

    /// Ends the session of an application. If it has ended, nothing changes.
    pub(super) async fn end_application(
        &self,
        user: UserId,
        session: SessionId,
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        let at = self.parts.clock.now();
        let id = session.to_string();
        let ended = self.executor.execute(&id, |work| async move {
            let standing = work.session(session).await?;
            let standing = standing.ok_or(Refusal::InvalidAccessToken)?;
            let command = SessionCommand::LogOut(LogOut { at });
            let metadata = context.metadata(user);
            work.execute_on_session(standing.session, command, metadata)
                .await?;
            work.commit().await
        });
        match ended.await {
            Ok(()) => self.revocation_list.add(Revocation::Session(session), at),
            // It has ended before, or the account was erased.
            Err(
                Refusal::InvalidAccessToken
                | Refusal::InvalidRefreshToken
                | Refusal::UnknownAccount,
            ) => {}
            Err(refusal) => return Err(refusal),
        }
        Ok(())
    }
}

fn inspects_all(by: &RegisteredClient) -> bool {
    let scope = ServiceScope::IntrospectTokens.as_str();
    by.settings.scopes.contains(scope)
}

/// Whether the client may know of the token. A client that asks about an access token learns nothing of a refresh token of another
/// client, so that no resource server accepts it as an access token.
fn may_introspect(
    by: &RegisteredClient,
    token: &VerifiedOAuthToken,
    expected: ExpectedToken,
) -> bool {
    let settings = &by.settings;
    let is_refresh = match token {
        VerifiedOAuthToken::Session { token, .. } => token.kind != TokenKind::Access,
        VerifiedOAuthToken::Client(_) => false,
    };
    // The audiences of a client with grants are those that it may call, and not those that it serves.
    let is_own_resource = || {
        let mut audiences = settings.audiences.iter();
        settings.grants.is_empty() && audiences.any(|audience| token.is_for(audience.as_str()))
    };
    let is_expected = !is_refresh || expected == ExpectedToken::Refresh;
    token.client() == &by.id
        || (inspects_all(by) && is_expected)
        || (!is_refresh && is_own_resource())
}
