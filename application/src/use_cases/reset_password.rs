//! Resetting a forgotten password.

use authlog_domain::user::{ResetPassword, UserCommand};
use authlog_domain::{CredentialId, Email, Flaw, ResetId};

use super::accounts::AppendOptions;
use crate::ports::{
    Account, Attempt, BreachLookup, CredentialRecord, Identifier, PasswordHash, ResetRequest,
};
use crate::{Authlog, Field, NewPassword, Password, Refusal, RequestContext, Violation};

impl Authlog {
    /// Requests a reset link for the account that `identifier` names. The answer and its time do not depend on whether
    /// the account exists or has an e-mail address: the request is only queued here.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] if the identifier is empty or too long, [`Refusal::TooManyAttempts`], or
    /// [`Refusal::Unavailable`].
    pub async fn request_password_reset(
        &self,
        identifier: Option<&str>,
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        let typed = identifier.unwrap_or_default().trim();
        let invalid = |flaw| {
            Refusal::Invalid(vec![Violation {
                field: Field::Username,
                flaw,
            }])
        };
        if typed.is_empty() {
            return Err(invalid(Flaw::Required));
        }
        if typed.chars().count() > Email::MAX_LENGTH {
            return Err(invalid(Flaw::TooLong {
                max: Email::MAX_LENGTH,
            }));
        }
        let name = Identifier::parse(typed).map(|identifier| identifier.comparable());
        self.admit(Attempt::RequestMail {
            address: context.address,
            identifier: name.as_deref().unwrap_or(typed),
        })?;
        // Text that cannot name an account is not queued: PostgreSQL rejects text with a NUL.
        if name.is_none() {
            return Ok(());
        }
        let request = ResetRequest {
            reset: ResetId::new(self.parts.entropy.random_uuid()),
            identifier: typed.to_owned(),
            at: self.parts.clock.now(),
            context: context.clone(),
            attempts: 0,
            unacknowledged: 0,
        };
        self.parts.reset_requests.enqueue(&request).await?;
        self.reset_requested.notify_one();
        Ok(())
    }

    /// The account of a reset token, if the token is valid now.
    ///
    /// # Errors
    /// [`Refusal::InvalidResetToken`], or [`Refusal::Unavailable`].
    pub async fn verify_reset_token(&self, token: &str) -> Result<Account, Refusal> {
        self.pending_reset(token).await.map(|(account, _)| account)
    }

    /// Sets a new password and ends every session of the account.
    ///
    /// # Errors
    /// [`Refusal::InvalidResetToken`], [`Refusal::Invalid`], [`Refusal::Overloaded`], or [`Refusal::Unavailable`].
    pub async fn reset_password(
        &self,
        token: &str,
        new_password: Option<&str>,
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        let (account, reset) = self.pending_reset(token).await?;
        let password = self.acceptable(new_password.unwrap_or_default(), &account)?;
        let hash = self.hash_new(password, context).await?;
        let record = CredentialRecord {
            user: account.id,
            credential: CredentialId::new(self.parts.entropy.random_uuid()),
            hash,
        };
        let command = UserCommand::ResetPassword(ResetPassword {
            at: self.parts.clock.now(),
            reset,
            credential: record.credential,
        });
        let options = AppendOptions {
            credential: Some(record),
            ..AppendOptions::default()
        };
        let metadata = context.metadata(account.id);
        self.decide(account.id, command, options, metadata)
            .await
            .map_err(|refusal| match refusal {
                // The account was erased meanwhile.
                Refusal::UnknownAccount => Refusal::InvalidResetToken,
                other => other,
            })?;
        Ok(())
    }

    async fn pending_reset(&self, token: &str) -> Result<(Account, ResetId), Refusal> {
        let (user, reset) = self
            .parts
            .secrets
            .parse_reset_token(token)
            .ok_or(Refusal::InvalidResetToken)?;
        let now = self.parts.clock.now();
        self.parts
            .directory
            .account(user)
            .await?
            .filter(|account| {
                account
                    .pending_reset
                    .is_some_and(|pending| pending.allows(reset, now))
            })
            .map(|account| (account, reset))
            .ok_or(Refusal::InvalidResetToken)
    }

    /// The new password of `account`, after the cheap checks. [`Self::hash_new`] checks whether it is hard to guess.
    pub(crate) fn acceptable(
        &self,
        new_password: &str,
        account: &Account,
    ) -> Result<NewPassword, Refusal> {
        let own_words = [account.sign_in_name(), account.display_name()];
        Password::parse(new_password)
            .and_then(|password| self.settings.password_policy.admit(password, &own_words))
            .map_err(Refusal::of_password)
    }

    /// Refuses a new password that is on the list of breached ones. If the list cannot be read, the password is accepted
    /// (`docs/adr/0031`).
    ///
    /// # Errors
    /// [`Refusal::Invalid`] with [`Flaw::Breached`].
    pub(crate) async fn refuse_breached(&self, password: &NewPassword) -> Result<(), Refusal> {
        let Some(list) = &self.parts.breached_passwords else {
            return Ok(());
        };
        match list.look_up(password.unchecked()).await {
            BreachLookup::Listed => Err(Refusal::of_password(Flaw::Breached)),
            BreachLookup::NotListed | BreachLookup::Unknown => Ok(()),
        }
    }

    /// Checks and hashes a new password on the hashing threads.
    pub(crate) async fn hash_new(
        &self,
        password: NewPassword,
        context: &RequestContext,
    ) -> Result<PasswordHash, Refusal> {
        self.refuse_breached(&password).await?;
        let client = context.hashing_client();
        let hash = self.parts.hasher.hash(password, &client).await?;
        hash.map_err(Refusal::of_password)
    }
}
