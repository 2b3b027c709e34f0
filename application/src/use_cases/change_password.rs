//! Changing the password while signed in.

use authlog_domain::CredentialId;
use authlog_domain::user::{ChangePassword, UserCommand};

use super::accounts::AppendOptions;
use crate::access::OwnerNeeds;
use crate::ports::{Account, CredentialRecord};
use crate::{Authlog, Caller, OwnerProof, Refusal, RequestContext};

impl Authlog {
    /// The caller's account.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`], or [`Refusal::Unavailable`].
    pub async fn own_account(&self, caller: Caller) -> Result<Account, Refusal> {
        Ok(self.session_of(caller).await?.into_account())
    }

    /// Changes the password of a caller who knows the current one. Every other session of the account ends (ASVS 5.0,
    /// 7.4.3), and pending reset links become invalid.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`], [`Refusal::Invalid`] for the new password, [`Refusal::WrongCredentials`] for
    /// the current one, [`Refusal::SecondFactor`], [`Refusal::TooManyAttempts`], [`Refusal::Overloaded`], or [`Refusal::Unavailable`].
    pub async fn change_password(
        &self,
        caller: Caller,
        current: impl Into<OwnerProof<'_>>,
        new: Option<&str>,
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        let session = self.session_to_change(caller).await?;
        let account = session.account();
        let password = self.acceptable(new.unwrap_or_default(), account)?;
        let (current, needs) = (current.into(), OwnerNeeds::PasswordAndFactor);
        let owner = self
            .prove_current_owner(caller, &session, current, needs, context)
            .await?;
        let record = CredentialRecord {
            user: account.id,
            credential: CredentialId::new(self.parts.entropy.random_uuid()),
            hash: self.hash_new(password, context).await?,
        };
        let command = UserCommand::ChangePassword(ChangePassword {
            at: self.parts.clock.now(),
            credential: record.credential,
            session: session.id(),
            proved: owner.epoch,
        });
        let options = AppendOptions {
            credential: Some(record),
            ..AppendOptions::default()
        };
        let metadata = context.metadata_of(&owner.caller);
        self.decide(account.id, command, options, metadata)
            .await
            .map_err(gone)?;
        Ok(())
    }
}

/// Translates the refusal of a command on the caller's own account: if the account was erased meanwhile, so was the session,
/// and the access token is invalid.
pub(crate) fn gone(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::UnknownAccount => Refusal::InvalidAccessToken,
        other => other,
    }
}
