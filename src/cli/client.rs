//! The arguments of `authlog client`.

use std::path::PathBuf;

use authlog_domain::{ClientId, ClientSecretId};
use clap::{Args, Subcommand};

#[derive(Subcommand)]
pub(crate) enum ClientCommand {
    /// Register an OAuth client; its secret is printed once
    Create(CreateClient),
    /// List all clients, ordered by ID
    List(ListClients),
    /// Print the settings and the valid secrets of a client
    Show(ShowClient),
    /// Change settings of a client; those that are not named stay
    Change(ChangeClient),
    /// Issue one more secret, which is printed once; the previous one stays valid until it is retired
    RotateSecret(RotateSecret),
    /// Make a secret of a client invalid
    RetireSecret(RetireSecret),
    /// Lock a client: it gets no tokens, and those that it has are refused
    Lock(ClientName),
    /// Unlock a client
    Unlock(ClientName),
    /// Remove a client for good; its ID is never used again
    Remove(RemoveClient),
}

#[derive(Args)]
pub(crate) struct CreateClient {
    /// ID: up to 64 letters, digits, - and _ [a generated one]
    #[allow(
        rustdoc::broken_intra_doc_links,
        reason = "help is printed as it is written"
    )]
    #[arg(long)]
    pub(crate) id: Option<String>,
    #[command(flatten)]
    pub(crate) settings: ClientSettingsArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct ChangeClient {
    /// ID of the client
    #[arg(value_parser = client)]
    pub(crate) client: ClientId,
    #[command(flatten)]
    pub(crate) settings: ClientSettingsArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// The settings of a client. A list that is given replaces the whole list; one empty value makes it empty.
#[derive(Args)]
pub(crate) struct ClientSettingsArgs {
    /// Name that people see
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// URI to which answers may be sent; repeat it for several
    #[arg(long = "redirect-uri", value_name = "URI")]
    pub(crate) redirect_uris: Option<Vec<String>>,
    /// URI to which a browser may be sent after a logout; repeat it for several
    #[arg(long = "post-logout-redirect-uri", value_name = "URI")]
    pub(crate) post_logout_redirect_uris: Option<Vec<String>>,
    /// URI to which a logout token is sent when a session of the client has ended
    #[arg(long, value_name = "URI")]
    pub(crate) backchannel_logout_uri: Option<String>,
    /// Grant: authorization_code, refresh_token, client_credentials or urn:ietf:params:oauth:grant-type:device_code; repeat it
    /// for several
    #[arg(long = "grant", value_name = "GRANT")]
    pub(crate) grants: Option<Vec<String>>,
    /// Scope that the client may ask for; repeat it or separate scopes with spaces
    #[arg(long = "scope", value_name = "SCOPE")]
    pub(crate) scopes: Option<Vec<String>>,
    /// URI of a resource server for which the client may ask tokens; repeat it for several
    #[arg(long = "audience", value_name = "URI")]
    pub(crate) audiences: Option<Vec<String>>,
    /// How the client authenticates: none, client_secret_basic, client_secret_post or private_key_jwt
    #[arg(long, value_name = "METHOD")]
    pub(crate) auth_method: Option<String>,
    /// File with the client's public keys, a JSON Web Key Set
    #[arg(long, value_name = "FILE")]
    pub(crate) jwks: Option<PathBuf>,
    /// Whether authorization requests need PKCE: true or false
    #[arg(long, value_name = "BOOL")]
    pub(crate) require_pkce: Option<bool>,
    /// Whether every token has to be bound to a key of the client (DPoP): true or false
    #[arg(long, value_name = "BOOL")]
    pub(crate) dpop_bound: Option<bool>,
    /// Whether authorization requests have to be pushed: true or false
    #[arg(long, value_name = "BOOL")]
    pub(crate) require_pushed_requests: Option<bool>,
    /// How ID tokens are signed: RS256, or access-key for the algorithm of access tokens
    #[arg(long, value_name = "ALGORITHM")]
    pub(crate) id_token_alg: Option<String>,
    /// Whether the client is your own, so that people are not asked for consent: true or false
    #[arg(long, value_name = "BOOL")]
    pub(crate) first_party: Option<bool>,
}

#[derive(Args)]
pub(crate) struct ListClients {
    /// Print JSON, one client per line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct ShowClient {
    /// ID of the client
    #[arg(value_parser = client)]
    pub(crate) client: ClientId,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct RotateSecret {
    /// ID of the client
    #[arg(value_parser = client)]
    pub(crate) client: ClientId,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct RetireSecret {
    /// ID of the client
    #[arg(value_parser = client)]
    pub(crate) client: ClientId,
    /// ID of the secret, as `client show` prints it
    #[arg(value_parser = secret)]
    pub(crate) secret: ClientSecretId,
}

#[derive(Args)]
pub(crate) struct ClientName {
    /// ID of the client
    #[arg(value_parser = client)]
    pub(crate) client: ClientId,
}

#[derive(Args)]
pub(crate) struct RemoveClient {
    /// ID of the client
    #[arg(value_parser = client)]
    pub(crate) client: ClientId,
    /// Do not ask for confirmation
    #[arg(long)]
    pub(crate) yes: bool,
}

pub(super) fn client(text: &str) -> Result<ClientId, String> {
    ClientId::parse(text)
        .map_err(|_| "expected the ID of a client: up to 64 letters, digits, - and _".to_owned())
}

fn secret(text: &str) -> Result<ClientSecretId, String> {
    ClientSecretId::parse(text).ok_or_else(|| "expected the ID of a secret".to_owned())
}
