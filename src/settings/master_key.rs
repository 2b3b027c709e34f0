//! Settings of the master key, and of the key that replaces it during a rotation.

use std::path::{Path, PathBuf};

use super::declare::settings;
use super::format::{FILE, TEXT};
use super::sources::Sources;

settings! {
    /// The settings from which [`MasterKeySource`] is made.
    pub(super) struct MasterKeys in "Key settings" {
        /// Master key, in Base64
        master_key: Option<String> = TEXT.secret().optional("the key in AUTHLOG_MASTER_KEY_FILE"),
        /// File with the master key, created at the first start
        master_key_file: Option<PathBuf> = FILE.optional("master.key in the data directory"),
        /// Key that replaces the master key, in Base64
        new_master_key: Option<String> = TEXT.secret().optional("none"),
        /// File with the key that replaces the master key, while `keys rotate-master` runs
        new_master_key_file: Option<PathBuf> = FILE.optional("none"),
    }
}

/// Where a master key comes from.
pub(crate) enum MasterKeySource {
    /// The key itself, in Base64.
    Given(String),
    /// The file that contains the key. The first start creates it for the master key.
    File(PathBuf),
}

impl MasterKeySource {
    /// The master key, and the one that replaces it while a rotation is under way.
    pub(super) fn from_sources(
        sources: &Sources,
        data_dir: &Path,
    ) -> anyhow::Result<(Self, Option<Self>)> {
        let keys = MasterKeys::read(sources)?;
        let source = |key: Option<String>, file: Option<PathBuf>| {
            key.map(Self::Given).or_else(|| file.map(Self::File))
        };
        let master_key = source(keys.master_key, keys.master_key_file)
            .unwrap_or_else(|| Self::File(data_dir.join("master.key")));
        Ok((
            master_key,
            source(keys.new_master_key, keys.new_master_key_file),
        ))
    }
}
