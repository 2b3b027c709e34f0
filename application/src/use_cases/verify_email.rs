//! Verifying an e-mail address by a mailed link, and changing the address by the same means.

use authlog_domain::user::{
    ConfirmEmail, PendingVerification, ProvedEpoch, RequestEmailVerification, UserCommand,
    VerificationLink,
};
use authlog_domain::{AuthenticationLevel, Email, Timestamp, UserId, Username, VerificationId};

use super::accounts::AppendOptions;
use super::change_password::gone;
use crate::access::OwnerNeeds;
use crate::ports::{Account, Attempt};
use crate::{
    Authlog, BrowserSession, Caller, Field, OwnerProof, Refusal, RequestContext, Violation,
};

/// What a verification link does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// It verifies the address of the account.
    Verifies,
    /// It changes the address of the account.
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

/// A link, with what its page shows about the account. The owner of the mailbox may not know the account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkOffer {
    /// The account.
    pub account: UserId,
    /// What the link does.
    pub link: Link,
    /// The account's username, if it has one.
    pub username: Option<Username>,
    /// When the account was registered.
    pub registered_at: Timestamp,
}

/// How a person who opens a link proves to own the account. Access to the mailbox does not suffice: if another person has
/// registered with this address, the account belongs to the person who knows its password.
#[derive(Clone, Copy)]
pub enum LinkProof<'a> {
    /// An access token of the account. Its session continues, and every other session ends.
    Session(&'a str),
    /// The browser session of a person who is signed in to the account. It continues, and every other session ends.
    Browser(&'a BrowserSession),
    /// The account's password. Every session ends.
    Password(&'a str),
}

impl Authlog {
    /// Whether a person can sign in only once the e-mail address is verified.
    pub fn requires_verified_email(&self) -> bool {
        self.settings.requires_verified_email
    }

    /// Requests a link for the caller's own address, unless it is already verified.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`]; [`Refusal::Invalid`] if the account has no address;
    /// [`Refusal::TooManyAttempts`]; or [`Refusal::Unavailable`].
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
        self.request_link(&caller, None, session.epoch(), context)
            .await
    }

    /// Requests a link that changes the address of the caller's account. It requires the password, because the new
    /// address can be used to reset it.
    ///
    /// The answer does not depend on whether another account has the address, which is looked up when the mail is
    /// composed. If the address is taken, no link is sent, and its owner gets a notice.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`]; [`Refusal::Invalid`] for the address; [`Refusal::WrongCredentials`] for the
    /// password; [`Refusal::SecondFactor`]; [`Refusal::TooManyAttempts`]; [`Refusal::Overloaded`]; or [`Refusal::Unavailable`].
    pub async fn request_email_change(
        &self,
        caller: Caller,
        proof: impl Into<OwnerProof<'_>>,
        email: Option<&str>,
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        let session = self.session_to_change(caller).await?;
        let email = Email::parse(email.unwrap_or_default()).map_err(|flaw| {
            Refusal::Invalid(vec![Violation {
                field: Field::Email,
                flaw,
            }])
        })?;
        // A wrong password does not count against the address, which may belong to another person. The limit counts all
        // requests for the address, so it does not show who has it.
        let (proof, needs) = (proof.into(), OwnerNeeds::PasswordAndFactor);
        let owner = self
            .prove_current_owner(caller, &session, proof, needs, context)
            .await?;
        self.admit_mail_to(&email, context)?;
        self.request_link(&owner.caller, Some(email), owner.epoch, context)
            .await
    }

    /// What the link of this token does, and to which account.
    ///
    /// # Errors
    /// [`Refusal::InvalidVerificationToken`], or [`Refusal::Unavailable`].
    pub async fn read_link(&self, token: &str) -> Result<LinkOffer, Refusal> {
        let (account, _, link) = self.pending_verification(token).await?;
        Ok(LinkOffer {
            account: account.id,
            link,
            username: account.username,
            registered_at: account.created_at,
        })
    }

    /// Applies the link of this token. All sessions end except the one in `proof`.
    ///
    /// # Errors
    /// [`Refusal::InvalidVerificationToken`]; [`Refusal::WrongCredentials`] for the proof, and the refusals of a
    /// password check; [`Refusal::IdentifierTaken`] if another account got the address meanwhile; or
    /// [`Refusal::Unavailable`].
    pub async fn follow_link(
        &self,
        token: &str,
        proof: LinkProof<'_>,
        context: &RequestContext,
    ) -> Result<Link, Refusal> {
        let (account, verification, link) = self.pending_verification(token).await?;
        let (proved, caller) = self.prove_for_link(&account, proof, context).await?;
        let command = UserCommand::ConfirmEmail(ConfirmEmail {
            at: self.parts.clock.now(),
            verification,
            proved,
            kept: caller.map(|caller| caller.session()),
        });
        let metadata = match &caller {
            Some(caller) => context.metadata_of(caller),
            None => context.metadata_at(account.id, AuthenticationLevel::Aal1),
        };
        self.decide(account.id, command, AppendOptions::default(), metadata)
            .await
            .map_err(|refusal| match refusal {
                // The account was erased meanwhile.
                Refusal::UnknownAccount => Refusal::InvalidVerificationToken,
                other => other,
            })?;
        Ok(link)
    }

    /// Requests a reset link to the address that the link of this token would verify, for a person who has the mailbox
    /// but does not know the password of the account registered with it. Setting a password by that link verifies the
    /// address and replaces the old password.
    ///
    /// # Errors
    /// [`Refusal::InvalidVerificationToken`], [`Refusal::TooManyAttempts`], or [`Refusal::Unavailable`].
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

    /// A new link, valid from `at` on.
    pub(crate) fn new_link(&self, at: Timestamp) -> VerificationLink {
        VerificationLink {
            verification: VerificationId::new(self.parts.entropy.random_uuid()),
            expires_at: at.plus(self.settings.verification_lifetime),
        }
    }

    /// The command that requests a link for the current address of an account.
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
        caller: &Caller,
        email: Option<Email>,
        proved: ProvedEpoch,
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        let command = UserCommand::RequestEmailVerification(RequestEmailVerification {
            email,
            ..self.own_address_link(proved)
        });
        let metadata = context.metadata_of(caller);
        self.decide(caller.user(), command, AppendOptions::default(), metadata)
            .await
            .map_err(gone)?;
        Ok(())
    }

    /// The epoch under which the account was proved, and the caller, if the proof is a session.
    async fn prove_for_link(
        &self,
        account: &Account,
        proof: LinkProof<'_>,
        context: &RequestContext,
    ) -> Result<(ProvedEpoch, Option<Caller>), Refusal> {
        let caller = match proof {
            LinkProof::Session(token) => self.authenticate(token).await,
            LinkProof::Browser(session) => Ok(session.caller()),
            LinkProof::Password(password) => {
                let proof = self.prove(account, Some(password), context).await?;
                return Ok((proof.epoch(), None));
            }
        };
        let session = async {
            let caller = caller?;
            Ok((caller, self.session_of(caller).await?))
        };
        match session.await {
            Ok((caller, session)) if session.account().id == account.id => {
                Ok((session.epoch(), Some(caller)))
            }
            Ok(_) | Err(Refusal::InvalidAccessToken) => Err(Refusal::wrong_password()),
            Err(refusal) => Err(refusal),
        }
    }

    /// Limits requests for mail. The mail gate limits the mail to one mailbox when a mail is composed.
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
