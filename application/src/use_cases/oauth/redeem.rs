//! The exchange of an authorization code for tokens (RFC 6749 §4.1.3), and the start of a session by a code of either kind.

use authlog_domain::client::GrantType;
use authlog_domain::session::{ClientGrant, ReuseCode, SessionCommand, StartSession};
use authlog_domain::{
    AggregateKind, Audience, Authentication, KeyThumbprint, Rotation, SessionId, Timestamp,
};

use super::code::AuthorizationCode;
use super::id_token::IdTokenDemand;
use super::issue::{ACCESS_LIFETIME, AccessTerms, ApplicationSession, REFRESH_LIFETIME};
use super::{CodeExchange, GrantRefusal, OAuthTokens, pkce, resources};
use crate::access::{AuthenticatedClient, DpopProof};
use crate::ports::{Account, Attempt, Revocation, SessionWithAccount, StreamId};
use crate::unit_of_work::{CommandError, UnitOfWork};
use crate::use_cases::issue_tokens::NewSession;
use crate::{Authlog, Refusal, RequestContext};

/// The session that a code starts, as the person approved it. The id was in the code: a stream has one first event, so that the code
/// starts one session.
pub(super) struct ApprovedSession<'a> {
    pub(super) id: SessionId,
    /// The account, under the epoch at which the person approved.
    pub(super) account: &'a Account,
    pub(super) authentication: Authentication,
    /// The session in which the person approved, if the grant does not name it.
    pub(super) approved_in: Option<SessionId>,
    /// When the consent was given that has to hold still, if a certain one has to.
    pub(super) consent: Option<Timestamp>,
    /// Whether its program asks until it has the tokens, so that it repeats the request if an answer is lost.
    pub(super) is_polled: bool,
    pub(super) grant: &'a ClientGrant,
    /// When the session ends at the latest, if another session limits it.
    pub(super) ends_by: Option<Timestamp>,
    /// The resources of the first access token.
    pub(super) resources: &'a [Audience],
    /// Whether the token request names them.
    pub(super) names_resources: bool,
    /// The key to which the access token is bound.
    pub(super) key: Option<&'a KeyThumbprint>,
    pub(super) id_token: IdTokenDemand<'a>,
}

/// What became of a code.
enum Redeemed {
    /// The session has started.
    Started,
    /// The code had been redeemed before, and its session has ended.
    Reused,
}

impl Authlog {
    /// Redeems a code, which starts a session. A code is redeemed once: if it comes back, it was copied, and its session ends. A
    /// request that does not fit the code changes nothing, so that the code can still be redeemed by its client.
    ///
    /// # Errors
    /// See [`GrantRefusal`].
    pub async fn redeem_code(
        &self,
        by: &AuthenticatedClient,
        exchange: CodeExchange<'_>,
        proof: Option<&DpopProof>,
        context: &RequestContext,
    ) -> Result<OAuthTokens, GrantRefusal> {
        let settings = &by.client().settings;
        if !settings.grants.contains(&GrantType::AuthorizationCode) {
            return Err(GrantRefusal::UnauthorizedClient);
        }
        let code = self.open_code(exchange.code);
        let code = code.ok_or(GrantRefusal::InvalidGrant)?;
        self.check_exchange(by, &code, exchange)?;
        let code = code.narrowed_to(settings)?;
        let resources = asked_resources(&code.resources, exchange.resources)?;

        let (account, ends_at) = self.account_of_code(by, &code).await?;
        let key = self.key_of_tokens(by, Some(account.id), proof, code.dpop_jkt.as_ref())?;
        let grant = code.grant(code.resources.clone(), by.key_of_session(key.as_ref()));
        let session = ApprovedSession {
            id: code.session,
            account: &account,
            authentication: code.authentication,
            approved_in: None,
            consent: None,
            is_polled: false,
            grant: &grant,
            ends_by: grant.parent.map(|_| ends_at),
            resources: &resources,
            names_resources: !exchange.resources.is_empty(),
            key: key.as_ref(),
            id_token: IdTokenDemand {
                nonce: code.nonce.as_deref(),
                claims: &code.id_token_claims,
            },
        };
        self.start_approved(by, &session, context).await
    }

