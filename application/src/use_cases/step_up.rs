//! Stepping a session up: the person in it is authenticated again, with a second factor if the account has one.

use std::collections::HashMap;

use authlog_domain::session::{SessionCommand, StepUp};
use authlog_domain::{
    Authentication, AuthenticationMethod, ContractName, FactorId, SessionId, UserId,
};

use super::issue_tokens::SessionFacts;
use super::shown_factor::{Evidence, SECOND_FACTOR, ShownFactor};
use super::sign_in::too_many;
use crate::access::{OwnerProof, ProvedSession};
use crate::ports::{Account, AssertionResponse, Guess, Identifier, Reservation};
use crate::unit_of_work::{CommandError, UnitOfWork};
use crate::{
    AccessFormat, Authlog, Caller, IssuedToken, Refusal, RequestContext, SecondFactorRefusal,
    SessionTerms,
};

/// The terms of the sessions of a contract; `None` for an interface that issues no tokens.
pub type TermsOf = fn(ContractName) -> Option<SessionTerms>;

/// A session after its person was authenticated again.
pub struct SteppedUpSession {
    /// How the person is authenticated now.
    pub authentication: Authentication,
    /// An access token that says so. `None` for a session with an opaque token, which stays the same.
    pub access: Option<IssuedToken>,
}

