//! Adding and removing second factors, by their owner, by an administrator or by the operator.

use std::time::Duration;

use authlog_domain::user::{
    Authority, EnrolTotp, EnrolledTotp, IssueRecoveryCodes, MAX_FACTORS, RECOVERY_CODES,
    RemoveFactor, RenameFactor, UserCommand, UserEvent,
};
use authlog_domain::{
    AuthenticationMethod, FactorId, FactorLabel, RecoverySetId, Timestamp, TotpParameters, UserId,
};
use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::accounts::AppendOptions;
use super::change_password::gone;
use super::sealed_values::is_current;
use super::second_factor::EXPIRED;
use super::shown_factor::{as_shown, normalised};
use crate::access::{OwnerNeeds, ProvedSession};
use crate::ports::{Account, FactorChange, FactorChangeKind, SealedFor, TotpSecret};
use crate::{
    Authlog, BrowserSession, Caller, ChangesAccounts, OwnerProof, Refusal, RequestContext,
    SecondFactorRefusal, SteppedUpSession, TermsOf,
};

/// How long an authenticator app can take to show its first code.
pub const ENROLMENT_LIFETIME: Duration = Duration::from_secs(15 * 60);

/// Bytes of a seed: as many as the hash function gives (RFC 4226 §4, R6).
const SEED_BYTES: usize = 20;

/// Random bytes of a recovery code: 80 bits, which cannot be guessed. NIST SP 800-63B-4 §3.1.2.2 asks for 20 bits.
const RECOVERY_CODE_BYTES: usize = 10;

/// An authenticator app that has to show a right code. It is sealed and kept by the client, so it needs no row.
#[derive(Serialize, Deserialize)]
struct Enrolment {
    user: UserId,
    /// The account's session epoch under which the password was checked.
    epoch: u32,
    factor: FactorId,
    seed: Vec<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    label: Option<FactorLabel>,
    expires_at: Timestamp,
}

impl Drop for Enrolment {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.seed);
    }
}

/// An authenticator app that is being enrolled. It has no `Debug`.
pub struct BegunTotp {
    /// The enrolment, to be sent back with a code.
    pub enrolment: String,
    /// The seed in base 32, as people type it into an app.
    pub secret: Zeroizing<String>,
    /// How codes are computed.
    pub parameters: TotpParameters,
    /// The account.
    pub account: Account,
    /// From when on it cannot be confirmed any more.
    pub expires_at: Timestamp,
}

/// An authenticator app that was enrolled.
pub struct ConfirmedTotp {
    /// The factor.
    pub factor: EnrolledTotp,
    /// Its label.
    pub label: Option<FactorLabel>,
    /// The session in which it was enrolled, if this stepped the session up: the first factor of an account does.
    pub stepped_up: Option<SteppedUpSession>,
}

/// A factor that has been shown and is to be enrolled.
pub(super) struct NewFactor {
    pub(super) command: UserCommand,
    pub(super) what: FactorChangeKind,
    pub(super) factor: FactorId,
    pub(super) method: AuthenticationMethod,
}

impl Authlog {
    /// Begins to enrol an authenticator app. Nothing is stored before the app has shown a right code.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`], [`Refusal::WrongCredentials`] for the password,
    /// [`SecondFactorRefusal::TooMany`], [`SecondFactorRefusal::Label`], [`Refusal::TooManyAttempts`],
    /// [`Refusal::Overloaded`], or [`Refusal::Unavailable`].
    pub async fn begin_totp(
        &self,
        caller: Caller,
        proof: impl Into<OwnerProof<'_>>,
        label: Option<&str>,
        context: &RequestContext,
    ) -> Result<BegunTotp, Refusal> {
        let label = parse_label(label)?;
        let session = self.session_to_change(caller).await?;
        let account = session.account();
        let (proof, needs) = (proof.into(), OwnerNeeds::FactorOrPassword);
        let owner = self
            .prove_current_owner(caller, &session, proof, needs, context)
            .await?;
        if account.second_factors.count() >= MAX_FACTORS {
            return Err(Refusal::SecondFactor(SecondFactorRefusal::TooMany));
        }
        let now = self.parts.clock.now();
        let entropy = &self.parts.entropy;
        let mut seed = vec![0; SEED_BYTES];
        entropy.fill(&mut seed);
        let secret = Zeroizing::new(BASE32_NOPAD.encode(&seed));
        let enrolment = Enrolment {
            user: account.id,
            epoch: owner.epoch.epoch(),
            factor: self.new_factor(now),
            seed,
            label,
            expires_at: now.plus(ENROLMENT_LIFETIME),
        };
        Ok(BegunTotp {
            enrolment: self.seal(SealedFor::Enrolment, &enrolment)?,
            secret,
            parameters: TotpParameters::DEFAULT,
            expires_at: enrolment.expires_at,
            account: session.into_account(),
        })
    }

