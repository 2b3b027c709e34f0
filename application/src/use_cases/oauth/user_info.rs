//! The claims about a person that an application may read (OpenID Connect Core §5.3).

use authlog_domain::{Email, PersonName, Phone, Username};
use serde_json::{Map, Value, json};

use super::ClaimName;
use crate::ports::Account;
use crate::{Authlog, Refusal};

/// The claims of the userinfo endpoint. It has no `Debug`, because it is personal data.
pub struct UserInfo {
    /// The claims, `sub` among them.
    pub claims: Map<String, Value>,
}

impl Authlog {
    /// The claims that the scopes of this access token give.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`]; [`Refusal::Forbidden`] for a token without the scope `openid`; or
    /// [`Refusal::Unavailable`].
    pub async fn user_info(&self, access_token: &str) -> Result<UserInfo, Refusal> {
        let now = self.parts.clock.now();
        let live = self.check_application(access_token, now).await?;
        let live = live.ok_or(Refusal::InvalidAccessToken)?;
        let scopes = &live.oauth.scopes;
        if !scopes.contains("openid") {
            return Err(Refusal::Forbidden);
        }
        let mut claims = Map::new();
        claims.insert("sub".to_owned(), json!(live.account.id));
        for name in ClaimName::ALL {
            if scopes.contains(name.scope())
                && let Some(value) = claim(name, &live.account)
            {
                claims.insert(name.as_str().to_owned(), value);
            }
        }
        Ok(UserInfo { claims })
    }
}

/// The value of a claim. `None` if the account has none.
pub(super) fn claim(name: ClaimName, account: &Account) -> Option<Value> {
    let email = account.email.as_ref();
    match name {
        ClaimName::Name => account
            .name
            .as_ref()
            .map(PersonName::as_str)
            .map(Value::from),
        // Not the name to sign in with, which can be the e-mail address: that is for the scope `email`.
        ClaimName::PreferredUsername => account
            .username
            .as_ref()
            .map(Username::as_str)
            .map(Value::from),
        ClaimName::UpdatedAt => Some(account.updated_at.unix_seconds().into()),
        ClaimName::Email => email.map(Email::as_str).map(Value::from),
        ClaimName::EmailVerified => email.map(|_| account.email_verified.into()),
        ClaimName::PhoneNumber => account.phone.as_ref().map(Phone::as_str).map(Value::from),
    }
}
