//! One account and all its sessions at once, event by event in the order of the log.

use std::collections::BTreeMap;

use authlog_application::ports::RecordedEvent;
use authlog_application::ports::{Account, SessionRecord};
use authlog_domain::AggregateKind;

use crate::{Unreadable, accounts, sessions};

/// What the events of an account, of its sessions and of its refused logins add up to so far. The folds are those that
/// keep the read models, so that a replay up to any moment gives what the rows were at that moment.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    account: Option<Account>,
    sessions: BTreeMap<String, SessionRecord>,
}

impl Replay {
    /// Adds the next event.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn apply(&mut self, event: &RecordedEvent) -> Result<(), Unreadable> {
        match AggregateKind::from_stored(&event.aggregate_type) {
            Some(AggregateKind::User) => {
                self.account = accounts::apply(self.account.take(), event)?;
            }
            Some(AggregateKind::Session) => {
                let row = self.sessions.remove(&event.aggregate_id);
                if let Some(row) = sessions::apply(row, event)? {
                    self.sessions.insert(event.aggregate_id.clone(), row);
                }
            }
            // No read model shows these.
            Some(AggregateKind::RefusedLogins) | None => {}
        }
        Ok(())
    }

    /// The account, and its sessions in order of their ids.
    pub fn finish(self) -> (Option<Account>, Vec<SessionRecord>) {
        (self.account, self.sessions.into_values().collect())
    }
}
