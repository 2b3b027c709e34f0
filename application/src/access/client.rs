//! Authentication of clients (RFC 6749 §2.3).

use std::sync::Arc;

use authlog_domain::client::{ClientAuthMethod, RegisteredClient};
use authlog_domain::{ClientId, ClientSecretId};

use crate::ports::Guess;
use crate::{Authlog, GrantRefusal};

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

/// What credentials proved.
struct Proved {
    /// The secret that was shown, if one was.
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
    /// The client that sent a request. A client with secrets can show one in either way, because libraries differ in which one they use
    /// (RFC 6749 §2.3.1). A public client and one with keys authenticate by their own method only.
    ///
    /// # Errors
    /// [`GrantRefusal::InvalidClient`], [`GrantRefusal::TooManyAttempts`], or [`GrantRefusal::Unavailable`].
    pub async fn authenticate_client(
        &self,
        credentials: ClientCredentials<'_>,
    ) -> Result<AuthenticatedClient, GrantRefusal> {
        let ClientCredentials { client: id, proof } = credentials;
        let id = match (id, proof) {
            (Some(id), _) => ClientId::parse(id).ok(),
            (None, ClientProof::Assertion(text)) => self.parts.client_assertions.named_client(text),
            (None, _) => None,
        };
        let id = id.ok_or(GrantRefusal::InvalidClient)?;
        let client = self.client(&id).await?.filter(|client| !client.locked);
        let proved = client
            .as_ref()
            .and_then(|client| self.proved(client, proof));
        match (client, proved) {
            (Some(client), Some(Proved { secret })) => Ok(AuthenticatedClient { client, secret }),
            _ => Err(self.wrong_client(&id)),
        }
    }

    /// What `proof` proves about the client; `None` if it does not prove that the client sent the request.
    fn proved(&self, client: &RegisteredClient, proof: ClientProof<'_>) -> Option<Proved> {
        let settings = &client.settings;
        match (proof, settings.auth_method) {
            (ClientProof::None, ClientAuthMethod::None) => Some(Proved { secret: None }),
            (ClientProof::Basic(text) | ClientProof::Post(text), method)
                if method.has_secrets() =>
            {
                let shown = self.parts.client_secrets.parse(&client.id, text)?;
                let secret = Some(shown).filter(|shown| client.has_secret(*shown));
                secret.map(|secret| Proved {
                    secret: Some(secret),
                })
            }
            (ClientProof::Assertion(text), ClientAuthMethod::PrivateKeyJwt) => {
                let now = self.parts.clock.now();
                let keys = settings.jwks.as_ref()?;
                let verified = self
                    .parts
                    .client_assertions
                    .verify(text, &client.id, keys, now);
                if let Err(reason) = verified {
                    tracing::info!(client = %client.id, %reason, "the assertion of a client was refused");
                    return None;
                }
                Some(Proved { secret: None })
            }
            _ => None,
        }
    }

    /// The answer to wrong credentials, which are counted by the name of the client. Right ones are never refused because of wrong ones:
    /// a secret of 256 bits cannot be guessed, and otherwise a stranger could keep a client out.
    fn wrong_client(&self, id: &ClientId) -> GrantRefusal {
        // No username has control characters, so that this name is no account's.
        let name = format!("\u{0}client\u{0}{id}");
        let guess = Guess {
            // People who sign in from the network of a program with a wrong secret are not delayed.
            address: None,
            identifier: &name,
        };
        match self.parts.limiter.reserve(guess) {
            Ok(reserved) => {
                reserved.was_wrong();
                GrantRefusal::InvalidClient
            }
            Err(retry_after) => GrantRefusal::TooManyAttempts { retry_after },
        }
    }
}
