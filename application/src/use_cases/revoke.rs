//! Revoking a token (RFC 7009): its session ends, and with it every token of the session.

use crate::ports::TokenKind;
use crate::{Authenticated, Authlog, Refusal, RequestContext};

impl Authlog {
    /// Ends the session of an access or refresh token, if it is a good one. One that is good for nothing is no error:
    /// what was wanted is so (RFC 7009 §2.2).
    ///
    /// # Errors
    /// It cannot be done now.
    pub async fn revoke(&self, token: &str, context: &RequestContext) -> Result<(), Refusal> {
        let bearer = match self.authenticate(token).await {
            Ok(bearer) => Some(bearer),
            Err(Refusal::InvalidAccessToken) => self.bearer_of_refresh_token(token).await?,
            Err(refusal) => return Err(refusal),
        };
        let Some(bearer) = bearer else {
            return Ok(());
        };
        match self.end_session(bearer, context).await {
            // It was ended meanwhile.
            Ok(()) | Err(Refusal::InvalidAccessToken) => Ok(()),
            Err(refusal) => Err(refusal),
        }
    }

    /// Who bears this refresh token, be it the current one or an earlier one: whoever has either can do away with both.
    pub(crate) async fn bearer_of_refresh_token(
        &self,
        token: &str,
    ) -> Result<Option<Authenticated>, Refusal> {
        let now = self.parts.clock.now();
        let verified = self.verify_signed(token, now).await;
        let Some(token) = verified.filter(|it| it.kind != TokenKind::Access) else {
            return Ok(None);
        };
        let standing = self.parts.directory.session(token.session).await?;
        let live = standing.filter(|standing| standing.is_live(now));
        Ok(live.map(|_| Authenticated {
            user: token.user,
            session: token.session,
            epoch: token.epoch,
        }))
    }
}
