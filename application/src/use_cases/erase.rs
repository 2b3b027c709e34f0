//! Erasing an account: the person is forgotten, what happened stays.

use std::collections::HashMap;

use authlog_domain::user::{Erase, UserCommand, UserEvent};
use authlog_domain::{User, UserId};

use crate::ports::{Account, Attempt, Identifier, Revocation};
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
        let caller = self.authenticate(token).await?;
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
        let attempt = Attempt::SignIn {
            address: context.address,
            identifier: &name,
        };
        self.admit(attempt)?;
        let found = self.parts.directory.find_for_sign_in(&identifier).await?;
        let hash = found
            .filter(|record| record.account.id == account.id)
            .map(|record| record.hash);
        let client = context.hashing_client();
        if self.parts.hasher.verify(password, hash, &client).await? {
            return Ok(());
        }
        self.parts.limiter.failed(attempt);
        Err(Refusal::WrongCredentials {
            password_too_short: None,
        })
    }

    /// The store forgets the person together with the event; what this node has besides goes afterwards, and again if
    /// it is asked again.
    async fn erase(&self, user: UserId, metadata: HashMap<String, String>) -> Result<(), Refusal> {
        let command = Erase {
            at: self.parts.clock.now(),
        };
        let id = user.to_string();
        let (id, metadata) = (id.as_str(), &metadata);
        let events = self
            .journal
            .record(id, |work| async move {
                let events = work
                    .execute::<User>(id, UserCommand::Erase(command), metadata.clone())
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
