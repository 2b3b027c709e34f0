//! The polls of a device, which end with its tokens (RFC 8628 §3.4 and §3.5).

use std::collections::BTreeSet;

use authlog_domain::client::GrantType;
use authlog_domain::session::ClientGrant;
use authlog_domain::{Scopes, SessionId};

use super::super::id_token::IdTokenDemand;
use super::super::redeem::{ApprovedSession, asked_resources};
use super::super::resources::Registered;
use super::super::{GrantRefusal, OAuthTokens};
use super::request::DeviceCode;
use super::{DeviceApproval, UserCode};
use crate::access::{AuthenticatedClient, DpopProof};
use crate::ports::{Account, Attempt, SealedFor};
use crate::{Authlog, Refusal, RequestContext};

impl Authlog {
    /// Answers a poll of a device: with its tokens once the person has approved it, which starts its session. `texts` are the
    /// resources, some of those that were asked for.
    ///
    /// A device code works once, as an authorization code does: if it comes back, its session ends. A poll that is wrong, or that
    /// comes too early, costs no query once the client is known.
    ///
    /// # Errors
    /// See [`GrantRefusal`].
    pub async fn redeem_device_code(
        &self,
        by: &AuthenticatedClient,
        text: &str,
        texts: &[&str],
        proof: Option<&DpopProof>,
        context: &RequestContext,
    ) -> Result<OAuthTokens, GrantRefusal> {
        let settings = &by.client().settings;
        if !settings.grants.contains(&GrantType::DeviceCode) {
            return Err(GrantRefusal::UnauthorizedClient);
        }
        let code = self.open_device_code(by, text)?;
        let (approval, browser) = self.approval_of(&code).await?;
        let registered = Registered::of(settings, &approval.scopes, &approval.resources)?;
        let resources = asked_resources(&registered.resources, texts)?;
        let account = self
            .account_of_approval(by, &approval, &registered.scopes)
            .await?;
        let key = self.key_of_tokens(by, Some(account.id), proof, None)?;
        let grant = ClientGrant {
            client: code.client.clone(),
            scopes: registered.scopes,
            audience: registered.resources,
            // The device stays signed in when the person signs out of the browser.
            parent: None,
            dpop_jkt: by.key_of_session(key.as_ref()),
        };
        let session = ApprovedSession {
            id: code.session,
            account: &account,
            authentication: approval.authentication,
            approved_in: Some(browser),
            consent: approval.consent,
            is_polled: true,
            grant: &grant,
            ends_by: None,
            resources: &resources,
            names_resources: !texts.is_empty(),
            key: key.as_ref(),
            id_token: IdTokenDemand {
                nonce: None,
                claims: &BTreeSet::new(),
            },
        };
        self.start_approved(by, &session, context).await
    }

    /// What a device code of this client holds.
    fn open_device_code(
        &self,
        by: &AuthenticatedClient,
        text: &str,
    ) -> Result<DeviceCode, GrantRefusal> {
        let opened: Result<DeviceCode, _> = self.open(SealedFor::DeviceCode, text);
        let code = opened.ok().filter(|code| code.client == *by.id());
        let code = code.ok_or(GrantRefusal::InvalidGrant)?;
        if !code.is_current(self.parts.clock.now()) {
            return Err(GrantRefusal::ExpiredToken);
        }
        // Further uses of a code that was used twice count against no limit.
        if self.revocation_list.has_ended(code.session) {
            return Err(GrantRefusal::InvalidGrant);
        }
        Ok(code)
    }

    /// What the person approved of the request of this device, and in which session of a browser.
    async fn approval_of(
        &self,
        code: &DeviceCode,
    ) -> Result<(DeviceApproval, SessionId), GrantRefusal> {
        let polled = self.device_polls.admit(code.session);
        polled.map_err(|_| GrantRefusal::SlowDown)?;
        let user_code = UserCode::parse(&code.user_code).ok_or(GrantRefusal::InvalidGrant)?;
        let found = self.device_request(user_code).await?;
        // A row that is missing was lost, or was written by another program. The device has to begin again.
        let found = found
            .filter(|it| it.request.session == code.session && it.request.client == code.client)
            .ok_or(GrantRefusal::ExpiredToken)?;
        let decision = found.decision.ok_or(GrantRefusal::AuthorizationPending)?;
        let approval = decision.approval.ok_or(GrantRefusal::AccessDenied)?;
        Ok((approval, decision.by))
    }

    /// The account of an approval. It has to be of the same epoch, because the owner may have taken it back since, and has to permit
    /// the grant still, by the same consent: the owner may have withdrawn that one.
    async fn account_of_approval(
        &self,
        by: &AuthenticatedClient,
        approval: &DeviceApproval,
        scopes: &Scopes,
    ) -> Result<Account, GrantRefusal> {
        let account = self.parts.directory.account(approval.user).await;
        let account = account
            .map_err(Refusal::from)?
            .filter(|account| account.session_epoch == approval.epoch)
            .filter(|account| self.sign_in_block(account).is_none())
            .filter(|account| by.is_permitted(account, scopes))
            .filter(|account| by.has_consent_of(account, scopes, approval.consent))
            .ok_or(GrantRefusal::InvalidGrant)?;
        let admitted = self.admit(Attempt::RedeemCode {
            account: account.id,
            client: by.id(),
        });
        // A device gives up after any other error (RFC 8628 §3.5), although its approval would still be good.
        admitted.map_err(|refusal| match refusal {
            Refusal::TooManyAttempts { .. } => GrantRefusal::SlowDown,
            other => other.into(),
        })?;
        Ok(account)
    }
}
