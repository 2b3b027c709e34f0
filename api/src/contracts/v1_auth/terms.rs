//! The token lifetimes and claims of `/v1/auth`.

use std::time::Duration;

use authlog_application::ports::Account;
use authlog_application::{AccessFormat, IssuedAt, SessionTerms};
use authlog_domain::ContractName;
use serde_json::{Map, Value, json};

/// Access tokens are valid for a day. There is no refresh token.
pub(in crate::contracts) const TERMS: SessionTerms = SessionTerms::new(
    ContractName::V1Auth,
    AccessFormat::Jwt(claims),
    Duration::from_secs(24 * 60 * 60),
    None,
);

/// The contract's example tokens have `user_id`, a number, and `expire_at`, in Unix seconds.
fn claims(account: &Account, issued: IssuedAt) -> Map<String, Value> {
    Map::from_iter([
        ("user_id".to_owned(), json!(account.number)),
        (
            "expire_at".to_owned(),
            json!(issued.expires_at.unix_seconds()),
        ),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{an_account, issued_at};

    #[test]
    fn tokens_have_the_claims_of_the_contracts_example_tokens() {
        assert_eq!(
            Value::Object(claims(&an_account(), issued_at())),
            json!({"user_id": 42, "expire_at": 1_721_849_943})
        );
    }
}
