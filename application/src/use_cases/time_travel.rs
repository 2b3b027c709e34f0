//! The state of an account at an earlier moment.

use authlog_domain::{Timestamp, UserId};

use crate::ports::{LogFilter, Moment, PastState};
use crate::{Authlog, ReadsHistories, Refusal};

/// The state of an account at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountState {
    /// Its state.
    pub state: PastState,
    /// The instant for which the live sessions are determined: the requested one, the recording time of the event at the
    /// requested index, or now.
    pub evaluated_at: Timestamp,
}

/// The result of a query for a moment.
#[derive(Clone, Debug, PartialEq)]
pub enum StateAt {
    /// The state of the account.
    Found(Box<AccountState>),
    /// The account was not registered yet.
    NotYetRegistered,
    /// The log ends at this index, before the requested one.
    LogEndsAt(u64),
    /// The instant is in the future.
    InTheFuture,
}

impl Authlog {
    /// The state of the account at `moment`, or now.
    ///
    /// # Errors
    /// [`Refusal::UnknownAccount`], or [`Refusal::Unavailable`].
    pub async fn state_at(
        &self,
        _by: &impl ReadsHistories,
        user: UserId,
        moment: Option<Moment>,
    ) -> Result<StateAt, Refusal> {
        let now = self.parts.clock.now();
        let evaluated_at = match moment {
            None => now,
            Some(Moment::Instant(at)) if at > now => return Ok(StateAt::InTheFuture),
            Some(Moment::Instant(at)) => at,
            Some(Moment::Index(index)) => match self.recorded_at(index).await? {
                Ok(at) => at,
                Err(last) => return Ok(StateAt::LogEndsAt(last)),
            },
        };
        let state = self.parts.history.state_at(user, moment).await?;
        if state.events > 0 {
            return Ok(StateAt::Found(Box::new(AccountState {
                state,
                evaluated_at,
            })));
        }
        if self.parts.history.state_at(user, None).await?.events > 0 {
            return Ok(StateAt::NotYetRegistered);
        }
        Err(Refusal::UnknownAccount)
    }

    /// When the event at `index` was recorded; as the inner error, the last index of a log that ends before it. Index 0 is
    /// before the first event.
    pub(super) async fn recorded_at(&self, index: u64) -> Result<Result<Timestamp, u64>, Refusal> {
        if index == 0 {
            return Ok(Ok(Timestamp::from_unix_millis(0)));
        }
        let everything = LogFilter::default();
        let found = self.parts.log.read_log(index - 1, 1, &everything).await?;
        match found.first() {
            Some(event) => Ok(Ok(event.recorded_at)),
            None => Ok(Err(self.parts.log.log_head().await?.log_index)),
        }
    }
}
