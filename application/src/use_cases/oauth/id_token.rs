//! ID tokens: what an application learns of the person who signed in (OpenID Connect Core §2).

use std::collections::BTreeSet;
use std::time::Duration;

use authlog_domain::Timestamp;
use serde_json::{Map, Value, json};

use super::issue::ApplicationSession;
use super::user_info::claim;
use super::{ClaimName, GrantRefusal};
use crate::Authlog;
use crate::access::AuthenticatedClient;
use crate::ports::Account;

/// The lifetime of an ID token. An application checks it when it gets it, and has a session of its own afterwards.
const LIFETIME: Duration = Duration::from_secs(60 * 60);

/// What an authorization request asked the ID token to contain.
#[derive(Clone, Copy)]
pub(super) struct IdTokenDemand<'a> {
    pub(super) nonce: Option<&'a str>,
    pub(super) claims: &'a BTreeSet<ClaimName>,
}

impl Authlog {
    /// The ID token of a session, signed with the algorithm for which the client is registered. `sid` is the session of the
    /// application, which back-channel logout names.
    ///
    /// # Errors
    /// [`GrantRefusal::Unavailable`] if there is no key yet.
    pub(super) fn id_token(
        &self,
        by: &AuthenticatedClient,
        session: &ApplicationSession<'_>,
        account: &Account,
        demand: Option<IdTokenDemand<'_>>,
        now: Timestamp,
    ) -> Result<String, GrantRefusal> {
        let authentication = session.authentication;
        let mut claims = Map::new();
        let mut set = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        set("sub", json!(session.user));
        set("aud", json!(by.id()));
        set("azp", json!(by.id()));
        set("exp", json!(now.plus(LIFETIME).unix_seconds()));
        set("auth_time", json!(authentication.auth_time.unix_seconds()));
        set("acr", json!(authentication.acr));
        set("amr", json!(authentication.amr));
        set("sid", json!(session.id));
        if let Some(IdTokenDemand {
            nonce,
            claims: demanded,
        }) = demand
        {
            if let Some(nonce) = nonce {
                set("nonce", json!(nonce));
            }
            for name in demanded {
                if let Some(value) = claim(*name, account) {
                    set(name.as_str(), value);
                }
            }
        }
        let algorithm = by.client().settings.id_token_alg;
        let signed = self.parts.tokens.sign_id_token(&claims, algorithm, now);
        signed.map_err(|error| GrantRefusal::Unavailable(Box::new(error)))
    }
}
