//! What a route requires of an accepted token.

use std::time::Duration;

use crate::claims::Claims;
use crate::refused::Refused;

/// A requirement of a route. `now` is the time in Unix seconds.
///
/// ```
/// use authlog_verifier::{Claims, Refused, Requirement};
///
/// struct OwnOrders;
///
/// impl Requirement for OwnOrders {
///     fn check(&self, claims: &Claims, _now: i64) -> Result<(), Refused> {
///         if claims.account().is_some() { Ok(()) } else { Err(Refused::Role) }
///     }
/// }
/// ```
pub trait Requirement: Send + Sync + 'static {
    /// Checks an accepted token.
    ///
    /// # Errors
    /// The token does not meet the requirement.
    fn check(&self, claims: &Claims, now: i64) -> Result<(), Refused>;
}

/// Requires scopes. A token of a contract of Authlog has none, and does not meet it: accept such tokens by
/// [`RequireRole`] or without a requirement.
#[derive(Clone, Debug)]
pub struct RequireScope(String);

impl RequireScope {
    /// All of these scopes, separated by spaces.
    pub fn new(scopes: impl Into<String>) -> Self {
        Self(scopes.into())
    }
}

impl Requirement for RequireScope {
    fn check(&self, claims: &Claims, _now: i64) -> Result<(), Refused> {
        let mut required = self.0.split(' ').filter(|scope| !scope.is_empty());
        if required.all(|scope| claims.has_scope(scope)) {
            return Ok(());
        }
        Err(Refused::Scope {
            required: self.0.clone(),
        })
    }
}

/// Requires that the person was authenticated strongly enough, and recently enough. Otherwise the answer asks the client to have the
/// person authenticated again (RFC 9470).
#[derive(Clone, Debug, Default)]
pub struct RequireAcr {
    /// The lowest level, such as `urn:authlog:aal2`; any level without it.
    pub acr: Option<String>,
    /// How long ago the person may have been authenticated; any time ago without it.
    pub max_age: Option<Duration>,
}

impl RequireAcr {
    /// Two factors, however long ago.
    pub fn two_factors() -> Self {
        Self {
            acr: Some(AAL2.to_owned()),
            max_age: None,
        }
    }

    /// The same level, at most `max_age` ago. Whole seconds count.
    #[must_use]
    pub fn within(mut self, max_age: Duration) -> Self {
        self.max_age = Some(max_age);
        self
    }
}

const AAL1: &str = "urn:authlog:aal1";
const AAL2: &str = "urn:authlog:aal2";

impl Requirement for RequireAcr {
    fn check(&self, claims: &Claims, now: i64) -> Result<(), Refused> {
        let is_strong = self.acr.as_deref().is_none_or(|required| {
            let found = claims.acr();
            found == Some(required) || (required == AAL1 && found == Some(AAL2))
        });
        let is_recent = self.max_age.is_none_or(|max_age| {
            let max_age = i64::try_from(max_age.as_secs()).unwrap_or(i64::MAX);
            let age = claims.auth_time().map(|at| now.saturating_sub(at));
            age.is_some_and(|age| age <= max_age)
        });
        if is_strong && is_recent {
            return Ok(());
        }
        Err(Refused::Authentication {
            acr: self.acr.clone(),
            max_age: self.max_age,
        })
    }
}

/// Requires one of these roles. Tokens of applications have no role.
#[derive(Clone, Debug)]
pub struct RequireRole(Vec<String>);

impl RequireRole {
    /// One of these roles.
    pub fn any_of<R: Into<String>>(roles: impl IntoIterator<Item = R>) -> Self {
        Self(roles.into_iter().map(Into::into).collect())
    }
}

impl Requirement for RequireRole {
    fn check(&self, claims: &Claims, _now: i64) -> Result<(), Refused> {
        let found = claims.role();
        let has_one = found.is_some_and(|found| self.0.iter().any(|role| role == found));
        has_one.then_some(()).ok_or(Refused::Role)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn claims(more: &Value) -> Claims {
        let mut payload = json!({
            "iss": "i", "aud": "a", "sub": "c", "client_id": "c", "jti": "j", "iat": 1, "exp": 2,
        });
        for (name, value) in more.as_object().unwrap() {
            payload[name] = value.clone();
        }
        Claims::parse(payload.to_string().into_bytes()).unwrap()
    }

    #[test]
    fn all_scopes_are_required() {
        let token = claims(&json!({ "scope": "orders.read orders.write" }));
        assert_eq!(RequireScope::new("orders.read").check(&token, 0), Ok(()));
        let both = RequireScope::new("orders.read payments");
        let refused = Refused::Scope {
            required: "orders.read payments".to_owned(),
        };
        assert_eq!(both.check(&token, 0), Err(refused.clone()));
        assert_eq!(both.check(&claims(&json!({})), 0), Err(refused));
        let prefix = RequireScope::new("orders");
        assert!(prefix.check(&token, 0).is_err());
    }

    #[test]
    fn a_level_and_an_age_are_required() {
        let token =
            |acr: &str, auth_time: i64| claims(&json!({ "acr": acr, "auth_time": auth_time }));
        let required = RequireAcr::two_factors().within(Duration::from_secs(600));
        assert_eq!(required.check(&token(AAL2, 1000), 1600), Ok(()));
        for (token, now) in [
            (token(AAL2, 1000), 1601),
            (token(AAL1, 1000), 1000),
            (claims(&json!({ "acr": AAL2 })), 1000),
            (claims(&json!({})), 1000),
        ] {
            let refused = Refused::Authentication {
                acr: Some(AAL2.to_owned()),
                max_age: Some(Duration::from_secs(600)),
            };
            assert_eq!(required.check(&token, now), Err(refused));
        }
        let one = RequireAcr {
            acr: Some(AAL1.to_owned()),
            max_age: None,
        };
        assert_eq!(one.check(&token(AAL2, 0), 9999), Ok(()));
        assert!(one.check(&token("urn:other", 0), 9999).is_err());
    }

    #[test]
    fn one_of_the_roles_is_required() {
        let required = RequireRole::any_of(["auditor", "admin"]);
        assert_eq!(
            required.check(&claims(&json!({ "role": "admin" })), 0),
            Ok(())
        );
        for token in [json!({ "role": "user" }), json!({})] {
            assert_eq!(required.check(&claims(&token), 0), Err(Refused::Role));
        }
    }
}
