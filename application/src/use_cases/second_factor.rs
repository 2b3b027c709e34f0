//! The second step of a login: the code of an authenticator app, a passkey, or a recovery code.

use std::time::Duration;

use authlog_domain::refused_logins::LoginRefusalReason;
use authlog_domain::user::{UseRecoveryCode, UserCommand};
use authlog_domain::{Authentication, ContractName, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::issue_tokens::NewSession;
use super::passkey_sign_in::is_attempt;
use super::sign_in::too_many;
use crate::ports::{
    Account, AssertionResponse, FactorChange, FactorChangeKind, Guess, Reservation, SealedFor,
    StoreError,
};
use crate::{
    Authlog, PasskeyRefusal, Password, Refusal, RequestContext, SecondFactorRefusal, SessionTerms,
    SignInChallenge, SignInMethod, SignedIn,
};

/// How long a login can wait for its second factor.
pub const CHALLENGE_LIFETIME: Duration = Duration::from_secs(300);

/// The longest recovery code that is looked at, in bytes as typed. Those of this program have 19.
const MAX_RECOVERY_CODE: usize = 64;

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

    /// The account.
    pub(super) fn user(&self) -> UserId {
        self.challenge.user
    }

    /// The serial number by which a passkey signs the challenge once.
    pub(super) fn serial(&self) -> i64 {
        self.challenge.serial
    }
}