    /// Enrols the authenticator app, which shows `code`. The first factor of an account ends its other sessions, which the
    /// password alone has opened, and steps this one up.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`]; [`SecondFactorRefusal::Expired`] unless the enrolment was begun for this account and
    /// is not too old; [`SecondFactorRefusal::WrongCode`]; [`SecondFactorRefusal::TooMany`];
    /// [`Refusal::TooManyAttempts`]; or [`Refusal::Unavailable`].
    pub async fn confirm_totp(
        &self,
        caller: Caller,
        enrolment: &str,
        code: &str,
        terms_of: TermsOf,
        context: &RequestContext,
    ) -> Result<ConfirmedTotp, Refusal> {
        let session = self.session_to_change(caller).await?;
        let account = session.account();
        let now = self.parts.clock.now();
        let secrets = &self.parts.factor_secrets;
        let enrolment = self.open_enrolment(account, enrolment)?;
        let secret = TotpSecret {
            parameters: TotpParameters::DEFAULT,
            seed: Zeroizing::new(enrolment.seed.clone()),
        };
        let step = secrets.matching_step(&secret, &as_shown(code), now);
        let step = step.ok_or(Refusal::SecondFactor(SecondFactorRefusal::WrongCode))?;
        let factor = enrolment.factor;
        let command = UserCommand::EnrolTotp(EnrolTotp {
            at: now,
            factor,
            parameters: secret.parameters,
            label: enrolment.label.clone(),
            proved: Self::proved_when_sealed(enrolment.epoch),
            session: session.id(),
        });
        let new = NewFactor {
            command,
            what: FactorChangeKind::Enrol {
                factor,
                secret,
                step,
            },
            factor,
            method: AuthenticationMethod::Otp,
        };
        let stepped_up = self
            .enrol(&caller, &session, new, terms_of, context)
            .await?;
        Ok(ConfirmedTotp {
            factor: EnrolledTotp {
                factor,
                enrolled_at: now,
            },
            label: enrolment.label.clone(),
            stepped_up,
        })
    }

    /// Records the enrolment of a factor. The first factor of an account steps the session up.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`], [`SecondFactorRefusal::Expired`], [`SecondFactorRefusal::TooMany`], or
    /// [`Refusal::Unavailable`].
    pub(super) async fn enrol(
        &self,
        caller: &Caller,
        session: &ProvedSession,
        new: NewFactor,
        terms_of: TermsOf,
        context: &RequestContext,
    ) -> Result<Option<SteppedUpSession>, Refusal> {
        let account = session.account();
        let is_first = account.second_factors.is_empty();
        let factor = Some(new.factor);
        let authentication =
            is_first.then(|| self.with_factor(session, true, [new.method], factor));
        let options = AppendOptions {
            factors: Some(FactorChange {
                user: account.id,
                what: new.what,
            }),
            steps_up: authentication.map(|it| (session.id(), it)),
            ..AppendOptions::default()
        };
        let metadata = context.metadata_of(caller);
        let changed = self.decide(account.id, new.command, options, metadata);
        changed.await.map_err(|refusal| match refusal {
            // The account was taken back since the password was checked, or its factors have changed.
            Refusal::WrongCredentials { .. } => EXPIRED,
            // The session has ended.
            Refusal::InvalidRefreshToken => Refusal::InvalidAccessToken,
            other => gone(other),
        })?;
        let stepped_up = authentication.map(|it| self.stepped_up(session, it, terms_of));
        stepped_up.transpose()
    }

