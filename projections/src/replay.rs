//! A replay of one account and all its sessions, event by event in the order of the log.

use std::collections::BTreeMap;

use authlog_domain::AggregateKind;

use crate::{Account, RecordedEvent, SessionRecord, Unreadable, accounts, sessions};

/// The rows of an account and of its sessions after the events applied so far. The folds are those of the read models, so a
/// replay up to a log index gives the rows as they were then.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    account: Option<Account>,
    sessions: BTreeMap<String, SessionRecord>,
}

impl Replay {
    /// Applies the next event in the order of the log. Events of kinds that this program does not know are skipped.
    ///
    /// # Errors
    /// The event cannot be read.
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
            // Refused logins have no read model, and the events of clients belong to no account.
            Some(AggregateKind::RefusedLogins | AggregateKind::Client) | None => {}
        }
        Ok(())
    }

    /// The account, and its sessions in the order of their ids.
    pub fn finish(self) -> (Option<Account>, Vec<SessionRecord>) {
        (self.account, self.sessions.into_values().collect())
    }
}
