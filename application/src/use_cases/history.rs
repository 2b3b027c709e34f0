//! The history of an account.

use authlog_domain::UserId;

use crate::ports::{History, HistoryFilter, HistoryPage, StoreError};
use crate::{Authlog, Caller, ReadsHistories, Refusal};

impl Authlog {
    /// Up to `limit` events of the account, its sessions and its refused logins, with log indices after `after`. The
    /// last page includes events that have no log index yet, so that it shows the most recent actions.
    ///
    /// # Errors
    /// [`Refusal::UnknownAccount`], or [`Refusal::Unavailable`].
    pub async fn history(
        &self,
        _by: &impl ReadsHistories,
        user: UserId,
        after: u64,
        limit: u32,
        filter: &HistoryFilter,
    ) -> Result<HistoryPage, Refusal> {
        self.page_of_history(user, after, limit, filter).await
    }

    /// As [`Self::history`], for the caller's account.
    ///
    /// # Errors
    /// As for [`Self::history`].
    pub async fn own_history(
        &self,
        caller: Caller,
        after: u64,
        limit: u32,
        filter: &HistoryFilter,
    ) -> Result<HistoryPage, Refusal> {
        self.page_of_history(caller.user(), after, limit, filter)
            .await
    }

    async fn page_of_history(
        &self,
        user: UserId,
        after: u64,
        limit: u32,
        filter: &HistoryFilter,
    ) -> Result<HistoryPage, Refusal> {
        let page = self
            .parts
            .history
            .history(user, after, limit, filter)
            .await?;
        if page.events.is_empty()
            && page.next.is_none()
            && !has_history(&*self.parts.history, user).await?
        {
            return Err(Refusal::UnknownAccount);
        }
        Ok(page)
    }
}

/// Whether an account with this id exists or existed.
pub(super) async fn has_history(history: &dyn History, user: UserId) -> Result<bool, StoreError> {
    let everything = HistoryFilter::default();
    let first = history.history(user, 0, 1, &everything).await?;
    Ok(!first.events.is_empty())
}
