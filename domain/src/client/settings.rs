//! The settings of a client, which its registration and each change contain as a whole.

use std::collections::{BTreeSet, HashSet};
use std::hash::Hash;

use serde::{Deserialize, Serialize};

use super::{ClientAuthMethod, ClientJwks, GrantType, IdTokenAlg};
use crate::{Audience, ClientName, HttpsUri, RedirectUri, Scopes};

/// How many URIs of one kind a client may have.
pub const MAX_URIS: usize = 20;

/// What an operator decides about a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are members of the stored events, each with the name of its metadata"
)]
pub struct ClientSettings {
    /// The name that people see.
    pub name: ClientName,
    /// Where the answers to its authorization requests may be sent: at most [`MAX_URIS`].
    pub redirect_uris: Vec<RedirectUri>,
    /// Where a browser may be sent after a logout that the client asked for: at most [`MAX_URIS`].
    pub post_logout_redirect_uris: Vec<RedirectUri>,
    /// The URI to which a logout token is sent when a session has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backchannel_logout_uri: Option<HttpsUri>,
    /// How it gets tokens. A resource server, which only introspects, has no grant.
    pub grants: BTreeSet<GrantType>,
    /// The scopes that it may ask for.
    pub scopes: Scopes,
    /// The resource servers for which it may ask tokens: at most [`MAX_URIS`].
    pub audiences: Vec<Audience>,
    /// How it authenticates.
    pub auth_method: ClientAuthMethod,
    /// The public keys with which it authenticates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<ClientJwks>,
    /// Whether each authorization request needs a PKCE challenge (RFC 7636).
    pub require_pkce: bool,
    /// Whether its tokens are bound to a key (RFC 9449).
    pub dpop_bound: bool,
    /// Whether it has to push its authorization requests (RFC 9126).
    #[serde(default, skip_serializing_if = "is_false")]
    pub require_pushed_requests: bool,
    /// How its ID tokens are signed.
    pub id_token_alg: IdTokenAlg,
    /// Whether it is the operator's own, so that people are not asked for their consent.
    pub first_party: bool,
}

/// Why settings do not fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsFlaw {
    /// A list is too long.
    #[error("has more than {MAX_URIS} entries")]
    TooManyUris,
    /// A list has an entry twice.
    #[error("has an entry twice")]
    Repeated,
    /// The grant `authorization_code` needs a redirect URI.
    #[error("needs at least one URI for the grant authorization_code")]
    NoRedirectUri,
    /// A refresh token comes from another grant.
    #[error(
        "has refresh_token, which needs authorization_code or urn:ietf:params:oauth:grant-type:device_code"
    )]
    NothingToRefresh,
    /// The grant `client_credentials` needs authentication.
    #[error("must not be none for the grant client_credentials")]
    MachineWithoutAuthentication,
    /// A public client is protected by PKCE alone.
    #[error("must be true for the authentication method none")]
    PkceNeeded,
    /// The method `private_key_jwt` needs keys.
    #[error("is required for the authentication method private_key_jwt")]
    NoKeys,
    /// Keys belong to `private_key_jwt`.
    #[error("is only for the authentication method private_key_jwt")]
    KeysWithoutUse,
    /// A scope at this service needs the grant `client_credentials`.
    #[error("has events.read or audit.read, which need the grant client_credentials")]
    ServiceScopeWithoutGrant,
    /// The scope `tokens.introspect` needs authentication.
    #[error("has tokens.introspect, which needs another authentication method than none")]
    InspectorWithoutAuthentication,
}

impl ClientSettings {
    /// Checks that the settings fit together.
    ///
    /// # Errors
    /// The first flaw, and the name of the member that has it.
    pub fn check(&self) -> Result<(), (&'static str, SettingsFlaw)> {
        let in_member = |member| move |flaw| (member, flaw);
        check_list(&self.redirect_uris).map_err(in_member("redirect_uris"))?;
        check_list(&self.post_logout_redirect_uris)
            .map_err(in_member("post_logout_redirect_uris"))?;
        check_list(&self.audiences).map_err(in_member("audiences"))?;
        let has = |grant| self.grants.contains(&grant);
        if has(GrantType::AuthorizationCode) && self.redirect_uris.is_empty() {
            return Err(("redirect_uris", SettingsFlaw::NoRedirectUri));
        }
        let signs_in = has(GrantType::AuthorizationCode) || has(GrantType::DeviceCode);
        if has(GrantType::RefreshToken) && !signs_in {
            return Err(("grants", SettingsFlaw::NothingToRefresh));
        }
        let is_public = self.auth_method == ClientAuthMethod::None;
        if is_public && has(GrantType::ClientCredentials) {
            return Err(("auth_method", SettingsFlaw::MachineWithoutAuthentication));
        }
        if is_public && !self.require_pkce {
            return Err(("require_pkce", SettingsFlaw::PkceNeeded));
        }
        self.check_service_scopes().map_err(in_member("scopes"))?;
        match (self.auth_method, &self.jwks) {
            (ClientAuthMethod::PrivateKeyJwt, None) => Err(("jwks", SettingsFlaw::NoKeys)),
            (ClientAuthMethod::PrivateKeyJwt, Some(_)) | (_, None) => Ok(()),
            (_, Some(_)) => Err(("jwks", SettingsFlaw::KeysWithoutUse)),
        }
    }

    /// Whether an authorization request may name this redirect URI.
    pub fn has_redirect_uri(&self, requested: &str) -> bool {
        self.redirect_uris.iter().any(|uri| uri.matches(requested))
    }

    /// Whether a logout request may name this redirect URI.
    pub fn has_post_logout_redirect_uri(&self, requested: &str) -> bool {
        let registered = &self.post_logout_redirect_uris;
        registered.iter().any(|uri| uri.as_str() == requested)
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde's `skip_serializing_if` calls it with a reference to the field"
)]
fn is_false(flag: &bool) -> bool {
    !*flag
}

fn check_list<T: Eq + Hash>(list: &[T]) -> Result<(), SettingsFlaw> {
    if list.len() > MAX_URIS {
        return Err(SettingsFlaw::TooManyUris);
    }
    let distinct: HashSet<_> = list.iter().collect();
    if distinct.len() < list.len() {
        return Err(SettingsFlaw::Repeated);
    }
    Ok(())
}
