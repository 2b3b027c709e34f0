//! Logout that an application asks for (OpenID Connect RP-Initiated Logout 1.0).

use std::sync::Arc;

use authlog_domain::client::RegisteredClient;
use authlog_domain::{ClientId, SessionId, UserId};

use crate::access::BrowserSession;
use crate::{Authlog, Refusal};

/// The parameters of a logout request as they were sent; `None` for a missing or empty one. A parameter that is sent twice is
/// refused before. Others, such as `logout_hint`, are ignored.
#[derive(Clone, Copy, Default)]
pub struct LogoutForm<'a> {
    /// `id_token_hint`
    pub id_token_hint: Option<&'a str>,
    /// `client_id`
    pub client_id: Option<&'a str>,
    /// `post_logout_redirect_uri`
    pub post_logout_redirect_uri: Option<&'a str>,
    /// `state`
    pub state: Option<&'a str>,
}

/// A logout request whose parameters are valid.
#[derive(Clone)]
pub struct LogoutRequest {
    client: Option<Arc<RegisteredClient>>,
    redirect: Option<LogoutRedirect>,
    hint: Option<Hint>,
}

/// Where the browser goes after a logout: a URI that the client registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogoutRedirect {
    /// `post_logout_redirect_uri` as it was sent.
    pub uri: String,
    /// `state`, which goes back as it came.
    pub state: Option<String>,
}

/// Whom the request is about, by an ID token of this service.
#[derive(Clone, Copy)]
struct Hint {
    user: UserId,
    /// The session of the application.
    session: Option<SessionId>,
}

/// What has to be done about a logout request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogoutDemand {
    /// Nothing: the browser has no session.
    Nothing,
    /// The session of the browser is the one that the request is about. It is ended.
    End,
    /// The person has to confirm. Otherwise, every link could sign people out.
    Confirm,
}

/// Why a logout request is answered with a page, and never with a redirect.
#[derive(Debug, thiserror::Error)]
pub enum LogoutRefusal {
    /// The ID token is not of this service, was changed, or is another client's.
    #[error("the ID token hint is not valid")]
    InvalidHint,
    /// The client is unknown, was removed or is locked.
    #[error("there is no such application")]
    UnknownClient,
    /// The client did not register the URI.
    #[error("the redirect URI is not registered")]
    UnknownRedirectUri,
    /// A dependency failed.
    #[error("unavailable")]
    Unavailable(#[from] Refusal),
}

impl LogoutRequest {
    /// The client, if the request names one.
    pub fn client(&self) -> Option<&RegisteredClient> {
        self.client.as_deref()
    }

    /// Where the browser goes afterwards; `None` if it stays here.
    pub fn redirect(&self) -> Option<&LogoutRedirect> {
        self.redirect.as_ref()
    }
}

impl Authlog {
    /// Checks the parameters of a logout request. A redirect URI of a request that names no client is ignored, because nothing says
    /// who registered it.
    ///
    /// # Errors
    /// See [`LogoutRefusal`].
    pub async fn check_logout(
        &self,
        form: &LogoutForm<'_>,
    ) -> Result<LogoutRequest, LogoutRefusal> {
        let (hint, audience) = match form.id_token_hint {
            Some(token) => {
                let (hint, audience) = self
                    .hint_of_logout(token)
                    .await
                    .ok_or(LogoutRefusal::InvalidHint)?;
                (Some(hint), Some(audience))
            }
            None => (None, None),
        };
        let named = form.client_id.map(ClientId::parse).transpose();
        let named = named.map_err(|_| LogoutRefusal::UnknownClient)?;
        let id = match (named, audience) {
            // §2: the two have to name the same client.
            (Some(named), Some(audience)) if named != audience => {
                return Err(LogoutRefusal::InvalidHint);
            }
            (named, audience) => audience.or(named),
        };
        let client = match id {
            Some(id) => {
                let client = self.client(&id).await?;
                let client = client.filter(|client| !client.locked);
                Some(client.ok_or(LogoutRefusal::UnknownClient)?)
            }
            None => None,
        };
        let redirect = match (form.post_logout_redirect_uri, &client) {
            (Some(uri), Some(client)) => {
                if !client.settings.has_post_logout_redirect_uri(uri) {
                    return Err(LogoutRefusal::UnknownRedirectUri);
                }
                Some(LogoutRedirect {
                    uri: uri.to_owned(),
                    state: form.state.map(str::to_owned),
                })
            }
            _ => None,
        };
        Ok(LogoutRequest {
            client,
            redirect,
            hint,
        })
    }

    /// What has to be done about a logout request from this browser; without `browser`, no person is signed in.
    ///
    /// An ID token ends the session without a question if it is for a session of an application that ends with the session of this
    /// browser. One for a session that ends by itself (`offline_access`, a device) says nothing about this browser.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`].
    pub async fn logout_demand(
        &self,
        request: &LogoutRequest,
        browser: Option<&BrowserSession>,
    ) -> Result<LogoutDemand, Refusal> {
        let Some(browser) = browser else {
            return Ok(LogoutDemand::Nothing);
        };
        let caller = browser.caller();
        let hint = request.hint.filter(|hint| hint.user == caller.user());
        let Some(session) = hint.and_then(|hint| hint.session) else {
            return Ok(LogoutDemand::Confirm);
        };
        let found = self.parts.directory.session(session).await?;
        let found = found.filter(|found| found.account.id == caller.user());
        let is_of_browser = found.is_some_and(|found| {
            let grant = found.session.grant;
            grant.is_some_and(|it| it.parent == Some(caller.session()))
        });
        Ok(if is_of_browser {
            LogoutDemand::End
        } else {
            LogoutDemand::Confirm
        })
    }

    /// Whom an ID token of this service is about, however old it is, and its client.
    async fn hint_of_logout(&self, token: &str) -> Option<(Hint, ClientId)> {
        let tokens = &self.parts.tokens;
        let claims = match tokens.verify_id_token_hint(token) {
            Some(claims) => claims,
            // Another node may have signed it with a key that was made just now.
            None if tokens.learn_key(token).await => tokens.verify_id_token_hint(token)?,
            None => return None,
        };
        let text = |name: &str| claims.get(name)?.as_str();
        let hint = Hint {
            user: UserId::parse(text("sub")?)?,
            session: text("sid").and_then(SessionId::parse),
        };
        Some((hint, ClientId::parse(text("aud")?).ok()?))
    }
}
