//! Batched lookups of a session with its account and its parent.

use std::sync::Arc;

use authlog_application::ports::StoreError;
use authlog_domain::SessionId;
use sqlx::{FromRow, PgConnection, PgExecutor};
use uuid::Uuid;

use super::batching::{BatchOperation, PendingRequest};
use super::connections::Connections;
use super::events::catching_panics;
use super::pool::answered;
use super::rows::{
    StandingRow, account_columns, checked_account_columns, later_entry_of_session, session_columns,
    session_is_behind,
};
use crate::sealing::StoredStanding;
use crate::store::readable_row;

/// The sessions `$1`, each followed by its parent if it has one. So a session occurs several times if it is asked for and is also a
/// parent. Each session is read once, and its parent costs nothing if it has none.
///
/// Whether a session's row is behind its events is checked only if `$2` is set, or if it is a parent. Its entries in the log are
/// always checked: an append proves the events, but not that none was deleted.
const STANDINGS: &str = concat!(
    "SELECT ",
    session_columns!(),
    ", s.is_parent, CASE WHEN $2 OR s.is_parent THEN ",
    session_is_behind!(),
    " ELSE ",
    later_entry_of_session!(),
    " IS NOT NULL END AS session_is_behind, ",
    checked_account_columns!(),
    r"
      FROM sessions asked
     CROSS JOIN LATERAL (
               SELECT asked.*, false AS is_parent
                UNION ALL
               SELECT parent.*, true FROM sessions parent WHERE parent.session_id = asked.parent
           ) s
      JOIN accounts a ON a.user_id = s.user_id
     WHERE asked.session_id = ANY($1)"
);

/// A session that was asked for, or a parent of one.
#[derive(FromRow)]
struct FoundRow {
    #[sqlx(flatten)]
    standing: StandingRow,
    is_parent: bool,
}

/// A session to look up.
#[derive(Clone, Copy)]
pub(super) struct SessionLookup {
    pub(super) session: SessionId,
    /// Whether an append will prove that its row is not behind its events.
    pub(super) is_proved: bool,
}

/// Executes batches of [`SessionLookup`].
pub(super) struct SessionLookups {
    connections: Arc<Connections>,
}

impl BatchOperation for SessionLookups {
    type Request = SessionLookup;
    /// The session is not yet trusted; the caller checks its MAC.
    type Answer = Option<StoredStanding>;
    type Refusal = StoreError;

    async fn execute_batch(&self, batch: Vec<PendingRequest<Self>>, connection: &mut PgConnection) {
        let requests: Vec<_> = batch.iter().map(|pending| pending.request).collect();
        match answered(standings(&requests, connection)).await {
            Ok(rows) => {
                for pending in batch {
                    let standing = standing(&rows, pending.request.session);
                    pending.answer(standing);
                }
            }
            // The cause may be a single row that cannot be read.
            Err(error) => {
                self.connections.condemns(&error);
                for pending in batch {
                    self.look_up_alone(pending);
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

    fn look_up_alone(&self, pending: PendingRequest<Self>) {
        let connections = Arc::clone(&self.connections);
        tokio::spawn(async move {
            let request = [pending.request];
            let found = connections.ask(|pool| standings(&request, pool)).await;
            let session = pending.request.session;
            pending.answer(found.and_then(|rows| standing(&rows, session)));
        });
    }
}

async fn standings(
    requests: &[SessionLookup],
    executor: impl PgExecutor<'_>,
) -> Result<Vec<FoundRow>, sqlx::Error> {
    let sessions: Vec<Uuid> = requests.iter().map(|it| it.session.as_uuid()).collect();
    let rows = sqlx::query_as(STANDINGS)
        .bind(sessions)
        .bind(requests.iter().any(|it| it.is_proved))
        .fetch_all(executor);
    catching_panics(rows).await?
}

fn standing(rows: &[FoundRow], session: SessionId) -> Result<Option<StoredStanding>, StoreError> {
    let row_of = |session, is_parent| {
        let mut rows = rows.iter().filter(|row| row.is_parent == is_parent);
        let row = rows.find(|row| row.standing.session() == session);
        row.map(|row| row.standing.clone())
    };
    let Some(row) = row_of(session, false) else {
        return Ok(None);
    };
    let Some(mut standing) = readable_row(StoredStanding::try_from(row))? else {
        return Ok(None);
    };
    let parent = standing.session.row.parent();
    if let Some(row) = parent.and_then(|parent| row_of(parent, true)) {
        let parent = readable_row(StoredStanding::try_from(row))?;
        standing.parent = parent.map(|parent| Box::new(parent.session));
    }
    Ok(Some(standing))
}
