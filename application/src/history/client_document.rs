//! A client as a JSON document, and its state at one time.

use authlog_domain::client::RegisteredClient;
use serde_json::{Value, json};

use crate::ClientState;

/// The client as JSON: its id, the members of its settings, its valid secrets and its lock. It holds no secret.
pub fn client_document(client: &RegisteredClient) -> Value {
    let RegisteredClient {
        id,
        settings,
        secrets,
        locked,
    } = client;
    json!({
        "id": id,
        "name": settings.name,
        "redirect_uris": settings.redirect_uris,
        "post_logout_redirect_uris": settings.post_logout_redirect_uris,
        "backchannel_logout_uri": settings.backchannel_logout_uri,
        "grants": settings.grants,
        "scopes": settings.scopes,
        "audiences": settings.audiences,
        "auth_method": settings.auth_method,
        "jwks": settings.jwks,
        "require_pkce": settings.require_pkce,
        "dpop_bound": settings.dpop_bound,
        "require_pushed_requests": settings.require_pushed_requests,
        "id_token_alg": settings.id_token_alg,
        "first_party": settings.first_party,
        "secrets": secrets,
        "locked": locked,
    })
}

/// The state as JSON. The client is null if it was removed.
pub fn client_state_document(state: &ClientState) -> Value {
    json!({
        "at": state.evaluated_at,
        "as_of": {
            "log_index": state.log_index,
            "recorded_at": state.recorded_at,
            "events": state.events,
        },
        "client": state.client.as_ref().map(client_document),
    })
}