/// What the person shows as the second factor. It has no `Debug`.
#[derive(Clone, Copy)]
pub enum SecondFactorProof<'a> {
    /// A code of an authenticator app.
    Code(&'a str),
    /// A recovery code.
    RecoveryCode(&'a str),
    /// What a passkey of the account signed.
    Passkey {
        /// The challenge of [`Authlog::begin_passkey_step_up`].
        challenge: &'a str,
        /// The answer of the authenticator.
        response: &'a AssertionResponse,
    },
}

impl Authlog {
    /// Authenticates the person in a session again. An account with a second factor has to show it; the password may be shown
    /// in addition. The others show the password. The session keeps its refresh token, and earlier access tokens keep their
    /// level.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`]; [`Refusal::Invalid`] or [`Refusal::WrongCredentials`] for the password;
    /// [`Refusal::SecondFactor`]; [`Refusal::TooManyAttempts`]; [`Refusal::Overloaded`]; or [`Refusal::Unavailable`].
    pub async fn step_up(
        &self,
        caller: Caller,
        proof: OwnerProof<'_>,
        terms_of: TermsOf,
        context: &RequestContext,
    ) -> Result<SteppedUpSession, Refusal> {
        let session = self.session_to_change(caller).await?;
        let caller = self
            .authenticate_again(caller, &session, proof, context)
            .await?;
        self.stepped_up(&session, caller.authentication(), terms_of)
    }

    /// The session as it is after a step-up, with a new access token by the terms of its contract.
    pub(super) fn stepped_up(
        &self,
        session: &ProvedSession,
        authentication: Authentication,
        terms_of: TermsOf,
    ) -> Result<SteppedUpSession, Refusal> {
        let record = session.record();
        let signed = record
            .contract
            .and_then(terms_of)
            .filter(|terms| matches!(terms.access, AccessFormat::Jwt(_)));
        let facts = SessionFacts {
            id: record.id,
            epoch: record.epoch,
            authentication,
        };
        let now = self.parts.clock.now();
        let access = signed.map(|terms| {
            self.access_token(session.account(), facts, &terms, now, record.expires_at)
        });
        Ok(SteppedUpSession {
            authentication,
            access: access.transpose()?,
        })
    }

    /// Checks what the person shows and records it. Returns the caller at the new level.
    ///
    /// # Errors
    /// As for [`Self::step_up`].
    pub(crate) async fn authenticate_again(
        &self,
        caller: Caller,
        session: &ProvedSession,
        proof: OwnerProof<'_>,
        context: &RequestContext,
    ) -> Result<Caller, Refusal> {
        let account = session.account();
        let has_factor = !account.second_factors.is_empty();
        let refused = |refusal| Err(Refusal::SecondFactor(refusal));
        if has_factor && proof.second_factor.is_none() {
            return refused(SecondFactorRefusal::NotShown);
        }
        if !has_factor && proof.second_factor.is_some() {
            return refused(SecondFactorRefusal::Missing);
        }
        if proof.password.is_some() || !has_factor {
            self.prove(account, proof.password, context).await?;
        }
        match proof.second_factor {
            None => {
                let authentication = Authentication::by_password(self.parts.clock.now());
                self.record_step_up(caller, authentication, None, context)
                    .await
            }
            Some(shown) => {
                self.step_up_with(caller, session, (proof.password.is_some(), shown), context)
                    .await
            }
        }
    }

    /// Checks a second factor and records it. A wrong one counts as at a login.
    async fn step_up_with(
        &self,
        caller: Caller,
        session: &ProvedSession,
        (with_password, shown): (bool, SecondFactorProof<'_>),
        context: &RequestContext,
    ) -> Result<Caller, Refusal> {
        let account = session.account();
        let shown = match shown {
            SecondFactorProof::Code(code) => Evidence::Code(code),
            SecondFactorProof::RecoveryCode(code) => Evidence::RecoveryCode(code),
            SecondFactorProof::Passkey {
                challenge,
                response,
            } => Evidence::Passkey(self.signed_to_step_up(session, challenge, response)?),
        };
        let reserved = self.reserve_factor(account, shown, context)?;
        let outcome = async {
            let shown = self.check_factor(account, shown).await?;
            let methods = shown.methods.iter();
            let authentication = self.with_factor(session, with_password, methods, shown.factor);
            self.record_step_up(caller, authentication, Some(&shown), context)
                .await
        };
        let outcome = outcome.await;
        let (reserved, caller) =
            self.settled(reserved, account, outcome, SECOND_FACTOR, context)?;
        reserved.was_right();
        Ok(caller)
    }

    /// Counts a second factor before it is checked, under the name with which the owner signs in.
    fn reserve_factor(
        &self,
        account: &Account,
        shown: Evidence<'_>,
        context: &RequestContext,
    ) -> Result<Reservation, Refusal> {
        let identifier = Identifier::parse(account.sign_in_name());
        let identifier = identifier.ok_or(Refusal::InvalidAccessToken)?;
        let reserved = self.reserve(Guess {
            address: context.address,
            identifier: &identifier.comparable(),
        })?;
        let reserved = reserved.at_account(Some(account.id)).map_err(too_many)?;
        shown.count(reserved, account)
    }

    /// The authentication of a session in which a second factor was shown by these methods. What opened the session counts as the
    /// first factor.
    pub(super) fn with_factor(
        &self,
        session: &ProvedSession,
        with_password: bool,
        methods: impl IntoIterator<Item = AuthenticationMethod>,
        factor: Option<FactorId>,
    ) -> Authentication {
        let before = session.record().authentication.amr;
        let password = with_password.then_some(AuthenticationMethod::Pwd);
        let methods = before.iter().chain(password).chain(methods);
        Authentication::by_several_factors(self.parts.clock.now(), methods, factor)
    }

    /// Appends the event, and in the same statement uses the factor.
    async fn record_step_up(
        &self,
        caller: Caller,
        authentication: Authentication,
        shown: Option<&ShownFactor>,
        context: &RequestContext,
    ) -> Result<Caller, Refusal> {
        let (user, session) = (caller.user(), caller.session());
        let caller = caller.authenticated_again(authentication);
        let metadata = &context.metadata_of(&caller);
        let noted = shown.and_then(|shown| shown.noted.as_ref());
        let authentication = self
            .executor
            .execute(&session.to_string(), |work| async move {
                if let Some(command) = noted {
                    let command = command.clone();
                    work.execute_on_account(user, command, metadata.clone())
                        .await?;
                }
                let now = self
                    .stage_step_up(&work, (user, session), authentication, metadata.clone())
                    .await?;
                if let Some(shown) = shown {
                    work.attach_factor_change(shown.change.clone());
                }
                work.commit().await?;
                Ok(now)
            })
            .await
            .map_err(|refusal| match (refusal, shown) {
                // The session has ended, or the account was taken back or erased.
                (
                    Refusal::InvalidRefreshToken
                    | Refusal::UnknownAccount
                    | Refusal::WrongCredentials { .. },
                    _,
                ) => Refusal::InvalidAccessToken,
                (refusal, Some(shown)) => shown.refused_use(refusal),
                (refusal, None) => refusal,
            })?;
        if noted.is_some() {
            self.mail_due.notify_one();
        }
        Ok(caller.authenticated_again(authentication))
    }

    /// Stages the event of a session whose person was authenticated again. As at a login, the level in its metadata is the one
    /// that it reaches, and replaces the level in `metadata`. Returns how the person is authenticated then: as before, if that
    /// is a higher level.
    pub(super) async fn stage_step_up(
        &self,
        work: &UnitOfWork,
        (user, session): (UserId, SessionId),
        authentication: Authentication,
        mut metadata: HashMap<String, String>,
    ) -> Result<Authentication, CommandError> {
        metadata.insert("acr".to_owned(), authentication.acr.as_str().to_owned());
        let standing = work.session(session).await?;
        let standing = standing
            .filter(|standing| standing.account.id == user)
            .ok_or(Refusal::InvalidAccessToken)?;
        let before = standing.session.authentication;
        let command = SessionCommand::StepUp(StepUp {
            at: self.parts.clock.now(),
            account_epoch: standing.account.epoch_for(session, standing.session.epoch),
            authentication,
        });
        let events = work
            .execute_on_session(standing.session, command, metadata)
            .await?;
        Ok(if events.is_empty() {
            before
        } else {
            authentication
        })
    }
}
