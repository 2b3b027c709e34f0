//! Signing in with a passkey: the challenges that passkeys sign, and a login without a password.

use std::sync::atomic::{AtomicI64, Ordering};

use authlog_domain::Timestamp;
use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};

use super::sealed_values::is_current;
use super::second_factor::{CHALLENGE_LIFETIME, EXPIRED, PendingSignIn};
use super::shown_factor::{PASSKEY_ALONE, SignedChallenge};
use super::sign_in::too_many;
use crate::ports::{
    Account, AssertionResponse, Attempt, Ceremony, Guess, PasskeyCredential, PasskeyWithAccount,
    RelyingParty, SealedFor,
};
use crate::{Authlog, PasskeyRefusal, Refusal, RequestContext, SessionTerms, SignedIn};

/// Serial numbers of challenges in a millisecond.
const SERIALS: i64 = 1000;

/// The serial number that was given last.
#[derive(Default)]
pub(crate) struct ChallengeSerials(AtomicI64);

impl ChallengeSerials {
    /// The serial number of a challenge that is issued now. It begins with `random` in each millisecond, so that nodes give
    /// different ones, and then goes up.
    fn next(&self, now: Timestamp, random: u16) -> i64 {
        let first = serial_at(now);
        let following = |last| {
            if (first..first + SERIALS).contains(&last) {
                last + 1
            } else {
                first + i64::from(random) % SERIALS
            }
        };
        let given = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
                Some(following(last))
            });
        given.map_or_else(following, following)
    }
}

/// The lowest serial number of the challenges that are issued at an instant.
pub(super) fn serial_at(instant: Timestamp) -> i64 {
    instant.unix_millis() * SERIALS
}

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

impl Authlog {
    /// A serial number for a challenge that is issued now: microseconds, of which the clock gives the milliseconds. A passkey
    /// signs challenges in the order of these numbers, each once.
    pub(super) fn challenge_serial(&self) -> i64 {
        let mut random = [0; 2];
        self.parts.entropy.fill(&mut random);
        let now = self.parts.clock.now();
        self.challenge_serials.next(now, u16::from_be_bytes(random))
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
    /// [`SecondFactorRefusal::Expired`](crate::SecondFactorRefusal::Expired) unless this service made the challenge at most
    /// [`CHALLENGE_LIFETIME`] ago; [`PasskeyRefusal`]; [`Refusal::TooManyAttempts`]; or [`Refusal::Unavailable`].
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
        if !is_current(self.parts.clock.now(), expires_at, CHALLENGE_LIFETIME) {
            return Err(EXPIRED);
        }
        let secrets = &self.parts.factor_secrets;
        let digest = secrets.credential_digest(&response.credential_id);
        let name = format!("passkey:{}", BASE32_NOPAD.encode(&digest.0));
        let reserved = self.reserve(Guess {
            address: context.address,
            identifier: &name,
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
        let signed = SignedChallenge {
            ceremony: Ceremony {
                relying_party,
                challenge,
                requires_verification: true,
            },
            serial,
            response,
        };
        let shown = match response.user_handle {
            Some(_) => self.check_passkey(&account, passkey, &signed),
            None => Err(PasskeyRefusal::WrongUserHandle.into()),
        };
        let outcome = match (shown, self.sign_in_block(&account)) {
            (Ok(shown), None) => {
                let started = async {
                    let attempt = Attempt::PasskeySignIn {
                        account: account.id,
                    };
                    self.admit(attempt)?;
                    self.start_with_factor(&account, None, &shown, terms, context)
                        .await
                };
                started.await
            }
            (Ok(_), Some(reason)) => {
                reserved.was_wrong();
                self.note_refusal(&account, reason, context);
                return Err(PasskeyRefusal::Unknown.into());
            }
            (Err(refusal), _) => Err(refusal),
        };
        let settled = self.settled(reserved, &account, outcome, PASSKEY_ALONE, context);
        let (reserved, session) = settled.map_err(|refusal| match refusal {
            // The account was erased meanwhile.
            Refusal::WrongCredentials { .. } | Refusal::UnknownAccount => {
                PasskeyRefusal::Unknown.into()
            }
            other => other,
        })?;
        reserved.was_right();
        self.remember_sign_in(&account, context);
        let limiter = &self.parts.limiter;
        limiter.remember_sign_in(context.address, &[name]);
        self.issue_tokens(account, &session, terms)
    }

    /// The passkeys of the account with which the login can be finished, and the challenge that they sign: it is the one of the
    /// login.
    ///
    /// # Errors
    /// [`SecondFactorRefusal::Expired`](crate::SecondFactorRefusal::Expired), [`PasskeyRefusal::Unavailable`],
    /// [`PasskeyRefusal::None`], or [`Refusal::Unavailable`].
    pub async fn passkeys_to_finish(
        &self,
        pending: &PendingSignIn,
    ) -> Result<PasskeyChallenge, Refusal> {
        // Without passkeys, it does not matter what became of the account.
        self.relying_party()?;
        let account = self.account_to_finish(pending).await?;
        self.passkeys_of(&account, pending).await
    }

    /// The same for the account of the login.
    ///
    /// # Errors
    /// [`PasskeyRefusal::Unavailable`], [`PasskeyRefusal::None`], or [`Refusal::Unavailable`].
    pub(super) async fn passkeys_of(
        &self,
        account: &Account,
        pending: &PendingSignIn,
    ) -> Result<PasskeyChallenge, Refusal> {
        Ok(PasskeyChallenge {
            challenge: pending.sealed.clone(),
            relying_party: self.relying_party()?.clone(),
            allowed: self.allowed_passkeys(account).await?,
        })
    }

    /// The passkeys of the account that may sign a challenge.
    ///
    /// # Errors
    /// [`PasskeyRefusal::None`], or [`Refusal::Unavailable`].
    pub(super) async fn allowed_passkeys(
        &self,
        account: &Account,
    ) -> Result<Vec<PasskeyCredential>, Refusal> {
        let passkeys = self.parts.directory.passkeys(account.id).await?;
        let allowed: Vec<_> = passkeys
            .into_iter()
            .filter(|passkey| account.second_factors.has(passkey.factor))
            .map(|passkey| passkey.credential)
            .collect();
        if allowed.is_empty() {
            return Err(PasskeyRefusal::None.into());
        }
        Ok(allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_of_one_millisecond_are_numbered_in_the_order_of_their_issue() {
        let serials = ChallengeSerials::default();
        let now = Timestamp::from_unix_millis(1_000_000);
        let later = Timestamp::from_unix_millis(1_000_001);
        let first = serials.next(now, 999);
        assert_eq!(first, 1_000_000_999);
        // The numbers of a millisecond may go on in the next one.
        let rest = [(now, 5), (later, 0), (later, 7)].map(|(at, random)| serials.next(at, random));
        assert_eq!(rest, [1_000_001_000, 1_000_001_001, 1_000_001_002]);
        // A clock that was set back begins again.
        assert_eq!(serials.next(now, 1005), 1_000_000_005);
    }
}
