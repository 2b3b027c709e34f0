//! Signing in with a password.

use std::time::Duration;

use authlog_domain::refused_logins::LoginRefusalReason;
use authlog_domain::{Email, Flaw, UserId, Username};

use super::RefusedLogin;
use crate::ports::{Account, Attempt, Guess, HashingError, Identifier, Reservation, SignInRecord};
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
            Field::Email => Email::parse_existing(text).map(|email| Some(Identifier::Email(email))),
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
        let guess = Guess {
            address: context.address,
            identifier: name.as_deref().unwrap_or_default(),
        };
        let client = context.hashing_client();
        let reserved = self.reserve(guess)?;
        let place = match self.parts.hasher.reserve(&client) {
            Ok(place) => place,
            Err(full) => {
                reserved.give_back();
                return Err(full.into());
            }
        };
        let (reserved, found) = self.look_up(reserved, identifier.as_ref()).await?;
        let too_short = self.settings.password_policy.is_too_short(&password);
        let hash = found.as_ref().and_then(|record| record.hash.clone());
        let verified = place.verify(password.clone(), hash.clone()).await;
        let (reserved, matches) = checked(reserved, verified)?;
        let proved = found
            .as_ref()
            .map(|record| Self::proved_by_login(&record.account));
        let account = match found.map(|record| self.admissible(record.account, matches)) {
            Some(Ok(account)) => {
                reserved.was_right();
                account
            }
            refused => {
                reserved.was_wrong();
                if let Some(Err((user, reason))) = refused {
                    let verification = proved
                        .filter(|_| reason == LoginRefusalReason::EmailNotVerified)
                        .map(|proved| self.own_address_link(proved));
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
        self.remember_sign_in(&account, context);
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

    /// Reserves the check of a password, or refuses it for too many wrong ones.
    pub(crate) fn reserve(&self, guess: Guess<'_>) -> Result<Reservation, Refusal> {
        self.parts.limiter.reserve(guess).map_err(too_many)
    }

    /// Looks up whom a password is to be checked for, and reserves at the account as well.
    pub(crate) async fn look_up(
        &self,
        reserved: Reservation,
        identifier: Option<&Identifier>,
    ) -> Result<(Reservation, Option<SignInRecord>), Refusal> {
        let found = match identifier {
            Some(identifier) => self.parts.directory.find_for_sign_in(identifier).await,
            None => Ok(None),
        };
        let found = match found {
            Ok(found) => found,
            Err(unavailable) => {
                reserved.give_back();
                return Err(unavailable.into());
            }
        };
        let account = found.as_ref().map(|record| record.account.id);
        let reserved = reserved.at_account(account).map_err(too_many)?;
        Ok((reserved, found))
    }

    /// Counts an attempt, or refuses it for having been made too often.
    pub(crate) fn admit(&self, attempt: Attempt<'_>) -> Result<(), Refusal> {
        self.parts.limiter.count(attempt).map_err(too_many)
    }

    /// From where this request came its person has signed in, by any of the account's names.
    pub(crate) fn remember_sign_in(&self, account: &Account, context: &RequestContext) {
        let username = account.username.as_ref().map(Username::comparable);
        let email = account.email.as_ref().map(Email::comparable);
        let names: Vec<String> = username.into_iter().chain(email).collect();
        self.parts.limiter.remember_sign_in(context.address, &names);
    }
}

/// Whether the password was right. A guess is given back where none was checked for want of room; any other error may
/// have come after the check, and counts as a wrong password.
pub(crate) fn checked(
    reserved: Reservation,
    verified: Result<bool, HashingError>,
) -> Result<(Reservation, bool), Refusal> {
    match verified {
        Ok(matches) => Ok((reserved, matches)),
        Err(overloaded @ HashingError::Overloaded { .. }) => {
            reserved.give_back();
            Err(overloaded.into())
        }
        Err(failed) => {
            reserved.was_wrong();
            Err(failed.into())
        }
    }
}

pub(super) fn too_many(retry_after: Duration) -> Refusal {
    Refusal::TooManyAttempts { retry_after }
}
