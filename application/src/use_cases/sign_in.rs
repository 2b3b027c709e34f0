//! Signing in with a password.

use authlog_domain::refused_logins::LoginRefusalReason;
use authlog_domain::{Email, Flaw, UserId};

use super::RefusedLogin;
use crate::ports::{Account, Attempt, Identifier};
use crate::{Authlog, Field, Password, Refusal, RequestContext, SessionTerms, SignedIn, Violation};

/// A login as a person filled it in. Members are as typed; `None` where there was no such member.
#[derive(Clone, Copy)]
pub struct SignInForm<'a> {
    /// Who they say they are.
    pub identifier: Option<&'a str>,
    /// What the contract calls that: [`Field::Username`] takes the username or the e-mail address, [`Field::Email`]
    /// the e-mail address.
    pub identifier_field: Field,
    /// The password.
    pub password: Option<&'a str>,
}

/// A login in which nothing is wrong. `identifier` is `None` for what no account can be called.
struct Credentials {
    identifier: Option<Identifier>,
    password: Password,
}

impl SignInForm<'_> {
    fn check(&self) -> Result<Credentials, Refusal> {
        let field = self.identifier_field;
        let text = self.identifier.unwrap_or_default();
        let identifier = match field {
            _ if text.trim().is_empty() => Err(Flaw::Required),
            Field::Email => Email::parse(text).map(|email| Some(Identifier::Email(email))),
            _ => Ok(Identifier::parse(text)),
        }
        .map_err(|flaw| Violation { field, flaw });
        let password =
            Password::parse(self.password.unwrap_or_default()).map_err(|flaw| Violation {
                field: Field::Password,
                flaw,
            });
        match (identifier, password) {
            (Ok(identifier), Ok(password)) => Ok(Credentials {
                identifier,
                password,
            }),
            (identifier, password) => Err(Refusal::Invalid(
                [identifier.err(), password.err()]
                    .into_iter()
                    .flatten()
                    .collect(),
            )),
        }
    }
}

impl Authlog {
    /// Checks a password and starts a session.
    ///
    /// An unknown account and a wrong password answer alike and cost alike.
    ///
    /// # Errors
    /// [`Refusal::Invalid`], [`Refusal::WrongCredentials`], [`Refusal::TooManyAttempts`], [`Refusal::Overloaded`], or
    /// that it cannot be done now.
    pub async fn sign_in(
        &self,
        form: SignInForm<'_>,
        terms: &SessionTerms,
        context: &RequestContext,
    ) -> Result<SignedIn, Refusal> {
        let Credentials {
            identifier,
            password,
        } = form.check()?;
        let name = identifier.as_ref().map(Identifier::comparable);
        let attempt = Attempt::SignIn {
            address: context.address,
            identifier: name.as_deref().unwrap_or_default(),
        };
        self.admit(attempt)?;
        let client = context.hashing_client();
        self.parts.hasher.has_room(&client)?;
        let found = match &identifier {
            Some(identifier) => self.parts.directory.find_for_sign_in(identifier).await?,
            None => None,
        };
        let too_short = self.settings.password_policy.is_too_short(&password);
        let hash = found.as_ref().map(|record| record.hash.clone());
        let matches = self
            .parts
            .hasher
            .verify(password.clone(), hash.clone(), &client)
            .await?;
        let account = match found.map(|record| self.admissible(record.account, matches)) {
            Some(Ok(account)) => account,
            refused => {
                self.parts.limiter.failed(attempt);
                if let Some(Err((user, reason))) = refused {
                    let verification = (reason == LoginRefusalReason::EmailNotVerified)
                        .then(|| self.new_verification());
                    self.note_refused_login(RefusedLogin {
                        user,
                        at: self.parts.clock.now(),
                        reason,
                        verification,
                        context: context.clone(),
                    });
                }
                return Err(Refusal::WrongCredentials {
                    password_too_short: too_short
                        .then_some(self.settings.password_policy.min_length),
                });
            }
        };
        let now = self.parts.clock.now();
        let session = self.new_session(account.id, account.session_epoch, terms, now);
        self.journal
            .record(&session.id(), |work| {
                let session = &session;
                async move {
                    session.start(&work, context).await?;
                    work.commit().await
                }
            })
            .await
            .map_err(|refusal| match refusal {
                // It was erased while its password was being checked.
                Refusal::UnknownAccount => Refusal::WrongCredentials {
                    password_too_short: None,
                },
                other => other,
            })?;
        if let Some(hash) = &hash {
            self.renew_if_outdated(account.id, account.credential, hash, password, context);
        }
        self.issue_tokens(account, &session, terms)
    }

    /// The account, if whoever knows its password or does not may sign in; otherwise whose it is, and why not. Where the
    /// password was right the answer is as for a wrong one (OWASP, Authentication Cheat Sheet): the person learns the
    /// reason by mail.
    fn admissible(
        &self,
        account: Account,
        password_is_right: bool,
    ) -> Result<Account, (UserId, LoginRefusalReason)> {
        let refused = if password_is_right {
            self.obstacle(&account)
        } else {
            Some(LoginRefusalReason::WrongPassword)
        };
        match refused {
            None => Ok(account),
            Some(reason) => Err((account.id, reason)),
        }
    }

    /// What keeps whoever knows the account's password from being signed in.
    pub(crate) fn obstacle(&self, account: &Account) -> Option<LoginRefusalReason> {
        let is_verified = account.email_verified || account.email.is_none();
        if account.locked {
            Some(LoginRefusalReason::AccountLocked)
        } else if self.settings.requires_verified_email && !is_verified {
            Some(LoginRefusalReason::EmailNotVerified)
        } else {
            None
        }
    }

    /// Lets an attempt pass or refuses it for having been made too often.
    pub(crate) fn admit(&self, attempt: Attempt<'_>) -> Result<(), Refusal> {
        self.parts
            .limiter
            .check(attempt)
            .map_err(|retry_after| Refusal::TooManyAttempts { retry_after })
    }
}
