//! A second factor that a person shows: whether it is right, what its use changes, and how a wrong one counts.

use authlog_domain::refused_logins::LoginRefusalReason;
use authlog_domain::user::{
    NotePasskeyCounter, PasskeyCounterWentBack, UseRecoveryCode, UserCommand,
};
use authlog_domain::{
    Authentication, AuthenticationMethod, AuthenticationMethods, CLOCK_DIFFERENCE, FactorId,
};
use zeroize::Zeroizing;

use super::issue_tokens::NewSession;
use super::passkey_sign_in::serial_at;
use super::sign_in::too_many;
use crate::ports::{
    Account, AssertionResponse, Ceremony, FactorChange, FactorChangeKind, Reservation,
    StoredPasskey,
};
use crate::{Authlog, PasskeyRefusal, Refusal, RequestContext, SecondFactorRefusal, SessionTerms};

/// The longest recovery code that is looked at, in bytes as typed. Those of this program have 19.
const MAX_RECOVERY_CODE: usize = 64;

/// The longest code that is looked at, in bytes as typed. Those of apps have at most ten digits.
const MAX_CODE: usize = 32;

/// What a person shows, with everything that it has to fit. It has no `Debug`.
#[derive(Clone, Copy)]
pub(super) enum Evidence<'a> {
    /// A code of an authenticator app.
    Code(&'a str),
    /// A recovery code.
    RecoveryCode(&'a str),
    /// What a passkey signed.
    Passkey(SignedChallenge<'a>),
}

/// What a passkey signed, and what it had to sign.
#[derive(Clone, Copy)]
pub(super) struct SignedChallenge<'a> {
    pub(super) ceremony: Ceremony<'a>,
    /// The serial number of the challenge, by which a passkey signs it once.
    pub(super) serial: i64,
    pub(super) response: &'a AssertionResponse,
}

/// A second factor that is right, unless the store finds that it was used.
pub(super) struct ShownFactor {
    /// The factor; `None` for a recovery code.
    pub(super) factor: Option<FactorId>,
    /// The methods of authentication that it stands for.
    pub(super) methods: AuthenticationMethods,
    /// The change that uses it, or refuses the append.
    pub(super) change: FactorChange,
    /// The command that records its use in the account: of a recovery code, or of a passkey whose counter went back.
    pub(super) noted: Option<UserCommand>,
}

/// The reasons for which a refused login is recorded if the factor is wrong and if it was used before.
pub(super) type Reasons = [LoginRefusalReason; 2];

/// For a second factor.
pub(super) const SECOND_FACTOR: Reasons = [
    LoginRefusalReason::SecondFactorWrong,
    LoginRefusalReason::SecondFactorReplayed,
];

/// For a passkey that signs in by itself.
pub(super) const PASSKEY_ALONE: Reasons = [
    LoginRefusalReason::PasskeyWrong,
    LoginRefusalReason::PasskeyReplayed,
];

impl Authlog {
    /// Checks a second factor of the account.
    ///
    /// # Errors
    /// [`SecondFactorRefusal::WrongCode`], [`SecondFactorRefusal::CodeUsed`], [`PasskeyRefusal`], or
    /// [`Refusal::Unavailable`].
    pub(super) async fn check_factor(
        &self,
        account: &Account,
        shown: Evidence<'_>,
    ) -> Result<ShownFactor, Refusal> {
        match shown {
            Evidence::Code(code) => self.check_code(account, code).await,
            Evidence::RecoveryCode(code) => Ok(self.check_recovery_code(account, code)),
            Evidence::Passkey(signed) => {
                let passkeys = self.parts.directory.passkeys(account.id).await?;
                let passkey = passkeys
                    .into_iter()
                    .find(|it| it.credential.id == signed.response.credential_id)
                    .ok_or(PasskeyRefusal::Unknown)?;
                self.check_passkey(account, passkey, &signed)
            }
        }
    }

    async fn check_code(&self, account: &Account, code: &str) -> Result<ShownFactor, Refusal> {
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
        let (step, app) = unused.ok_or(Refusal::SecondFactor(if matching.is_empty() {
            SecondFactorRefusal::WrongCode
        } else {
            SecondFactorRefusal::CodeUsed
        }))?;
        Ok(ShownFactor {
            factor: Some(app.factor),
            methods: [AuthenticationMethod::Otp].into_iter().collect(),
            change: FactorChange {
                user: account.id,
                what: FactorChangeKind::UseCode {
                    factor: app.factor,
                    step: *step,
                },
            },
            noted: None,
        })
    }

    /// The store says whether the account has this recovery code.
    fn check_recovery_code(&self, account: &Account, code: &str) -> ShownFactor {
        let secrets = &self.parts.factor_secrets;
        let digest = secrets.recovery_digest(account.id, &normalised(code));
        ShownFactor {
            factor: None,
            methods: [AuthenticationMethod::Otp].into_iter().collect(),
            change: FactorChange {
                user: account.id,
                what: FactorChangeKind::UseRecoveryCode(digest),
            },
            noted: Some(UserCommand::UseRecoveryCode(UseRecoveryCode {
                at: self.parts.clock.now(),
                proved: Self::proved_by_login(account),
            })),
        }
    }

    /// Checks what a passkey of the account signed.
    pub(super) fn check_passkey(
        &self,
        account: &Account,
        passkey: StoredPasskey,
        signed: &SignedChallenge<'_>,
    ) -> Result<ShownFactor, Refusal> {
        let SignedChallenge {
            ceremony, response, ..
        } = signed;
        // A row that does not belong to a factor of the account grants nothing.
        let mut known = account.second_factors.passkeys.iter();
        if !known.any(|it| it.factor == passkey.factor)
            || passkey.credential.id != response.credential_id
        {
            return Err(PasskeyRefusal::Unknown.into());
        }
        let own_handle = account.id.as_uuid();
        let is_own = |handle: &Vec<u8>| handle == own_handle.as_bytes();
        if !response.user_handle.as_ref().is_none_or(is_own) {
            return Err(PasskeyRefusal::WrongUserHandle.into());
        }
        let verifier = &self.parts.passkeys;
        let verified = verifier.verify_assertion(ceremony, &passkey.credential, response)?;
        let StoredPasskey {
            factor,
            credential,
            sign_count: stored,
        } = passkey;
        let received = verified.sign_count;
        // Authenticators without a counter send 0 (WebAuthn §7.2, step 22).
        let went_back = (stored > 0 || received > 0) && received <= stored;
        let noted = went_back.then(|| {
            UserCommand::NotePasskeyCounter(NotePasskeyCounter {
                noted: PasskeyCounterWentBack {
                    at: self.parts.clock.now(),
                    factor,
                    stored,
                    received,
                },
                proved: Self::proved_by_login(account),
            })
        });
        let key = AuthenticationMethod::of_key(credential.backup_eligible);
        let verifies = ceremony.requires_verification;
        let person = verifies.then_some(AuthenticationMethod::User);
        Ok(ShownFactor {
            factor: Some(factor),
            methods: std::iter::once(key).chain(person).collect(),
            change: FactorChange {
                user: account.id,
                what: FactorChangeKind::UsePasskey {
                    factor,
                    challenge: signed.serial,
                    latest: serial_at(self.parts.clock.now().plus(CLOCK_DIFFERENCE)),
                    sign_count: received,
                    backed_up: verified.backed_up,
                },
            },
            noted,
        })
    }

    /// Starts a session with a password that was right and a second factor.
    ///
    /// # Errors
    /// As for [`Self::check_factor`] and [`Self::start_with_factor`].
    pub(super) async fn start_after_password(
        &self,
        account: &Account,
        shown: Evidence<'_>,
        terms: &SessionTerms,
        context: &RequestContext,
    ) -> Result<NewSession, Refusal> {
        let shown = self.check_factor(account, shown).await?;
        let password = Some(AuthenticationMethod::Pwd);
        self.start_with_factor(account, password, &shown, terms, context)
            .await
    }

    /// Starts a session with a factor that was shown, after `first`. The statement that appends the login uses the factor. What
    /// is noted of its use is in the same append.
    ///
    /// # Errors
    /// [`SecondFactorRefusal::WrongCode`], [`SecondFactorRefusal::CodeUsed`] or [`PasskeyRefusal`] if it was used or removed
    /// meanwhile; [`Refusal::WrongCredentials`] or [`Refusal::UnknownAccount`] if the account was taken back or erased; or
    /// [`Refusal::Unavailable`].
    pub(super) async fn start_with_factor(
        &self,
        account: &Account,
        first: Option<AuthenticationMethod>,
        shown: &ShownFactor,
        terms: &SessionTerms,
        context: &RequestContext,
    ) -> Result<NewSession, Refusal> {
        let now = self.parts.clock.now();
        let methods = first.into_iter().chain(shown.methods.iter());
        let authentication = Authentication::by_several_factors(now, methods, shown.factor);
        let (user, epoch) = (account.id, account.session_epoch);
        let session = self.new_session(user, epoch, terms, authentication);
        let recorded = match &shown.noted {
            None => {
                self.record_session(&session, Some(&shown.change), context)
                    .await
            }
            Some(command) => {
                self.record_session_and(&session, command, &shown.change, context)
                    .await
            }
        };
        recorded.map_err(|refusal| shown.refused_use(refusal))?;
        Ok(session)
    }

    /// Settles a guess whose factor was refused: a wrong one counts as a wrong password, and is recorded as a refused login.
    /// What failed for another reason says nothing about the factor, and does not count. The reservation of a right one is
    /// returned.
    ///
    /// # Errors
    /// That of the outcome.
    pub(super) fn settled<T>(
        &self,
        reserved: Reservation,
        account: &Account,
        outcome: Result<T, Refusal>,
        [wrong, replayed]: Reasons,
        context: &RequestContext,
    ) -> Result<(Reservation, T), Refusal> {
        let refusal = match outcome {
            Ok(value) => return Ok((reserved, value)),
            Err(refusal) => refusal,
        };
        let reason = match refusal {
            Refusal::SecondFactor(SecondFactorRefusal::WrongCode) => Some(wrong),
            Refusal::SecondFactor(
                SecondFactorRefusal::CodeUsed
                | SecondFactorRefusal::Passkey(PasskeyRefusal::ChallengeUsed),
            ) => Some(replayed),
            // An answer that cannot be read is no attempt to sign in.
            Refusal::SecondFactor(SecondFactorRefusal::Passkey(PasskeyRefusal::Malformed(_))) => {
                None
            }
            Refusal::SecondFactor(SecondFactorRefusal::Passkey(_)) => Some(wrong),
            _ => {
                reserved.give_back();
                return Err(refusal);
            }
        };
        reserved.was_wrong();
        if let Some(reason) = reason {
            self.note_refusal(account, reason, context);
        }
        Err(refusal)
    }
}

impl Evidence<'_> {
    /// Counts a code against the limit that all networks share. The others are too long to be guessed.
    ///
    /// # Errors
    /// [`Refusal::TooManyAttempts`].
    pub(super) fn count(
        self,
        reserved: Reservation,
        account: &Account,
    ) -> Result<Reservation, Refusal> {
        match self {
            Self::Code(_) => reserved.at_second_factor(account.id).map_err(too_many),
            Self::RecoveryCode(_) | Self::Passkey(_) => Ok(reserved),
        }
    }
}

impl ShownFactor {
    /// Translates the refusal of an append that would have used the factor.
    pub(super) fn refused_use(&self, refusal: Refusal) -> Refusal {
        let Refusal::SecondFactor(reason) = refusal else {
            return refusal;
        };
        match (&self.change.what, reason) {
            // There is no such digest: the code is wrong, or was used.
            (FactorChangeKind::UseRecoveryCode(_), _) => {
                Refusal::SecondFactor(SecondFactorRefusal::WrongCode)
            }
            (FactorChangeKind::UsePasskey { .. }, SecondFactorRefusal::CodeUsed) => {
                PasskeyRefusal::ChallengeUsed.into()
            }
            // It was removed meanwhile.
            (FactorChangeKind::UsePasskey { .. }, SecondFactorRefusal::Unknown) => {
                PasskeyRefusal::Unknown.into()
            }
            _ => refusal,
        }
    }
}

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
