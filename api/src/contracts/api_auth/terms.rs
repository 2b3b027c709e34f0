//! The token lifetimes and claims of `/api/auth`.

use std::time::Duration;

use authlog_application::ports::Account;
use authlog_application::{AccessFormat, IssuedAt, RefreshTerms, SessionTerms};
use authlog_domain::{ContractName, Rotation};
use serde_json::{Map, Value, json};

/// The lifetime of refresh tokens, and therefore of the cookie: three days.
pub(super) const REFRESH_LIFETIME: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// Access tokens are valid for three hours. A refresh token works once.
pub(in crate::contracts) const TERMS: SessionTerms = SessionTerms::new(
    ContractName::ApiAuth,
    AccessFormat::Jwt(access_claims),
    Duration::from_secs(3 * 60 * 60),
    Some(RefreshTerms {
        lifetime: REFRESH_LIFETIME,
        rotation: Rotation::Rotating,
        claims: refresh_claims,
    }),
);

/// Tokens of the first document have the claims `user_id, email, role, timestamp`, those of the second `sub` and
/// `name`. Readers of `email` need to know whether the address is verified (OpenID Connect Core §5.1).
fn access_claims(account: &Account, issued: IssuedAt) -> Map<String, Value> {
    let mut claims = refresh_claims(account, issued);
    let email = account.email.as_ref().map(|email| email.as_str());
    let is_verified = email.is_some() && account.email_verified;
    claims.insert("email".to_owned(), json!(email));
    claims.insert("email_verified".to_owned(), json!(is_verified));
    claims.insert("role".to_owned(), json!(account.role));
    claims.insert("name".to_owned(), json!(account.display_name()));
    claims
}

fn refresh_claims(account: &Account, issued: IssuedAt) -> Map<String, Value> {
    Map::from_iter([
        ("user_id".to_owned(), json!(account.id)),
        (
            "timestamp".to_owned(),
            json!(issued.issued_at.unix_millis()),
        ),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{an_account, issued_at};

    #[test]
    fn tokens_have_the_claims_of_the_contracts_example_tokens() {
        let mut account = an_account();
        assert_eq!(
            Value::Object(access_claims(&account, issued_at())),
            json!({
                "user_id": account.id,
                "email": "ahmadsolih@gmail.com",
                "email_verified": false,
                "role": "user",
                "timestamp": 1_721_839_143_530_i64,
                "name": "Ahmad Solih",
            })
        );
        assert_eq!(
            Value::Object(refresh_claims(&account, issued_at())),
            json!({"user_id": account.id, "timestamp": 1_721_839_143_530_i64})
        );
        account.email_verified = true;
        let claims = access_claims(&account, issued_at());
        assert_eq!(claims["email_verified"], true);
        account.email = None;
        let claims = access_claims(&account, issued_at());
        assert_eq!(claims["email_verified"], false);
    }
}