/// What the person shows as the second factor. It has no `Debug`.
#[derive(Clone, Copy)]
pub enum SecondFactorProof<'a> {
    /// A code of an authenticator app.
    Code(&'a str),
    /// A recovery code.
    RecoveryCode(&'a str),
}

/// What finishes a login whose password was right. It has no `Debug`.
#[derive(Clone, Copy)]
pub enum SecondStep<'a> {
    /// A code or a recovery code.
    Proof(SecondFactorProof<'a>),
    /// What a passkey of the account signed.
    Passkey(&'a AssertionResponse),
}

impl<'a> From<SecondFactorProof<'a>> for SecondStep<'a> {
    fn from(proof: SecondFactorProof<'a>) -> Self {
        Self::Proof(proof)
    }
}

/// What a login says of the second factor.
pub(super) enum CheckedCode {
    /// The code is right. The change makes sure that it is used once.
    Right(Authentication, FactorChange),
    /// The login is refused.
    Refused(LoginRefusalReason),
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

    /// Checks the code of an account with a second factor.
    ///
    /// # Errors
    /// The store does not answer.
    pub(super) async fn check_code(
        &self,
        account: &Account,
        code: Option<&str>,
    ) -> Result<CheckedCode, StoreError> {
        let Some(code) = code else {
            return Ok(CheckedCode::Refused(
                LoginRefusalReason::SecondFactorMissing,
            ));
        };
        let code = as_shown(code);
        let now = self.parts.clock.now();
        let apps = self.parts.directory.authenticator_apps(account.id).await?;
        // A row that does not belong to a factor of the account grants nothing.
        let enrolled = apps.into_iter().filter(|app| {
            let mut known = account.second_factors.totp.iter();
            known.any(|totp| totp.factor == app.factor)
        });
        let secrets = &self.parts.factor_secrets;
        let matching = enrolled
            .filter_map(|app| Some((secrets.matching_step(&app.secret, &code, now)?, app)))
            .collect::<Vec<_>>();
        let unused = matching.iter().find(|(step, app)| *step > app.last_step);
        Ok(match unused {
            Some((step, app)) => CheckedCode::Right(
                Authentication::by_password_and_code(now, Some(app.factor)),
                FactorChange {
                    user: account.id,
                    what: FactorChangeKind::UseCode {
                        factor: app.factor,
                        step: *step,
                    },
                },
            ),
            None if matching.is_empty() => {
                CheckedCode::Refused(LoginRefusalReason::SecondFactorWrong)
            }
            None => CheckedCode::Refused(LoginRefusalReason::SecondFactorReplayed),
        })
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
        let has_passkeys = !factors.passkeys.is_empty() && self.settings.relying_party.is_some();
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
        if self.parts.clock.now() < challenge.expires_at {
            Ok(PendingSignIn {
                challenge,
                sealed: sealed.to_owned(),
            })
        } else {
            Err(EXPIRED)
        }
    }

    /// Finishes a login with its second factor and starts a session by the terms of the contract at which the login began.
    /// A wrong code counts as a wrong password; a right one does not count again.
    ///
    /// # Errors
    /// [`Refusal::SecondFactor`], [`Refusal::TooManyAttempts`], or [`Refusal::Unavailable`].
    pub async fn finish_sign_in(
        &self,
        pending: &PendingSignIn,
        step: impl Into<SecondStep<'_>>,
        terms: &SessionTerms,
        context: &RequestContext,
    ) -> Result<SignedIn, Refusal> {
        let step = step.into();
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
        let account = match self.parts.directory.account(challenge.user).await {
            Ok(account) => account.filter(|it| self.can_finish(it, pending)),
            Err(error) => {
                reserved.give_back();
                return Err(error.into());
            }
        };
        let Some(account) = account else {
            reserved.give_back();
            return Err(EXPIRED);
        };
        let reserved = match step {
            SecondStep::Proof(SecondFactorProof::Code(_)) => {
                reserved.at_second_factor(account.id).map_err(too_many)?
            }
            // They are too long to be guessed.
            SecondStep::Proof(SecondFactorProof::RecoveryCode(_)) | SecondStep::Passkey(_) => {
                reserved
            }
        };
        let finished = match step {
            SecondStep::Proof(SecondFactorProof::Code(code)) => {
                self.finish_with_code(&account, code, terms, context).await
            }
            SecondStep::Proof(SecondFactorProof::RecoveryCode(code)) => {
                self.finish_with_recovery_code(&account, code, terms, context)
                    .await
            }
            SecondStep::Passkey(response) => {
                self.finish_with_passkey(&account, pending, response, terms, context)
                    .await
            }
        };
        let session = self.settled(reserved, &account, finished, context)?;
        self.remember_sign_in(&account, context);
        self.issue_tokens(account, &session, terms)
    }

    /// Whether the account is as it was when its password was checked, and may be signed in to.
    pub(super) fn can_finish(&self, account: &Account, pending: &PendingSignIn) -> bool {
        let PendingSignIn { challenge, .. } = pending;
        account.session_epoch == challenge.epoch
            && !account.second_factors.is_empty()
            && self.sign_in_block(account).is_none()
    }

    async fn finish_with_code(
        &self,
        account: &Account,
        code: &str,
        terms: &SessionTerms,
        context: &RequestContext,
    ) -> Result<NewSession, Refusal> {
        let (authentication, change) = self.right_code(account, code).await?;
        let (user, epoch) = (account.id, account.session_epoch);
        let session = self.new_session(user, epoch, terms, authentication);
        self.record_session(&session, Some(&change), context)
            .await?;
        Ok(session)
    }

    /// As [`Self::check_code`], for a code that was sent by itself.
    ///
    /// # Errors
    /// [`SecondFactorRefusal::WrongCode`], [`SecondFactorRefusal::CodeUsed`], or [`Refusal::Unavailable`].
    pub(super) async fn right_code(
        &self,
        account: &Account,
        code: &str,
    ) -> Result<(Authentication, FactorChange), Refusal> {
        match self.check_code(account, Some(code)).await? {
            CheckedCode::Right(authentication, change) => Ok((authentication, change)),
            CheckedCode::Refused(LoginRefusalReason::SecondFactorReplayed) => {
                Err(Refusal::SecondFactor(SecondFactorRefusal::CodeUsed))
            }
            CheckedCode::Refused(_) => Err(Refusal::SecondFactor(SecondFactorRefusal::WrongCode)),
        }
    }

    /// What uses a recovery code: the event about it, and the change that removes its digest or fails.
    pub(super) fn use_of_recovery_code(
        &self,
        account: &Account,
        code: &str,
    ) -> (UserCommand, FactorChange) {
        let secrets = &self.parts.factor_secrets;
        let digest = secrets.recovery_digest(account.id, &normalised(code));
        let command = UserCommand::UseRecoveryCode(UseRecoveryCode {
            at: self.parts.clock.now(),
            proved: Self::proved_by_login(account),
        });
        let change = FactorChange {
            user: account.id,
            what: FactorChangeKind::UseRecoveryCode(digest),
        };
        (command, change)
    }

    /// The use of the code and the start of the session are one append.
    async fn finish_with_recovery_code(
        &self,
        account: &Account,
        code: &str,
        terms: &SessionTerms,
        context: &RequestContext,
    ) -> Result<NewSession, Refusal> {
        let (command, change) = self.use_of_recovery_code(account, code);
        let authentication = Authentication::by_password_and_code(self.parts.clock.now(), None);
        let (user, epoch) = (account.id, account.session_epoch);
        let session = self.new_session(user, epoch, terms, authentication);
        self.record_session_and(&session, &command, &change, context)
            .await
            .map_err(|refusal| match refusal {
                // There is no such digest: the code is wrong, or was used.
                Refusal::SecondFactor(_) => Refusal::SecondFactor(SecondFactorRefusal::WrongCode),
                other => other,
            })?;
        Ok(session)
    }

    /// Counts a wrong code as a wrong password, and records it.
    fn settled(
        &self,
        reserved: Reservation,
        account: &Account,
        finished: Result<NewSession, Refusal>,
        context: &RequestContext,
    ) -> Result<NewSession, Refusal> {
        let reason = match &finished {
            Err(Refusal::SecondFactor(SecondFactorRefusal::WrongCode)) => {
                LoginRefusalReason::SecondFactorWrong
            }
            Err(Refusal::SecondFactor(
                SecondFactorRefusal::CodeUsed
                | SecondFactorRefusal::Passkey(PasskeyRefusal::ChallengeUsed),
            )) => LoginRefusalReason::SecondFactorReplayed,
            Err(Refusal::SecondFactor(SecondFactorRefusal::Passkey(refusal)))
                if is_attempt(*refusal) =>
            {
                LoginRefusalReason::SecondFactorWrong
            }
            // The account was taken back or erased meanwhile.
            Err(Refusal::WrongCredentials { .. } | Refusal::UnknownAccount) => {
                reserved.give_back();
                return Err(EXPIRED);
            }
            _ => {
                // The right password was counted when the challenge was made.
                reserved.give_back();
                return finished;
            }
        };
        reserved.was_wrong();
        self.note_refusal(account, reason, context);
        finished
    }
}

/// What was begun is not valid any more.
pub(super) const EXPIRED: Refusal = Refusal::SecondFactor(SecondFactorRefusal::Expired);

/// The longest code that is looked at, in bytes as typed. Those of apps have at most ten digits.
const MAX_CODE: usize = 32;

/// A code without the space that apps show in its middle, and without surrounding white space.
pub(super) fn as_shown(code: &str) -> Zeroizing<String> {
    let code = if code.len() > MAX_CODE {
        ""
    } else {
        code.trim()
    };
    Zeroizing::new(code.replacen(' ', "", 1))
}

/// A recovery code as it was made, however it was typed: without hyphens and spaces, in capital letters.
pub(super) fn normalised(code: &str) -> Zeroizing<String> {
    let code = if code.len() > MAX_RECOVERY_CODE {
        ""
    } else {
        code
    };
    let mut normalised = Zeroizing::new(String::with_capacity(code.len()));
    normalised.extend(
        code.chars()
            .filter(char::is_ascii_alphanumeric)
            .map(|letter| letter.to_ascii_uppercase()),
    );
    normalised
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_with_the_space_that_apps_show() {
        for typed in ["123456", "123 456", " 123456\n", " 12 3456 "] {
            assert_eq!(*as_shown(typed), "123456");
        }
        assert_eq!(*as_shown("1 2 3"), "12 3");
        assert_eq!(*as_shown(&"1".repeat(MAX_CODE + 1)), "");
    }

    #[test]
    fn a_recovery_code_is_read_however_it_is_typed() {
        for typed in [
            "ABCD-EFGH-2345-67IJ",
            " abcd efgh 2345 67ij ",
            "abcdefgh234567ij",
        ] {
            assert_eq!(*normalised(typed), "ABCDEFGH234567IJ");
        }
        assert_eq!(*normalised(&"A".repeat(MAX_RECOVERY_CODE + 1)), "");
    }
}
