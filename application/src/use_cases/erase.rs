//! Erasing an account: the personal data is deleted, the events stay.

use std::collections::HashMap;

use authlog_domain::UserId;
use authlog_domain::user::{Authority, Erase, UserCommand};

use super::accounts::AppendOptions;
use super::change_password::gone;
use crate::access::OwnerNeeds;
use crate::workers::continue_erasures;
use crate::{Authlog, Caller, ChangesAccounts, Operator, OwnerProof, Refusal, RequestContext};

impl Authlog {
    /// Erases the account of a caller who knows its password: a stolen token or a replaced password must not suffice
    /// for a step that cannot be undone. The last administrator cannot be erased.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`], [`Refusal::Invalid`], [`Refusal::WrongCredentials`], [`Refusal::SecondFactor`],
    /// [`Refusal::TooManyAttempts`], [`Refusal::Overloaded`], [`Refusal::LastAdministrator`], or
    /// [`Refusal::Unavailable`].
    pub async fn erase_own_account(
        &self,
        caller: Caller,
        proof: impl Into<OwnerProof<'_>>,
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        let session = self.session_to_change(caller).await?;
        let needs = OwnerNeeds::PasswordAndFactor;
        let owner = self
            .prove_owner(caller, &session, proof.into(), needs, context)
            .await?;
        let authority = Authority::Owner(owner.epoch);
        let metadata = context.metadata_of(&owner.caller);
        self.erase(caller.user(), authority, true, metadata)
            .await
            .map_err(gone)
    }

    /// Erases an account. If it was erased before, data that remained is deleted.
    ///
    /// # Errors
    /// [`Refusal::UnknownAccount`], [`Refusal::LastAdministrator`], or [`Refusal::Unavailable`].
    pub async fn erase_account(
        &self,
        by: &impl ChangesAccounts,
        user: UserId,
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        let keeps_last = !by.may_remove_last_administrator();
        let metadata = by.metadata(context, user);
        self.erase(user, by.authority(), keeps_last, metadata).await
    }

    /// Deletes the remaining session rows of erased accounts, and returns when none is left. The command line needs this,
    /// because a service that would do it in the background may not be running.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`].
    pub async fn finish_erasures(&self, _by: &Operator) -> Result<(), Refusal> {
        Ok(continue_erasures(&*self.parts.housekeeping).await?)
    }

    /// The store deletes the personal data in the commit of the event. Local copies of mail are deleted afterwards, and again
    /// when the erasure is repeated.
    async fn erase(
        &self,
        user: UserId,
        authority: Authority,
        requires_other_admin: bool,
        metadata: HashMap<String, String>,
    ) -> Result<(), Refusal> {
        let command = UserCommand::Erase(Erase {
            at: self.parts.clock.now(),
            authority,
        });
        let options = AppendOptions {
            requires_other_admin,
            ..AppendOptions::default()
        };
        self.decide(user, command, options, metadata).await?;
        self.sessions_left.notify_one();
        Ok(self.parts.local_mail.forget(user).await?)
    }
}
