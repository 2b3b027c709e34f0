//! Electing one node for work that only one may do at a time.

use std::io;
use std::time::Duration;

use sqlx::{Executor as _, PgConnection};

use super::connections::OF_EVERY_SESSION;
use super::hosts::{Hosts, Setting};

/// The first half of the keys of our advisory locks, which keeps them apart from other programs' locks: "auth" in
/// ASCII.
const LOCK_SPACE: i32 = 0x6175_7468;

/// How often a node that does not lead tries to: how long the work may rest after a leader's end.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// After how many attempts it is looked who has the lock, and after how many again.
const FIRST_LOOK: u64 = 10;
const LOOK_EVERY: u64 = 60;

/// The session that has a lock, unless it is a node's: one of another role, or of another program.
const STRANGER: &str = r"
    SELECT a.pid, a.usename::text AS role, a.application_name AS program
      FROM pg_locks l JOIN pg_stat_activity a USING (pid)
     WHERE l.locktype = 'advisory' AND l.granted AND l.classid::bigint = $1 AND l.objid::bigint = $2 AND l.objsubid = 2
       AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND (a.usename <> current_user OR a.application_name <> current_setting('application_name'))";

/// How long a connection may be silent before it counts as broken. The leader has to notice by itself when the network
/// swallows its questions.
const SILENCE: Duration = Duration::from_secs(10);

/// How soon the server notices that a node's machine is gone, and gives its locks to another: 10 s, and 3 × 5 s more. The
/// default of most systems is two hours, for which a dead connection would count as one of `max_connections`.
pub(super) const KEEPALIVE: [Setting; 4] = [
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "25000"),
];

/// How long the server keeps the lock for a leader that says nothing. A process that is stopped, or starved of its CPU,
/// keeps its connection alive without being so; every leader says something at least once a second.
///
/// It is asked for by itself because PostgreSQL before 14 does not know it.
const GIVE_UP_THE_SILENT: &str = "SET idle_session_timeout = '5s'";

/// Work for which a node is elected.
#[derive(Clone, Copy, Debug)]
pub(super) enum Office {
    /// Bringing events into one order.
    Sequencer,
    /// Publishing the log.
    Publisher,
    /// Signing checkpoints of the log.
    Signer,
}

impl Office {
    /// The second half of the lock's key. It never changes, or two versions of the program would both be elected.
    const fn key(self) -> i32 {
        match self {
            Self::Sequencer => 1,
            Self::Publisher => 2,
            Self::Signer => 3,
        }
    }
}

/// Being elected. It lasts as long as the connection, for which the server keeps a lock.
///
/// The lock makes it likely that one node works, not certain: a node may not have noticed yet that its connection is
/// gone. So the work has to be fenced besides, as the sequencer's is by its epoch.
pub(super) struct Leadership {
    connection: PgConnection,
}

impl Leadership {
    /// Waits to be elected, over a connection with these settings.
    pub(super) async fn win(
        hosts: &Hosts,
        settings: &[Setting],
        office: Office,
    ) -> Result<Self, sqlx::Error> {
        let settings = [&OF_EVERY_SESSION, settings, &KEEPALIVE].concat();
        let mut connection = hosts.connect(&settings).await?;
        if let Err(error) = heard(connection.execute(GIVE_UP_THE_SILENT)).await {
            tracing::debug!(%error, "could not set a timeout for a leader that hangs; it is replaced only when it ends");
        }
        for attempt in 1_u64.. {
            let elected = sqlx::query_scalar("SELECT pg_try_advisory_lock($1, $2)")
                .bind(LOCK_SPACE)
                .bind(office.key())
                .fetch_one(&mut connection);
            if heard(elected).await? {
                break;
            }
            if attempt == FIRST_LOOK || attempt.is_multiple_of(LOOK_EVERY) {
                name_stranger(office, &mut connection).await?;
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

/// Says so if a session that is no node's holds the lock of the office: then no node does the work. Every role that may
/// connect to the database can take it.
async fn name_stranger(office: Office, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let held = sqlx::query_as(STRANGER)
        .bind(i64::from(LOCK_SPACE))
        .bind(i64::from(office.key()))
        .fetch_optional(connection);
    let held: Option<(i32, Option<String>, Option<String>)> = heard(held).await?;
    if let Some((pid, role, program)) = held {
        tracing::warn!(
            ?office,
            pid,
            role,
            program,
            "no node leads this election: a session that is none of them holds its lock. End that session, and revoke CONNECT from roles that do not need it"
        );
    }
    Ok(())
}

/// The answer, unless there is none for too long.
pub(super) async fn heard<T>(
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    tokio::time::timeout(SILENCE, answer)
        .await
        .unwrap_or_else(|_| Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into())))
}
