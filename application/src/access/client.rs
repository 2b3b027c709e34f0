//! Authentication of clients (RFC 6749 §2.3).

use std::sync::Arc;

use authlog_domain::client::{ClientAuthMethod, RegisteredClient};
use authlog_domain::{ClientId, ClientSecretId};

use crate::ports::Guess;
use crate::{Authlog, GrantRefusal, RequestContext};

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
    secret: Option<ClientSecretId>,
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

    /// The secret that the client showed, if it showed one.
    pub(crate) fn secret(&self) -> Option<ClientSecretId> {
        self.secret
    }

    /// Whether the client proved who it is.
    pub(crate) fn is_confidential(&self) -> bool {
        self.client.settings.auth_method != ClientAuthMethod::None
    }
}

impl Authlog {
    /// The client that sent a request. A client authenticates by the one method for which it is registered.
    ///
    /// Wrong secrets count against the client's name and the network, like wrong passwords. A right secret counts nothing, because
    /// a client shows it with every request.
    ///
    /// # Errors
    /// [`GrantRefusal::InvalidClient`], [`GrantRefusal::TooManyAttempts`], or [`GrantRefusal::Unavailable`].
    pub async fn authenticate_client(
        &self,
        credentials: ClientCredentials<'_>,
        context: &RequestContext,
    ) -> Result<AuthenticatedClient, GrantRefusal> {
        let id = credentials.client.and_then(|it| ClientId::parse(it).ok());
        let id = id.ok_or(GrantRefusal::InvalidClient)?;
        let client = self.client(&id).await?;
        let client = client.filter(|client| !client.locked);
        let method = client.as_ref().map(|it| it.settings.auth_method);
        match (credentials.proof, client) {
            (ClientProof::None, Some(client)) if method == Some(ClientAuthMethod::None) => {
                Ok(AuthenticatedClient {
                    client,
                    secret: None,
                })
            }
            (ClientProof::None | ClientProof::Assertion(_), _) => Err(GrantRefusal::InvalidClient),
            (ClientProof::Basic(text), client) => {
                let client = client.filter(|_| method == Some(ClientAuthMethod::ClientSecretBasic));
                self.check_client_secret(&id, client, text, context)
            }
            (ClientProof::Post(text), client) => {
                let client = client.filter(|_| method == Some(ClientAuthMethod::ClientSecretPost));
                self.check_client_secret(&id, client, text, context)
            }
        }
    }

    /// Checks a secret. For a client that does not exist every secret is wrong, and takes as long to check.
    fn check_client_secret(
        &self,
        id: &ClientId,
        client: Option<Arc<RegisteredClient>>,
        text: &str,
        context: &RequestContext,
    ) -> Result<AuthenticatedClient, GrantRefusal> {
        // No username has control characters, so that this name is no account's.
        let name = format!("\u{0}client\u{0}{id}");
        let guess = Guess {
            address: context.address,
            identifier: &name,
        };
        let too_many = |retry_after| GrantRefusal::TooManyAttempts { retry_after };
        let reserved = self.parts.limiter.reserve(guess).map_err(too_many)?;
        let shown = self.parts.client_secrets.parse(id, text);
        let right = client.zip(shown).filter(|(client, shown)| {
            let valid = &client.secrets;
            valid.iter().any(|secret| secret.id == *shown)
        });
        let Some((client, secret)) = right else {
            reserved.was_wrong();
            return Err(GrantRefusal::InvalidClient);
        };
        reserved.give_back();
        // Wrong secrets that others send from this network then do not delay the client.
        let limiter = &self.parts.limiter;
        limiter.remember_sign_in(context.address, &[name]);
        Ok(AuthenticatedClient {
            client,
            secret: Some(secret),
        })
    }
}
