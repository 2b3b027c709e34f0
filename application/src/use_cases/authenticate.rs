//! Verifying an access token.

use authlog_domain::{SessionId, Timestamp, UserId};

use crate::ports::{OpaqueToken, SessionStanding, TokenKind, VerifiedToken};
use crate::{Authlog, Refusal, Standing};

/// Whoever bears a good access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authenticated {
    /// The account.
    pub user: UserId,
    /// The session.
    pub session: SessionId,
    /// The account's session epoch when that started.
    pub(crate) epoch: u32,
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
            .verify_signed(token, now)
            .await
            .filter(|token| token.kind == TokenKind::Access)
            .ok_or(Refusal::InvalidAccessToken)?;
        match self.revocation_list.standing(&token, now) {
            Standing::Live => Ok(Authenticated {
                user: token.user,
                session: token.session,
                epoch: token.epoch,
            }),
            Standing::Ended => Err(Refusal::InvalidAccessToken),
            Standing::Unknown => live(self.parts.directory.session(token.session).await?, now),
        }
    }

    /// What a signed token says, if it is one of ours and good at `now`. Another node may have signed it with a key that
    /// this one has not heard of yet.
    pub(crate) async fn verify_signed(&self, token: &str, now: Timestamp) -> Option<VerifiedToken> {
        let tokens = &self.parts.tokens;
        match tokens.verify(token, now) {
            None if tokens.learn_key(token).await => tokens.verify(token, now),
            verified => verified,
        }
    }
}

fn live(standing: Option<SessionStanding>, now: Timestamp) -> Result<Authenticated, Refusal> {
    standing
        .filter(|standing| standing.is_live(now))
        .map(|standing| Authenticated {
            user: standing.account.id,
            session: standing.session.id,
            epoch: standing.session.epoch,
        })
        .ok_or(Refusal::InvalidAccessToken)
}
