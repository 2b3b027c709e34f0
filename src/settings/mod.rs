//! Settings: flags take precedence over environment variables, and these over an optional TOML file. Each setting is declared
//! once, in the file of its group. Its names and its help are derived from the declaration.

mod accounts;
mod breached;
mod declare;
mod flags;
mod format;
mod http;
mod logging;
mod mail;
mod master_key;
mod nats;
mod sources;
mod storage;
#[cfg(test)]
mod tests;
mod tokens;
mod unknown_variables;
mod warnings;

use std::time::Duration;

use anyhow::Context;

use accounts::Accounts;
pub(crate) use breached::BreachedPasswordList;
use declare::Declaration;
pub(crate) use flags::Flags;
use http::Http;
pub(crate) use logging::LogFormat;
use logging::Logging;
use mail::Mail;
pub(crate) use master_key::MasterKeySource;
use master_key::MasterKeys;
use nats::{Nats, NatsSettings};
use sources::Sources;
pub(crate) use storage::Database;
use storage::Storage;
use tokens::Tokens;

/// Lifetime of a password reset, as docs/contracts/README.md documents it.
pub(crate) const RESET_LIFETIME: Duration = Duration::from_secs(30 * 60);

/// Lifetime of a link that verifies an e-mail address. A day, because a mail that arrives in the evening may be read in the
/// morning.
pub(crate) const VERIFICATION_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a replaced refresh token is still accepted: ten seconds that the request itself may take
/// (`authlog_api::ApiSettings::request_timeout`), and ten in which a client retries after a lost response. It is no longer,
/// because a stolen token is accepted just as long.
pub(crate) const REFRESH_GRACE: Duration = Duration::from_secs(10 + 10);

/// All settings, validated.
pub(crate) struct Settings {
    pub(crate) http: Http,
    pub(crate) storage: Storage,
    pub(crate) mail: Mail,
    pub(crate) tokens: Tokens,
    pub(crate) accounts: Accounts,
    pub(crate) logging: Logging,
    pub(crate) database: Database,
    pub(crate) master_key: MasterKeySource,
    /// The key that replaces the master key, while a rotation is under way.
    pub(crate) new_master_key: Option<MasterKeySource>,
    pub(crate) nats: Option<Nats>,
    is_listen_set: bool,
}

/// The declarations of all settings, in the order of the help.
fn declarations() -> Vec<Declaration> {
    [
        Http::declarations(),
        Storage::declarations(),
        MasterKeys::declarations(),
        Accounts::declarations(),
        Tokens::declarations(),
        Mail::declarations(),
        NatsSettings::declarations(),
        Logging::declarations(),
    ]
    .concat()
}

impl Settings {
    /// Reads the settings from the flags, the environment and the settings file, and checks them.
    ///
    /// # Errors
    /// The first setting that is not valid: where it was set, and which values are valid.
    pub(crate) fn load(flags: Flags) -> anyhow::Result<Self> {
        Self::from_sources(&Sources::new(flags)?)
    }

    fn from_sources(sources: &Sources) -> anyhow::Result<Self> {
        let storage = Storage::from_sources(sources)?;
        let (master_key, new_master_key) =
            MasterKeySource::from_sources(sources, &storage.data_dir)?;
        Ok(Self {
            http: Http::from_sources(sources)?,
            mail: Mail::from_sources(sources)?,
            tokens: Tokens::from_sources(sources)?,
            accounts: Accounts::from_sources(sources)?,
            logging: Logging::from_sources(sources)?,
            database: storage.database(),
            storage,
            master_key,
            new_master_key,
            nats: Nats::from_sources(sources)?,
            is_listen_set: sources.get("listen").is_some(),
        })
    }

    /// Creates the data directory, for its owner alone, if it does not exist.
    pub(crate) fn make_data_dir(&self) -> anyhow::Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        let data_dir = &self.storage.data_dir;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(data_dir)
            .with_context(|| {
                format!(
                    "AUTHLOG_DATA_DIR: the directory {} cannot be created",
                    data_dir.display()
                )
            })
    }
}
