//! Looking up sessions, each together with its account.

use std::sync::Arc;

use authlog_application::ports::StoreError;
use authlog_domain::SessionId;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::connections::Connections;
use super::events::catching_panics;
use super::pool::answered;
use super::rows::{
    StandingRow, account_columns, checked_account_columns, later_entry_of_session, session_columns,
    session_is_behind,
};
use super::together::{Asked, Errand};
use crate::sealing::StoredStanding;
use crate::store::found;

/// Whether a session's row is behind its events is looked at only if `$2` says so. Its entries in the log are always looked at:
/// an append proves the events, but not that none was deleted.
const STANDINGS: &str = concat!(
    "SELECT ",
    session_columns!(),
    ", CASE WHEN $2 THEN ",
    session_is_behind!(),
    " ELSE ",
    later_entry_of_session!(),
    " IS NOT NULL END AS session_is_behind, ",
    checked_account_columns!(),
    r"
      FROM sessions s
      JOIN accounts a ON a.user_id = s.user_id
     WHERE s.session_id = ANY($1)"
);

/// A session to look up.
#[derive(Clone, Copy)]
pub(super) struct SessionLookup {
    pub(super) session: SessionId,
    /// Whether to look if its row is behind its events.
    pub(super) is_proved: bool,
}

/// Carries them out.
pub(super) struct SessionLookups {
    connections: Arc<Connections>,
}

impl Errand for SessionLookups {
    type Request = SessionLookup;
    /// The caller decides whether it is to be trusted.
    type Answer = Option<StoredStanding>;
    type Refusal = StoreError;

    async fn carry_out(&self, group: Vec<Asked<Self>>, connection: &mut PgConnection) {
        let requests: Vec<_> = group.iter().map(|asked| asked.request).collect();
        match answered(standings(&requests, connection)).await {
            Ok(rows) => {
                for asked in group {
                    let standing = standing(&rows, asked.request.session);
                    asked.answer(standing);
                }
            }
            // It may be one of the rows that cannot be read.
            Err(error) => {
                self.connections.condemns(&error);
                for asked in group {
                    self.look_up_by_itself(asked);
                }
            }
        }
    }
}

impl SessionLookups {
    pub(super) fn new(connections: &Arc<Connections>) -> Self {
        Self {
            connections: Arc::clone(connections),
        }
    }

    fn look_up_by_itself(&self, asked: Asked<Self>) {
        let connections = Arc::clone(&self.connections);
        tokio::spawn(async move {
            let request = [asked.request];
            let found = connections.ask(|pool| standings(&request, pool)).await;
            let session = asked.request.session;
            asked.answer(found.and_then(|rows| standing(&rows, session)));
        });
    }
}

async fn standings(
    requests: &[SessionLookup],
    executor: impl PgExecutor<'_>,
) -> Result<Vec<StandingRow>, sqlx::Error> {
    let sessions: Vec<Uuid> = requests.iter().map(|it| it.session.as_uuid()).collect();
    let rows = sqlx::query_as(STANDINGS)
        .bind(sessions)
        .bind(requests.iter().any(|it| it.is_proved))
        .fetch_all(executor);
    catching_panics(rows).await?
}

fn standing(
    rows: &[StandingRow],
    session: SessionId,
) -> Result<Option<StoredStanding>, StoreError> {
    let row = rows.iter().find(|row| row.session() == session);
    let Some(row) = row else {
        return Ok(None);
    };
    found(StoredStanding::try_from(row.clone()))
}
