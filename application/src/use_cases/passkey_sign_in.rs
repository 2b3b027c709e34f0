//! Signing in with a passkey: without a password, or as the second step after one.

use authlog_domain::refused_logins::LoginRefusalReason;
use authlog_domain::user::{NotePasskeyCounter, PasskeyCounterWentBack, UserCommand};
use authlog_domain::{Authentication, FactorId, Timestamp};
use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};

use super::issue_tokens::NewSession;
use super::second_factor::{CHALLENGE_LIFETIME, EXPIRED, PendingSignIn};
use super::sign_in::too_many;
use crate::ports::{
    Account, AssertionResponse, Ceremony, FactorChange, FactorChangeKind, Guess, PasskeyCredential,
    PasskeyWithAccount, RelyingParty, SealedFor, StoredPasskey, VerifiedAssertion,
};
use crate::{
    Authlog, PasskeyRefusal, Refusal, RequestContext, SecondFactorRefusal, SessionTerms, SignedIn,
};

/// Serial numbers of challenges in a millisecond.
const SERIALS: i64 = 1000;

/// A login that begins with a passkey. It is sealed and kept by the client, so it needs no row.
#[derive(Serialize, Deserialize)]
struct Challenge {
    serial: i64,
    expires_at: Timestamp,
}

/// A challenge for passkeys to sign.
pub struct PasskeyChallenge {
    /// The challenge, sealed.
    pub challenge: String,
    /// This service.
    pub relying_party: RelyingParty,
    /// The passkeys that may sign it; empty for any.
    pub allowed: Vec<PasskeyCredential>,
}

/// A passkey whose signature of a challenge was verified.
pub(super) struct UsedPasskey {
    passkey: StoredPasskey,
    verified: VerifiedAssertion,
    /// The serial number of the challenge.
    serial: i64,
}

impl Authlog {
    /// A serial number for a challenge that is issued now: microseconds, of which the clock gives the milliseconds. A passkey
    /// signs challenges in the order of these numbers, each once.
    pub(super) fn challenge_serial(&self) -> i64 {
        let mut random = [0; 2];
        self.parts.entropy.fill(&mut random);
        let random = i64::from(u16::from_be_bytes(random)) % SERIALS;
        self.parts.clock.now().unix_millis() * SERIALS + random
    }

    /// A challenge for a login without a name and a password.
    ///
    /// # Errors
    /// [`PasskeyRefusal::Unavailable`].
    pub fn begin_passkey_sign_in(&self) -> Result<PasskeyChallenge, Refusal> {
        let relying_party = self.relying_party()?.clone();
        let challenge = Challenge {
            serial: self.challenge_serial(),
            expires_at: self.parts.clock.now().plus(CHALLENGE_LIFETIME),
        };
        Ok(PasskeyChallenge {
            challenge: self.seal(SealedFor::PasskeySignIn, &challenge)?,
            relying_party,
            allowed: Vec::new(),
        })
    }

