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
    StandingRow, account_columns, checked_account_columns, session_columns, standing_columns,
};
use super::together::{Asked, Errand};
use crate::sealing::StoredStanding;

const STANDINGS: &str = concat!(
    "SELECT ",
    standing_columns!(),
    r"
      FROM sessions s
      JOIN accounts a ON a.user_id = s.user_id
     WHERE s.session_id = ANY($1)"
);

/// Carries them out.
pub(super) struct SessionLookups {
    connections: Arc<Connections>,
}

impl Errand for SessionLookups {
    type Request = SessionId;
    /// The caller decides whether it is to be trusted.
    type Answer = Option<StoredStanding>;
    type Refusal = StoreError;

    async fn carry_out(&self, group: Vec<Asked<Self>>, connection: &mut PgConnection) {
        let sessions = group.iter().map(|asked| asked.request.as_uuid()).collect();
        match answered(standings(sessions, connection)).await {
            Ok(rows) => {
                for asked in group {
                    let standing = standing(&rows, asked.request);
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
            let session = asked.request;
            let found = connections
                .ask(|pool| standings(vec![session.as_uuid()], pool))
                .await;
            asked.answer(found.and_then(|rows| standing(&rows, session)));
        });
    }
}

async fn standings(
    sessions: Vec<Uuid>,
    executor: impl PgExecutor<'_>,
) -> Result<Vec<StandingRow>, sqlx::Error> {
    let rows = sqlx::query_as(STANDINGS).bind(sessions).fetch_all(executor);
    catching_panics(rows).await?
}

fn standing(
    rows: &[StandingRow],
    session: SessionId,
) -> Result<Option<StoredStanding>, StoreError> {
    let row = rows.iter().find(|row| row.session() == session);
    row.cloned().map(StoredStanding::try_from).transpose()
}
