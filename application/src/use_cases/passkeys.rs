//! Enrolment of passkeys by the owner of an account.

use authlog_domain::user::{
    EnrolPasskey, EnrolledPasskey, MAX_FACTORS, PasskeyEnrolled, UserCommand,
};
use authlog_domain::{AuthenticationMethod, FactorId, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use super::factors::NewFactor;
use super::sealed_values::is_current;
use super::second_factor::{CHALLENGE_LIFETIME, EXPIRED};
use super::step_up::{SteppedUpSession, TermsOf};
use crate::access::{OwnerNeeds, OwnerProof};
use crate::ports::{
    Account, AttestationResponse, Ceremony, FactorChangeKind, PasskeyCredential, RelyingParty,
    SealedFor,
};
use crate::{Authlog, Caller, PasskeyRefusal, Refusal, RequestContext, SecondFactorRefusal};

/// A passkey that has to be created. It is sealed and kept by the client, so it needs no row. It is the challenge as well.
#[derive(Serialize, Deserialize)]
struct Enrolment {
    user: UserId,
    /// The account's session epoch under which the password was checked.
    epoch: u32,
    factor: FactorId,
    expires_at: Timestamp,
}

/// A passkey that is being enrolled.
pub struct BegunPasskey {
    /// The enrolment, to be sent back with the answer of the authenticator. It is the challenge, too.
    pub enrolment: String,
    /// The account.
    pub account: Account,
    /// This service.
    pub relying_party: RelyingParty,
    /// The passkeys of the account, whose authenticators must not make another one.
    pub existing: Vec<PasskeyCredential>,
}

/// A passkey that was enrolled.
pub struct ConfirmedPasskey {
    /// The factor.
    pub factor: EnrolledPasskey,
    /// The session in which it was enrolled, if this stepped the session up: the first factor of an account does.
    pub stepped_up: Option<SteppedUpSession>,
}

impl Authlog {
    /// Whether the service has passkeys.
    pub fn offers_passkeys(&self) -> bool {
        self.settings.relying_party.is_some()
    }

    /// This service as authenticators know it.
    pub(super) fn relying_party(&self) -> Result<&RelyingParty, Refusal> {
        let known = self.settings.relying_party.as_ref();
        known.ok_or(PasskeyRefusal::Unavailable.into())
    }

    /// Begins to enrol a passkey. Nothing is stored before an authenticator has answered.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`], [`PasskeyRefusal::Unavailable`], [`Refusal::WrongCredentials`] for the password,
    /// [`SecondFactorRefusal::TooMany`], [`Refusal::TooManyAttempts`], [`Refusal::Overloaded`], or
    /// [`Refusal::Unavailable`].
    pub async fn begin_passkey(
        &self,
        caller: Caller,
        proof: impl Into<OwnerProof<'_>>,
        context: &RequestContext,
    ) -> Result<BegunPasskey, Refusal> {
        let session = self.session_to_change(caller).await?;
        let relying_party = self.relying_party()?.clone();
        let account = session.account();
        let (proof, needs) = (proof.into(), OwnerNeeds::PasswordAndFactorIfAny);
        let owner = self
            .prove_current_owner(caller, &session, proof, needs, context)
            .await?;
        if account.second_factors.count() >= MAX_FACTORS {
            return Err(Refusal::SecondFactor(SecondFactorRefusal::TooMany));
        }
        let existing = self.parts.directory.passkeys(account.id).await?;
        let now = self.parts.clock.now();
        let enrolment = Enrolment {
            user: account.id,
            epoch: owner.epoch.epoch(),
            factor: self.new_factor(now),
            expires_at: now.plus(CHALLENGE_LIFETIME),
        };
        Ok(BegunPasskey {
            enrolment: self.seal(SealedFor::PasskeyEnrolment, &enrolment)?,
            relying_party,
            existing: existing.into_iter().map(|it| it.credential).collect(),
            account: session.into_account(),
        })
    }

    /// Enrols the passkey that an authenticator made for the enrolment. The first factor of an account ends its other sessions,
    /// which the password alone has opened, and steps this one up.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`]; [`SecondFactorRefusal::Expired`] unless the enrolment was begun for this account and
    /// is not too old; [`PasskeyRefusal`]; [`SecondFactorRefusal::TooMany`]; [`Refusal::TooManyAttempts`]; or
    /// [`Refusal::Unavailable`].
    pub async fn enrol_passkey(
        &self,
        caller: Caller,
        enrolment: &str,
        response: &AttestationResponse,
        terms_of: TermsOf,
        context: &RequestContext,
    ) -> Result<ConfirmedPasskey, Refusal> {
        let session = self.session_to_change(caller).await?;
        let relying_party = self.relying_party()?;
        let account = session.account();
        let now = self.parts.clock.now();
        let begun: Enrolment = self.open(SealedFor::PasskeyEnrolment, enrolment)?;
        if begun.user != account.id || !is_current(now, begun.expires_at, CHALLENGE_LIFETIME) {
            return Err(EXPIRED);
        }
        if account.second_factors.has(begun.factor) {
            return Err(PasskeyRefusal::AlreadyEnrolled.into());
        }
        let ceremony = Ceremony {
            relying_party,
            challenge: enrolment,
            requires_verification: true,
        };
        let verified = self
            .parts
            .passkeys
            .verify_attestation(&ceremony, response)?;
        let enrolled = PasskeyEnrolled {
            at: now,
            factor: begun.factor,
            rp_id: relying_party.id.clone(),
            aaguid: verified.aaguid,
            transports: verified.credential.transports.clone(),
            // A discoverable one was required (WebAuthn §5.4.6).
            discoverable: response.discoverable.unwrap_or(true),
            user_verified: verified.user_verified,
            backup_eligible: verified.credential.backup_eligible,
            backed_up: verified.backed_up,
        };
        let listed = EnrolledPasskey::from(&enrolled);
        let what = FactorChangeKind::EnrolPasskey {
            factor: begun.factor,
            digest: self
                .parts
                .factor_secrets
                .credential_digest(&verified.credential.id),
            credential: verified.credential,
            sign_count: verified.sign_count,
            backed_up: verified.backed_up,
        };
        let command = UserCommand::EnrolPasskey(EnrolPasskey {
            enrolled,
            proved: Self::proved_when_sealed(begun.epoch),
            session: session.id(),
        });
        let new = NewFactor {
            command,
            what,
            factor: begun.factor,
            method: AuthenticationMethod::of_key(listed.backup_eligible),
        };
        let stepped_up = self
            .enrol(&caller, &session, new, terms_of, context)
            .await?;
        Ok(ConfirmedPasskey {
            factor: listed,
            stepped_up,
        })
    }
}
