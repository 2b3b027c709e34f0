//! Ending a session.

use authlog_domain::session::{LogOut, SessionCommand};

use crate::ports::Revocation;
use crate::unit_of_work::Failure;
use crate::{Authlog, Caller, Refusal, RequestContext};

impl Authlog {
    /// Ends the session of the first good one of several refresh tokens, the one that was issued last first.
    ///
    /// # Errors
    /// [`Refusal::InvalidRefreshToken`], or that it cannot be done now.
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

    /// Ends the caller's session; from now on none of its tokens is good.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`] where it ended meanwhile, or that it cannot be done now.
    pub async fn log_out(&self, caller: Caller, context: &RequestContext) -> Result<(), Refusal> {
        let command = LogOut {
            at: self.parts.clock.now(),
        };
        self.journal
            .record(&caller.session().to_string(), |work| async move {
                let standing = work.session(caller.session()).await?;
                let standing = standing.ok_or(Refusal::InvalidAccessToken)?;
                let command = SessionCommand::LogOut(command);
                let metadata = context.metadata(caller.user());
                work.execute_on_session(standing.session, command, metadata)
                    .await
                    .map_err(|failure| match failure {
                        Failure::Refused(Refusal::InvalidRefreshToken) => {
                            Failure::Refused(Refusal::InvalidAccessToken)
                        }
                        other => other,
                    })?;
                work.commit().await
            })
            .await
            .map_err(|refusal| match refusal {
                // The account was erased meanwhile, and the session with it.
                Refusal::UnknownAccount => Refusal::InvalidAccessToken,
                other => other,
            })?;
        self.revocation_list
            .add(Revocation::Session(caller.session()), command.at);
        Ok(())
    }
}
