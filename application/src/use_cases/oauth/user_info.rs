//! The claims about a person that an application may read (OpenID Connect Core §5.3).

use authlog_domain::{Email, PersonName, Phone, Username};
use serde_json::{Map, Value, json};

use super::ClaimName;
use crate::access::{DpopProof, TokenUse};
use crate::ports::{Account, ProofRefusal};
use crate::{Authlog, Refusal};

/// The claims of the userinfo endpoint. It has no `Debug`, because it is personal data.
pub struct UserInfo {
    /// The claims, `sub` among them.
    pub claims: Map<String, Value>,
}

/// Why the claims are not given.
#[derive(Debug, thiserror::Error)]
pub enum UserInfoRefusal {
    /// The access token or its session is not valid, the token has no scope `openid`, or a dependency failed.
    #[error(transparent)]
    Token(#[from] Refusal),
    /// The proof of possession is not valid.
    #[error(transparent)]
    Proof(#[from] ProofRefusal),
}

impl Authlog {
    /// The claims that the scopes of this access token give. A token that is bound to a key needs a `proof` for this request and
    /// this token.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`]; [`Refusal::Forbidden`] for a token without the scope `openid`;
    /// [`Refusal::Unavailable`]; or a proof that was used before.
    pub async fn user_info(
        &self,
        access_token: &str,
        proof: Option<&DpopProof>,
    ) -> Result<UserInfo, UserInfoRefusal> {
        let now = self.parts.clock.now();
        let used = proof.map_or(TokenUse::Bearer, TokenUse::Proved);
        let live = self.check_application(access_token, used, now).await?;
        let live = live.ok_or(Refusal::InvalidAccessToken)?;
        if let Some(proof) = proof {
            let client = self.client(&live.oauth.client).await?;
            let client = client.ok_or(Refusal::InvalidAccessToken)?;
            self.use_proof(&client, Some(live.account.id), proof)?;
        }
        let scopes = &live.oauth.scopes;
        if !scopes.contains("openid") {
            return Err(Refusal::Forbidden.into());
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
