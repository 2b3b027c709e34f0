//! The contracts and other interfaces through which Authlog is used.

use serde::{Deserialize, Serialize};

/// A published HTTP contract, or another interface of the program. The names are stored in events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ContractName {
    /// `/api/auth`
    ApiAuth,
    /// `/users`
    Users,
    /// `/api`
    Api,
    /// `/v1/auth`
    V1Auth,
    /// Authlog's own pages and endpoints.
    Authlog,
    /// `/oauth2`: applications that people let in.
    #[serde(rename = "oauth")]
    OAuth,
    /// The command line.
    Cli,
}

impl ContractName {
    /// Every name.
    pub const ALL: [Self; 7] = [
        Self::ApiAuth,
        Self::Users,
        Self::Api,
        Self::V1Auth,
        Self::Authlog,
        Self::OAuth,
        Self::Cli,
    ];

    /// The stored name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApiAuth => "api-auth",
            Self::Users => "users",
            Self::Api => "api",
            Self::V1Auth => "v1-auth",
            Self::Authlog => "authlog",
            Self::OAuth => "oauth",
            Self::Cli => "cli",
        }
    }
}
