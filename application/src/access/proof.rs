//! Proofs of a live session and of the password of its account.
//!
//! A proof holds the session epoch that the account had at that time, and the command that needs the proof carries this
//! epoch (see [`ProvedEpoch`]). The compiler enforces it: the commands take no other authority, and only this module
//! creates proofs.

use authlog_domain::user::ProvedEpoch;
use authlog_domain::{SessionId, Timestamp};

use super::Caller;
use crate::ports::{Account, Attempt, Guess, Identifier, SessionRecord, SessionWithAccount};
use crate::use_cases::checked;
use crate::{Authlog, Password, Refusal, RequestContext};

/// A live session and its account, as read at one moment.
pub(crate) struct ProvedSession {
    session: SessionRecord,
    account: Account,
}

impl ProvedSession {
    fn of(standing: Option<SessionWithAccount>, now: Timestamp) -> Result<Self, Refusal> {
        let SessionWithAccount {
            session, account, ..
        } = standing
            .filter(|standing| standing.is_live(now))
            .ok_or(Refusal::InvalidAccessToken)?;
        Ok(Self { session, account })
    }

    /// The session.
    pub(crate) fn id(&self) -> SessionId {
        self.session.id
    }

    /// The row of the session.
    pub(crate) fn record(&self) -> &SessionRecord {
        &self.session
    }

    /// Its account.
    pub(crate) fn account(&self) -> &Account {
        &self.account
    }

    /// The account alone.
    pub(crate) fn into_account(self) -> Account {
        self.account
    }

    /// The account's session epoch when it was read.
    pub(crate) fn epoch(&self) -> ProvedEpoch {
        epoch_of(&self.account)
    }
}

/// Proof that the password of an account was right.
pub(crate) struct ProvedPassword(ProvedEpoch);

impl ProvedPassword {
    /// The session epoch of the account, read before the password was checked.
    pub(crate) fn epoch(&self) -> ProvedEpoch {
        self.0
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this module creates the proofs: the account was read together with the proved fact"
)]
pub(super) fn epoch_of(account: &Account) -> ProvedEpoch {
    ProvedEpoch::new(account.session_epoch)
}

impl Authlog {
    /// The proof that was made when a value was sealed that names this epoch. Only this service seals values.
    #[expect(
        clippy::disallowed_methods,
        reason = "the epoch was read together with what was proved, and sealed"
    )]
    pub(crate) fn proved_when_sealed(epoch: u32) -> ProvedEpoch {
        ProvedEpoch::new(epoch)
    }

    /// The caller's session and its account, if the session is still live.
    pub(crate) async fn session_of(&self, caller: Caller) -> Result<ProvedSession, Refusal> {
        let standing = self.parts.directory.session(caller.session()).await?;
        ProvedSession::of(standing, self.parts.clock.now())
    }

    /// As [`Self::session_of`], for a command that changes the account or its sessions. The command is counted against the
    /// account's limit before the lookup.
    pub(crate) async fn session_to_change(&self, caller: Caller) -> Result<ProvedSession, Refusal> {
        self.admit_change(caller)?;
        self.session_of(caller).await
    }

    /// Counts a command of the caller against the limit of the caller's account.
    pub(crate) fn admit_change(&self, caller: Caller) -> Result<(), Refusal> {
        self.admit(Attempt::ChangeOwnAccount {
            account: caller.user(),
        })
    }

    /// Checks the password of the account. Wrong passwords count as at a login. `account` must have been read before this
    /// call, so that the epoch of the proof is not later than the password.
    pub(crate) async fn prove(
        &self,
        account: &Account,
        password: Option<&str>,
        context: &RequestContext,
    ) -> Result<ProvedPassword, Refusal> {
        let password = Password::parse(password.unwrap_or_default());
        let password = password.map_err(Refusal::of_password)?;
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
                Err(Refusal::wrong_password())
            }
        }
    }

    /// The proof of a login whose password was right but which was refused for another reason.
    pub(crate) fn proved_by_login(account: &Account) -> ProvedEpoch {
        epoch_of(account)
    }
}
