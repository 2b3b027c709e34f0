//! Resources: for whom an access token is (RFC 8707).

use authlog_domain::Audience;
use authlog_domain::client::RegisteredClient;

/// The resources that a request names, each once. `None` unless the client is registered for all of them.
pub(super) fn registered(texts: &[&str], client: &RegisteredClient) -> Option<Vec<Audience>> {
    among(texts, &client.settings.audiences)
}

/// The resources that a request names, each once. `None` unless all are among `permitted`.
pub(super) fn among(texts: &[&str], permitted: &[Audience]) -> Option<Vec<Audience>> {
    let mut named: Vec<Audience> = Vec::new();
    for text in texts {
        let resource = permitted.iter().find(|it| it.as_str() == *text)?;
        if !named.contains(resource) {
            named.push(resource.clone());
        }
    }
    Some(named)
}
