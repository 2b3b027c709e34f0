//! What a person decides about a device (RFC 8628 §3.3). The person has typed the code that the device shows.

use authlog_domain::SessionId;
use authlog_domain::client::GrantType;

use super::super::ConsentDemand;
use super::super::consent::NotRecorded;
use super::super::resources::Registered;
use super::{DeviceApproval, DeviceDecision, DeviceRequest, UserCode, keeps_consent};
use crate::access::BrowserSession;
use crate::ports::{Attempt, SealedFor};
use crate::{Authlog, Refusal, RequestContext, SecondFactorRefusal};

/// A device that waits for the person who typed its code.
pub struct WaitingDevice {
    /// The code that the device shows.
    pub code: UserCode,
    /// What the person is asked to consent to.
    pub demand: ConsentDemand,
    request: DeviceRequest,
}

/// Why a person cannot decide about a device.
#[derive(Debug, thiserror::Error)]
pub enum DeviceRefusal {
    /// No device waits with this code: there never was one, the code has expired, or it was used. It is not said which.
    #[error("no device waits with this code")]
    UnknownCode,
    /// The same person decided before, in the same browser. The browser may have repeated the request.
    #[error("the person has decided before")]
    Decided {
        /// Whether the device was allowed.
        allowed: bool,
    },
    /// The account has consents to as many applications as it can have. The person can withdraw one.
    #[error("the account has too many consents")]
    TooManyConsents,
    /// The person may not decide now, or a dependency failed.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl From<NotRecorded> for DeviceRefusal {
    fn from(refusal: NotRecorded) -> Self {
        match refusal {
            NotRecorded::TooManyConsents => Self::TooManyConsents,
            NotRecorded::SessionEnded => Self::Refused(Refusal::InvalidAccessToken),
            NotRecorded::Refused(refusal) => Self::Refused(refusal),
        }
    }
}

impl DeviceDecision {
    /// What a person in this session of a browser learns about a device of which this was decided. Other people learn nothing.
    fn refusal_to(&self, session: SessionId) -> DeviceRefusal {
        if self.by == session {
            let allowed = self.approval.is_some();
            DeviceRefusal::Decided { allowed }
        } else {
            DeviceRefusal::UnknownCode
        }
    }
}

impl Authlog {
    /// The device that waits with the code that a person typed. Every call counts as a guess.
    ///
    /// # Errors
    /// See [`DeviceRefusal`].
    pub async fn waiting_device(
        &self,
        browser: &BrowserSession,
        typed: &str,
        context: &RequestContext,
    ) -> Result<WaitingDevice, DeviceRefusal> {
        self.check_may_approve(browser)?;
        let code = UserCode::parse(typed).ok_or(DeviceRefusal::UnknownCode)?;
        self.admit(Attempt::EnterUserCode {
            account: browser.caller().user(),
            address: context.address,
        })?;
        let found = self.device_request(code).await?;
        let found = found.ok_or(DeviceRefusal::UnknownCode)?;
        if let Some(decision) = &found.decision {
            return Err(decision.refusal_to(browser.caller().session()));
        }
        let mut request = found.request;
        let client = self.client(&request.client).await?;
        let client = client
            .filter(|it| !it.locked && it.settings.grants.contains(&GrantType::DeviceCode))
            .ok_or(DeviceRefusal::UnknownCode)?;
        // An operator may have narrowed the registration.
        let registered = Registered::of(&client.settings, &request.scopes, &request.resources);
        let registered = registered.map_err(|_| DeviceRefusal::UnknownCode)?;
        request.scopes = registered.scopes;
        request.resources = registered.resources;
        let given = browser.account().consents.of(&client.id);
        let demand = ConsentDemand {
            given: given.map(|it| it.scopes.clone()).unwrap_or_default(),
            scopes: request.scopes.clone(),
            client,
        };
        Ok(WaitingDevice {
            code,
            demand,
            request,
        })
    }

    /// Lets a device sign in to the account of this browser session, and records the consent to what it asks for.
    ///
    /// # Errors
    /// See [`DeviceRefusal`]. If the decision is refused after the consent was recorded, the consent stays.
    pub async fn approve_device(
        &self,
        device: WaitingDevice,
        browser: &BrowserSession,
        context: &RequestContext,
    ) -> Result<(), DeviceRefusal> {
        let WaitingDevice {
            code,
            demand,
            request,
        } = device;
        let consent = if keeps_consent(&demand.client) {
            let recorded = self.record_consent(&demand.client, &demand.scopes, browser, context);
            Some(recorded.await?)
        } else {
            None
        };
        let caller = browser.caller();
        let approval = DeviceApproval {
            user: caller.user(),
            epoch: browser.account().session_epoch,
            consent,
            authentication: caller.authentication(),
            scopes: request.scopes,
            resources: request.resources,
        };
        let decision = DeviceDecision {
            session: request.session,
            by: caller.session(),
            approval: Some(approval),
        };
        self.store_decision(code, &decision).await
    }

    /// Refuses a device.
    ///
    /// # Errors
    /// See [`DeviceRefusal`].
    pub async fn deny_device(
        &self,
        device: WaitingDevice,
        browser: &BrowserSession,
    ) -> Result<(), DeviceRefusal> {
        let decision = DeviceDecision {
            session: device.request.session,
            by: browser.caller().session(),
            approval: None,
        };
        self.store_decision(device.code, &decision).await
    }

    async fn store_decision(
        &self,
        code: UserCode,
        decision: &DeviceDecision,
    ) -> Result<(), DeviceRefusal> {
        let sealed = self.seal(SealedFor::DeviceDecision, decision)?;
        let digest = self.parts.factor_secrets.user_code_digest(code.as_str());
        let store = &self.parts.device_authorizations;
        let decided = store.decide_device_authorization(digest, &sealed).await;
        if decided.map_err(Refusal::from)? {
            return Ok(());
        }
        // Another decision was faster. It may be the same one, if the person pressed the button twice.
        let found = self.device_request(code).await?;
        let first = found.and_then(|found| found.decision);
        Err(first.map_or(DeviceRefusal::UnknownCode, |first| {
            first.refusal_to(decision.by)
        }))
    }

    /// Whether the account can be signed in to, at the level that the settings demand of its role.
    fn check_may_approve(&self, browser: &BrowserSession) -> Result<(), Refusal> {
        let account = browser.account();
        if self.sign_in_block(account).is_some() {
            return Err(Refusal::Forbidden);
        }
        if self.lacks_second_factor(browser) {
            let refusal = SecondFactorRefusal::LevelTooLow { max_age: None };
            return Err(Refusal::SecondFactor(refusal));
        }
        Ok(())
    }
}