    /// Gives a second factor of the caller a label. An empty one removes the label. It grants nothing, so it needs no password.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`], [`SecondFactorRefusal::Label`], [`SecondFactorRefusal::Unknown`],
    /// [`Refusal::TooManyAttempts`], or [`Refusal::Unavailable`].
    pub async fn rename_own_factor(
        &self,
        caller: Caller,
        factor: FactorId,
        label: &str,
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        let label = parse_label(Some(label))?;
        let session = self.session_to_change(caller).await?;
        let user = session.account().id;
        let command = UserCommand::RenameFactor(RenameFactor {
            at: self.parts.clock.now(),
            factor,
            label,
        });
        let options = AppendOptions::default();
        let metadata = context.metadata_of(&caller);
        let renamed = self.decide(user, command, options, metadata);
        renamed.await.map_err(gone)?;
        Ok(())
    }

    /// What was begun, to be shown once more after a wrong code.
    ///
    /// # Errors
    /// [`SecondFactorRefusal::Expired`] unless the enrolment was begun for this account and is not too old.
    pub fn begun_totp(&self, session: &BrowserSession, sealed: &str) -> Result<BegunTotp, Refusal> {
        let account = session.account();
        let enrolment = self.open_enrolment(account, sealed)?;
        Ok(BegunTotp {
            enrolment: sealed.to_owned(),
            secret: Zeroizing::new(BASE32_NOPAD.encode(&enrolment.seed)),
            parameters: TotpParameters::DEFAULT,
            expires_at: enrolment.expires_at,
            account: account.clone(),
        })
    }

    fn open_enrolment(&self, account: &Account, sealed: &str) -> Result<Enrolment, Refusal> {
        let enrolment: Enrolment = self.open(SealedFor::Enrolment, sealed)?;
        let now = self.parts.clock.now();
        let is_current = is_current(now, enrolment.expires_at, ENROLMENT_LIFETIME);
        let is_valid = enrolment.user == account.id && is_current;
        is_valid.then_some(enrolment).ok_or(EXPIRED)
    }

    /// Removes a second factor of the caller. The other sessions end.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`], [`Refusal::WrongCredentials`] for the password,
    /// [`SecondFactorRefusal::Unknown`], [`Refusal::TooManyAttempts`], [`Refusal::Overloaded`], or
    /// [`Refusal::Unavailable`].
    pub async fn remove_own_factor(
        &self,
        caller: Caller,
        factor: FactorId,
        proof: impl Into<OwnerProof<'_>>,
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        let session = self.session_to_change(caller).await?;
        let (proof, needs) = (proof.into(), OwnerNeeds::FactorOrPassword);
        let owner = self
            .prove_current_owner(caller, &session, proof, needs, context)
            .await?;
        let user = caller.user();
        let command = UserCommand::RemoveFactor(RemoveFactor {
            at: self.parts.clock.now(),
            factor: Some(factor),
            authority: Authority::Owner(owner.epoch),
            kept: Some(session.id()),
        });
        let what = FactorChangeKind::Remove(Some(factor));
        let metadata = context.metadata_of(&owner.caller);
        self.change_factors(user, command, what, metadata)
            .await
            .map_err(gone)?;
        Ok(())
    }

