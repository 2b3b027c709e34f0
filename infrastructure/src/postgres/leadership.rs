//! Electing one node for work that only one may do at a time.

use std::io;
use std::time::Duration;

use sqlx::{Executor as _, PgConnection};

use super::connections::SESSION_SETTINGS;
use super::hosts::{Hosts, Setting};

/// The first half of the keys of our advisory locks, which keeps them apart from other programs' locks: "auth" in
/// ASCII.
const LOCK_SPACE: i32 = 0x6175_7468;

/// How often a node that does not lead tries to be elected, and so how long the work may rest after a leader has ended.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// After this many attempts the holder of the lock is looked up.
const FIRST_LOOK: u64 = 10;
/// The number of attempts between two further look-ups.
const LOOK_EVERY: u64 = 60;

/// The session that holds a lock, if it belongs to no node: its role or its program differs.
const FOREIGN_HOLDER: &str = r"
    SELECT a.pid, a.usename::text AS role, a.application_name AS program
      FROM pg_locks l JOIN pg_stat_activity a USING (pid)
     WHERE l.locktype = 'advisory' AND l.granted AND l.classid::bigint = $1 AND l.objid::bigint = $2 AND l.objsubid = 2
       AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND (a.usename <> current_user OR a.application_name <> current_setting('application_name'))";

/// How long a connection may be silent before it counts as broken. The leader has to notice by itself when the network
/// drops its packets.
const SILENCE: Duration = Duration::from_secs(10);

/// How soon the server notices that a node's machine is gone, and releases its locks: after 10 s, and 3 × 5 s more.
/// With the default of most systems, a dead connection would count as one of `max_connections` for two hours.
pub(super) const KEEPALIVE: [Setting; 4] = [
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "25000"),
];

/// How long the server keeps the lock for a silent leader. A process that is stopped, or gets no processor time, keeps
/// its connection alive. Every working leader sends a statement at least once a second.
///
/// It is set by a separate statement, because PostgreSQL before 14 does not know it.
const SET_IDLE_TIMEOUT: &str = "SET idle_session_timeout = '5s'";

/// Work for which one node is elected.
#[derive(Clone, Copy, Debug)]
pub(super) enum LeaderRole {
    /// Putting events into one order.
    Sequencer,
    /// Publishing the log.
    Publisher,
    /// Signing checkpoints of the log.
    Signer,
}

impl LeaderRole {
    /// The second half of the lock's key. It never changes, or two versions of the program would both be elected.
    const fn key(self) -> i32 {
        match self {
            Self::Sequencer => 1,
            Self::Publisher => 2,
            Self::Signer => 3,
        }
    }
}

/// The leadership of the elected node. It lasts as long as its connection, for which the server keeps a lock.
///
/// The lock makes it likely that one node works, not certain: a node may not have noticed yet that its connection is
/// gone. So the work also needs fencing, as the epoch provides it for the sequencer.
pub(super) struct Leadership {
    connection: PgConnection,
}

impl Leadership {
    /// Waits to be elected, over a connection with these settings.
    pub(super) async fn win(
        hosts: &Hosts,
        settings: &[Setting],
        leader_role: LeaderRole,
    ) -> Result<Self, sqlx::Error> {
        let settings = [&SESSION_SETTINGS, settings, &KEEPALIVE].concat();
        let mut connection = hosts.connect(&settings).await?;
        if let Err(error) = with_timeout(connection.execute(SET_IDLE_TIMEOUT)).await {
            tracing::debug!(%error, "could not set a timeout for a leader that hangs; it is replaced only when it ends");
        }
        for attempt in 1_u64.. {
            let elected = sqlx::query_scalar("SELECT pg_try_advisory_lock($1, $2)")
                .bind(LOCK_SPACE)
                .bind(leader_role.key())
                .fetch_one(&mut connection);
            if with_timeout(elected).await? {
                break;
            }
            if attempt == FIRST_LOOK || attempt.is_multiple_of(LOOK_EVERY) {
                warn_of_foreign_holder(leader_role, &mut connection).await?;
            }
            tokio::time::sleep(TRY_EVERY).await;
        }
        Ok(Self { connection })
    }

    /// The connection that holds the lock. Every statement over it is also a heartbeat: it fails when the lock is
    /// lost.
    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

/// Logs a warning if a session that belongs to no node holds the lock: then no node does the work. Every database role that
/// may connect can take the lock.
async fn warn_of_foreign_holder(
    leader_role: LeaderRole,
    connection: &mut PgConnection,
) -> Result<(), sqlx::Error> {
    let held = sqlx::query_as(FOREIGN_HOLDER)
        .bind(i64::from(LOCK_SPACE))
        .bind(i64::from(leader_role.key()))
        .fetch_optional(connection);
    let held: Option<(i32, Option<String>, Option<String>)> = with_timeout(held).await?;
    if let Some((pid, role, program)) = held {
        tracing::warn!(
            ?leader_role,
            pid,
            role,
            program,
            "no node leads this election: a session that belongs to no node holds its lock. End that session, and revoke CONNECT from roles that do not need it"
        );
    }
    Ok(())
}

/// The answer of the server, or a time-out after [`SILENCE`].
pub(super) async fn with_timeout<T>(
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    tokio::time::timeout(SILENCE, answer)
        .await
        .unwrap_or_else(|_| Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into())))
}