    /// Signs in with a passkey alone, whose authenticator has verified the person, and starts a session by the terms of a
    /// contract. No password is hashed.
    ///
    /// # Errors
    /// [`SecondFactorRefusal::Expired`] unless this service made the challenge at most [`CHALLENGE_LIFETIME`] ago;
    /// [`PasskeyRefusal`]; [`Refusal::TooManyAttempts`]; or [`Refusal::Unavailable`].
    pub async fn sign_in_with_passkey(
        &self,
        challenge: &str,
        response: &AssertionResponse,
        terms: &SessionTerms,
        context: &RequestContext,
    ) -> Result<SignedIn, Refusal> {
        let context = &RequestContext {
            contract: terms.contract,
            ..context.clone()
        };
        let relying_party = self.relying_party()?;
        let Challenge { serial, expires_at } = self.open(SealedFor::PasskeySignIn, challenge)?;
        if self.parts.clock.now() >= expires_at {
            return Err(EXPIRED);
        }
        let secrets = &self.parts.factor_secrets;
        let digest = secrets.credential_digest(&response.credential_id);
        let reserved = self.reserve(Guess {
            address: context.address,
            identifier: &format!("passkey:{}", BASE32_NOPAD.encode(&digest.0)),
        })?;
        let found = match self.parts.directory.find_passkey(&digest).await {
            Ok(found) => found,
            Err(unavailable) => {
                reserved.give_back();
                return Err(unavailable.into());
            }
        };
        let user = found.as_ref().map(|found| found.account.id);
        let reserved = reserved.at_account(user).map_err(too_many)?;
        let Some(PasskeyWithAccount { account, passkey }) = found else {
            reserved.was_wrong();
            return Err(PasskeyRefusal::Unknown.into());
        };
        let ceremony = Ceremony {
            relying_party,
            challenge,
            requires_verification: true,
        };
        let used = if response.user_handle.is_none() {
            Err(PasskeyRefusal::WrongUserHandle)
        } else {
            self.check_passkey(&account, passkey, &ceremony, serial, response)
        };
        let finished = match (used, self.sign_in_block(&account)) {
            (Ok(used), None) => {
                let now = self.parts.clock.now();
                let authentication =
                    Authentication::by_passkey(now, used.factor(), used.is_copied());
                self.start_with_passkey(&account, used, authentication, terms, context)
                    .await
            }
            (Ok(_), Some(reason)) => {
                reserved.was_wrong();
                self.note_refusal(&account, reason, context);
                return Err(PasskeyRefusal::Unknown.into());
            }
            (Err(refusal), _) => Err(refusal.into()),
        };
        let session = match finished {
            Err(Refusal::SecondFactor(SecondFactorRefusal::Passkey(refusal))) => {
                reserved.was_wrong();
                let reason = match refusal {
                    PasskeyRefusal::ChallengeUsed => LoginRefusalReason::PasskeyReplayed,
                    _ => LoginRefusalReason::PasskeyWrong,
                };
                if is_attempt(refusal) {
                    self.note_refusal(&account, reason, context);
                }
                return Err(refusal.into());
            }
            // The account was erased meanwhile.
            Err(Refusal::WrongCredentials { .. } | Refusal::UnknownAccount) => {
                reserved.give_back();
                return Err(PasskeyRefusal::Unknown.into());
            }
            finished => {
                reserved.was_right();
                finished?
            }
        };
        self.remember_sign_in(&account, context);
        self.issue_tokens(account, &session, terms)
    }

    /// The passkeys of the account with which the login can be finished, and the challenge that they sign: it is the one of the
    /// login.
    ///
    /// # Errors
    /// [`SecondFactorRefusal::Expired`], [`PasskeyRefusal::Unavailable`], [`PasskeyRefusal::None`], or
    /// [`Refusal::Unavailable`].
    pub async fn passkeys_to_finish(
        &self,
        pending: &PendingSignIn,
    ) -> Result<PasskeyChallenge, Refusal> {
        let relying_party = self.relying_party()?.clone();
        let account = self.parts.directory.account(pending.user()).await?;
        let account = account.filter(|it| self.can_finish(it, pending));
        let account = account.ok_or(EXPIRED)?;
        let passkeys = self.parts.directory.passkeys(account.id).await?;
        let allowed: Vec<_> = passkeys
            .into_iter()
            .filter(|passkey| account.second_factors.has(passkey.factor))
            .map(|passkey| passkey.credential)
            .collect();
        if allowed.is_empty() {
            return Err(PasskeyRefusal::None.into());
        }
        Ok(PasskeyChallenge {
            challenge: pending.sealed.clone(),
            relying_party,
            allowed,
        })
    }

    /// The password was the first factor, so that the presence of the person is enough here.
    pub(super) async fn finish_with_passkey(
        &self,
        account: &Account,
        pending: &PendingSignIn,
        response: &AssertionResponse,
        terms: &SessionTerms,
        context: &RequestContext,
    ) -> Result<NewSession, Refusal> {
        let ceremony = Ceremony {
            relying_party: self.relying_party()?,
            challenge: &pending.sealed,
            requires_verification: false,
        };
        let passkeys = self.parts.directory.passkeys(account.id).await?;
        let passkey = passkeys
            .into_iter()
            .find(|it| it.credential.id == response.credential_id)
            .ok_or(PasskeyRefusal::Unknown)?;
        let serial = pending.serial();
        let used = self.check_passkey(account, passkey, &ceremony, serial, response)?;
        let authentication = Authentication::by_password_and_passkey(
            self.parts.clock.now(),
            used.factor(),
            used.is_copied(),
        );
        self.start_with_passkey(account, used, authentication, terms, context)
            .await
    }

