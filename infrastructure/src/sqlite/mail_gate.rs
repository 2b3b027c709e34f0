//! The gate that limits the mail to each mailbox. The one writer decides.

use async_trait::async_trait;
use authlog_application::ports::{Admission, MailGate, MailKind, QueuedMail, StoreError};
use authlog_domain::{Email, Timestamp};
use rusqlite::{Connection, OptionalExtension, Result, params};

use super::SqliteStore;
use super::errors::store_error;

/// The budget of a mailbox for all kinds together.
const OF_ALL_KINDS: &str = "all";

/// The statements that read and record whether an entry of a queue was admitted.
struct Queue {
    is_admitted: &'static str,
    note: &'static str,
}

const DUE: Queue = Queue {
    is_admitted: "SELECT admitted FROM mail_queue WHERE mail_id = ?",
    note: "UPDATE mail_queue SET admitted = 1 WHERE mail_id = ?",
};

const RESETS: Queue = Queue {
    is_admitted: "SELECT admitted FROM reset_requests WHERE reset_id = ?",
    note: "UPDATE reset_requests SET admitted = 1 WHERE reset_id = ?",
};

#[async_trait]
impl MailGate for SqliteStore {
    async fn admit(
        &self,
        entry: QueuedMail,
        to: &Email,
        kind: MailKind,
        now: Timestamp,
    ) -> std::result::Result<Admission, StoreError> {
        let (queue, id) = match entry {
            QueuedMail::Due(id) => (DUE, id.to_string()),
            QueuedMail::Reset(reset) => (RESETS, reset.to_string()),
        };
        let mailbox = self.vault.pepper.mailbox(to);
        self.writer
            .write(move |connection| {
                admit(connection, &queue, &id, &mailbox, kind, now).map_err(store_error)
            })
            .await
    }
}

fn admit(
    connection: &Connection,
    queue: &Queue,
    id: &str,
    mailbox: &[u8],
    kind: MailKind,
    now: Timestamp,
) -> Result<Admission> {
    let mut select = connection.prepare_cached(queue.is_admitted)?;
    let admitted: Option<bool> = select.query_row([id], |row| row.get(0)).optional()?;
    match admitted {
        None => return Ok(Admission::Gone),
        Some(true) => return Ok(Admission::Admitted),
        Some(false) => {}
    }
    let budgets = [
        (kind.as_str(), kind.quota()),
        (OF_ALL_KINDS, kind.quota_of_all()),
    ];
    let mut used = Vec::with_capacity(budgets.len());
    let mut refused_until = None;
    for (name, quota) in budgets {
        let until = used_until(connection, mailbox, name)?.map_or(now, |it| it.max(now));
        // A later time was written by a clock that was ahead. The corrected time is stored, because otherwise the
        // budget would stay exhausted.
        let longest = if name == OF_ALL_KINDS {
            MailKind::longest_use_of_all(now)
        } else {
            quota.longest_use(now)
        };
        if until > longest {
            set_used(connection, mailbox, name, longest)?;
        }
        let until = until.min(longest);
        let latest = quota.latest_use(now);
        if until > latest {
            refused_until = refused_until.max(Some(now.plus(until.since(latest))));
        }
        used.push((name, quota, until));
    }
    if let Some(until) = refused_until {
        return Ok(Admission::Refused { until });
    }
    for (name, quota, until) in used {
        let until = until.plus(quota.then_one_per);
        set_used(connection, mailbox, name, until)?;
    }
    connection.prepare_cached(queue.note)?.execute([id])?;
    Ok(Admission::Admitted)
}

fn used_until(connection: &Connection, mailbox: &[u8], kind: &str) -> Result<Option<Timestamp>> {
    const SELECT: &str = "SELECT used_until FROM mail_budgets WHERE mailbox = ? AND kind = ?";
    connection
        .prepare_cached(SELECT)?
        .query_row(params![mailbox, kind], |row| row.get(0))
        .optional()
        .map(|millis| millis.map(Timestamp::from_unix_millis))
}

fn set_used(connection: &Connection, mailbox: &[u8], kind: &str, until: Timestamp) -> Result<()> {
    const UPSERT: &str = "
        INSERT INTO mail_budgets (mailbox, kind, used_until) VALUES (?, ?, ?)
        ON CONFLICT (mailbox, kind) DO UPDATE SET used_until = excluded.used_until";
    connection
        .prepare_cached(UPSERT)?
        .execute(params![mailbox, kind, until.unix_millis()])?;
    Ok(())
}
