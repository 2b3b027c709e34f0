//! The token lifetimes and claims of `/users`.

use std::time::Duration;

use authlog_application::ports::Account;
use authlog_application::{AccessFormat, IssuedAt, RefreshTerms, SessionTerms};
use authlog_domain::{ContractName, Rotation};
use serde_json::{Map, Value, json};

/// Access tokens are valid for five minutes, refresh tokens for seven days. A refresh returns an access token only, so
/// the refresh token stays valid.
pub(in crate::contracts) const TERMS: SessionTerms = SessionTerms::new(
    ContractName::Users,
    AccessFormat::Jwt(claims),
    Duration::from_secs(300),
    Some(RefreshTerms {
        lifetime: Duration::from_secs(7 * 24 * 60 * 60),
        rotation: Rotation::Reusable,
        claims,
    }),
);

/// Both example tokens of the contract have `id` and `role`.
fn claims(account: &Account, _: IssuedAt) -> Map<String, Value> {
    Map::from_iter([
        ("id".to_owned(), json!(account.id)),
        ("role".to_owned(), json!(account.role)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{an_account, issued_at};

    #[test]
    fn tokens_have_the_claims_of_the_contracts_example_tokens() {
        let account = an_account();
        assert_eq!(
            Value::Object(claims(&account, issued_at())),
            json!({"id": account.id, "role": "user"})
        );
    }
}
