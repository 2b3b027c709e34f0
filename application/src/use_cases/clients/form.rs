//! The settings of a client as an operator writes them.

use std::collections::BTreeSet;

use authlog_domain::client::{ClientAuthMethod, ClientJwks, ClientSettings, GrantType, IdTokenAlg};
use authlog_domain::{Audience, ClientName, Flaw, HttpsUri, RedirectUri, Scopes};

use crate::ClientRegistryRefusal;

/// The settings that a request names, as text. At a registration the others have their defaults, and at a change they stay as
/// they are.
#[derive(Clone, Debug, Default)]
pub struct ClientForm {
    /// The name. A registration needs it.
    pub name: Option<String>,
    /// All redirect URIs.
    pub redirect_uris: Option<Vec<String>>,
    /// All redirect URIs after a logout.
    pub post_logout_redirect_uris: Option<Vec<String>>,
    /// The URI of the back-channel logout; an empty text for none.
    pub backchannel_logout_uri: Option<String>,
    /// All grants. Without them, a registration with redirect URIs has `authorization_code` and `refresh_token`.
    pub grants: Option<Vec<String>>,
    /// All scopes, separated by spaces. Without them, a registration with redirect URIs has `openid`.
    pub scopes: Option<String>,
    /// All audiences.
    pub audiences: Option<Vec<String>>,
    /// The authentication method; by default `client_secret_basic` (RFC 7591 section 2).
    pub auth_method: Option<String>,
    /// The JSON Web Key Set; an empty text for none.
    pub jwks: Option<String>,
    /// Whether PKCE is required; by default it is.
    pub require_pkce: Option<bool>,
    /// Whether tokens are bound to a key; by default they are not.
    pub dpop_bound: Option<bool>,
    /// Whether authorization requests have to be pushed; by default they do not.
    pub require_pushed_requests: Option<bool>,
    /// How ID tokens are signed; by default with `RS256`.
    pub id_token_alg: Option<String>,
    /// Whether the client is the operator's own; by default it is not.
    pub first_party: Option<bool>,
}

impl ClientForm {
    /// The settings of a new client.
    pub(super) fn new_settings(&self) -> Result<ClientSettings, ClientRegistryRefusal> {
        let name = self.name.as_deref().unwrap_or_default();
        let signs_in = self.redirect_uris.as_ref().is_some_and(|it| !it.is_empty());
        let scopes = if signs_in { "openid" } else { "" };
        let defaults = ClientSettings {
            name: member("name", ClientName::parse(name))?,
            redirect_uris: vec![],
            post_logout_redirect_uris: vec![],
            backchannel_logout_uri: None,
            grants: if signs_in {
                [GrantType::AuthorizationCode, GrantType::RefreshToken].into()
            } else {
                BTreeSet::new()
            },
            scopes: member("scopes", Scopes::parse(scopes))?,
            audiences: vec![],
            auth_method: ClientAuthMethod::ClientSecretBasic,
            jwks: None,
            require_pkce: true,
            dpop_bound: false,
            require_pushed_requests: false,
            id_token_alg: IdTokenAlg::Rs256,
            first_party: false,
        };
        self.applied_to(defaults)
    }

    /// The settings after the change. Whether they fit together is for the domain to decide.
    pub(super) fn applied_to(
        &self,
        mut settings: ClientSettings,
    ) -> Result<ClientSettings, ClientRegistryRefusal> {
        if let Some(name) = &self.name {
            settings.name = member("name", ClientName::parse(name))?;
        }
        if let Some(uris) = &self.redirect_uris {
            settings.redirect_uris = list("redirect_uris", uris, RedirectUri::parse)?;
        }
        if let Some(uris) = &self.post_logout_redirect_uris {
            settings.post_logout_redirect_uris =
                list("post_logout_redirect_uris", uris, RedirectUri::parse)?;
        }
        if let Some(uri) = &self.backchannel_logout_uri {
            settings.backchannel_logout_uri =
                optional("backchannel_logout_uri", uri, HttpsUri::parse)?;
        }
        if let Some(grants) = &self.grants {
            let known = |name: &String| GrantType::parse(name);
            let grants: Option<BTreeSet<_>> = grants.iter().map(known).collect();
            settings.grants = grants.ok_or(ClientRegistryRefusal::UnknownValue("grants"))?;
        }
        if let Some(scopes) = &self.scopes {
            settings.scopes = member("scopes", Scopes::parse(scopes))?;
        }
        if let Some(audiences) = &self.audiences {
            settings.audiences = list("audiences", audiences, Audience::parse)?;
        }
        if let Some(method) = &self.auth_method {
            let method = ClientAuthMethod::parse(method);
            settings.auth_method =
                method.ok_or(ClientRegistryRefusal::UnknownValue("auth_method"))?;
        }
        if let Some(jwks) = &self.jwks {
            settings.jwks = optional("jwks", jwks, ClientJwks::parse)?;
        }
        if let Some(alg) = &self.id_token_alg {
            let alg = IdTokenAlg::parse(alg);
            settings.id_token_alg =
                alg.ok_or(ClientRegistryRefusal::UnknownValue("id_token_alg"))?;
        }
        settings.require_pkce = self.require_pkce.unwrap_or(settings.require_pkce);
        settings.dpop_bound = self.dpop_bound.unwrap_or(settings.dpop_bound);
        settings.require_pushed_requests = self
            .require_pushed_requests
            .unwrap_or(settings.require_pushed_requests);
        settings.first_party = self.first_party.unwrap_or(settings.first_party);
        Ok(settings)
    }
}

fn member<T>(member: &'static str, parsed: Result<T, Flaw>) -> Result<T, ClientRegistryRefusal> {
    parsed.map_err(|flaw| ClientRegistryRefusal::Member { member, flaw })
}

fn list<T>(
    name: &'static str,
    texts: &[String],
    parse: fn(&str) -> Result<T, Flaw>,
) -> Result<Vec<T>, ClientRegistryRefusal> {
    let parsed = texts.iter().map(|text| parse(text));
    member(name, parsed.collect())
}

fn optional<T>(
    name: &'static str,
    text: &str,
    parse: fn(&str) -> Result<T, Flaw>,
) -> Result<Option<T>, ClientRegistryRefusal> {
    if text.is_empty() {
        return Ok(None);
    }
    member(name, parse(text).map(Some))
}
