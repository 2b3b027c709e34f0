//! Revoking a token (RFC 7009): its session ends, and with it every token of the session.

use crate::{Authlog, Refusal, RequestContext};

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
        match self.log_out(bearer, context).await {
            // It was ended meanwhile.
            Ok(()) | Err(Refusal::InvalidAccessToken) => Ok(()),
            Err(refusal) => Err(refusal),
        }
    }
}
