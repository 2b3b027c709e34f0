//! `authlog keys`: replacing the master key.

use anyhow::Context;
use authlog_infrastructure::Store;
use indicatif::{ProgressBar, ProgressStyle};

use super::print;
use crate::cli::{KeysCommand, RotateMaster};
use crate::parts;
use crate::settings::Settings;

/// Keys in one step: few enough that nobody waits for more than milliseconds, enough that steps cost little.
const STEP: u32 = 2000;

/// Looks after keys.
pub(crate) async fn keys(command: KeysCommand, settings: &Settings) -> anyhow::Result<()> {
    let KeysCommand::RotateMaster(command) = command;
    rotate_master(&command, settings).await
}

async fn rotate_master(command: &RotateMaster, settings: &Settings) -> anyhow::Result<()> {
    settings.make_data_dir()?;
    let keys = parts::keys_of_rotation(settings, command.new_key_file.as_deref())?;
    let store = parts::open_store_with(settings, settings.migrate, keys)
        .await?
        .store;
    let rewrapped = rewrap(&*store).await.context(
        "the rotation is not finished; the store takes both keys until the same command has ended",
    )?;
    print(&format!(
        "sealed the keys of {rewrapped} accounts under the new master key; the old one opens nothing any more but backups"
    ))
}

async fn rewrap(store: &dyn Store) -> anyhow::Result<u64> {
    let bar = ProgressBar::new(store.begin_rotation().await?).with_style(
        ProgressStyle::with_template("{bar:40} {pos}/{len} keys, {per_sec}, {eta} left")?,
    );
    let (mut reached, mut rewrapped) = (None, 0);
    while let Some(step) = store.rewrap_after(reached, STEP).await? {
        bar.inc(step.seen);
        rewrapped += step.rewrapped;
        reached = Some(step.user);
    }
    store.finish_rotation().await?;
    bar.finish_and_clear();
    Ok(rewrapped)
}
