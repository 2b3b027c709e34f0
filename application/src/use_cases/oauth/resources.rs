//! Resources: for whom an access token is (RFC 8707).

use authlog_domain::client::{ClientSettings, RegisteredClient};
use authlog_domain::{Audience, Scopes};

use super::GrantRefusal;

/// The length in bytes of all resources of a token together. With them, the longest scopes and the other claims, a token is shorter
/// than the 8 KiB that are accepted.
const MAX_LENGTH: usize = 2048;

/// The resources that a request names, each once. `None` unless the client is registered for all of them.
pub(super) fn registered(texts: &[&str], client: &RegisteredClient) -> Option<Vec<Audience>> {
    among(texts, &client.settings.audiences)
}

/// The resources that a request names, each once. `None` unless all are among `permitted`, and fit into a token.
pub(super) fn among(texts: &[&str], permitted: &[Audience]) -> Option<Vec<Audience>> {
    let mut named: Vec<Audience> = Vec::new();
    for text in texts {
        let resource = permitted.iter().find(|it| it.as_str() == *text)?;
        if !named.contains(resource) {
            named.push(resource.clone());
        }
    }
    let length: usize = named.iter().map(|it| it.as_str().len()).sum();
    (length <= MAX_LENGTH).then_some(named)
}

/// What of a grant the client is registered for still: an operator can narrow a registration.
pub(super) struct Registered {
    pub(super) scopes: Scopes,
    pub(super) resources: Vec<Audience>,
}

impl Registered {
    /// # Errors
    /// [`GrantRefusal::InvalidScope`] or [`GrantRefusal::InvalidTarget`] if some were granted and none is left: a token without a
    /// resource is for this service, which was not granted.
    pub(super) fn of(
        settings: &ClientSettings,
        scopes: &Scopes,
        resources: &[Audience],
    ) -> Result<Self, GrantRefusal> {
        let left = Self {
            scopes: scopes.intersection(&settings.grantable_scopes()),
            resources: resources
                .iter()
                .filter(|it| settings.audiences.contains(it))
                .cloned()
                .collect(),
        };
        if left.scopes.is_empty() && !scopes.is_empty() {
            return Err(GrantRefusal::InvalidScope);
        }
        if left.resources.is_empty() && !resources.is_empty() {
            return Err(GrantRefusal::InvalidTarget);
        }
        Ok(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audience(host: &str, length: usize) -> Audience {
        Audience::from_stored(format!("https://{host}/{}", "x".repeat(length)))
    }

    #[test]
    fn resources_that_make_a_token_too_long_are_refused() {
        let permitted = ["a", "b", "c", "d", "e"].map(|host| audience(host, 480));
        let texts: Vec<&str> = permitted.iter().map(Audience::as_str).collect();
        assert_eq!(among(&texts[..4], &permitted).map(|it| it.len()), Some(4));
        assert_eq!(among(&texts, &permitted), None);
        // Each counts once.
        let repeated = among(&texts[..1].repeat(9), &permitted);
        assert_eq!(repeated.map(|it| it.len()), Some(1));
    }
}
