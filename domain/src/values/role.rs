//! Roles: what an account is permitted to do.

use serde::{Deserialize, Serialize};

/// The role of an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// A person who signs in.
    #[default]
    User,
    /// A program that verifies the tokens of others and reads the feed of events.
    Service,
    /// A person who reads the log.
    Auditor,
    /// A person who manages accounts.
    Admin,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::User, Self::Service, Self::Auditor, Self::Admin];

    /// The role's name, as stored and as printed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Service => "service",
            Self::Auditor => "auditor",
            Self::Admin => "admin",
        }
    }

    /// The role with this name. `None` if there is none.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
