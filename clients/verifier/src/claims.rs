//! What a verified token says.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use crate::refused::Refused;

/// The claims of a token that was accepted. A copy is cheap.
///
/// The identifiers of the account and of the session are compared as values, so two spellings of one UUID are the same session.
#[derive(Clone)]
pub struct Claims(Arc<Parsed>);

struct Parsed {
    payload: Box<str>,
    claims: Raw,
    kind: Kind,
}

/// What the token is a token of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A session of a person.
    Session {
        account: Uuid,
        session: Uuid,
        epoch: u32,
    },
    /// A client that acts for itself.
    Client,
}

/// The claims by their names. `serde` refuses a member that occurs twice.
#[derive(Deserialize)]
struct Raw {
    iss: String,
    aud: Audiences,
    sub: String,
    client_id: String,
    jti: String,
    iat: i64,
    exp: i64,
    nbf: Option<i64>,
    sid: Option<Uuid>,
    psid: Option<Uuid>,
    epoch: Option<u32>,
    secret_id: Option<Uuid>,
    scope: Option<String>,
    role: Option<String>,
    amr: Option<Vec<String>>,
    acr: Option<String>,
    auth_time: Option<i64>,
    cnf: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Several(Vec<String>),
}

impl Claims {
    /// Parses the payload of a token.
    pub(crate) fn parse(payload: Vec<u8>) -> Result<Self, Refused> {
        // serde would accept an array for a struct.
        if payload.first() != Some(&b'{') {
            return Err(Refused::Malformed);
        }
        let payload = String::from_utf8(payload).map_err(|_| Refused::Malformed)?;
        let claims: Raw = serde_json::from_str(&payload).map_err(|_| Refused::Malformed)?;
        let kind = match (claims.sid, claims.epoch) {
            (Some(session), Some(epoch)) => Kind::Session {
                account: Uuid::try_parse(&claims.sub).map_err(|_| Refused::Malformed)?,
                session,
                epoch,
            },
            (None, None) if claims.sub == claims.client_id && claims.psid.is_none() => Kind::Client,
            _ => return Err(Refused::Malformed),
        };
        Ok(Self(Arc::new(Parsed {
            payload: payload.into_boxed_str(),
            claims,
            kind,
        })))
    }

    pub(crate) fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The issuer (`iss`).
    pub fn issuer(&self) -> &str {
        &self.0.claims.iss
    }

    /// The audiences (`aud`).
    pub fn audiences(&self) -> impl Iterator<Item = &str> {
        let all = match &self.0.claims.aud {
            Audiences::One(one) => std::slice::from_ref(one),
            Audiences::Several(several) => several,
        };
        all.iter().map(String::as_str)
    }

    /// The account, or the client that acts for itself (`sub`). Identify people by it.
    pub fn subject(&self) -> &str {
        &self.0.claims.sub
    }

    /// The account; `None` for a client that acts for itself.
    pub fn account(&self) -> Option<Uuid> {
        match self.0.kind {
            Kind::Session { account, .. } => Some(account),
            Kind::Client => None,
        }
    }

    /// The client to which the token was issued (`client_id`): that of an application, or the name of a contract.
    pub fn client_id(&self) -> &str {
        &self.0.claims.client_id
    }

    /// The id of the token (`jti`).
    pub fn token_id(&self) -> &str {
        &self.0.claims.jti
    }

    /// The session (`sid`); `None` for a client that acts for itself.
    pub fn session(&self) -> Option<Uuid> {
        self.0.claims.sid
    }

    /// The session with which the session ends (`psid`).
    pub fn parent_session(&self) -> Option<Uuid> {
        self.0.claims.psid
    }

    /// The session epoch of the account when the session began (`epoch`).
    pub fn epoch(&self) -> Option<u32> {
        self.0.claims.epoch
    }

    /// The secret with which a client asked for the token (`secret_id`).
    pub fn secret_id(&self) -> Option<Uuid> {
        self.0.claims.secret_id
    }

    /// When it was issued (`iat`), in Unix seconds.
    pub fn issued_at(&self) -> i64 {
        self.0.claims.iat
    }

    /// When it expires (`exp`), in Unix seconds.
    pub fn expires_at(&self) -> i64 {
        self.0.claims.exp
    }

    /// When it begins (`nbf`), in Unix seconds.
    pub(crate) fn not_before(&self) -> Option<i64> {
        self.0.claims.nbf
    }

    /// The scopes (`scope`). A token of a contract has none: it has all rights of its person.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        let scope = self.0.claims.scope.as_deref().unwrap_or_default();
        scope.split(' ').filter(|scope| !scope.is_empty())
    }

    /// Whether the token has this scope.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes().any(|it| it == scope)
    }

    /// The role of the account when the token was issued (`role`).
    pub fn role(&self) -> Option<&str> {
        self.0.claims.role.as_deref()
    }

    /// How the person was authenticated (`amr`, RFC 8176).
    pub fn amr(&self) -> &[String] {
        self.0.claims.amr.as_deref().unwrap_or_default()
    }

    /// How strong that was (`acr`): `urn:authlog:aal1` or `urn:authlog:aal2`.
    pub fn acr(&self) -> Option<&str> {
        self.0.claims.acr.as_deref()
    }

    /// When the person was authenticated (`auth_time`), in Unix seconds.
    pub fn auth_time(&self) -> Option<i64> {
        self.0.claims.auth_time
    }

    /// Whether the token is bound to a key (`cnf`), in whichever way.
    pub fn is_bound(&self) -> bool {
        self.0.claims.cnf.is_some()
    }

    /// The thumbprint of the key to which the token is bound (`cnf.jkt`, RFC 9449 §6.1).
    pub fn key_thumbprint(&self) -> Option<&str> {
        self.0.claims.cnf.as_ref()?.get("jkt")?.as_str()
    }

    /// How long the token lives from its issue to its expiry; zero if it never lived.
    pub(crate) fn lifetime(&self) -> Duration {
        let seconds = self.expires_at().saturating_sub(self.issued_at());
        Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
    }

    /// All claims, as a type of your own. Use it for claims that this type does not have, such as `name`.
    ///
    /// # Errors
    /// The token does not have the claims that the type needs.
    ///
    /// ```
    /// # fn show(claims: &authlog_verifier::Claims) -> Result<(), serde_json::Error> {
    /// #[derive(serde::Deserialize)]
    /// struct Profile {
    ///     name: Option<String>,
    /// }
    /// let profile: Profile = claims.custom()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn custom<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.0.payload)
    }
}

impl fmt::Debug for Claims {
    /// Shows nothing personal.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Claims")
            .field("subject", &self.subject())
            .field("client_id", &self.client_id())
            .field("token_id", &self.token_id())
            .finish_non_exhaustive()
    }
}