    /// Starts the session of a code, and issues its tokens. If the session has started before, the code came back, and the session
    /// ends.
    pub(super) async fn start_approved(
        &self,
        by: &AuthenticatedClient,
        session: &ApprovedSession<'_>,
        context: &RequestContext,
    ) -> Result<OAuthTokens, GrantRefusal> {
        let command = self.start_of(by, session);
        let (now, scopes) = (command.at, &session.grant.scopes);
        // The tokens are made first: if one cannot be signed, the code can be redeemed again.
        let application = ApplicationSession {
            id: session.id,
            user: session.account.id,
            epoch: session.account.session_epoch,
            authentication: session.authentication,
            grant: session.grant,
            generation: 0,
            expires_at: command.expires_at,
        };
        let access = AccessTerms {
            scopes,
            resources: session.resources,
            names_resources: session.names_resources,
            key: session.key,
        };
        let mut tokens = self.application_tokens(by, &application, &access, now)?;
        if scopes.contains("openid") {
            let demand = Some(session.id_token);
            let id_token = self.id_token(by, &application, session.account, demand, now);
            tokens.id_token = Some(id_token?);
        }
        let new = NewSession::of_application(session.id, command, session.approved_in);
        match self.record_code(session, &new, now, context).await? {
            Redeemed::Started => {
                self.check_still_permitted(by, session, context).await?;
                Ok(tokens)
            }
            Redeemed::Reused => {
                let revocation = Revocation::Session(session.id);
                self.revocation_list.add(revocation, now);
                self.mail_due.notify_one();
                Err(GrantRefusal::InvalidGrant)
            }
        }
    }

    /// The start of the session. It lasts until its tokens have expired, and not longer than the session of the browser, unless
    /// it continues without that one.
    fn start_of(&self, by: &AuthenticatedClient, session: &ApprovedSession<'_>) -> StartSession {
        let at = self.parts.clock.now();
        let can_refresh = by
            .client()
            .settings
            .grants
            .contains(&GrantType::RefreshToken);
        let lifetime = if can_refresh {
            REFRESH_LIFETIME.min(self.settings.session_limits.lifetime)
        } else {
            ACCESS_LIFETIME
        };
        let expires_at = at.plus(lifetime);
        StartSession {
            at,
            user: session.account.id,
            epoch: session.account.session_epoch,
            rotation: can_refresh.then_some(Rotation::Rotating),
            expires_at: session
                .ends_by
                .map_or(expires_at, |ends_by| expires_at.min(ends_by)),
            authentication: session.authentication,
            grant: Some(session.grant.clone()),
        }
    }

    /// Looks at the session and the consent once more, now that a withdrawal and a logout find the session. One that was recorded
    /// between the first look and the start of the session did not find it, so that the session is ended here. Tokens of a session
    /// that has ended are refused anyway, so it matters only for a consent, and for a client that is to get a logout token.
    async fn check_still_permitted(
        &self,
        by: &AuthenticatedClient,
        session: &ApprovedSession<'_>,
        context: &RequestContext,
    ) -> Result<(), GrantRefusal> {
        let settings = &by.client().settings;
        let needs_no_look = settings.first_party && settings.backchannel_logout_uri.is_none();
        if needs_no_look && session.consent.is_none() {
            return Ok(());
        }
        let standing = self.parts.directory.session(session.id).await;
        let standing = standing.map_err(Refusal::from)?;
        let scopes = &session.grant.scopes;
        let now = self.parts.clock.now();
        if standing.is_some_and(|it| {
            it.is_live(now)
                && by.is_permitted(&it.account, scopes)
                && by.has_consent_of(&it.account, scopes, session.consent)
        }) {
            return Ok(());
        }
        self.end_application(session.account.id, session.id, context)
            .await?;
        Err(GrantRefusal::InvalidGrant)
    }

    /// Whether the request fits the code: its client, its redirect URI and its verifier. Clients of OAuth 2.1 send no redirect URI
    /// here, because PKCE binds the code to the client that asked for it.
    fn check_exchange(
        &self,
        by: &AuthenticatedClient,
        code: &AuthorizationCode,
        exchange: CodeExchange<'_>,
    ) -> Result<(), GrantRefusal> {
        let fits_redirect_uri = match exchange.redirect_uri {
            Some(redirect_uri) => code.redirect_uri == redirect_uri,
            None if code.challenge.is_some() => true,
            None => {
                return Err(GrantRefusal::InvalidRequest(
                    "The parameter redirect_uri is missing.",
                ));
            }
        };
        let fits_verifier = match (&code.challenge, exchange.verifier) {
            (Some(challenge), Some(verifier)) => {
                pkce::is_verifier(verifier)
                    && self.parts.secrets.code_challenge(verifier) == *challenge
            }
            (None, None) => true,
            // A verifier without a challenge: an attacker removed the challenge from the request (RFC 9700 §4.8.2).
            (Some(_), None) | (None, Some(_)) => false,
        };
        let fits = code.client == *by.id() && fits_redirect_uri && fits_verifier;
        fits.then_some(()).ok_or(GrantRefusal::InvalidGrant)
    }

