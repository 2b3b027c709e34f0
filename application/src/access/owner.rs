//! What the owner of an account shows in order to change it.

use authlog_domain::user::ProvedEpoch;

use super::level::FRESH;
use super::{Caller, ProvedSession};
use crate::{Authlog, Refusal, RequestContext, SecondFactorProof};

/// What the owner of an account shows in addition to an access token. It has no `Debug`.
#[derive(Clone, Copy, Default)]
pub struct OwnerProof<'a> {
    /// The current password.
    pub password: Option<&'a str>,
    /// The second factor.
    pub second_factor: Option<SecondFactorProof<'a>>,
}

impl<'a> From<Option<&'a str>> for OwnerProof<'a> {
    fn from(password: Option<&'a str>) -> Self {
        Self {
            password,
            second_factor: None,
        }
    }
}

/// What a change of the own account needs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum OwnerNeeds {
    /// A recent second factor if the account has one, otherwise the password: for changes of second factors.
    FactorOrPassword,
    /// The password and, if the account has a second factor, a recent one: for a passkey, which later signs in by itself. A role
    /// that needs a second factor can enrol its first one so.
    PasswordAndFactorIfAny,
    /// The password and, if the account has or needs a second factor, a recent one.
    PasswordAndFactor,
}

/// Proof that the caller is the owner of the account.
pub(crate) struct ProvedOwner {
    /// The account's session epoch, read before anything was checked.
    pub(crate) epoch: ProvedEpoch,
    /// The caller, at the level that was proved.
    pub(crate) caller: Caller,
}

impl Authlog {
    /// Checks what the owner shows. A second factor that is sent along steps the session up first, so that its code is used
    /// once. If the account has a second factor and none was shown in this session in the last minutes, the password is not
    /// even checked: it is not enough.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] or [`Refusal::WrongCredentials`] for the password;
    /// [`SecondFactorRefusal`](crate::SecondFactorRefusal); [`Refusal::TooManyAttempts`]; [`Refusal::Overloaded`]; or
    /// [`Refusal::Unavailable`].
    pub(crate) async fn prove_owner(
        &self,
        caller: Caller,
        session: &ProvedSession,
        proof: OwnerProof<'_>,
        needs: OwnerNeeds,
        context: &RequestContext,
    ) -> Result<ProvedOwner, Refusal> {
        let account = session.account();
        let has_factor = !account.second_factors.is_empty();
        let needs_level = match needs {
            OwnerNeeds::FactorOrPassword | OwnerNeeds::PasswordAndFactorIfAny => has_factor,
            OwnerNeeds::PasswordAndFactor => has_factor || self.demands_second_factor(account.role),
        };
        let steps_up = has_factor && proof.second_factor.is_some();
        let caller = if steps_up {
            self.authenticate_again(caller, session, proof, context)
                .await?
        } else {
            caller
        };
        if needs_level {
            self.check_level(&caller, Some(FRESH))?;
        }
        let needs_password = !needs_level || needs != OwnerNeeds::FactorOrPassword;
        let is_checked = steps_up && proof.password.is_some();
        if !is_checked && (needs_password || proof.password.is_some()) {
            self.prove(account, proof.password, context).await?;
        }
        Ok(ProvedOwner {
            epoch: session.epoch(),
            caller,
        })
    }

    /// As [`Self::prove_owner`]; text that cannot be a password counts as a wrong one.
    pub(crate) async fn prove_current_owner(
        &self,
        caller: Caller,
        session: &ProvedSession,
        proof: OwnerProof<'_>,
        needs: OwnerNeeds,
        context: &RequestContext,
    ) -> Result<ProvedOwner, Refusal> {
        self.prove_owner(caller, session, proof, needs, context)
            .await
            .map_err(|refusal| match refusal {
                Refusal::Invalid(_) => Refusal::wrong_password(),
                other => other,
            })
    }
}
