//! Refreshing the session of an application (RFC 6749 §6), with rotation and reuse detection as in the contracts.

use authlog_domain::client::{ClientSettings, GrantType};
use authlog_domain::session::ClientGrant;
use authlog_domain::{Audience, KeyThumbprint, Scopes, UserId};

use super::issue::{AccessTerms, ApplicationSession, REFRESH_LIFETIME};
use super::resources::Registered;
use super::{GrantRefusal, OAuthTokens, resources};
use crate::access::{AuthenticatedClient, DpopProof};
use crate::ports::{SessionWithAccount, VerifiedOAuthToken};
use crate::use_cases::refresh::{Exchange, Refreshed};
use crate::{Authlog, RequestContext};

impl Authlog {
    /// Exchanges a refresh token for new tokens. `scope` and `texts` (the resources) can ask for less than was granted; the next
    /// refresh token still has all of it.
    ///
    /// # Errors
    /// See [`GrantRefusal`]. After the reuse of a replaced token, the session has ended.
    pub async fn refresh_application(
        &self,
        by: &AuthenticatedClient,
        refresh_token: &str,
        scope: Option<&str>,
        texts: &[&str],
        proof: Option<&DpopProof>,
        context: &RequestContext,
    ) -> Result<OAuthTokens, GrantRefusal> {
        let settings = &by.client().settings;
        if !settings.grants.contains(&GrantType::RefreshToken) {
            return Err(GrantRefusal::UnauthorizedClient);
        }
        let scopes = scope.map(Scopes::parse).transpose();
        let scopes = &scopes.map_err(|_| GrantRefusal::InvalidScope)?;
        let now = self.parts.clock.now();
        let token = match self.verify_oauth(refresh_token, now).await {
            Some(VerifiedOAuthToken::Session { token, .. }) => token,
            Some(VerifiedOAuthToken::Client(_)) | None => return Err(GrantRefusal::InvalidGrant),
        };
        let check = |standing: &SessionWithAccount| -> Result<_, GrantRefusal> {
            let grant = self.permitted_grant(by, standing)?;
            let (scopes, resources) = access_terms(settings, grant, scopes.as_ref(), texts)?;
            let key = self.key_of_refresh(by, standing.account.id, grant, proof)?;
            Ok((scopes, resources, key))
        };
        let exchange = Exchange {
            at: now,
            lifetime: Some(REFRESH_LIFETIME),
        };
        let refreshed = self.exchange(&token, exchange, check, context).await?;
        let Refreshed {
            account,
            session,
            checked: (scopes, resources, key),
            generation,
            expires_at,
        } = refreshed?;
        let grant = session.grant.as_ref().ok_or(GrantRefusal::InvalidGrant)?;
        let application = ApplicationSession {
            id: session.id,
            user: account.id,
            epoch: session.epoch,
            authentication: session.authentication,
            grant,
            generation,
            expires_at,
        };
        let access = AccessTerms {
            scopes: &scopes,
            resources: &resources,
            names_resources: !texts.is_empty(),
            key: key.as_ref(),
        };
        let mut tokens = self.application_tokens(by, &application, &access, now)?;
        if scopes.contains("openid") {
            // The session is refreshed, and a client can do without another ID token (OpenID Connect Core §12.2).
            let id_token = self.id_token(by, &application, &account, None, now);
            tokens.id_token = id_token.ok();
        }
        Ok(tokens)
    }

    /// The key of the new tokens. A public client cannot begin to use a key in a session that is bound to none: its refresh tokens
    /// would have to be bound from then on (RFC 9449 §5), and what a session was granted does not change.
    fn key_of_refresh(
        &self,
        by: &AuthenticatedClient,
        account: UserId,
        grant: &ClientGrant,
        proof: Option<&DpopProof>,
    ) -> Result<Option<KeyThumbprint>, GrantRefusal> {
        if proof.is_some() && grant.dpop_jkt.is_none() && !by.is_confidential() {
            return Err(GrantRefusal::InvalidGrant);
        }
        self.key_of_tokens(by, Some(account), proof, grant.dpop_jkt.as_ref())
    }

    /// What was granted to this client in the session, if the person still permits it.
    fn permitted_grant<'a>(
        &self,
        by: &AuthenticatedClient,
        standing: &'a SessionWithAccount,
    ) -> Result<&'a ClientGrant, GrantRefusal> {
        let grant = standing.session.grant.as_ref();
        grant
            .filter(|grant| grant.client == *by.id())
            .filter(|grant| by.is_permitted(&standing.account, &grant.scopes))
            .filter(|_| standing.has_no_ended_parent(self.parts.clock.now()))
            .ok_or(GrantRefusal::InvalidGrant)
    }
}

/// The scopes and the resources of an access token: some of what was granted, as far as the client is registered for it still.
fn access_terms(
    settings: &ClientSettings,
    grant: &ClientGrant,
    scopes: Option<&Scopes>,
    texts: &[&str],
) -> Result<(Scopes, Vec<Audience>), GrantRefusal> {
    let left = Registered::of(settings, &grant.scopes, &grant.audience)?;
    let scopes = scopes.unwrap_or(&left.scopes);
    if !scopes.is_subset_of(&left.scopes) {
        return Err(GrantRefusal::InvalidScope);
    }
    let mut asked = resources::among(texts, &left.resources).ok_or(GrantRefusal::InvalidTarget)?;
    if asked.is_empty() {
        asked.clone_from(&left.resources);
    }
    Ok((scopes.clone(), asked))
}
