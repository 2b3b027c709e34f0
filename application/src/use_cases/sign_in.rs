//! Signing in with a password.

use std::time::Duration;

use authlog_domain::refused_logins::LoginRefusalReason;
use authlog_domain::{Authentication, Email, Flaw, Username};

use super::issue_tokens::NewSession;
use super::shown_factor::{Evidence, SECOND_FACTOR};
use crate::ports::{
    Account, Attempt, FactorChange, Guess, HashingError, Identifier, PasswordHash, Reservation,
    SignInRecord,
};
use crate::workers::RefusedLogin;
use crate::{
    Authlog, Field, Password, Refusal, RequestContext, SessionTerms, SignInChallenge, SignedIn,
    Violation,
};

/// The fields of a login as typed; `None` for a missing field.
#[derive(Clone, Copy)]
pub struct SignInForm<'a> {
    /// The identifier of the account.
    pub identifier: Option<&'a str>,
    /// The contract's name of the identifier: [`Field::Username`] accepts a username or an e-mail address,
    /// [`Field::Email`] an e-mail address only.
    pub identifier_field: Field,
    /// The password.
    pub password: Option<&'a str>,
    /// The code of the second factor, if the client sends it separately.
    pub code: Option<&'a str>,
}

/// A login whose fields are valid. `identifier` is `None` for text that cannot name an account.
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
    /// An unknown account and a wrong password give the same answer and take the same time.
    ///
    /// # Errors
    /// [`Refusal::Invalid`], [`Refusal::WrongCredentials`], [`Refusal::TooManyAttempts`], [`Refusal::Overloaded`], or
    /// [`Refusal::Unavailable`].
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

        let account = found.as_ref().map(|record| &record.account);
        let (typed, (password, code)) = (&password, self.split_code(account, &password, form.code));
        let hash = found.as_ref().and_then(|record| record.hash.clone());
        let verified = place.verify(password.clone(), hash.clone()).await;
        let (reserved, matches) = checked(reserved, verified)?;
        let reason = found
            .as_ref()
            .and_then(|record| self.refusal_reason(&record.account, matches));
        let account = match (found, reason) {
            (Some(record), None) => record.account,
            (found, reason) => {
                reserved.was_wrong();
                if let Some((record, reason)) = found.zip(reason) {
                    self.note_refusal(&record.account, reason, context);
                }
                return Err(self.wrong_credentials(typed, None));
            }
        };

        let session = if account.second_factors.is_empty() {
            reserved.was_right();
            let authentication = Authentication::by_password(self.parts.clock.now());
            let (user, epoch) = (account.id, account.session_epoch);
            let session = self.new_session(user, epoch, terms, authentication);
            self.record_session(&session, None, context).await?;
            session
        } else if let Some(code) = &code {
            let shown = Evidence::Code(code);
            let reserved = shown.count(reserved, &account)?;
            let outcome = self.start_after_password(&account, shown, terms, context);
            let outcome = outcome.await;
            let settled = self.settled(reserved, &account, outcome, SECOND_FACTOR, context);
            let (reserved, session) =
                settled.map_err(|refusal| self.as_wrong_credentials(refusal, typed))?;
            reserved.was_right();
            session
        } else {
            // The second step does not have the password.
            self.review_password(&account, password, hash.as_ref(), context);
            reserved.was_right();
            let reason = LoginRefusalReason::SecondFactorMissing;
            self.note_refusal(&account, reason, context);
            let name = name.as_deref().unwrap_or_default();
            let challenge = self.challenge(&account, name, terms.contract);
            return Err(self.wrong_credentials(typed, challenge));
        };

        self.remember_sign_in(&account, context);
        self.review_password(&account, password, hash.as_ref(), context);
        self.issue_tokens(account, &session, terms)
    }

    /// Has a password that was right looked up in the list of breached ones, and hashed again if its hash is outdated.
    fn review_password(
        &self,
        account: &Account,
        password: Password,
        hash: Option<&PasswordHash>,
        context: &RequestContext,
    ) {
        self.check_for_breach(account, &password, context);
        if let Some(hash) = hash {
            self.renew_if_outdated(account.id, account.credential, hash, password, context);
        }
    }

    /// Why a login to `account` is refused; `None` if it is allowed. `matches` is whether the password was right. The answer
    /// to the client is the same for every reason (OWASP, Authentication Cheat Sheet); a person whose address is not verified
    /// gets a link by mail.
    fn refusal_reason(&self, account: &Account, matches: bool) -> Option<LoginRefusalReason> {
        if matches {
            self.sign_in_block(account)
        } else {
            Some(LoginRefusalReason::WrongPassword)
        }
    }

    /// Queues the event of a refused login, with a verification link if the address is the reason.
    pub(super) fn note_refusal(
        &self,
        account: &Account,
        reason: LoginRefusalReason,
        context: &RequestContext,
    ) {
        let verification = (reason == LoginRefusalReason::EmailNotVerified)
            .then(|| self.own_address_link(Self::proved_by_login(account)));
        self.note_refused_login(RefusedLogin {
            user: account.id,
            at: self.parts.clock.now(),
            reason,
            verification,
            context: context.clone(),
        });
    }

    /// A code that is wrong or was used is answered like a wrong password.
    fn as_wrong_credentials(&self, refusal: Refusal, typed: &Password) -> Refusal {
        match refusal {
            Refusal::SecondFactor(_) => self.wrong_credentials(typed, None),
            other => other,
        }
    }

    fn wrong_credentials(
        &self,
        password: &Password,
        challenge: Option<SignInChallenge>,
    ) -> Refusal {
        let policy = &self.settings.password_policy;
        Refusal::WrongCredentials {
            password_too_short: policy.is_too_short(password).then_some(policy.min_length),
            challenge,
        }
    }

    pub(super) async fn record_session(
        &self,
        session: &NewSession,
        factor: Option<&FactorChange>,
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        self.executor
            .execute(&session.id(), |work| async move {
                session.start(&work, context).await?;
                if let Some(change) = factor {
                    work.attach_factor_change(change.clone());
                }
                work.commit().await
            })
            .await
            .map_err(|refusal| match refusal {
                // The account was erased while its password was being checked.
                Refusal::UnknownAccount => Refusal::wrong_password(),
                other => other,
            })
    }

    /// Why sign-in to the account is refused even with the right password; `None` if it is allowed.
    pub(crate) fn sign_in_block(&self, account: &Account) -> Option<LoginRefusalReason> {
        let is_verified = account.email_verified || account.email.is_none();
        if account.locked {
            Some(LoginRefusalReason::AccountLocked)
        } else if self.settings.requires_verified_email && !is_verified {
            Some(LoginRefusalReason::EmailNotVerified)
        } else {
            None
        }
    }

    /// Reserves the right to check a password, before the account is looked up.
    ///
    /// # Errors
    /// [`Refusal::TooManyAttempts`].
    pub(crate) fn reserve(&self, guess: Guess<'_>) -> Result<Reservation, Refusal> {
        self.parts.limiter.reserve(guess).map_err(too_many)
    }

    /// Looks up the account of a login, and counts the check against the limit of the account as well.
    ///
    /// # Errors
    /// [`Refusal::TooManyAttempts`] or [`Refusal::Unavailable`].
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

    /// Counts an attempt.
    ///
    /// # Errors
    /// [`Refusal::TooManyAttempts`].
    pub(crate) fn admit(&self, attempt: Attempt<'_>) -> Result<(), Refusal> {
        self.parts.limiter.count(attempt).map_err(too_many)
    }

    /// Tells the limiter, for each name of the account, that its owner signed in from the address of this request.
    pub(crate) fn remember_sign_in(&self, account: &Account, context: &RequestContext) {
        let username = account.username.as_ref().map(Username::comparable);
        let email = account.email.as_ref().map(Email::comparable);
        let names: Vec<String> = username.into_iter().chain(email).collect();
        self.parts.limiter.remember_sign_in(context.address, &names);
    }
}

/// Whether the password was right. If it was not checked because of overload, the reservation is given back. Any other
/// error may have occurred after the check, and counts as a wrong password.
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
