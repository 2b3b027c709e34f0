//! Erasing an account: the person is forgotten, what happened stays.

use std::collections::HashMap;

use authlog_domain::UserId;
use authlog_domain::user::{Authority, Erase, UserCommand};

use super::accounts::Besides;
use super::change_password::gone;
use super::housekeeper::continue_erasures;
use crate::{Authlog, Refusal, RequestContext};

impl Authlog {
    /// Erases the account of whoever bears this access token and knows the account's password: what cannot be undone
    /// must not be done with a token that was left lying about, nor with a password that was replaced meanwhile. The last
    /// administrator stays.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`], [`Refusal::Invalid`], [`Refusal::WrongCredentials`],
    /// [`Refusal::TooManyAttempts`], [`Refusal::Overloaded`], [`Refusal::LastAdministrator`], or that it cannot be done
    /// now.
    pub async fn erase_own_account(
        &self,
        token: &str,
        password: Option<&str>,
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        let session = self.own_session_to_change(token).await?;
        let account = session.account();
        let proof = self.prove(account, password, context).await?;
        let authority = Authority::Owner(proof.epoch());
        let metadata = context.metadata(account.id);
        self.erase(account.id, authority, true, metadata)
            .await
            .map_err(gone)
    }

    /// Erases an account for an administrator, but not the last one's. One that was erased before is erased, and what may
    /// be left of it is looked for again.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`], [`Refusal::Forbidden`], [`Refusal::UnknownAccount`],
    /// [`Refusal::LastAdministrator`], or that it cannot be done now.
    pub async fn erase_account(
        &self,
        token: &str,
        user: UserId,
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        let administrator = self.administrator(token).await?;
        let metadata = context.metadata_by(administrator.id, user);
        self.erase(user, Authority::Administrator, true, metadata)
            .await
    }

    /// Erases an account for the operator, likewise; the last administrator's, too. Where it has very many sessions, this
    /// returns when the last of their rows is gone: the operator's program may be the only one that runs.
    ///
    /// # Errors
    /// [`Refusal::UnknownAccount`], or that it cannot be done now.
    pub async fn erase_account_as_operator(
        &self,
        user: UserId,
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        let metadata = context.metadata(user);
        self.erase(user, Authority::Administrator, false, metadata)
            .await?;
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
