//! The surfaces through which a person can reach Authlog.

use serde::{Deserialize, Serialize};

/// A published HTTP document, or the program's own command line. The names are stored in events.
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
    /// The command line.
    Cli,
}

impl ContractName {
    /// The contract's name, as stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApiAuth => "api-auth",
            Self::Users => "users",
            Self::Api => "api",
            Self::V1Auth => "v1-auth",
            Self::Authlog => "authlog",
            Self::Cli => "cli",
        }
    }
}