    /// The account of a code, and when the session of the browser expires, which has to be live. The account has to be of the
    /// same epoch: the owner may have taken it back since.
    async fn account_of_code(
        &self,
        by: &AuthenticatedClient,
        code: &AuthorizationCode,
    ) -> Result<(Account, Timestamp), GrantRefusal> {
        // Further uses of a code that was used twice cost nothing, and count against no limit.
        if self.revocation_list.has_ended(code.session) {
            return Err(GrantRefusal::InvalidGrant);
        }
        let now = self.parts.clock.now();
        let standing = self.parts.directory.session(code.browser).await;
        let standing = standing.map_err(Refusal::from)?;
        let SessionWithAccount {
            session, account, ..
        } = standing
            .filter(|it| it.is_live(now) && it.session.grant.is_none())
            .filter(|it| it.account.id == code.user && it.account.session_epoch == code.epoch)
            .filter(|it| self.sign_in_block(&it.account).is_none())
            .filter(|it| by.is_permitted(&it.account, &code.scopes))
            .ok_or(GrantRefusal::InvalidGrant)?;
        let attempt = Attempt::RedeemCode {
            account: account.id,
            client: by.id(),
        };
        self.admit(attempt)?;
        Ok((account, session.expires_at))
    }

    /// Appends the start of the session, or the reuse of the code if the session has started before.
    async fn record_code(
        &self,
        session: &ApprovedSession<'_>,
        new: &NewSession,
        now: Timestamp,
        context: &RequestContext,
    ) -> Result<Redeemed, GrantRefusal> {
        let id = new.id();
        let recorded = self.executor.execute(&id, |work| async move {
            // A code that was redeemed before conflicts with the first event of its stream. So a session is looked up only
            // after a conflict, and redeeming a code costs one append. Once its end is known here, nothing is left to record, so
            // that many exchanges of one code at once do not wait for a look-up each.
            if work.is_retried() && self.revocation_list.has_ended(session.id) {
                return Ok(Redeemed::Reused);
            }
            if work.is_retried() && record_reuse(session, &work, now, context).await? {
                work.commit().await?;
                return Ok(Redeemed::Reused);
            }
            new.start(&work, context).await?;
            work.commit().await?;
            Ok(Redeemed::Started)
        });
        recorded.await.map_err(|refusal| match refusal {
            // The account was erased meanwhile, or the session has ended and its row was removed.
            Refusal::UnknownAccount | Refusal::InvalidRefreshToken => GrantRefusal::InvalidGrant,
            other => other.into(),
        })
    }
}

/// Stages the reuse of the code if its session has started. Returns whether it has.
async fn record_reuse(
    session: &ApprovedSession<'_>,
    work: &UnitOfWork,
    at: Timestamp,
    context: &RequestContext,
) -> Result<bool, CommandError> {
    let Some(standing) = work.session(session.id).await? else {
        // A session without a row is over, or its row was changed by another program.
        let stream = StreamId {
            kind: AggregateKind::Session,
            id: session.id.to_string(),
        };
        if work.has_events(&stream).await? {
            return Err(Refusal::InvalidRefreshToken.into());
        }
        return Ok(false);
    };
    let command = SessionCommand::ReuseCode(ReuseCode {
        at,
        is_polled: session.is_polled,
    });
    let metadata = context.metadata(session.account.id);
    work.execute_on_session(standing.session, command, metadata)
        .await?;
    Ok(true)
}

/// The resources of the first access token. A request names some of the resources of the authorization request, or all of them by
/// naming none (RFC 8707 §2.2).
pub(super) fn asked_resources(
    granted: &[Audience],
    texts: &[&str],
) -> Result<Vec<Audience>, GrantRefusal> {
    let asked = resources::among(texts, granted).ok_or(GrantRefusal::InvalidTarget)?;
    Ok(if asked.is_empty() {
        granted.to_vec()
    } else {
        asked
    })
}
