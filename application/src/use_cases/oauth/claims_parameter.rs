//! The parameter `claims` of an authorization request (OpenID Connect Core §5.5).

use std::collections::BTreeSet;

use authlog_domain::{AuthenticationLevel, Scopes, UserId};
use serde_json::{Map, Value};

use super::request::ClaimName;

/// The level without which a request is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum EssentialLevel {
    /// Any level will do.
    #[default]
    Any,
    /// This level or a higher one.
    AtLeast(AuthenticationLevel),
    /// One that does not exist here.
    Unknown,
}

/// What the parameter asks for.
#[derive(Default)]
pub(super) struct ClaimsParameter {
    /// The claims of the ID token.
    pub(super) id_token: BTreeSet<ClaimName>,
    /// The claims of the userinfo endpoint.
    pub(super) userinfo: BTreeSet<ClaimName>,
    /// The level that is demanded.
    pub(super) essential_level: EssentialLevel,
    /// The level that is preferred.
    pub(super) level: Option<AuthenticationLevel>,
    /// The account that has to be signed in.
    pub(super) subject: Option<UserId>,
}

impl ClaimsParameter {
    /// Parses the parameter. Claims that this service does not know are ignored (§5.5.1). `None` if it is malformed.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let claims: Map<String, Value> = serde_json::from_str(text).ok()?;
        let member = |name: &str| match claims.get(name) {
            None | Some(Value::Null) => Some(Map::new()),
            Some(Value::Object(members)) => Some(members.clone()),
            Some(_) => None,
        };
        let (id_token, userinfo) = (member("id_token")?, member("userinfo")?);
        let is_request = |request: &Value| request.is_null() || request.is_object();
        if !id_token.values().chain(userinfo.values()).all(is_request) {
            return None;
        }
        let mut parsed = Self {
            id_token: id_token
                .keys()
                .filter_map(|it| ClaimName::parse(it))
                .collect(),
            userinfo: userinfo
                .keys()
                .filter_map(|it| ClaimName::parse(it))
                .collect(),
            ..Self::default()
        };
        if let Some(acr) = id_token.get("acr") {
            parsed.take_acr(acr);
        }
        let subjects = [id_token.get("sub"), userinfo.get("sub")];
        let subject = subjects
            .into_iter()
            .flatten()
            .find_map(|sub| sub.get("value"));
        if let Some(subject) = subject {
            parsed.subject = Some(UserId::parse(subject.as_str()?)?);
        }
        Some(parsed)
    }

    /// Any of the values satisfies the request (§5.5.1.1). A higher level satisfies a request for a lower one.
    fn take_acr(&mut self, acr: &Value) {
        let one = acr.get("value").into_iter();
        let several = acr.get("values").and_then(Value::as_array);
        let names: Vec<&str> = one
            .chain(several.into_iter().flatten())
            .filter_map(Value::as_str)
            .collect();
        let lowest = names
            .iter()
            .filter_map(|it| AuthenticationLevel::parse(it))
            .min();
        if acr["essential"] == true && !names.is_empty() {
            self.essential_level = lowest.map_or(EssentialLevel::Unknown, EssentialLevel::AtLeast);
        } else {
            self.level = lowest;
        }
    }

    /// The scopes of the claims that are asked for by name.
    pub(super) fn scopes(&self) -> Scopes {
        let claims = self.id_token.iter().chain(&self.userinfo);
        claims.fold(Scopes::default(), |scopes, claim| {
            // The names of the scopes are valid.
            scopes.union(&Scopes::parse(claim.scope()).unwrap_or_default())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_known_by_name_and_unknown_ones_are_ignored() {
        let parsed = ClaimsParameter::parse(
            r#"{"userinfo":{"email":null,"picture":{"essential":true}},"id_token":{"name":{"essential":true}},"x":1}"#,
        );
        let parsed = parsed.unwrap();
        assert_eq!(parsed.userinfo, BTreeSet::from([ClaimName::Email]));
        assert_eq!(parsed.id_token, BTreeSet::from([ClaimName::Name]));
        assert_eq!(parsed.scopes().to_string(), "email profile");
        assert_eq!(parsed.essential_level, EssentialLevel::Any);
    }

    #[test]
    fn what_is_no_claims_request_is_refused() {
        for text in [
            "",
            "[]",
            "{",
            r#"{"userinfo":1}"#,
            r#"{"id_token":{"name":true}}"#,
            r#"{"id_token":{"sub":{"value":"ann"}}}"#,
        ] {
            assert!(ClaimsParameter::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn an_essential_level_is_the_lowest_of_those_that_satisfy_the_client() {
        let level = |acr: &str| {
            let text = format!(r#"{{"id_token":{{"acr":{acr}}}}}"#);
            let parsed = ClaimsParameter::parse(&text).unwrap();
            (parsed.essential_level, parsed.level)
        };
        let (aal1, aal2) = (AuthenticationLevel::Aal1, AuthenticationLevel::Aal2);
        assert_eq!(
            level(r#"{"essential":true,"values":["urn:authlog:aal2","urn:authlog:aal1"]}"#),
            (EssentialLevel::AtLeast(aal1), None)
        );
        assert_eq!(
            level(r#"{"essential":true,"value":"urn:authlog:aal2"}"#),
            (EssentialLevel::AtLeast(aal2), None)
        );
        assert_eq!(
            level(r#"{"essential":true,"value":"gold"}"#),
            (EssentialLevel::Unknown, None)
        );
        assert_eq!(
            level(r#"{"values":["urn:authlog:aal2"]}"#),
            (EssentialLevel::Any, Some(aal2))
        );
        assert_eq!(level("null"), (EssentialLevel::Any, None));
    }
}
