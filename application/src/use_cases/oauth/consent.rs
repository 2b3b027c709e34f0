//! A person lets an application act in their name, or withdraws that.

use authlog_domain::client::RegisteredClient;
use authlog_domain::user::{GiveConsent, UserCommand, WithdrawConsent};
use authlog_domain::{ClientId, RevocationReason, Scopes, SessionId, Timestamp};

use super::demand::Demand;
use super::{AuthorizationOutcome, AuthorizationRefusal, AuthorizationRequest};
use crate::access::BrowserSession;
use crate::ports::Account;
use crate::use_cases::accounts::AppendOptions;
use crate::{Authlog, Caller, Refusal, RequestContext};

/// How many sessions of an account are looked at a time for those of an application.
const PAGE: u32 = 100;

/// Why a consent is not recorded.
#[derive(Debug, thiserror::Error)]
pub enum ConsentRefusal {
    /// The account has consents to as many applications as it can have. The person can withdraw one.
    #[error("the account has too many consents")]
    TooManyConsents,
    /// The request is refused for another reason, with a redirect to the client.
    #[error(transparent)]
    Request(#[from] AuthorizationRefusal),
}

/// Why a consent is not recorded, whichever flow asks for it.
pub(super) enum NotRecorded {
    /// See [`ConsentRefusal::TooManyConsents`].
    TooManyConsents,
    /// The session of the browser was ended meanwhile, or the account was erased.
    SessionEnded,
    /// For another reason.
    Refused(Refusal),
}

impl From<NotRecorded> for ConsentRefusal {
    fn from(refusal: NotRecorded) -> Self {
        match refusal {
            NotRecorded::TooManyConsents => Self::TooManyConsents,
            NotRecorded::SessionEnded => Self::Request(AuthorizationRefusal::LoginRequired),
            NotRecorded::Refused(refusal) => Self::Request(refusal.into()),
        }
    }
}

impl Authlog {
    /// Records that the person consents to the request, and continues it: normally, the outcome is a code. If the person has to
    /// sign in again first, nothing is recorded.
    ///
    /// # Errors
    /// See [`ConsentRefusal`].
    pub async fn give_consent(
        &self,
        request: &AuthorizationRequest,
        browser: &BrowserSession,
        context: &RequestContext,
    ) -> Result<AuthorizationOutcome, ConsentRefusal> {
        match self.demand(request, browser)? {
            Demand::Login | Demand::Level(_) => return Ok(self.authorize(request, Some(browser))?),
            Demand::Nothing => {}
            Demand::Consent => {
                let client = &request.target.client;
                self.record_consent(client, &request.scopes, browser, context)
                    .await?;
            }
        }
        let code = self.code(request, browser);
        Ok(AuthorizationOutcome::Code(
            code.map_err(AuthorizationRefusal::from)?,
        ))
    }

    /// Records that the person in this browser session consents to these scopes of a client. Returns when the consent was given,
    /// which is earlier if it was given before.
    pub(super) async fn record_consent(
        &self,
        client: &RegisteredClient,
        scopes: &Scopes,
        browser: &BrowserSession,
        context: &RequestContext,
    ) -> Result<Timestamp, NotRecorded> {
        let caller = browser.caller();
        let consents = &browser.account().consents;
        if !consents.has_room_for(&client.id) {
            return Err(NotRecorded::TooManyConsents);
        }
        // A consent that was given before appends nothing, so it does not count as a change.
        if !consents.cover(&client.id, scopes) {
            self.admit_change(caller).map_err(NotRecorded::Refused)?;
        }
        // A withdrawal that was interrupted left sessions behind, which would be permitted again. A client of the operator's own
        // has sessions without a consent.
        if consents.of(&client.id).is_none() && !client.settings.first_party {
            let ended =
                self.end_application_sessions(&client.id, browser.account(), caller, context);
            ended.await.map_err(NotRecorded::Refused)?;
        }
        let at = self.parts.clock.now();
        let command = UserCommand::GiveConsent(GiveConsent {
            at,
            client: client.id.clone(),
            scopes: scopes.clone(),
            proved: browser.epoch(),
        });
        let metadata = context.metadata_of(&caller);
        let decided = self.decide(caller.user(), command, AppendOptions::default(), metadata);
        match decided.await {
            Ok(events) if events.is_empty() => {
                // The same consent may have been given elsewhere after the session of the browser was read.
                let account = self.parts.directory.account(caller.user()).await;
                let account = account.map_err(|error| NotRecorded::Refused(error.into()))?;
                let given = account.as_ref().and_then(|it| it.consents.of(&client.id));
                Ok(given.map_or(at, |it| it.given_at))
            }
            Ok(_) => Ok(at),
            // Other consents were recorded meanwhile.
            Err(Refusal::Forbidden) => Err(NotRecorded::TooManyConsents),
            Err(Refusal::WrongCredentials { .. } | Refusal::UnknownAccount) => {
                Err(NotRecorded::SessionEnded)
            }
            Err(refusal) => Err(NotRecorded::Refused(refusal)),
        }
    }

    /// Withdraws the consent of the caller to an application, and ends the application's sessions. Without a consent, only the
    /// sessions are ended: those of an application that needs no consent, or whose consent was withdrawn a moment ago.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`], [`Refusal::TooManyAttempts`], or [`Refusal::Unavailable`]. A session that is not ended
    /// because of an error cannot be refreshed, and is ended before the next consent.
    pub async fn withdraw_consent(
        &self,
        caller: Caller,
        client: &ClientId,
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        let session = self.session_to_change(caller).await?;
        let command = UserCommand::WithdrawConsent(WithdrawConsent {
            at: self.parts.clock.now(),
            client: client.clone(),
            proved: session.epoch(),
        });
        let metadata = context.metadata_of(&caller);
        let decided = self.decide(caller.user(), command, AppendOptions::default(), metadata);
        decided.await.map_err(|refusal| match refusal {
            Refusal::WrongCredentials { .. } | Refusal::UnknownAccount => {
                Refusal::InvalidAccessToken
            }
            other => other,
        })?;
        self.end_application_sessions(client, session.account(), caller, context)
            .await
    }

    /// Ends the sessions that an application has for the account of the caller.
    async fn end_application_sessions(
        &self,
        client: &ClientId,
        account: &Account,
        caller: Caller,
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        let mut after = None;
        loop {
            let now = self.parts.clock.now();
            let directory = &self.parts.directory;
            let page = directory
                .live_sessions(account.id, now, after, PAGE)
                .await?;
            let of_client = page.sessions.iter().filter(|session| {
                let grant = session.grant.as_ref();
                grant.is_some_and(|grant| grant.client == *client)
            });
            let sessions: Vec<SessionId> = of_client.map(|session| session.id).collect();
            for session in sessions {
                let metadata = context.metadata_of(&caller);
                let reason = RevocationReason::ConsentWithdrawn;
                let revoked = self.revoke_session(account, session, reason, metadata);
                match revoked.await {
                    // It ended meanwhile.
                    Ok(()) | Err(Refusal::UnknownSession) => {}
                    Err(refusal) => return Err(refusal),
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }
}
