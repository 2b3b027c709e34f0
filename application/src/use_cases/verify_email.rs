//! Proving by a mailed link that an e-mail address is the account's own, and changing the address by the same proof.

use authlog_domain::user::{
    ConfirmEmail, PendingVerification, RequestEmailVerification, UserCommand,
};
use authlog_domain::{Email, UserId, VerificationId};

use super::accounts::Besides;
use super::change_password::gone;
use crate::ports::{Account, Attempt};
use crate::{Authlog, Field, Refusal, RequestContext, Violation};

/// What following a link does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// It says that the account's address is its person's.
    Verifies,
    /// It gives the account another address.
    ChangesAddress,
}

impl Link {
    fn of(pending: &PendingVerification) -> Self {
        match pending.email {
            None => Self::Verifies,
            Some(_) => Self::ChangesAddress,
        }
    }
}

impl Authlog {
    /// Has a link mailed to the bearer's own address, if it is not verified yet.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`]; [`Refusal::Invalid`] where the account has no address;
    /// [`Refusal::TooManyAttempts`]; or that it cannot be done now.
    pub async fn request_email_verification(
        &self,
        token: &str,
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        let account = self.own_standing_to_change(token).await?.account;
        let Some(email) = &account.email else {
            return Err(Refusal::Invalid(vec![Violation {
                field: Field::Email,
                flaw: authlog_domain::Flaw::Required,
            }]));
        };
        if account.email_verified {
            return Ok(());
        }
        self.admit_mail_to(email, context)?;
        self.request_link(&account, None, context).await
    }

    /// Has a link mailed to another address, by which the bearer's own account gets that address. It takes the password,
    /// because the new address can reset it.
    ///
    /// Nothing here tells whether another account has the address: it is not looked up before the mail is made. No link is
    /// mailed to an address that is taken, and its owner gets a notice instead.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`]; [`Refusal::Invalid`] for the address; [`Refusal::WrongCredentials`] for the
    /// password; [`Refusal::TooManyAttempts`]; [`Refusal::Overloaded`]; or that it cannot be done now.
    pub async fn request_email_change(
        &self,
        token: &str,
        password: Option<&str>,
        email: Option<&str>,
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        let account = self.own_standing_to_change(token).await?.account;
        let email = Email::parse(email.unwrap_or_default()).map_err(|flaw| {
            Refusal::Invalid(vec![Violation {
                field: Field::Email,
                flaw,
            }])
        })?;
        // A wrong password uses up nothing of the address, which may be another person's. The limit counts all requests for
        // it, and so tells nothing of whose it is.
        self.prove_current(&account, password, context).await?;
        self.admit_mail_to(&email, context)?;
        self.request_link(&account, Some(email), context).await
    }

    /// What following the link of this token would do.
    ///
    /// # Errors
    /// [`Refusal::InvalidVerificationToken`], or that it cannot be told now.
    pub async fn read_link(&self, token: &str) -> Result<Link, Refusal> {
        let (_, _, link) = self.pending_verification(token).await?;
        Ok(link)
    }

    /// Follows the link of this token.
    ///
    /// # Errors
    /// [`Refusal::InvalidVerificationToken`]; [`Refusal::IdentifierTaken`] where somebody got the address meanwhile; or
    /// that it cannot be done now.
    pub async fn follow_link(
        &self,
        token: &str,
        context: &RequestContext,
    ) -> Result<Link, Refusal> {
        let (user, verification, link) = self.pending_verification(token).await?;
        let command = UserCommand::ConfirmEmail(ConfirmEmail {
            at: self.parts.clock.now(),
            verification,
        });
        let metadata = context.metadata(user);
        self.decide(user, command, Besides::default(), metadata)
            .await
            .map_err(|refusal| match refusal {
                // The account was erased meanwhile.
                Refusal::UnknownAccount => Refusal::InvalidVerificationToken,
                other => other,
            })?;
        Ok(link)
    }

    /// A wish for a link about the address that an account has.
    pub(crate) fn new_verification(&self) -> RequestEmailVerification {
        let at = self.parts.clock.now();
        RequestEmailVerification {
            at,
            verification: VerificationId::new(self.parts.entropy.random_uuid()),
            email: None,
            expires_at: at.plus(self.settings.verification_lifetime),
            account_epoch: None,
        }
    }

    async fn request_link(
        &self,
        account: &Account,
        email: Option<Email>,
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        let command = UserCommand::RequestEmailVerification(RequestEmailVerification {
            account_epoch: email.as_ref().map(|_| account.session_epoch),
            email,
            ..self.new_verification()
        });
        let metadata = context.metadata(account.id);
        self.decide(account.id, command, Besides::default(), metadata)
            .await
            .map_err(gone)?;
        Ok(())
    }

    /// Limits requests for mail. How much mail one mailbox is sent is decided by the gate when the mail is made.
    fn admit_mail_to(&self, email: &Email, context: &RequestContext) -> Result<(), Refusal> {
        self.admit(Attempt::RequestMail {
            address: context.address,
            identifier: &email.comparable(),
        })
    }

    async fn pending_verification(
        &self,
        token: &str,
    ) -> Result<(UserId, VerificationId, Link), Refusal> {
        let (user, verification) = self
            .parts
            .secrets
            .parse_verification_token(token)
            .ok_or(Refusal::InvalidVerificationToken)?;
        let now = self.parts.clock.now();
        let account = self.parts.directory.account(user).await?;
        account
            .and_then(|account| account.pending_verification)
            .filter(|pending| pending.allows(verification, now))
            .map(|pending| (user, verification, Link::of(&pending)))
            .ok_or(Refusal::InvalidVerificationToken)
    }
}
