//! Why a store cannot be opened, and what an operator can do about it.

use authlog_infrastructure::OpenError;

use crate::settings::Database;

/// Names the database, and adds what an operator can do about it.
pub(super) fn explain(error: OpenError, database: &Database) -> anyhow::Error {
    advised(error, database).context(named(database))
}

/// Names the database for an operator. A URL may hold a password and is not shown.
fn named(database: &Database) -> String {
    match database {
        Database::Sqlite(path) => format!("the SQLite file {}", path.display()),
        Database::Postgres(_) => "the PostgreSQL database of AUTHLOG_DATABASE_URL".to_owned(),
    }
}

fn advised(error: OpenError, database: &Database) -> anyhow::Error {
    let advice = match &error {
        OpenError::Missing => {
            "use the directory and the settings of the service (AUTHLOG_DATA_DIR, AUTHLOG_DATABASE_URL), or create a store with `authlog serve`"
        }
        OpenError::Unused => {
            "start `authlog serve`, or create the first account with `authlog user create`"
        }
        OpenError::WrongMasterKey => {
            "give the key that it was made with: AUTHLOG_MASTER_KEY, or AUTHLOG_MASTER_KEY_FILE; every node needs the same"
        }
        OpenError::RotationUnderWay => {
            "give both, the old one as AUTHLOG_MASTER_KEY or AUTHLOG_MASTER_KEY_FILE and the new one as AUTHLOG_NEW_MASTER_KEY or AUTHLOG_NEW_MASTER_KEY_FILE, or finish it with `authlog keys rotate-master`"
        }
        OpenError::Schema(_) => {
            "if it is older than this program, run `authlog migrate`; if it is newer, use a newer program"
        }
        OpenError::SecretRemoved => {
            "it was removed and cannot be made again: restore the table shared_secrets from a backup"
        }
        OpenError::Unreachable(_) => match database {
            Database::Sqlite(_) => {
                "may this user read and write the file and its directory, and has the disk room?"
            }
            Database::Postgres(_) => "is it running, and are address, user and password right?",
        },
        OpenError::Connections(_) | OpenError::Store(_) => return error.into(),
    };
    if matches!(error, OpenError::Missing | OpenError::Unused) {
        return anyhow::anyhow!("{error}; {advice}");
    }
    anyhow::Error::new(error).context(advice)
}
