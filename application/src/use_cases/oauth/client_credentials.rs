//! Access tokens of clients themselves (RFC 6749 §4.4). Nothing is stored: the token is valid while its client and the secret
//! with which it was got are.

use authlog_domain::Scopes;
use authlog_domain::client::{ClientSettings, GrantType};

use super::issue::ACCESS_LIFETIME;
use super::{GrantRefusal, OAuthTokens, resources};
use crate::access::{AuthenticatedClient, DpopProof};
use crate::ports::ClientTokenClaims;
use crate::{Authlog, Refusal};

/// The scopes about a person, of which a client's own token says nothing.
const OF_PEOPLE: &str = "openid profile email address phone offline_access";

impl Authlog {
    /// An access token of the client itself. Without `scope`, it has all scopes of the client that are not about a person and can
    /// be used there. Without `texts` (the resources), it is for this service, but has the scopes at this service only if the client
    /// has no others: such a token is used at other servers, too, which could act here with it.
    ///
    /// # Errors
    /// See [`GrantRefusal`].
    pub fn client_credentials(
        &self,
        by: &AuthenticatedClient,
        scope: Option<&str>,
        texts: &[&str],
        proof: Option<&DpopProof>,
    ) -> Result<OAuthTokens, GrantRefusal> {
        let settings = &by.client().settings;
        if !by.is_confidential() || !settings.grants.contains(&GrantType::ClientCredentials) {
            return Err(GrantRefusal::UnauthorizedClient);
        }
        let issuer = self.parts.tokens.issuer();
        let terms = TokenTerms::of(settings, scope, texts, issuer)?;
        // A request that is refused for another reason does not use its proof.
        let key = self.key_of_tokens(by, None, proof, None)?;
        let now = self.parts.clock.now();
        let claims = ClientTokenClaims {
            token: self.parts.entropy.random_uuid(),
            client: by.id().clone(),
            secret: by.secret(),
            audience: terms.audience,
            scopes: terms.scopes.clone(),
            key,
            issued_at: now,
            expires_at: now.plus(ACCESS_LIFETIME),
        };
        let access = self.parts.tokens.sign_client_token(&claims);
        Ok(OAuthTokens {
            access: access.map_err(Refusal::from)?,
            is_bound: claims.key.is_some(),
            expires_in: ACCESS_LIFETIME,
            refresh: None,
            id_token: None,
            scopes: terms.scopes,
        })
    }
}

/// For what a client's own token is.
#[derive(Debug, PartialEq, Eq)]
struct TokenTerms {
    audience: Vec<String>,
    scopes: Scopes,
}

impl TokenTerms {
    /// What a client with these settings asks for. A token with a scope at this service is for this service alone: a resource
    /// server that receives it could act here with it otherwise.
    ///
    /// # Errors
    /// [`GrantRefusal::InvalidScope`] or [`GrantRefusal::InvalidTarget`].
    fn of(
        settings: &ClientSettings,
        scope: Option<&str>,
        texts: &[&str],
        issuer: &str,
    ) -> Result<Self, GrantRefusal> {
        // Every client may ask for a token for this service, with its issuer as the resource or without a resource.
        let is_for_service = texts.iter().all(|text| *text == issuer);
        let audience = if is_for_service {
            vec![issuer.to_owned()]
        } else {
            let resources = resources::among(texts, &settings.audiences);
            let resources = resources.ok_or(GrantRefusal::InvalidTarget)?;
            resources.iter().map(ToString::to_string).collect()
        };
        let registered = settings.scopes.difference(&Scopes::from_stored(OF_PEOPLE));
        let usable = if is_for_service {
            registered.clone()
        } else {
            registered.without_service_scopes()
        };
        let Some(text) = scope else {
            let others = usable.without_service_scopes();
            let names_service = is_for_service && !texts.is_empty();
            let scopes = if names_service || others.is_empty() {
                usable
            } else {
                others
            };
            return Ok(Self { audience, scopes });
        };
        let scopes = Scopes::parse(text).map_err(|_| GrantRefusal::InvalidScope)?;
        if !scopes.is_subset_of(&registered) {
            return Err(GrantRefusal::InvalidScope);
        }
        if !scopes.is_subset_of(&usable) {
            return Err(GrantRefusal::InvalidTarget);
        }
        Ok(Self { audience, scopes })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use authlog_domain::client::{ClientAuthMethod, IdTokenAlg};
    use authlog_domain::{Audience, ClientName};

    use super::*;

    const ISSUER: &str = "https://auth.example";
    const API: &str = "https://api.example";

    fn machine() -> ClientSettings {
        ClientSettings {
            name: ClientName::from_stored("Machine"),
            redirect_uris: vec![],
            post_logout_redirect_uris: vec![],
            backchannel_logout_uri: None,
            grants: BTreeSet::from([GrantType::ClientCredentials]),
            scopes: Scopes::from_stored("email events.read notes.read"),
            audiences: vec![Audience::from_stored(API)],
            auth_method: ClientAuthMethod::ClientSecretBasic,
            jwks: None,
            require_pkce: true,
            require_pushed_requests: false,
            dpop_bound: false,
            id_token_alg: IdTokenAlg::Rs256,
            first_party: false,
        }
    }

    #[test]
    fn a_token_with_a_scope_at_this_service_is_for_this_service_alone() {
        let asked = |scope, texts: &[&str]| {
            let terms = TokenTerms::of(&machine(), scope, texts, ISSUER);
            terms.map(|it| (it.audience.join(" "), it.scopes.to_string()))
        };
        for (scope, texts, audience, scopes) in [
            (None, &[][..], ISSUER, "notes.read"),
            (Some("events.read"), &[], ISSUER, "events.read"),
            (Some("events.read"), &[ISSUER], ISSUER, "events.read"),
            (None, &[ISSUER, ISSUER], ISSUER, "events.read notes.read"),
            (None, &[API], API, "notes.read"),
            (Some("notes.read"), &[API], API, "notes.read"),
        ] {
            let expected = (audience.to_owned(), scopes.to_owned());
            assert_eq!(
                asked(scope, texts).unwrap(),
                expected,
                "{scope:?} {texts:?}"
            );
        }
        let reader = ClientSettings {
            scopes: Scopes::from_stored("email events.read"),
            ..machine()
        };
        let terms = TokenTerms::of(&reader, None, &[], ISSUER).unwrap();
        assert_eq!(terms.scopes.to_string(), "events.read");
        for (scope, texts, error) in [
            (Some("events.read"), &[API][..], "invalid_target"),
            (Some("events.read"), &[ISSUER, API], "invalid_target"),
            (None, &[ISSUER, API], "invalid_target"),
            (Some("audit.read"), &[], "invalid_scope"),
            (Some("email"), &[], "invalid_scope"),
        ] {
            let refusal = asked(scope, texts).unwrap_err();
            assert_eq!(refusal.code(), error, "{scope:?} {texts:?}");
        }
    }
}
