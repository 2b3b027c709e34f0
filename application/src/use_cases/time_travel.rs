//! How an account stood at an earlier moment.

use authlog_domain::{Timestamp, UserId};

use crate::ports::{LogFilter, Moment, PastState};
use crate::{Authlog, ReadsHistories, Refusal};

/// How an account stood.
#[derive(Clone, Debug, PartialEq)]
pub struct Stood {
    /// Its state.
    pub state: PastState,
    /// The instant for which sessions are judged to be live: the one that was asked for, or when the event at the index
    /// that was asked for was recorded, or now.
    pub told_at: Timestamp,
}

/// What there is to tell about a moment.
#[derive(Clone, Debug, PartialEq)]
pub enum StoodThen {
    /// How the account stood.
    So(Box<Stood>),
    /// It had not been registered yet.
    NotYetRegistered,
    /// The log does not reach so far: it ends at this index.
    LogEndsAt(u64),
    /// The instant has not come yet. Nobody can tell what will have happened by then.
    StillToCome,
}

impl Authlog {
    /// How the account stood at `moment`, or how it stands now.
    ///
    /// # Errors
    /// [`Refusal::UnknownAccount`], or that it cannot be told now.
    pub async fn state_at(
        &self,
        _by: &impl ReadsHistories,
        user: UserId,
        moment: Option<Moment>,
    ) -> Result<StoodThen, Refusal> {
        let now = self.parts.clock.now();
        let told_at = match moment {
            None => now,
            Some(Moment::Instant(at)) if at > now => return Ok(StoodThen::StillToCome),
            Some(Moment::Instant(at)) => at,
            Some(Moment::Index(index)) => match self.recorded_at(index).await? {
                Ok(at) => at,
                Err(last) => return Ok(StoodThen::LogEndsAt(last)),
            },
        };
        let state = self.parts.history.state_at(user, moment).await?;
        if state.events > 0 {
            return Ok(StoodThen::So(Box::new(Stood { state, told_at })));
        }
        if self.parts.history.state_at(user, None).await?.events > 0 {
            return Ok(StoodThen::NotYetRegistered);
        }
        Err(Refusal::UnknownAccount)
    }

    /// When the event at `index` was recorded, or where the log ends before it. Before the first event there was nothing.
    async fn recorded_at(&self, index: u64) -> Result<Result<Timestamp, u64>, Refusal> {
        if index == 0 {
            return Ok(Ok(Timestamp::from_unix_millis(0)));
        }
        let everything = LogFilter::default();
        let there = self.parts.log.read_log(index - 1, 1, &everything).await?;
        match there.first() {
            Some(event) => Ok(Ok(event.recorded_at)),
            None => Ok(Err(self.parts.log.log_head().await?.log_index)),
        }
    }
}
