//! Proving by a mailed link that an e-mail address is the account's own, and changing the address by the same proof.

use authlog_domain::user::{
    ConfirmEmail, PendingVerification, ProvedEpoch, RequestEmailVerification, UserCommand,
    VerificationLink,
};
use authlog_domain::{Email, SessionId, Timestamp, UserId, Username, VerificationId};

use super::accounts::Besides;
use super::change_password::gone;
use crate::access::ProvedSession;
use crate::ports::{Account, Attempt};
use crate::{Authlog, Caller, Field, Refusal, RequestContext, Violation};

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

/// A link, and what its page says about the account for which it was asked: the owner of the mailbox may not know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkOffer {
    /// What following it does.
    pub link: Link,
    /// The account's username, where it has one.
    pub username: Option<Username>,
    /// When the account was registered.
    pub registered_at: Timestamp,
}

/// How the person who follows a link shows that the account is theirs. The mailbox alone does not: another person may
/// have registered with its address, and knows the password.
#[derive(Clone, Copy)]
pub enum LinkProof<'a> {
    /// By an access token of the account. Its session goes on, and every other one ends.
    Session(&'a str),
    /// By the account's password. Every session ends.
    Password(&'a str),
}

impl Authlog {
    /// Has a link mailed to the bearer's own address, if it is not verified yet.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`]; [`Refusal::Invalid`] where the account has no address;
    /// [`Refusal::TooManyAttempts`]; or that it cannot be done now.
    pub async fn request_email_verification(
        &self,
        caller: Caller,
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        let session = self.session_to_change(caller).await?;
        let account = session.account();
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
        self.request_link(account.id, None, session.epoch(), context)
            .await
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
        caller: Caller,
        password: Option<&str>,
        email: Option<&str>,
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        let session = self.session_to_change(caller).await?;
        let account = session.account();
        let email = Email::parse(email.unwrap_or_default()).map_err(|flaw| {
            Refusal::Invalid(vec![Violation {
                field: Field::Email,
                flaw,
            }])
        })?;
        // A wrong password uses up nothing of the address, which may be another person's. The limit counts all requests for
        // it, and so tells nothing of whose it is.
        let proof = self.prove_current(account, password, context).await?;
        self.admit_mail_to(&email, context)?;
        self.request_link(account.id, Some(email), proof.epoch(), context)
            .await
    }

    /// What following the link of this token would do, and to which account.
    ///
    /// # Errors
    /// [`Refusal::InvalidVerificationToken`], or that it cannot be told now.
    pub async fn read_link(&self, token: &str) -> Result<LinkOffer, Refusal> {
        let (account, _, link) = self.pending_verification(token).await?;
        Ok(LinkOffer {
            link,
            username: account.username,
            registered_at: account.created_at,
        })
    }

    /// Follows the link of this token. Sessions that were started before end, but for the one that follows it.
    ///
    /// # Errors
    /// [`Refusal::InvalidVerificationToken`]; [`Refusal::WrongCredentials`] for the proof, and what is said of a password
    /// elsewhere; [`Refusal::IdentifierTaken`] where another account got the address meanwhile; or that it cannot be done now.
    pub async fn follow_link(
        &self,
        token: &str,
        proof: LinkProof<'_>,
        context: &RequestContext,
    ) -> Result<Link, Refusal> {
        let (account, verification, link) = self.pending_verification(token).await?;
        let (proved, kept) = self.prove_for_link(&account, proof, context).await?;
        let command = UserCommand::ConfirmEmail(ConfirmEmail {
            at: self.parts.clock.now(),
            verification,
            proved,
            kept,
        });
        let metadata = context.metadata(account.id);
        self.decide(account.id, command, Besides::default(), metadata)
            .await
            .map_err(|refusal| match refusal {
                // The account was erased meanwhile.
                Refusal::UnknownAccount => Refusal::InvalidVerificationToken,
                other => other,
            })?;
        Ok(link)
    }

    /// Has a link to set a new password mailed to the address that the link of this token would verify: for a person who
    /// has the mailbox and does not know the password of the account that was registered with it. A password that is
    /// set by that link verifies the address, and the password of before is good no more.
    ///
    /// # Errors
    /// [`Refusal::InvalidVerificationToken`], [`Refusal::TooManyAttempts`], or that it cannot be done now.
    pub async fn request_reset_by_link(
        &self,
        token: &str,
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        let (account, _, link) = self.pending_verification(token).await?;
        let own_address = account.email.filter(|_| link == Link::Verifies);
        let email = own_address.ok_or(Refusal::InvalidVerificationToken)?;
        self.request_password_reset(Some(email.as_str()), context)
            .await
    }

    /// A link that is good from `at` on.
    pub(crate) fn new_link(&self, at: Timestamp) -> VerificationLink {
        VerificationLink {
            verification: VerificationId::new(self.parts.entropy.random_uuid()),
            expires_at: at.plus(self.settings.verification_lifetime),
        }
    }

    /// A wish for a link about the address that an account has.
    pub(crate) fn own_address_link(&self, proved: ProvedEpoch) -> RequestEmailVerification {
        let at = self.parts.clock.now();
        RequestEmailVerification {
            at,
            link: self.new_link(at),
            email: None,
            proved,
        }
    }

    async fn request_link(
        &self,
        user: UserId,
        email: Option<Email>,
        proved: ProvedEpoch,
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        let command = UserCommand::RequestEmailVerification(RequestEmailVerification {
            email,
            ..self.own_address_link(proved)
        });
        let metadata = context.metadata(user);
        self.decide(user, command, Besides::default(), metadata)
            .await
            .map_err(gone)?;
        Ok(())
    }

    /// The epoch under which the account was proved, and the session that was.
    async fn prove_for_link(
        &self,
        account: &Account,
        proof: LinkProof<'_>,
        context: &RequestContext,
    ) -> Result<(ProvedEpoch, Option<SessionId>), Refusal> {
        match proof {
            LinkProof::Session(token) => {
                let is_own = |session: &ProvedSession| session.account().id == account.id;
                let session = async { self.session_of(self.authenticate(token).await?).await };
                match session.await {
                    Ok(session) if is_own(&session) => Ok((session.epoch(), Some(session.id()))),
                    Ok(_) | Err(Refusal::InvalidAccessToken) => Err(Refusal::WrongCredentials {
                        password_too_short: None,
                    }),
                    Err(refusal) => Err(refusal),
                }
            }
            LinkProof::Password(password) => {
                let proof = self.prove(account, Some(password), context).await?;
                Ok((proof.epoch(), None))
            }
        }
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
    ) -> Result<(Account, VerificationId, Link), Refusal> {
        let (user, verification) = self
            .parts
            .secrets
            .parse_verification_token(token)
            .ok_or(Refusal::InvalidVerificationToken)?;
        let now = self.parts.clock.now();
        let account = self.parts.directory.account(user).await?;
        let account = account.ok_or(Refusal::InvalidVerificationToken)?;
        let link = account
            .pending_verification
            .as_ref()
            .filter(|pending| pending.allows(verification, now))
            .map(Link::of)
            .ok_or(Refusal::InvalidVerificationToken)?;
        Ok((account, verification, link))
    }
}
