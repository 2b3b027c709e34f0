//! Proofs of who asks: a session that counts, and the password of its account.
//!
//! A proof holds the session epoch that the account had when it was given, and a command that is carried out for it
//! carries that epoch (see [`ProvedEpoch`]). The compiler asks for it: the commands have no other member for their
//! authority, and nothing outside this module makes a proof.

use authlog_domain::user::ProvedEpoch;
use authlog_domain::{SessionId, Timestamp};

use super::Caller;
use crate::ports::{Account, Attempt, Guess, Identifier, SessionRecord, SessionStanding};
use crate::use_cases::checked;
use crate::{Authlog, Field, Password, Refusal, RequestContext, Violation};

/// A session that counted and its account, as they stood at one moment.
pub(crate) struct ProvedSession {
    session: SessionRecord,
    account: Account,
}

impl ProvedSession {
    fn of(standing: Option<SessionStanding>, now: Timestamp) -> Result<Self, Refusal> {
        let SessionStanding { session, account } = standing
            .filter(|standing| standing.is_live(now))
            .ok_or(Refusal::InvalidAccessToken)?;
        Ok(Self { session, account })
    }

    /// The session.
    pub(crate) fn id(&self) -> SessionId {
        self.session.id
    }

    /// Its account.
    pub(crate) fn account(&self) -> &Account {
        &self.account
    }

    /// The account alone.
    pub(crate) fn into_account(self) -> Account {
        self.account
    }

    /// The account's session epoch at that moment.
    pub(crate) fn epoch(&self) -> ProvedEpoch {
        epoch_of(&self.account)
    }
}

/// The password of an account was right.
pub(crate) struct ProvedPassword(ProvedEpoch);

impl ProvedPassword {
    /// The account's session epoch before the password was looked at.
    pub(crate) fn epoch(&self) -> ProvedEpoch {
        self.0
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "here proofs are made, of accounts that were read together with what was proved"
)]
fn epoch_of(account: &Account) -> ProvedEpoch {
    ProvedEpoch::new(account.session_epoch)
}

impl Authlog {
    /// The caller's session and its account, if the session still counts.
    pub(crate) async fn session_of(&self, caller: Caller) -> Result<ProvedSession, Refusal> {
        let standing = self.parts.directory.session(caller.session()).await?;
        ProvedSession::of(standing, self.parts.clock.now())
    }

    /// As [`Self::session_of`], for a command about the account or its sessions. The command counts against the account's
    /// budget before anything is looked up.
    pub(crate) async fn session_to_change(&self, caller: Caller) -> Result<ProvedSession, Refusal> {
        self.admit_change(caller)?;
        self.session_of(caller).await
    }

    /// Counts a command of the caller about their own account against its budget.
    pub(crate) fn admit_change(&self, caller: Caller) -> Result<(), Refusal> {
        self.admit(Attempt::ChangeOwnAccount {
            account: caller.user(),
        })
    }

    /// Refuses everyone who does not know the account's password; guessing counts as it does at the login. `account` was
    /// read before, so that the proof is of no later epoch than the password.
    pub(crate) async fn prove(
        &self,
        account: &Account,
        password: Option<&str>,
        context: &RequestContext,
    ) -> Result<ProvedPassword, Refusal> {
        let password = Password::parse(password.unwrap_or_default()).map_err(|flaw| {
            Refusal::Invalid(vec![Violation {
                field: Field::Password,
                flaw,
            }])
        })?;
        let identifier = Identifier::parse(account.sign_in_name());
        let identifier = identifier.ok_or(Refusal::UnknownAccount)?;
        let name = identifier.comparable();
        let guess = Guess {
            address: context.address,
            identifier: &name,
        };
        let reserved = self.reserve(guess)?;
        let (reserved, found) = self.look_up(reserved, Some(&identifier)).await?;
        let hash = found
            .filter(|record| record.account.id == account.id)
            .and_then(|record| record.hash);
        let client = context.hashing_client();
        let verified = self.parts.hasher.verify(password, hash, &client).await;
        match checked(reserved, verified)? {
            (reserved, true) => {
                reserved.was_right();
                Ok(ProvedPassword(epoch_of(account)))
            }
            (reserved, false) => {
                reserved.was_wrong();
                Err(Refusal::WrongCredentials {
                    password_too_short: None,
                })
            }
        }
    }

    /// As [`Self::prove`]; what cannot be a password is a wrong one.
    pub(crate) async fn prove_current(
        &self,
        account: &Account,
        password: Option<&str>,
        context: &RequestContext,
    ) -> Result<ProvedPassword, Refusal> {
        self.prove(account, password, context)
            .await
            .map_err(|refusal| match refusal {
                Refusal::Invalid(_) => Refusal::WrongCredentials {
                    password_too_short: None,
                },
                other => other,
            })
    }

    /// What a login proved whose password was right but which was refused for another reason.
    pub(crate) fn proved_by_login(account: &Account) -> ProvedEpoch {
        epoch_of(account)
    }
}
