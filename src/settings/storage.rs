//! Settings of the store: where accounts and events are kept.

use std::path::PathBuf;
use std::time::Duration;

use authlog_infrastructure::postgres::PostgresServers;

use super::declare::settings;
use super::format::{FILE, Format, SWITCH, time};
use super::sources::Sources;

settings! {
    /// Where the store and its key are, and how the store is upgraded.
    #[allow(rustdoc::invalid_html_tags, reason = "help is printed as it is written")]
    pub(crate) struct Storage in "Storage settings" {
        /// Directory for the SQLite file, the master key and mail
        data_dir: PathBuf = DIRECTORY.default("data"),
        /// postgres://…, with commas between several hosts, or sqlite:<file>
        database_url: Option<Database> = DATABASE
            .holding_a_password()
            // Platforms that provide a database usually say where under this name.
            .or_variable("DATABASE_URL")
            .optional("SQLite in the data directory"),
        /// Whether to migrate the PostgreSQL schema at the start: on or off
        migrate: bool = SWITCH.default("on"),
        /// How long nodes of the previous version may run on PostgreSQL after an upgrade, such as 10m
        // Replacing nodes one by one takes minutes.
        upgrade_window: Duration = UPGRADE_WINDOW.default("1h"),
        /// File to which signed checkpoints of the log are appended
        checkpoint_file: Option<PathBuf> = FILE.optional("none"),
    }
}

/// Where accounts and events are kept.
#[derive(Clone)]
pub(crate) enum Database {
    /// A file in the data directory.
    Sqlite(PathBuf),
    /// A PostgreSQL server, or several of which one can be written to.
    Postgres(PostgresServers),
}

const DIRECTORY: Format<PathBuf> = Format::new("DIR", "a path", |text| Some(text.into()));

const DATABASE: Format<Database> = Format::explaining(
    "URL",
    "postgres://user@host/database, postgres://user@host1:port,host2:port/database, or sqlite:<file>",
    database,
);

const UPGRADE_WINDOW: Format<Duration> =
    Format::new("TIME", "a time up to 365d, such as 10m or 2h", time);

impl Storage {
    pub(super) fn from_sources(sources: &Sources) -> anyhow::Result<Self> {
        Self::read(sources)
    }

    /// The database of the service: the one that is set, or a file in the data directory.
    pub(super) fn database(&self) -> Database {
        let file = || Database::Sqlite(self.data_dir.join("authlog.db"));
        self.database_url.clone().unwrap_or_else(file)
    }
}

fn database(url: &str) -> anyhow::Result<Option<Database>> {
    if let Some(path) = url.strip_prefix("sqlite:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        return Ok((!path.is_empty()).then(|| Database::Sqlite(path.into())));
    }
    Ok(Some(Database::Postgres(PostgresServers::parse(url)?)))
}
