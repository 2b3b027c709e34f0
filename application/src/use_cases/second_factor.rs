//! The second step of a login: the code of an authenticator app, a passkey, or a recovery code.

use std::time::Duration;

use authlog_domain::{ContractName, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::passkey_sign_in::PasskeyChallenge;
use super::sealed_values::is_current;
use super::shown_factor::{Evidence, SECOND_FACTOR, SignedChallenge};
use super::sign_in::too_many;
use crate::ports::{Account, AssertionResponse, Ceremony, Guess, SealedFor};
use crate::{
    Authlog, PasskeyRefusal, Password, Refusal, RequestContext, SecondFactorRefusal, SessionTerms,
    SignInChallenge, SignInMethod, SignedIn,
};

/// How long a login can wait for its second factor.
pub const CHALLENGE_LIFETIME: Duration = Duration::from_secs(300);

/// A login whose password was right. It is sealed and kept by the client, so it needs no row.
#[derive(Serialize, Deserialize)]
struct Challenge {
    user: UserId,
    /// The account's session epoch under which the password was checked.
    epoch: u32,
    /// The contract of the login, which answers once the second factor was shown.
    contract: ContractName,
    /// The name that was typed, in its comparable form: wrong codes count as wrong passwords for this name.
    name: String,
    expires_at: Timestamp,
    /// The serial number by which a passkey signs it once. Nodes of a version without passkeys give none.
    #[serde(default)]
    serial: i64,
}

/// A login that waits for its second factor.
pub struct PendingSignIn {
    challenge: Challenge,
    /// The challenge as the client keeps it, which a passkey signs.
    pub(super) sealed: String,
}

impl PendingSignIn {
    /// The contract at which the login began.
    pub fn contract(&self) -> ContractName {
        self.challenge.contract
    }
}

/// What finishes a login whose password was right. It has no `Debug`.
#[derive(Clone, Copy)]
pub enum SecondStep<'a> {
    /// A code of an authenticator app.
    Code(&'a str),
    /// A recovery code.
    RecoveryCode(&'a str),
    /// What a passkey of the account signed. The challenge is that of the login.
    Passkey(&'a AssertionResponse),
}

impl Authlog {
    /// The password to check and the code of the second factor, for a login of `account`. An account without a second factor
    /// has no code. With an authenticator app, the code is the one that the client sent separately, or the last six digits of
    /// the password field, so that only one password has to be hashed.
    pub(super) fn split_code(
        &self,
        account: Option<&Account>,
        typed: &Password,
        code: Option<&str>,
    ) -> (Password, Option<Zeroizing<String>>) {
        let needs_code = account.is_some_and(|account| !account.second_factors.is_empty());
        if !needs_code {
            return (typed.clone(), None);
        }
        if let Some(code) = code {
            return (typed.clone(), Some(Zeroizing::new(code.to_owned())));
        }
        let has_apps = account.is_some_and(|account| !account.second_factors.totp.is_empty());
        let split = has_apps && self.settings.accepts_password_with_code;
        let split = split.then(|| typed.split_code()).flatten();
        split.map_or_else(
            || (typed.clone(), None),
            |(password, code)| (password, Some(code)),
        )
    }

    /// A challenge for the client to finish a login of `account`, which called itself `name`.
    pub(super) fn challenge(
        &self,
        account: &Account,
        name: &str,
        contract: ContractName,
    ) -> Option<SignInChallenge> {
        let challenge = Challenge {
            user: account.id,
            epoch: account.session_epoch,
            contract,
            name: name.to_owned(),
            expires_at: self.parts.clock.now().plus(CHALLENGE_LIFETIME),
            serial: self.challenge_serial(),
        };
        Some(SignInChallenge {
            sealed: self.seal(SealedFor::Challenge, &challenge).ok()?,
            methods: self.methods_of(account),
        })
    }

    /// What the account can finish a login with.
    fn methods_of(&self, account: &Account) -> Vec<SignInMethod> {
        let factors = &account.second_factors;
        let has_passkeys = !factors.passkeys.is_empty() && self.offers_passkeys();
        let has_codes = factors.recovery_codes.is_some_and(|codes| codes.left > 0);
        [
            (!factors.totp.is_empty(), SignInMethod::Totp),
            (has_passkeys, SignInMethod::Passkey),
            (has_codes, SignInMethod::Recovery),
        ]
        .into_iter()
        .filter_map(|(has, method)| has.then_some(method))
        .collect()
    }

    /// The login that the challenge stands for.
    ///
    /// # Errors
    /// [`SecondFactorRefusal::Expired`] unless this service made the challenge at most [`CHALLENGE_LIFETIME`] ago.
    pub fn pending_sign_in(&self, sealed: &str) -> Result<PendingSignIn, Refusal> {
        let challenge: Challenge = self.open(SealedFor::Challenge, sealed)?;
        let now = self.parts.clock.now();
        if is_current(now, challenge.expires_at, CHALLENGE_LIFETIME) {
            Ok(PendingSignIn {
                challenge,
                sealed: sealed.to_owned(),
            })
        } else {
            Err(EXPIRED)
        }
    }

    /// What the account can finish the login with, and the challenge for its passkeys. It is left out if no passkey can be read and
    /// the account has something else.
    ///
    /// # Errors
    /// [`SecondFactorRefusal::Expired`], [`PasskeyRefusal::None`], or [`Refusal::Unavailable`].
    pub async fn ways_to_finish(
        &self,
        pending: &PendingSignIn,
    ) -> Result<(Vec<SignInMethod>, Option<PasskeyChallenge>), Refusal> {
        let account = self.account_to_finish(pending).await?;
        let methods = self.methods_of(&account);
        let passkeys =
            if methods.contains(&SignInMethod::Passkey) {
                match self.passkeys_of(&account, pending).await {
                    Err(Refusal::SecondFactor(SecondFactorRefusal::Passkey(
                        PasskeyRefusal::None,
                    ))) if methods.len() > 1 => None,
                    found => Some(found?),
                }
            } else {
                None
            };
        Ok((methods, passkeys))
    }

    /// The account of the login, if it is as it was when its password was checked, and may be signed in to.
    ///
    /// # Errors
    /// [`SecondFactorRefusal::Expired`] or [`Refusal::Unavailable`].
    pub(super) async fn account_to_finish(
        &self,
        pending: &PendingSignIn,
    ) -> Result<Account, Refusal> {
        let PendingSignIn { challenge, .. } = pending;
        let account = self.parts.directory.account(challenge.user).await?;
        let account = account.filter(|account| {
            account.session_epoch == challenge.epoch
                && !account.second_factors.is_empty()
                && self.sign_in_block(account).is_none()
        });
        account.ok_or(EXPIRED)
    }

    /// Finishes a login with its second factor and starts a session by the terms of the contract at which the login began.
    /// A wrong code counts as a wrong password; a right one does not count again.
    ///
    /// # Errors
    /// [`Refusal::SecondFactor`], [`Refusal::TooManyAttempts`], or [`Refusal::Unavailable`].
    pub async fn finish_sign_in(
        &self,
        pending: &PendingSignIn,
        step: SecondStep<'_>,
        terms: &SessionTerms,
        context: &RequestContext,
    ) -> Result<SignedIn, Refusal> {
        let shown = self.evidence_of_step(pending, step)?;
        let PendingSignIn { challenge, .. } = pending;
        let context = &RequestContext {
            contract: challenge.contract,
            ..context.clone()
        };
        let reserved = self.reserve(Guess {
            address: context.address,
            identifier: &challenge.name,
        })?;
        let reserved = reserved
            .at_account(Some(challenge.user))
            .map_err(too_many)?;
        let account = match self.account_to_finish(pending).await {
            Ok(account) => account,
            Err(refusal) => {
                reserved.give_back();
                return Err(refusal);
            }
        };
        let reserved = shown.count(reserved, &account)?;
        let outcome = self.start_after_password(&account, shown, terms, context);
        let outcome = outcome.await.map_err(|refusal| match refusal {
            // The account was taken back or erased meanwhile.
            Refusal::WrongCredentials { .. } | Refusal::UnknownAccount => EXPIRED,
            other => other,
        });
        let (reserved, session) =
            self.settled(reserved, &account, outcome, SECOND_FACTOR, context)?;
        // The right password was counted when the challenge was made.
        reserved.give_back();
        self.remember_sign_in(&account, context);
        self.issue_tokens(account, &session, terms)
    }

    /// What finishes the login, with what it has to fit. After the password, the presence of the person is enough for a passkey.
    fn evidence_of_step<'a>(
        &'a self,
        pending: &'a PendingSignIn,
        step: SecondStep<'a>,
    ) -> Result<Evidence<'a>, Refusal> {
        Ok(match step {
            SecondStep::Code(code) => Evidence::Code(code),
            SecondStep::RecoveryCode(code) => Evidence::RecoveryCode(code),
            SecondStep::Passkey(response) => Evidence::Passkey(SignedChallenge {
                ceremony: Ceremony {
                    relying_party: self.relying_party()?,
                    challenge: &pending.sealed,
                    requires_verification: false,
                },
                serial: pending.challenge.serial,
                response,
            }),
        })
    }
}

/// What was begun is not valid any more.
pub(super) const EXPIRED: Refusal = Refusal::SecondFactor(SecondFactorRefusal::Expired);
