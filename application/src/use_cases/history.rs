//! What happened to an account.

use authlog_domain::UserId;

use crate::ports::{HistoryFilter, HistoryPage};
use crate::{Authlog, Refusal};

impl Authlog {
    /// The account of that id, e-mail address or username. An id is good even after the account's data was erased, when
    /// nobody is called by its names any more.
    ///
    /// # Errors
    /// [`Refusal::UnknownAccount`], or that it cannot be told now.
    pub async fn identify(&self, text: &str) -> Result<UserId, Refusal> {
        if let Some(user) = UserId::parse(text)
            && self.has_history(user).await?
        {
            return Ok(user);
        }
        Ok(self.find_account(text).await?.id)
    }

    /// Up to `limit` events of the account, its sessions and its refused logins, with places in the log after `after`;
    /// at the end also those that have no place yet, so that a person sees what they did a moment ago.
    ///
    /// # Errors
    /// [`Refusal::UnknownAccount`], or that it cannot be told now.
    pub async fn history(
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
        if page.events.is_empty() && page.next.is_none() && !self.has_history(user).await? {
            return Err(Refusal::UnknownAccount);
        }
        Ok(page)
    }

    async fn has_history(&self, user: UserId) -> Result<bool, Refusal> {
        let everything = HistoryFilter::default();
        let first = self.parts.history.history(user, 0, 1, &everything).await?;
        Ok(!first.events.is_empty())
    }
}
