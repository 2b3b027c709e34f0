//! What a person granted to an application when a session of the application started.

use serde::{Deserialize, Serialize};

use crate::{Audience, ClientId, KeyThumbprint, Scopes, SessionId};

/// What a person granted to an application. A session with a grant is used by the application alone, and never for the
/// account itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientGrant {
    /// The application.
    pub client: ClientId,
    /// What it may do.
    pub scopes: Scopes,
    /// The resources for which its access tokens are (RFC 8707).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audience: Vec<Audience>,
    /// The session in which the person granted it. The session of the application is live only while this one is. `None` if
    /// the application may continue without it (`offline_access`, OpenID Connect Core §11).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<SessionId>,
    /// The key to which the session's refresh tokens are bound: a public client has to prove that it holds this key
    /// (RFC 9449 §5). `None` for any other session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dpop_jkt: Option<KeyThumbprint>,
}
