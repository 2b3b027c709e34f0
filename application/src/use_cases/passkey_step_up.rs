//! Stepping a session up with a passkey: the challenge that it signs.

use authlog_domain::{SessionId, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use super::passkey_sign_in::PasskeyChallenge;
use super::sealed_values::is_current;
use super::second_factor::{CHALLENGE_LIFETIME, EXPIRED};
use super::shown_factor::SignedChallenge;
use crate::access::ProvedSession;
use crate::ports::{AssertionResponse, Ceremony, SealedFor};
use crate::{Authlog, Caller, Refusal};

/// A session that is to be stepped up. It is sealed and kept by the client, so it needs no row.
#[derive(Serialize, Deserialize)]
struct Challenge {
    session: SessionId,
    user: UserId,
    /// The account's session epoch when the challenge was made.
    epoch: u32,
    /// The serial number by which a passkey signs it once.
    serial: i64,
    expires_at: Timestamp,
}

impl Challenge {
    /// Whether it was made for this session, nothing has ended sessions of the account since, and it has not expired.
    fn is_for(&self, session: SessionId, (user, epoch): (UserId, u32), now: Timestamp) -> bool {
        self.session == session
            && self.user == user
            && self.epoch == epoch
            && is_current(now, self.expires_at, CHALLENGE_LIFETIME)
    }
}

impl Authlog {
    /// A challenge for the passkeys of the caller's account, which steps the caller's session up once it is signed.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`], [`PasskeyRefusal::Unavailable`](crate::PasskeyRefusal::Unavailable),
    /// [`PasskeyRefusal::None`](crate::PasskeyRefusal::None), or [`Refusal::Unavailable`].
    pub async fn begin_passkey_step_up(&self, caller: Caller) -> Result<PasskeyChallenge, Refusal> {
        let session = self.session_of(caller).await?;
        let relying_party = self.relying_party()?.clone();
        let account = session.account();
        let allowed = self.allowed_passkeys(account).await?;
        let challenge = Challenge {
            session: session.id(),
            user: account.id,
            epoch: account.session_epoch,
            serial: self.challenge_serial(),
            expires_at: self.parts.clock.now().plus(CHALLENGE_LIFETIME),
        };
        Ok(PasskeyChallenge {
            challenge: self.seal(SealedFor::PasskeyStepUp, &challenge)?,
            relying_party,
            allowed,
        })
    }

    /// What a passkey signed to step this session up. The authenticator has to verify the person: no password may be typed
    /// here, and the presence of the person alone would be one factor (ADR 30).
    ///
    /// # Errors
    /// [`EXPIRED`] unless the challenge was made for this session at most [`CHALLENGE_LIFETIME`] ago, and its account is as it
    /// was then; or [`PasskeyRefusal::Unavailable`](crate::PasskeyRefusal::Unavailable).
    pub(super) fn signed_to_step_up<'a>(
        &'a self,
        session: &ProvedSession,
        challenge: &'a str,
        response: &'a AssertionResponse,
    ) -> Result<SignedChallenge<'a>, Refusal> {
        let relying_party = self.relying_party()?;
        let begun: Challenge = self.open(SealedFor::PasskeyStepUp, challenge)?;
        let account = session.account();
        let owner = (account.id, account.session_epoch);
        if !begun.is_for(session.id(), owner, self.parts.clock.now()) {
            return Err(EXPIRED);
        }
        Ok(SignedChallenge {
            ceremony: Ceremony {
                relying_party,
                challenge,
                requires_verification: true,
            },
            serial: begun.serial,
            response,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_challenge_is_for_one_session_of_an_account_as_it_was_and_expires() {
        let session = |id| SessionId::new(Uuid::from_u128(id));
        let user = |id| UserId::new(Uuid::from_u128(id));
        let expires_at = Timestamp::from_unix_millis(1_000_000_000);
        let last = Timestamp::from_unix_millis(999_999_999);
        let challenge = Challenge {
            session: session(1),
            user: user(2),
            epoch: 3,
            serial: 4,
            expires_at,
        };
        assert!(challenge.is_for(session(1), (user(2), 3), last));
        for (session, owner, now) in [
            (session(2), (user(2), 3), last),
            (session(1), (user(1), 3), last),
            (session(1), (user(2), 2), last),
            (session(1), (user(2), 4), last),
            (session(1), (user(2), 3), expires_at),
            (session(1), (user(2), 3), last.plus(Duration::from_secs(1))),
            // It was made by a clock that was ahead.
            (
                session(1),
                (user(2), 3),
                last.minus(Duration::from_secs(361)),
            ),
        ] {
            assert!(!challenge.is_for(session, owner, now));
        }
    }
}
