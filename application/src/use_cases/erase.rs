//! Erasing an account: the person is forgotten, what happened stays.

use std::collections::HashMap;

use authlog_domain::UserId;
use authlog_domain::user::{Authority, Erase, UserCommand};

use super::accounts::Besides;
use super::change_password::gone;
use super::housekeeper::continue_erasures;
use crate::{Authlog, Caller, ManagesAccounts, Operator, Refusal, RequestContext};

impl Authlog {
    /// Erases the account of a caller who knows its password: what cannot be undone must not be done with a stolen token,
    /// nor with a password that was replaced meanwhile. The last administrator stays.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`], [`Refusal::Invalid`], [`Refusal::WrongCredentials`],
    /// [`Refusal::TooManyAttempts`], [`Refusal::Overloaded`], [`Refusal::LastAdministrator`], or that it cannot be done
    /// now.
    pub async fn erase_own_account(
        &self,
        caller: Caller,
        password: Option<&str>,
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        let session = self.session_to_change(caller).await?;
        let account = session.account();
        let proof = self.prove(account, password, context).await?;
        let authority = Authority::Owner(proof.epoch());
        let metadata = context.metadata(account.id);
        self.erase(account.id, authority, true, metadata)
            .await
            .map_err(gone)
    }

    /// Erases an account. Of one that was erased before, what may be left is looked for again.
    ///
    /// # Errors
    /// [`Refusal::UnknownAccount`], [`Refusal::LastAdministrator`], or that it cannot be done now.
    pub async fn erase_account(
        &self,
        by: &impl ManagesAccounts,
        user: UserId,
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        let keeps_last = !by.may_remove_last_administrator();
        let metadata = by.metadata(context, user);
        self.erase(user, Authority::Administrator, keeps_last, metadata)
            .await
    }

    /// Deletes what is left of erased accounts with very many sessions, and returns when the last of their rows is gone: the
    /// operator's program may be the only one that runs.
    ///
    /// # Errors
    /// It cannot be done now.
    pub async fn finish_erasures(&self, _by: &Operator) -> Result<(), Refusal> {
        Ok(continue_erasures(&*self.parts.housekeeping).await?)
    }

    /// The store forgets the person together with the event; what this node has besides goes afterwards, and again if
    /// it is asked again.
    async fn erase(
        &self,
        user: UserId,
        authority: Authority,
        leaves_an_administrator: bool,
        metadata: HashMap<String, String>,
    ) -> Result<(), Refusal> {
        let command = UserCommand::Erase(Erase {
            at: self.parts.clock.now(),
            authority,
        });
        let besides = Besides {
            leaves_an_administrator,
            ..Besides::default()
        };
        self.decide(user, command, besides, metadata).await?;
        self.sessions_left.notify_one();
        Ok(self.parts.kept_mail.forget(user).await?)
    }
}
