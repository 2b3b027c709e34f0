//! The exchange of an authorization code for tokens (RFC 6749 §4.1.3).

use authlog_domain::client::GrantType;
use authlog_domain::session::{ReuseCode, SessionCommand};
use authlog_domain::{AggregateKind, Audience, Timestamp};

use super::code::AuthorizationCode;
use super::id_token::IdTokenFacts;
use super::issue::ApplicationSession;
use super::tokens::{CodeExchange, OAuthTokens};
use super::{GrantRefusal, pkce, resources};
use crate::access::AuthenticatedClient;
use crate::ports::{Account, Attempt, Revocation, StreamId};
use crate::unit_of_work::UnitOfWork;
use crate::use_cases::issue_tokens::NewSession;
use crate::{Authlog, Refusal, RequestContext};

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
        context: &RequestContext,
    ) -> Result<OAuthTokens, GrantRefusal> {
        let settings = &by.client().settings;
        if !settings.grants.contains(&GrantType::AuthorizationCode) {
            return Err(GrantRefusal::UnauthorizedClient);
        }
        let code = self.open_code(exchange.code);
        let code = code.ok_or(GrantRefusal::InvalidGrant)?;
        self.check_exchange(by, &code, exchange)?;
        let resources = granted_resources(by, &code, exchange.resources)?;

        let account = self.account_of_code(by, &code).await?;
        let session = self.session_of_code(by, &code, resources.granted);
        let redeemed = self.record_code(&code, &session, context).await?;
        let now = session.started_at();
        if let Redeemed::Reused = redeemed {
            let revocation = Revocation::Session(code.session);
            self.revocation_list.add(revocation, now);
            self.mail_due.notify_one();
            return Err(GrantRefusal::InvalidGrant);
        }
        let application = ApplicationSession::started(&session, &account)?;
        let id_token = IdTokenFacts {
            nonce: code.nonce.as_deref(),
            claims: &code.id_token_claims,
        };
        self.issue_to_application(by, &application, &resources.asked, id_token, now)
    }

    /// Whether the request fits the code: its client, its redirect URI and its verifier.
    fn check_exchange(
        &self,
        by: &AuthenticatedClient,
        code: &AuthorizationCode,
        exchange: CodeExchange<'_>,
    ) -> Result<(), GrantRefusal> {
        let redirect_uri = exchange.redirect_uri;
        let redirect_uri = redirect_uri.ok_or(GrantRefusal::InvalidRequest(
            "the parameter redirect_uri is missing",
        ))?;
        let fits_verifier = match (&code.challenge, exchange.verifier) {
            (Some(challenge), Some(verifier)) => {
                pkce::is_verifier(verifier)
                    && self.parts.secrets.code_challenge(verifier) == *challenge
            }
            (None, None) => true,
            // A verifier without a challenge: somebody removed the challenge from the request (RFC 9700 §4.8.2).
            (Some(_), None) | (None, Some(_)) => false,
        };
        let fits = code.client == *by.id() && code.redirect_uri == redirect_uri && fits_verifier;
        fits.then_some(()).ok_or(GrantRefusal::InvalidGrant)
    }

    /// The account of a code whose browser session is live. It has to be that of the same epoch: the owner may have taken the
    /// account back since.
    async fn account_of_code(
        &self,
        by: &AuthenticatedClient,
        code: &AuthorizationCode,
    ) -> Result<Account, GrantRefusal> {
        let now = self.parts.clock.now();
        let standing = self.parts.directory.session(code.browser).await?;
        let account = standing
            .filter(|standing| standing.is_live(now) && standing.session.grant.is_none())
            .map(|standing| standing.account)
            .filter(|account| account.id == code.user && account.session_epoch == code.epoch)
            .filter(|account| self.sign_in_block(account).is_none())
            .filter(|account| is_permitted(by, account, code))
            .ok_or(GrantRefusal::InvalidGrant)?;
        let account_id = account.id;
        self.admit(Attempt::RedeemCode {
            account: account_id,
        })?;
        Ok(account)
    }

    /// Appends the start of the session, or the reuse of the code if the session has started before.
    async fn record_code(
        &self,
        code: &AuthorizationCode,
        session: &NewSession,
        context: &RequestContext,
    ) -> Result<Redeemed, GrantRefusal> {
        let recorded = self.executor.execute(&session.id(), |work| async move {
            // A code that was redeemed before conflicts with the first event of its stream. So a session is looked up only
            // after a conflict, and redeeming a code costs one append.
            if work.is_retried() && self.record_reuse(code, &work, context, session.started_at()).await? {
                work.commit().await?;
                return Ok(Redeemed::Reused);
            }
            session.start(&work, context).await?;
            work.commit().await?;
            Ok(Redeemed::Started)
        });
        recorded.await.map_err(|refusal| match refusal {
            // The account was erased meanwhile, or the session has ended and its row was removed.
            Refusal::UnknownAccount | Refusal::InvalidRefreshToken => GrantRefusal::InvalidGrant,
            other => other.into(),
        })
    }

    /// Stages the reuse of the code if its session has started. Returns whether it has.
    async fn record_reuse(
        &self,
        code: &AuthorizationCode,
        work: &UnitOfWork,
        context: &RequestContext,
        at: Timestamp,
    ) -> Result<bool, crate::unit_of_work::CommandError> {
        let Some(standing) = work.session(code.session).await? else {
            // A session without a row is over, or its row was changed by another program.
            let stream = StreamId {
                kind: AggregateKind::Session,
                id: code.session.to_string(),
            };
            if work.has_events(&stream).await? {
                return Err(Refusal::InvalidRefreshToken.into());
            }
            return Ok(false);
        };
        let command = SessionCommand::ReuseCode(ReuseCode { at });
        let metadata = context.metadata(code.user);
        work.execute_on_session(standing.session, command, metadata)
            .await?;
        Ok(true)
    }
}

/// Whether the person still lets the application do all of this.
pub(super) fn is_permitted(
    by: &AuthenticatedClient,
    account: &Account,
    code: &AuthorizationCode,
) -> bool {
    by.client().settings.first_party || account.consents.cover(by.id(), &code.scopes)
}

/// The resources of an exchange.
struct Resources {
    /// Those of the session.
    granted: Vec<Audience>,
    /// Those of the first access token.
    asked: Vec<Audience>,
}

/// A request names some of the resources of the authorization request, or all of them by naming none (RFC 8707 §2.2). If that one
/// named none, the client can still name what it is registered for.
fn granted_resources(
    by: &AuthenticatedClient,
    code: &AuthorizationCode,
    texts: &[&str],
) -> Result<Resources, GrantRefusal> {
    let permitted = if code.resources.is_empty() {
        &by.client().settings.audiences
    } else {
        &code.resources
    };
    let asked = resources::among(texts, permitted).ok_or(GrantRefusal::InvalidTarget)?;
    Ok(if code.resources.is_empty() {
        Resources {
            granted: asked.clone(),
            asked,
        }
    } else if asked.is_empty() {
        Resources {
            granted: code.resources.clone(),
            asked: code.resources.clone(),
        }
    } else {
        Resources {
            granted: code.resources.clone(),
            asked,
        }
    })
}
