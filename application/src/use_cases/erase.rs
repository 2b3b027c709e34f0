//! Erasing an account: the person is forgotten, what happened stays.

use std::collections::HashMap;

use authlog_domain::UserId;
use authlog_domain::user::{Erase, UserCommand, UserEvent};

use super::sign_in::checked;
use crate::ports::{Account, Guess, Identifier, Revocation};
use crate::{Authlog, Field, Password, Refusal, RequestContext, Violation};

impl Authlog {
    /// Erases the account of whoever bears this access token and knows the account's password: what cannot be undone
    /// must not be done with a token that was left lying about.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`], [`Refusal::Invalid`], [`Refusal::WrongCredentials`],
    /// [`Refusal::TooManyAttempts`], [`Refusal::Overloaded`], or that it cannot be done now.
    pub async fn erase_own_account(
        &self,
        token: &str,
        password: Option<&str>,
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        let caller = self.authenticate_to_change(token).await?;
        let account = self.parts.directory.account(caller.user).await?;
        let account = account.ok_or(Refusal::InvalidAccessToken)?;
        self.prove(&account, password, context).await?;
        self.erase(account.id, context.metadata(account.id)).await
    }

    /// Erases an account for an administrator. One that was erased before is erased, and what may be left of it is
    /// looked for again.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`], [`Refusal::Forbidden`], [`Refusal::UnknownAccount`], or that it cannot be done
    /// now.
    pub async fn erase_account(
        &self,
        token: &str,
        user: UserId,
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        let administrator = self.administrator(token).await?;
        let metadata = context.metadata_by(administrator.id, user);
        self.erase(user, metadata).await
    }

    /// Erases an account for the operator, likewise.
    ///
    /// # Errors
    /// [`Refusal::UnknownAccount`], or that it cannot be done now.
    pub async fn erase_account_as_operator(
        &self,
        user: UserId,
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        self.erase(user, context.metadata(user)).await
    }

    /// Refuses whoever does not know the account's password; guessing counts as it does at the login.
    pub(crate) async fn prove(
        &self,
        account: &Account,
        password: Option<&str>,
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        let password = Password::parse(password.unwrap_or_default()).map_err(|flaw| {
            Refusal::Invalid(vec![Violation {
                field: Field::Password,
                flaw,
            }])
        })?;
        let identifier = Identifier::parse(account.sign_in_name());
        let identifier = identifier.ok_or(Refusal::UnknownAccount)?;
        let name = identifier.comparable();
        let guess = Guess {
            address: context.address,
            identifier: &name,
        };
        let reserved = self.reserve(guess)?;
        let (reserved, found) = self.look_up(reserved, Some(&identifier)).await?;
        let hash = found
            .filter(|record| record.account.id == account.id)
            .and_then(|record| record.hash);
        let client = context.hashing_client();
        let verified = self.parts.hasher.verify(password, hash, &client).await;
        match checked(reserved, verified)? {
            (reserved, true) => {
                reserved.was_right();
                Ok(())
            }
            (reserved, false) => {
                reserved.was_wrong();
                Err(Refusal::WrongCredentials {
                    password_too_short: None,
                })
            }
        }
    }

    /// The store forgets the person together with the event; what this node has besides goes afterwards, and again if
    /// it is asked again.
    async fn erase(&self, user: UserId, metadata: HashMap<String, String>) -> Result<(), Refusal> {
        let command = Erase {
            at: self.parts.clock.now(),
        };
        let metadata = &metadata;
        let events = self
            .journal
            .record(&user.to_string(), |mut work| async move {
                let command = UserCommand::Erase(command);
                let events = work
                    .execute_on_account(user, command, metadata.clone())
                    .await?;
                work.commit().await?;
                Ok(events)
            })
            .await?;
        if let [UserEvent::UserErased(event)] = events.as_slice() {
            let epoch = event.session_epoch;
            self.revocation_list
                .add(Revocation::Erased { user, epoch }, command.at);
        }
        Ok(self.parts.kept_mail.forget(user).await?)
    }
}
