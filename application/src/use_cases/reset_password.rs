//! Resetting a forgotten password.

use authlog_domain::user::{ResetPassword, UserCommand, UserRefusal, VERIFICATION_REQUEST_WINDOW};
use authlog_domain::{CredentialId, Email, Flaw, ResetId};

use super::accounts::Besides;
use crate::ports::{Account, Attempt, CredentialRecord, Identifier, PasswordHash, ResetRequest};
use crate::{Authlog, Field, NewPassword, Password, Refusal, RequestContext, Violation};

impl Authlog {
    /// Has a link sent to whoever is called `identifier`, if anybody is and has an e-mail address. The answer does not
    /// tell, and takes as long either way: what was asked for is only written down here.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] where nothing was typed, [`Refusal::TooManyAttempts`], or that it cannot be done now.
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
        // Nobody is called what is no name, and no store need take it: PostgreSQL has no text with a NUL in it.
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

    /// Whether a reset token would be taken now.
    ///
    /// # Errors
    /// [`Refusal::InvalidResetToken`], or that it cannot be told now.
    pub async fn verify_reset_token(&self, token: &str) -> Result<Account, Refusal> {
        self.pending_reset(token).await.map(|(account, _)| account)
    }

    /// Sets a new password and ends every session of the account.
    ///
    /// # Errors
    /// [`Refusal::InvalidResetToken`], [`Refusal::Invalid`], [`Refusal::Overloaded`], or that it cannot be done now.
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
        let besides = Besides {
            credential: Some(record),
            ..Besides::default()
        };
        let metadata = context.metadata(account.id);
        self.decide(account.id, command, besides, metadata)
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

    /// The new password of `account` as typed. How hard it is to guess is checked by [`Self::hash_new`].
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

    /// Has the hasher check and hash a new password.
    pub(crate) async fn hash_new(
        &self,
        password: NewPassword,
        context: &RequestContext,
    ) -> Result<PasswordHash, Refusal> {
        let client = context.hashing_client();
        let hash = self.parts.hasher.hash(password, &client).await?;
        hash.map_err(Refusal::of_password)
    }
}

impl From<UserRefusal> for Refusal {
    fn from(refusal: UserRefusal) -> Self {
        match refusal {
            UserRefusal::AlreadyRegistered | UserRefusal::NotRegistered | UserRefusal::Erased => {
                Self::UnknownAccount
            }
            UserRefusal::ResetNotPending
            | UserRefusal::AddressChanged
            | UserRefusal::TooManyResetRequests => Self::InvalidResetToken,
            // The password that was proved, or the session, is that of before.
            UserRefusal::EpochPassed => Self::WrongCredentials {
                password_too_short: None,
            },
            UserRefusal::VerificationNotPending => Self::InvalidVerificationToken,
            UserRefusal::TooManyVerificationRequests => Self::TooManyAttempts {
                retry_after: VERIFICATION_REQUEST_WINDOW,
            },
        }
    }
}
