//! The master key and, during a rotation, its successor.

use std::path::Path;

use anyhow::Context;
use authlog_infrastructure::StoreAccess;
use authlog_infrastructure::sealing::{MasterKey, MasterKeys};
use authlog_infrastructure::system::SystemEntropy;

use super::store::require_file;
use crate::settings::{MasterKeySource, Settings};

/// The master key and, during a rotation, the new one.
pub(super) fn master_keys(settings: &Settings, access: StoreAccess) -> anyhow::Result<MasterKeys> {
    let master = master_key(settings, access)?;
    Ok(match &settings.new_master_key {
        None => master.into(),
        Some(MasterKeySource::Given(text)) => {
            let new = MasterKey::parse(text).context("AUTHLOG_NEW_MASTER_KEY")?;
            MasterKeys::of_rotation(master, new)
        }
        // It is not created here: otherwise each node would create its own.
        Some(MasterKeySource::File(path)) => {
            let new = MasterKey::load(path).context("AUTHLOG_NEW_MASTER_KEY_FILE")?;
            MasterKeys::of_rotation(master, new)
        }
    })
}

/// The keys of a rotation: the master key and the new one. The new key is read from `file`, which is created if it is
/// missing, or else from the settings.
///
/// # Errors
/// Which key cannot be used.
pub(crate) fn keys_of_rotation(
    settings: &Settings,
    file: Option<&Path>,
) -> anyhow::Result<MasterKeys> {
    let Some(file) = file else {
        anyhow::ensure!(
            settings.new_master_key.is_some(),
            "the new key is missing: give --new-key-file, AUTHLOG_NEW_MASTER_KEY or AUTHLOG_NEW_MASTER_KEY_FILE"
        );
        return master_keys(settings, StoreAccess::Change);
    };
    require_file(settings)?;
    let old = master_key(settings, StoreAccess::Change)?;
    let new = MasterKey::load_or_create(file, &SystemEntropy).context("--new-key-file")?;
    Ok(MasterKeys::of_rotation(old, new))
}

fn master_key(settings: &Settings, access: StoreAccess) -> anyhow::Result<MasterKey> {
    match &settings.master_key {
        MasterKeySource::Given(text) => MasterKey::parse(text).context("AUTHLOG_MASTER_KEY"),
        MasterKeySource::File(path) => {
            let key = if access == StoreAccess::Create {
                MasterKey::load_or_create(path, &SystemEntropy)
            } else {
                MasterKey::load(path)
            };
            key.context("AUTHLOG_MASTER_KEY_FILE")
        }
    }
}
