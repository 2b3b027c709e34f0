//! Token revocation (RFC 7009): ends the session of the token, and so all its tokens.

use crate::{Authlog, Refusal, RequestContext};

impl Authlog {
    /// Ends the session of an access or refresh token. An invalid token is not an error (RFC 7009 §2.2).
    ///
    /// # Errors
    /// [`Refusal::Unavailable`].
    pub async fn revoke(&self, token: &str, context: &RequestContext) -> Result<(), Refusal> {
        let bearer = match self.authenticate(token).await {
            Ok(bearer) => Some(bearer),
            Err(Refusal::InvalidAccessToken) => self.bearer_of_refresh_token(token).await?,
            Err(refusal) => return Err(refusal),
        };
        let Some(bearer) = bearer else {
            return Ok(());
        };
        match self.log_out(bearer, context).await {
            // The session ended meanwhile.
            Ok(()) | Err(Refusal::InvalidAccessToken) => Ok(()),
            Err(refusal) => Err(refusal),
        }
    }
}
