//! What a device asks for (RFC 8628 §3.1).

use std::time::Duration;

use authlog_domain::client::GrantType;
use authlog_domain::{ClientId, Scopes, SessionId, Timestamp};
use serde::{Deserialize, Serialize};

use super::super::{GrantRefusal, resources};
use super::{DeviceRequest, UserCode};
use crate::access::AuthenticatedClient;
use crate::device_polls::POLL_INTERVAL;
use crate::ports::{Attempt, SealedFor};
use crate::use_cases::sealed_values::is_current;
use crate::{Authlog, Refusal, RequestContext};

/// For how long a person can approve a request: enough to find another device and to sign in there.
pub(super) const LIFETIME: Duration = Duration::from_secs(10 * 60);

/// How many user codes are tried. A code is taken once in millions of times.
const TRIES: u32 = 5;

/// The answer to a device (RFC 8628 §3.2). It has no `Debug`.
pub struct DeviceAuthorization {
    /// `device_code`, with which the device asks for its tokens.
    pub device_code: String,
    /// `user_code`, which the device shows.
    pub user_code: UserCode,
    /// `expires_in`, of both codes.
    pub expires_in: Duration,
    /// `interval`
    pub interval: Duration,
}

/// What a device code holds. What it asks for is in the row, because a person looks it up by the user code.
#[derive(Serialize, Deserialize)]
pub(super) struct DeviceCode {
    /// The session that the device will have.
    pub(super) session: SessionId,
    pub(super) client: ClientId,
    pub(super) user_code: String,
    pub(super) expires_at: Timestamp,
}

impl DeviceCode {
    /// Whether the code can be redeemed at `now`.
    pub(super) fn is_current(&self, now: Timestamp) -> bool {
        is_current(now, self.expires_at, LIFETIME)
    }
}

impl Authlog {
    /// Stores the request of a device until a person decides about it.
    ///
    /// As for an authorization request, scopes for which the client is not registered are left out, and without `scope` the request
    /// is for all of the client's scopes. `texts` are the resources.
    ///
    /// # Errors
    /// See [`GrantRefusal`].
    pub async fn authorize_device(
        &self,
        by: &AuthenticatedClient,
        scope: Option<&str>,
        texts: &[&str],
        context: &RequestContext,
    ) -> Result<DeviceAuthorization, GrantRefusal> {
        let settings = &by.client().settings;
        if !settings.grants.contains(&GrantType::DeviceCode) {
            return Err(GrantRefusal::UnauthorizedClient);
        }
        let scopes = asked_scopes(scope, &settings.grantable_scopes())?;
        let resources = resources::registered(texts, by.client());
        let resources = resources.ok_or(GrantRefusal::InvalidTarget)?;
        self.admit(Attempt::RequestDeviceCode {
            client: by.id(),
            // The devices of a client that proved who it is may all reach this service through its server.
            address: context.address.filter(|_| !by.is_confidential()),
        })?;
        let now = self.parts.clock.now();
        let mut request = DeviceRequest {
            session: SessionId::new(self.parts.entropy.time_ordered_uuid(now)),
            user_code: String::new(),
            client: by.id().clone(),
            scopes,
            resources,
            expires_at: now.plus(LIFETIME),
        };
        let user_code = self.store_device_request(&mut request).await?;
        let code = DeviceCode {
            session: request.session,
            client: request.client,
            user_code: request.user_code,
            expires_at: request.expires_at,
        };
        Ok(DeviceAuthorization {
            device_code: self.seal(SealedFor::DeviceCode, &code)?,
            user_code,
            expires_in: LIFETIME,
            interval: POLL_INTERVAL,
        })
    }

    /// Stores a request under a new user code, which it gets.
    async fn store_device_request(
        &self,
        request: &mut DeviceRequest,
    ) -> Result<UserCode, GrantRefusal> {
        for _ in 0..TRIES {
            let code = UserCode::generate(&*self.parts.entropy);
            code.as_str().clone_into(&mut request.user_code);
            let sealed = self.seal(SealedFor::DeviceRequest, &*request)?;
            let digest = self.parts.factor_secrets.user_code_digest(code.as_str());
            let store = &self.parts.device_authorizations;
            let added = store.add_device_authorization(digest, &sealed, request.expires_at);
            if added.await.map_err(Refusal::from)? {
                return Ok(code);
            }
        }
        Err(GrantRefusal::Unavailable(
            "all user codes that were tried are taken".into(),
        ))
    }
}

/// The scopes of a request for which the client is registered.
fn asked_scopes(scope: Option<&str>, registered: &Scopes) -> Result<Scopes, GrantRefusal> {
    let Some(text) = scope else {
        return Ok(registered.clone());
    };
    let asked = Scopes::parse(text).map_err(|_| GrantRefusal::InvalidScope)?;
    let known = asked.intersection(registered);
    if known.is_empty() {
        return Err(GrantRefusal::InvalidScope);
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_device_code_expires_after_ten_minutes() {
        let code = DeviceCode {
            session: SessionId::new(Uuid::nil()),
            client: ClientId::from_stored("tv"),
            user_code: "WDJBMJHT".to_owned(),
            expires_at: Timestamp::from_unix_millis(1_800_000_600_000),
        };
        for (millis, is_current) in [
            // A clock that was ahead by more than the accepted difference made it.
            (1_799_999_900_000, false),
            (1_800_000_000_000, true),
            (1_800_000_599_999, true),
            (1_800_000_600_000, false),
        ] {
            let now = Timestamp::from_unix_millis(millis);
            assert_eq!(code.is_current(now), is_current, "{millis}");
        }
    }

    #[test]
    fn a_device_asks_for_what_its_client_is_registered_for() {
        let registered = Scopes::from_stored("openid email");
        for (asked, expected) in [
            (None, "email openid"),
            (Some("openid"), "openid"),
            (Some("email profile"), "email"),
        ] {
            let scopes = asked_scopes(asked, &registered).unwrap();
            assert_eq!(scopes.to_string(), expected);
        }
        for refused in ["profile", "\"", ""] {
            let refused = asked_scopes(Some(refused), &registered);
            assert!(matches!(refused, Err(GrantRefusal::InvalidScope)));
        }
    }
}