    /// Checks what a passkey of the account signed.
    pub(super) fn check_passkey(
        &self,
        account: &Account,
        passkey: StoredPasskey,
        ceremony: &Ceremony<'_>,
        serial: i64,
        response: &AssertionResponse,
    ) -> Result<UsedPasskey, PasskeyRefusal> {
        // A row that does not belong to a factor of the account grants nothing.
        let mut known = account.second_factors.passkeys.iter();
        if !known.any(|it| it.factor == passkey.factor)
            || passkey.credential.id != response.credential_id
        {
            return Err(PasskeyRefusal::Unknown);
        }
        let own_handle = account.id.as_uuid();
        let is_own = |handle: &Vec<u8>| handle == own_handle.as_bytes();
        if !response.user_handle.as_ref().is_none_or(is_own) {
            return Err(PasskeyRefusal::WrongUserHandle);
        }
        let verifier = &self.parts.passkeys;
        let verified = verifier.verify_assertion(ceremony, &passkey.credential, response)?;
        Ok(UsedPasskey {
            passkey,
            verified,
            serial,
        })
    }

    /// Starts a session with a passkey. The statement that appends the login refuses a challenge that the passkey signed
    /// before. A counter that went back is an event in the same append.
    pub(super) async fn start_with_passkey(
        &self,
        account: &Account,
        used: UsedPasskey,
        authentication: Authentication,
        terms: &SessionTerms,
        context: &RequestContext,
    ) -> Result<NewSession, Refusal> {
        let (user, epoch) = (account.id, account.session_epoch);
        let session = self.new_session(user, epoch, terms, authentication);
        let change = &FactorChange {
            user,
            what: FactorChangeKind::UsePasskey {
                factor: used.factor(),
                challenge: used.serial,
                sign_count: used.verified.sign_count,
                backed_up: used.verified.backed_up,
            },
        };
        let recorded = match used.counter_went_back(authentication.auth_time) {
            None => self.record_session(&session, Some(change), context).await,
            Some(noted) => {
                let proved = Self::proved_by_login(account);
                let command = UserCommand::NotePasskeyCounter(NotePasskeyCounter { noted, proved });
                self.record_session_and(&session, &command, change, context)
                    .await
            }
        };
        recorded.map_err(|refusal| match refusal {
            Refusal::SecondFactor(SecondFactorRefusal::CodeUsed) => {
                PasskeyRefusal::ChallengeUsed.into()
            }
            // It was removed meanwhile.
            Refusal::SecondFactor(SecondFactorRefusal::Unknown) => PasskeyRefusal::Unknown.into(),
            other => other,
        })?;
        Ok(session)
    }
}

impl UsedPasskey {
    pub(super) fn factor(&self) -> FactorId {
        self.passkey.factor
    }

    /// Whether the passkey can be copied to other devices.
    pub(super) fn is_copied(&self) -> bool {
        self.passkey.credential.backup_eligible
    }

    /// The event about a counter that is not higher than the stored one. Authenticators without a counter send 0 (WebAuthn
    /// §7.2, step 22).
    fn counter_went_back(&self, at: Timestamp) -> Option<PasskeyCounterWentBack> {
        let (stored, received) = (self.passkey.sign_count, self.verified.sign_count);
        ((stored > 0 || received > 0) && received <= stored).then_some(PasskeyCounterWentBack {
            at,
            factor: self.passkey.factor,
            stored,
            received,
        })
    }
}

/// Whether a login that was refused for this reason is recorded. An answer that cannot be read is no attempt to sign in.
pub(super) const fn is_attempt(refusal: PasskeyRefusal) -> bool {
    !matches!(
        refusal,
        PasskeyRefusal::Malformed(_) | PasskeyRefusal::Unavailable
    )
}
