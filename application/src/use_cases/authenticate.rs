//! Verifying an access token.

use authlog_domain::{SessionId, UserId};

use crate::ports::{OpaqueToken, SessionStanding, TokenKind};
use crate::{Authlog, Refusal, Standing};

/// Whoever bears a good access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authenticated {
    /// The account.
    pub user: UserId,
    /// The session.
    pub session: SessionId,
}

impl Authlog {
    /// Who bears this access token, whichever contract issued it.
    ///
    /// A signed token is verified from memory, unless the news of other nodes are late: then the store is asked.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`], or that it cannot be told now.
    pub async fn authenticate(&self, token: &str) -> Result<Authenticated, Refusal> {
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
            .parts
            .tokens
            .verify(token, now)
            .filter(|token| token.kind == TokenKind::Access)
            .ok_or(Refusal::InvalidAccessToken)?;
        match self.revocation_list.standing(&token, now) {
            Standing::Live => Ok(Authenticated {
                user: token.user,
                session: token.session,
            }),
            Standing::Ended => Err(Refusal::InvalidAccessToken),
            Standing::Unknown => live(self.parts.directory.session(token.session).await?, now),
        }
    }
}

fn live(
    standing: Option<SessionStanding>,
    now: authlog_domain::Timestamp,
) -> Result<Authenticated, Refusal> {
    standing
        .filter(|standing| standing.is_live(now))
        .map(|standing| Authenticated {
            user: standing.account.id,
            session: standing.session.id,
        })
        .ok_or(Refusal::InvalidAccessToken)
}
