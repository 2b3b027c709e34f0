//! Ending a session.

use authlog_domain::session::{LogOut, SessionCommand};

use crate::ports::Revocation;
use crate::unit_of_work::CommandError;
use crate::{Authlog, Caller, Refusal, RequestContext};

impl Authlog {
    /// Ends the session of the first valid one of several refresh tokens. The newest token is tried first.
    ///
    /// # Errors
    /// [`Refusal::InvalidRefreshToken`], or [`Refusal::Unavailable`].
    pub async fn log_out_by_refresh_token(
        &self,
        tokens: &[&str],
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        for token in self.newest_first(tokens).await {
            if let Some(bearer) = self.bearer_of_refresh_token(token).await? {
                return match self.log_out(bearer, context).await {
                    Err(Refusal::InvalidAccessToken) => Err(Refusal::InvalidRefreshToken),
                    ended => ended,
                };
            }
        }
        Err(Refusal::InvalidRefreshToken)
    }

    /// Ends the caller's session. All its tokens become invalid.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`] if the session ended meanwhile, or [`Refusal::Unavailable`].
    pub async fn log_out(&self, caller: Caller, context: &RequestContext) -> Result<(), Refusal> {
        let command = LogOut {
            at: self.parts.clock.now(),
        };
        self.executor
            .execute(&caller.session().to_string(), |work| async move {
                let standing = work.session(caller.session()).await?;
                let standing = standing.ok_or(Refusal::InvalidAccessToken)?;
                let command = SessionCommand::LogOut(command);
                let metadata = context.metadata_of(&caller);
                work.execute_on_session(standing.session, command, metadata)
                    .await
                    .map_err(|failure| match failure {
                        CommandError::Refused(Refusal::InvalidRefreshToken) => {
                            CommandError::Refused(Refusal::InvalidAccessToken)
                        }
                        other => other,
                    })?;
                work.commit().await
            })
            .await
            .map_err(|refusal| match refusal {
                // The account, and so the session, was erased meanwhile.
                Refusal::UnknownAccount => Refusal::InvalidAccessToken,
                other => other,
            })?;
        self.revocation_list
            .add(Revocation::Session(caller.session()), command.at);
        Ok(())
    }
}