    /// Removes every second factor of an account, whose owner has lost them, and ends its sessions. Returns how many factors
    /// there were. Administrators do not remove those of their own account in this way: for the owner, an access token alone
    /// does not suffice.
    ///
    /// # Errors
    /// [`Refusal::UnknownAccount`], [`SecondFactorRefusal::OwnAccount`], or [`Refusal::Unavailable`].
    pub async fn remove_factors_of(
        &self,
        by: &impl ChangesAccounts,
        user: UserId,
        context: &RequestContext,
    ) -> Result<usize, Refusal> {
        if by.own_account() == Some(user) {
            return Err(Refusal::SecondFactor(SecondFactorRefusal::OwnAccount));
        }
        let command = UserCommand::RemoveFactor(RemoveFactor {
            at: self.parts.clock.now(),
            factor: None,
            authority: by.authority(),
            kept: None,
        });
        let what = FactorChangeKind::Remove(None);
        let metadata = by.metadata(context, user);
        let events = self.change_factors(user, command, what, metadata).await?;
        let removed = |event: &&UserEvent| matches!(event, UserEvent::FactorRemoved(_));
        Ok(events.iter().filter(removed).count())
    }

    /// New recovery codes for the caller, which replace the earlier ones. They are returned once.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`], [`Refusal::WrongCredentials`] for the password,
    /// [`SecondFactorRefusal::Missing`] if the account has no second factor, [`Refusal::TooManyAttempts`],
    /// [`Refusal::Overloaded`], or [`Refusal::Unavailable`].
    pub async fn issue_recovery_codes(
        &self,
        caller: Caller,
        proof: impl Into<OwnerProof<'_>>,
        context: &RequestContext,
    ) -> Result<Vec<Zeroizing<String>>, Refusal> {
        let session = self.session_to_change(caller).await?;
        let (proof, needs) = (proof.into(), OwnerNeeds::FactorOrPassword);
        let owner = self
            .prove_current_owner(caller, &session, proof, needs, context)
            .await?;
        let user = caller.user();
        let codes: Vec<_> = (0..RECOVERY_CODES).map(|_| self.recovery_code()).collect();
        let secrets = &self.parts.factor_secrets;
        let digests = codes
            .iter()
            .map(|code| secrets.recovery_digest(user, &normalised(code)));
        let what = FactorChangeKind::IssueRecoveryCodes(digests.collect());
        let command = UserCommand::IssueRecoveryCodes(IssueRecoveryCodes {
            at: self.parts.clock.now(),
            set: RecoverySetId::new(self.parts.entropy.random_uuid()),
            proved: owner.epoch,
        });
        let metadata = context.metadata_of(&owner.caller);
        self.change_factors(user, command, what, metadata)
            .await
            .map_err(gone)?;
        Ok(codes)
    }

    /// Four groups of four characters.
    fn recovery_code(&self) -> Zeroizing<String> {
        let mut random = Zeroizing::new([0; RECOVERY_CODE_BYTES]);
        self.parts.entropy.fill(random.as_mut_slice());
        let text = Zeroizing::new(BASE32_NOPAD.encode(random.as_slice()));
        let mut code = Zeroizing::new(String::with_capacity(text.len() + text.len() / 4));
        for (at, letter) in text.chars().enumerate() {
            if at > 0 && at % 4 == 0 {
                code.push('-');
            }
            code.push(letter);
        }
        code
    }

    /// The id of a new second factor.
    pub(super) fn new_factor(&self, now: Timestamp) -> FactorId {
        FactorId::new(self.parts.entropy.time_ordered_uuid(now))
    }

    async fn change_factors(
        &self,
        user: UserId,
        command: UserCommand,
        what: FactorChangeKind,
        metadata: std::collections::HashMap<String, String>,
    ) -> Result<Vec<UserEvent>, Refusal> {
        let options = AppendOptions {
            factors: Some(FactorChange { user, what }),
            ..AppendOptions::default()
        };
        self.decide(user, command, options, metadata).await
    }
}

/// A label as typed; `None` for an empty one.
fn parse_label(text: Option<&str>) -> Result<Option<FactorLabel>, Refusal> {
    let text = text.filter(|text| !text.trim().is_empty());
    let label = text.map(FactorLabel::parse).transpose();
    label.map_err(|flaw| Refusal::SecondFactor(SecondFactorRefusal::Label(flaw)))
}
