//! Authentication of clients (RFC 6749 §2.3).

use std::sync::Arc;

use authlog_domain::ClientId;

use crate::ports::RegisteredClient;

/// How a request says which client sent it. It has no `Debug`.
#[derive(Clone, Copy)]
pub struct ClientCredentials<'a> {
    /// The id of the client: of the header `Authorization`, or the parameter `client_id`. `None` if neither is there; then the
    /// assertion names it.
    pub client: Option<&'a str>,
    /// What proves it.
    pub proof: ClientProof<'a>,
}

/// What proves that a request comes from a client. It has no `Debug`.
#[derive(Clone, Copy)]
pub enum ClientProof<'a> {
    /// Nothing: a public client.
    None,
    /// The secret, in the header `Authorization` (`client_secret_basic`), decoded.
    Basic(&'a str),
    /// The secret, in the parameter `client_secret` (`client_secret_post`).
    Post(&'a str),
    /// A signed assertion (`private_key_jwt`, RFC 7523).
    Assertion(&'a str),
}

/// Proof that a request came from a registered client that is not locked. A public client proves nothing but its id.
#[derive(Clone)]
pub struct AuthenticatedClient {
    client: Arc<RegisteredClient>,
}

impl AuthenticatedClient {
    /// The id of the client.
    pub fn id(&self) -> &ClientId {
        &self.client.id
    }

    /// The client.
    pub fn client(&self) -> &RegisteredClient {
        &self.client
    }
}
