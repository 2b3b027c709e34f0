//! The data of published events of clients. Members are only ever added, and new ones are optional.
//!
//! The comments of members are published: they are the descriptions in the JSON Schemas.

use authlog_domain::client::{ClientEvent, ClientSettings as Settings};
use schemars::JsonSchema;
use serde::Serialize;

use super::data::{Data, Nothing};

/// The settings of a client, which it has from now on.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ClientSettings {
    /// The name that people see.
    pub name: String,
    /// Where the answers to its authorization requests may be sent.
    pub redirect_uris: Vec<String>,
    /// Where a browser may be sent after a logout that the client asked for.
    pub post_logout_redirect_uris: Vec<String>,
    /// The URI to which a logout token is sent when a session has ended.
    pub backchannel_logout_uri: Option<String>,
    /// How it gets tokens, such as `authorization_code`.
    pub grants: Vec<String>,
    /// The scopes that it may ask for, separated by spaces.
    pub scopes: String,
    /// The resource servers for which it may ask tokens.
    pub audiences: Vec<String>,
    /// How it authenticates, such as `client_secret_basic`.
    pub auth_method: String,
    /// Whether each authorization request needs a PKCE challenge.
    pub require_pkce: bool,
    /// Whether its tokens are bound to a key.
    pub dpop_bound: bool,
    /// Whether it has to push its authorization requests (RFC 9126). Left out if it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_pushed_requests: Option<bool>,
    /// How its ID tokens are signed: `RS256`, or `access-key` for the algorithm of access tokens.
    pub id_token_alg: String,
    /// Whether it is the operator's own, so that people are not asked for their consent.
    pub first_party: bool,
}

/// A secret of a client was issued or became invalid. The secret itself is in no event.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ClientSecret {
    /// The id of the secret.
    #[schemars(extend("format" = "uuid"))]
    pub secret_id: String,
}

/// A logout token that the client did not take for a day, and that is not sent any more.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct UndeliveredLogout {
    /// The session of the client that ended.
    #[schemars(extend("format" = "uuid"))]
    pub session_id: String,
    /// The account of the session.
    #[schemars(extend("format" = "uuid"))]
    pub user_id: String,
    /// When the session ended (RFC 3339).
    #[schemars(extend("format" = "date-time"))]
    pub ended_at: String,
}

impl ClientSettings {
    fn of(settings: Settings) -> Self {
        let texts = |uris: &[authlog_domain::RedirectUri]| -> Vec<String> {
            uris.iter().map(ToString::to_string).collect()
        };
        let Settings {
            name,
            redirect_uris,
            post_logout_redirect_uris,
            backchannel_logout_uri,
            grants,
            scopes,
            audiences,
            auth_method,
            // Those who verify signatures of the client read its keys where they are kept.
            jwks: _,
            require_pkce,
            dpop_bound,
            require_pushed_requests,
            id_token_alg,
            first_party,
        } = settings;
        Self {
            name: name.to_string(),
            redirect_uris: texts(&redirect_uris),
            post_logout_redirect_uris: texts(&post_logout_redirect_uris),
            backchannel_logout_uri: backchannel_logout_uri.map(|uri| uri.to_string()),
            grants: grants.iter().map(|it| it.as_str().to_owned()).collect(),
            scopes: scopes.to_string(),
            audiences: audiences.iter().map(ToString::to_string).collect(),
            auth_method: auth_method.as_str().to_owned(),
            require_pkce,
            dpop_bound,
            require_pushed_requests: require_pushed_requests.then_some(true),
            id_token_alg: id_token_alg.as_str().to_owned(),
            first_party,
        }
    }
}

impl Data {
    pub(super) fn of_client(event: ClientEvent) -> Self {
        match event {
            ClientEvent::ClientRegistered(event) => {
                Self::ClientSettings(ClientSettings::of(event.settings))
            }
            ClientEvent::ClientChanged(event) => {
                Self::ClientSettings(ClientSettings::of(event.settings))
            }
            ClientEvent::ClientSecretIssued(event) => Self::ClientSecret(ClientSecret {
                secret_id: event.secret_id.to_string(),
            }),
            ClientEvent::ClientSecretRetired(event) => Self::ClientSecret(ClientSecret {
                secret_id: event.secret_id.to_string(),
            }),
            ClientEvent::ClientLocked(_)
            | ClientEvent::ClientUnlocked(_)
            | ClientEvent::ClientRemoved(_) => Self::Nothing(Nothing {}),
            ClientEvent::LogoutNotDelivered(event) => Self::UndeliveredLogout(UndeliveredLogout {
                session_id: event.session.to_string(),
                user_id: event.user.to_string(),
                ended_at: event.ended_at.to_string(),
            }),
        }
    }
}
