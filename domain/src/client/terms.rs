//! What a client is registered for: the names of OAuth 2.0 dynamic client registration (RFC 7591 section 2).

use serde::{Deserialize, Serialize};

/// How a client authenticates at the token, introspection and revocation endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuthMethod {
    /// It does not: a public client, such as a native app or an application in a browser.
    None,
    /// By a secret in the header of HTTP Basic authentication.
    ClientSecretBasic,
    /// By a secret in the body of the request.
    ClientSecretPost,
    /// By a signature with a key of its own (RFC 7523).
    PrivateKeyJwt,
}

impl ClientAuthMethod {
    /// Every method.
    pub const ALL: [Self; 4] = [
        Self::None,
        Self::ClientSecretBasic,
        Self::ClientSecretPost,
        Self::PrivateKeyJwt,
    ];

    /// The registered name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
        }
    }

    /// The method with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }

    /// Whether the client has secrets of the service.
    pub const fn has_secrets(self) -> bool {
        matches!(self, Self::ClientSecretBasic | Self::ClientSecretPost)
    }
}

/// How a client gets tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantType {
    /// A person signs in, and the client redeems a code.
    AuthorizationCode,
    /// The client renews what it has.
    RefreshToken,
    /// The client asks for itself.
    ClientCredentials,
    /// A person signs in on another device (RFC 8628).
    #[serde(rename = "urn:ietf:params:oauth:grant-type:device_code")]
    DeviceCode,
}

impl GrantType {
    /// Every grant.
    pub const ALL: [Self; 4] = [
        Self::AuthorizationCode,
        Self::RefreshToken,
        Self::ClientCredentials,
        Self::DeviceCode,
    ];

    /// The registered name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::RefreshToken => "refresh_token",
            Self::ClientCredentials => "client_credentials",
            Self::DeviceCode => "urn:ietf:params:oauth:grant-type:device_code",
        }
    }

    /// The grant with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }
}

/// With which key the client's ID tokens are signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum IdTokenAlg {
    /// With an RSA key, which every client has to support (OpenID Connect Core section 15.1).
    #[default]
    #[serde(rename = "RS256")]
    Rs256,
    /// With the key of the access tokens, whose algorithm is a setting of the service.
    #[serde(rename = "access-key")]
    AccessKey,
}

impl IdTokenAlg {
    /// Every choice.
    pub const ALL: [Self; 2] = [Self::Rs256, Self::AccessKey];

    /// The stored name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::AccessKey => "access-key",
        }
    }

    /// The choice with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_term_is_stored_under_the_name_by_which_it_is_read() {
        for it in ClientAuthMethod::ALL {
            assert_eq!(serde_json::to_value(it).unwrap(), it.as_str());
            assert_eq!(ClientAuthMethod::parse(it.as_str()), Some(it));
        }
        for it in GrantType::ALL {
            assert_eq!(serde_json::to_value(it).unwrap(), it.as_str());
            assert_eq!(GrantType::parse(it.as_str()), Some(it));
        }
        for it in IdTokenAlg::ALL {
            assert_eq!(serde_json::to_value(it).unwrap(), it.as_str());
            assert_eq!(IdTokenAlg::parse(it.as_str()), Some(it));
        }
        assert_eq!(ClientAuthMethod::parse("tls_client_auth"), None);
    }
}
