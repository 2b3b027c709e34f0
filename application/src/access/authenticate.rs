//! Authentication of access tokens.

use authlog_domain::{Authentication, SessionId, Timestamp, UserId};

use crate::ports::{OpaqueToken, SessionWithAccount, TokenKind, VerifiedToken};
use crate::{Authlog, Refusal, TokenStatus};

/// Proof that a request presented a valid access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    pub(super) user: UserId,
    pub(super) session: SessionId,
    pub(super) epoch: u32,
    pub(super) authentication: Authentication,
}

impl Caller {
    /// The account.
    pub fn user(&self) -> UserId {
        self.user
    }

    /// The session.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// How the person was authenticated: what the access token says, or the session of an opaque one. A signed token keeps
    /// its level when its session gets a higher one (`docs/adr/0030`).
    pub fn authentication(&self) -> Authentication {
        self.authentication
    }

    /// The same caller, who was authenticated again.
    pub(crate) fn authenticated_again(self, authentication: Authentication) -> Self {
        Self {
            authentication,
            ..self
        }
    }

    /// The caller that a verified access token names. Its session must have been found to be live. A token of an earlier
    /// version says nothing of the authentication, and counts as a password alone.
    pub(super) fn of(token: &VerifiedToken) -> Self {
        let unknown = Authentication::by_password(token.issued_at);
        Self {
            user: token.user,
            session: token.session,
            epoch: token.epoch,
            authentication: token.authentication.unwrap_or(unknown),
        }
    }

    /// The caller in a live session.
    pub(super) fn in_session(standing: &SessionWithAccount) -> Self {
        Self {
            user: standing.account.id,
            session: standing.session.id,
            epoch: standing.session.epoch,
            authentication: standing.session.authentication,
        }
    }
}

/// A proof about the caller that is obtained with an access token.
pub trait CallerProof: Sized {
    /// The proof for the bearer of this access token.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`]; [`Refusal::Forbidden`] if the account lacks the permission; or
    /// [`Refusal::Unavailable`].
    fn by_token(
        authlog: &Authlog,
        token: &str,
    ) -> impl Future<Output = Result<Self, Refusal>> + Send;
}

impl CallerProof for Caller {
    async fn by_token(authlog: &Authlog, token: &str) -> Result<Self, Refusal> {
        authlog.authenticate(token).await
    }
}

/// An access token whose session is live.
pub(crate) enum LiveAccess {
    /// A signed token that was checked against the deny list of this node, without a query.
    DenyList(VerifiedToken),
    /// A token that was checked against the store.
    Store {
        /// The claims of a signed token; `None` for an opaque one.
        claims: Option<VerifiedToken>,
        /// Its session and account.
        standing: Box<SessionWithAccount>,
    },
}

impl Authlog {
    /// The bearer of this access token. Any contract may have issued it.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`], or [`Refusal::Unavailable`].
    pub async fn authenticate(&self, token: &str) -> Result<Caller, Refusal> {
        match self.check_access(token, self.parts.clock.now()).await? {
            None => Err(Refusal::InvalidAccessToken),
            Some(LiveAccess::DenyList(token)) => Ok(Caller::of(&token)),
            Some(LiveAccess::Store {
                claims: Some(token),
                ..
            }) => Ok(Caller::of(&token)),
            Some(LiveAccess::Store { standing, .. }) => Ok(Caller::in_session(&standing)),
        }
    }

    /// Checks an access token and its session at `now`; `None` if the text is not an access token, or the token has expired,
    /// or its session has ended.
    ///
    /// An opaque token is looked up in the store. A signed token is checked in memory, unless the deny list may be
    /// incomplete: then its session is looked up.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`].
    pub(crate) async fn check_access(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<Option<LiveAccess>, Refusal> {
        let directory = &self.parts.directory;
        let (claims, standing) = if let Some(opaque) = OpaqueToken::parse(token) {
            let digest = self.parts.secrets.digest(&opaque);
            let standing = directory.session_by_opaque_token(&digest, now).await?;
            (None, standing)
        } else {
            let verified = self.verify_signed(token, now).await;
            let Some(claims) = verified.filter(|token| token.kind == TokenKind::Access) else {
                return Ok(None);
            };
            match self.revocation_list.standing(&claims, now) {
                TokenStatus::Live => return Ok(Some(LiveAccess::DenyList(claims))),
                TokenStatus::Ended => return Ok(None),
                TokenStatus::Unknown => {}
            }
            let standing = directory.session(claims.session).await?;
            (Some(claims), standing)
        };
        let live = standing.filter(|standing| standing.is_live(now));
        Ok(live.map(|standing| LiveAccess::Store {
            claims,
            standing: Box::new(standing),
        }))
    }

    /// The bearer of this refresh token; `None` if it is not valid. A refresh token that was replaced is accepted as well:
    /// the result only permits to end the session.
    pub(crate) async fn bearer_of_refresh_token(
        &self,
        token: &str,
    ) -> Result<Option<Caller>, Refusal> {
        let now = self.parts.clock.now();
        let verified = self.verify_signed(token, now).await;
        let Some(token) = verified.filter(|it| it.kind != TokenKind::Access) else {
            return Ok(None);
        };
        let standing = self.parts.directory.session(token.session).await?;
        let live = standing.filter(|standing| standing.is_live(now));
        Ok(live.map(|standing| Caller::in_session(&standing)))
    }

    /// The claims of a signed token; `None` if its signature is wrong or it has expired at `now`. If another node signed it
    /// with a key that this node has not loaded yet, the key is loaded.
    pub(crate) async fn verify_signed(&self, token: &str, now: Timestamp) -> Option<VerifiedToken> {
        let tokens = &self.parts.tokens;
        match tokens.verify(token, now) {
            None if tokens.learn_key(token).await => tokens.verify(token, now),
            verified => verified,
        }
    }
}
