//! Setting another password while signed in.

use authlog_domain::CredentialId;
use authlog_domain::user::{ChangePassword, UserCommand};

use super::accounts::Besides;
use super::authenticate::Authenticated;
use crate::ports::{Account, Attempt, CredentialRecord, SessionStanding};
use crate::{Authlog, Refusal, RequestContext};

impl Authlog {
    /// The account of whoever bears this access token.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`], or that it cannot be told now.
    pub async fn own_account(&self, token: &str) -> Result<Account, Refusal> {
        Ok(self.own_standing(token).await?.account)
    }

    /// The session of this access token and its account, as they stand at one moment: whoever decides on the account by
    /// that can tell whether it was taken back meanwhile.
    pub(crate) async fn own_standing(&self, token: &str) -> Result<SessionStanding, Refusal> {
        let caller = self.authenticate(token).await?;
        self.standing_of(caller).await
    }

    /// As [`Self::own_standing`], for a command about the account or its sessions.
    pub(crate) async fn own_standing_to_change(
        &self,
        token: &str,
    ) -> Result<SessionStanding, Refusal> {
        let caller = self.authenticate_to_change(token).await?;
        self.standing_of(caller).await
    }

    /// Who bears this access token. The command counts against the account's budget, before anything is looked up.
    pub(crate) async fn authenticate_to_change(
        &self,
        token: &str,
    ) -> Result<Authenticated, Refusal> {
        let caller = self.authenticate(token).await?;
        self.admit(Attempt::ChangeOwnAccount {
            account: caller.user,
        })?;
        Ok(caller)
    }

    pub(crate) async fn standing_of(
        &self,
        caller: Authenticated,
    ) -> Result<SessionStanding, Refusal> {
        let standing = self.parts.directory.session(caller.session).await?;
        let now = self.parts.clock.now();
        standing
            .filter(|standing| standing.is_live(now))
            .ok_or(Refusal::InvalidAccessToken)
    }

    /// Sets another password for whoever bears this access token and knows the current one. Every session of the account
    /// ends but the one in which it is done (ASVS 5.0, 7.4.3), and so does every link that was mailed to reset it.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`], [`Refusal::Invalid`] for the new password, [`Refusal::WrongCredentials`] for the
    /// current one, [`Refusal::TooManyAttempts`], [`Refusal::Overloaded`], or that it cannot be done now.
    pub async fn change_password(
        &self,
        token: &str,
        current: Option<&str>,
        new: Option<&str>,
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        let SessionStanding { session, account } = self.own_standing_to_change(token).await?;
        let password = self.acceptable(new.unwrap_or_default(), &account)?;
        self.prove_current(&account, current, context).await?;
        let record = CredentialRecord {
            user: account.id,
            credential: CredentialId::new(self.parts.entropy.random_uuid()),
            hash: self.hash_new(password, context).await?,
        };
        let command = UserCommand::ChangePassword(ChangePassword {
            at: self.parts.clock.now(),
            credential: record.credential,
            session: session.id,
            account_epoch: account.session_epoch,
        });
        let besides = Besides {
            credential: Some(record),
            ..Besides::default()
        };
        let metadata = context.metadata(account.id);
        self.decide(account.id, command, besides, metadata)
            .await
            .map_err(gone)?;
        Ok(())
    }

    /// Refuses whoever does not know the account's password; one that cannot be a password is not it.
    pub(crate) async fn prove_current(
        &self,
        account: &Account,
        password: Option<&str>,
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        self.prove(account, password, context)
            .await
            .map_err(|refusal| match refusal {
                Refusal::Invalid(_) => Refusal::WrongCredentials {
                    password_too_short: None,
                },
                other => other,
            })
    }
}

/// The account was erased meanwhile, and its sessions with it.
pub(crate) fn gone(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::UnknownAccount => Refusal::InvalidAccessToken,
        other => other,
    }
}
