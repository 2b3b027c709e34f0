//! Verifying an access token.

use authlog_domain::{SessionId, Timestamp, UserId};

use crate::ports::{OpaqueToken, SessionStanding, TokenKind, VerifiedToken};
use crate::{Authlog, Refusal, Standing};

/// Proof that a request came with a good access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    pub(super) user: UserId,
    pub(super) session: SessionId,
    pub(super) epoch: u32,
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

    /// The session of a signed token of ours, after it was found to count.
    pub(super) fn of(token: &VerifiedToken) -> Self {
        Self {
            user: token.user,
            session: token.session,
            epoch: token.epoch,
        }
    }
}

/// A proof of who calls that an access token gives.
pub trait CallerProof: Sized {
    /// The proof for the bearer of this access token.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`]; [`Refusal::Forbidden`] where the account lacks the permission; or
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

impl Authlog {
    /// The bearer of this access token, whichever contract issued it.
    ///
    /// A signed token is verified from memory, unless the revocations of other nodes are late: then the store is queried.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`], or [`Refusal::Unavailable`].
    pub async fn authenticate(&self, token: &str) -> Result<Caller, Refusal> {
        let now = self.parts.clock.now();
        if let Some(opaque) = OpaqueToken::parse(token) {
            let digest = self.parts.secrets.digest(&opaque);
            let standing = self
                .parts
                .directory
                .session_by_opaque_token(&digest, now)
                .await?;
            return live(standing, now);
        }
        let token = self
            .verify_signed(token, now)
            .await
            .filter(|token| token.kind == TokenKind::Access)
            .ok_or(Refusal::InvalidAccessToken)?;
        match self.revocation_list.standing(&token, now) {
            Standing::Live => Ok(Caller::of(&token)),
            Standing::Ended => Err(Refusal::InvalidAccessToken),
            Standing::Unknown => live(self.parts.directory.session(token.session).await?, now),
        }
    }

    /// The bearer of this refresh token, the current one or an earlier one: the bearer of either can end the session.
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
        Ok(live.map(|_| Caller::of(&token)))
    }

    /// The claims of a signed token, if it is one of ours and good at `now`. Another node may have signed it with a key
    /// that this one has not loaded yet.
    pub(crate) async fn verify_signed(&self, token: &str, now: Timestamp) -> Option<VerifiedToken> {
        let tokens = &self.parts.tokens;
        match tokens.verify(token, now) {
            None if tokens.learn_key(token).await => tokens.verify(token, now),
            verified => verified,
        }
    }
}

fn live(standing: Option<SessionStanding>, now: Timestamp) -> Result<Caller, Refusal> {
    standing
        .filter(|standing| standing.is_live(now))
        .map(|standing| Caller {
            user: standing.account.id,
            session: standing.session.id,
            epoch: standing.session.epoch,
        })
        .ok_or(Refusal::InvalidAccessToken)
}
