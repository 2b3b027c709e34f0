//! The scopes at this service itself. Only a client's own access token can have them (RFC 6749 §4.4).

use super::{ClientAuthMethod, ClientSettings, GrantType, SettingsFlaw};
use crate::Scopes;

/// What a client may do at this service for itself. A person cannot grant it: what a person may do here, no application does for
/// them. Clients have no scope to manage accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServiceScope {
    /// Read the events of the log, without personal data.
    ReadEvents,
    /// Read the history of every account and of every client, and the proofs of the log.
    ReadAudit,
    /// Introspect the tokens of all people and clients.
    IntrospectTokens,
}

impl ServiceScope {
    /// Every scope.
    pub const ALL: [Self; 3] = [Self::ReadEvents, Self::ReadAudit, Self::IntrospectTokens];

    /// The scope as a client asks for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadEvents => "events.read",
            Self::ReadAudit => "audit.read",
            Self::IntrospectTokens => "tokens.introspect",
        }
    }

    /// Whether it can be used with an access token alone. A client introspects with its credentials as well.
    const fn needs_token(self) -> bool {
        match self {
            Self::ReadEvents | Self::ReadAudit => true,
            Self::IntrospectTokens => false,
        }
    }
}

impl Scopes {
    /// Without the scopes at this service itself.
    #[must_use]
    pub fn without_service_scopes(&self) -> Self {
        let own = ServiceScope::ALL.map(ServiceScope::as_str);
        self.difference(&Self::from_stored(&own.join(" ")))
    }
}

impl ClientSettings {
    /// The scopes that a person can grant to the client.
    pub fn grantable_scopes(&self) -> Scopes {
        self.scopes.without_service_scopes()
    }

    /// Checks that the client can use its scopes at this service.
    pub(super) fn check_service_scopes(&self) -> Result<(), SettingsFlaw> {
        let mut scopes = ServiceScope::ALL.into_iter();
        let is_public = self.auth_method == ClientAuthMethod::None;
        let gets_tokens = self.grants.contains(&GrantType::ClientCredentials);
        let unusable = scopes.find(|scope| {
            let lacks_token = scope.needs_token() && !gets_tokens;
            self.scopes.contains(scope.as_str()) && (is_public || lacks_token)
        });
        match unusable {
            None => Ok(()),
            Some(ServiceScope::IntrospectTokens) => {
                Err(SettingsFlaw::InspectorWithoutAuthentication)
            }
            Some(ServiceScope::ReadEvents | ServiceScope::ReadAudit) => {
                Err(SettingsFlaw::ServiceScopeWithoutGrant)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_scopes_are_scopes_and_are_taken_out_by_name() {
        let all = ServiceScope::ALL.map(ServiceScope::as_str).join(" ");
        assert_eq!(all, "events.read audit.read tokens.introspect");
        let scopes = Scopes::parse(&format!("openid events.reader {all}")).unwrap();
        let others = scopes.without_service_scopes();
        assert_eq!(others.to_string(), "events.reader openid");
    }
}
