//! `authlog keys`: manages the keys that sign tokens, and replaces the master key.

use anyhow::Context;
use authlog_domain::Timestamp;
use authlog_infrastructure::tokens::{
    JwtAlgorithm, KeyPurpose, KeyRecord, KeyState, retire_signing_key, rotate_signing_key,
};
use authlog_infrastructure::{Store, StoreAccess};
use indicatif::{ProgressBar, ProgressStyle};

use super::{open, print, print_page, table::Table, terminal::plain};
use crate::cli::{KeysCommand, RetireKey, RotateKey, RotateMaster};
use crate::composition;
use crate::settings::Settings;

/// Account keys that one step of a master-key rotation rewraps: few enough to block other work only for milliseconds, many
/// enough to keep the cost per key low.
const STEP: u32 = 2000;

/// Lists, rotates or retires signing keys, or rotates the master key.
pub(crate) async fn keys(command: KeysCommand, settings: &Settings) -> anyhow::Result<()> {
    match command {
        KeysCommand::List => list(settings).await,
        KeysCommand::Rotate(command) => rotate(&command, settings).await,
        KeysCommand::Retire(command) => retire(&command, settings).await,
        KeysCommand::RotateMaster(command) => rotate_master(&command, settings).await,
    }
}

async fn list(settings: &Settings) -> anyhow::Result<()> {
    let store = open(settings, StoreAccess::Read).await?;
    let now = composition::clock().now();
    if settings.tokens.jwt_secret.is_some() {
        print(
            "access tokens are signed with AUTHLOG_JWT_SECRET (HS256), which is not listed here",
        )?;
    }
    let (mut keys, mut faults) = (vec![], vec![]);
    for purpose in KeyPurpose::ALL {
        let stored = store.signing_keys(purpose, now).await?;
        keys.extend(stored.keys.into_iter().map(|key| (purpose, key)));
        faults.extend(stored.faults);
    }
    print_keys(&keys)?;
    for fault in faults {
        print(&format!(
            "WRONG: {}: {}; `authlog keys retire` removes a key that is not listed above",
            plain(&fault.kid),
            fault.detail
        ))?;
    }
    Ok(())
}

async fn rotate(command: &RotateKey, settings: &Settings) -> anyhow::Result<()> {
    let purpose = command.purpose.into();
    let wanted = settings.tokens.jwt_algorithm;
    anyhow::ensure!(
        purpose != KeyPurpose::Access || wanted != Some(JwtAlgorithm::Hs256),
        "with HS256 the key is AUTHLOG_JWT_SECRET: replace it on every node"
    );
    let store = open(settings, StoreAccess::Change).await?;
    let now = composition::clock().now();
    let changed = rotate_signing_key(&*store, purpose, wanted, command.now, now)
        .await
        .context(
            "no key was published; if one is waiting to sign, --now lets it sign within seconds",
        )?;
    print_keys(&of(purpose, changed))
}

async fn retire(command: &RetireKey, settings: &Settings) -> anyhow::Result<()> {
    let store = open(settings, StoreAccess::Change).await?;
    let (purpose, changed) = retire_signing_key(&*store, &command.kid, composition::clock().now())
        .await
        .with_context(|| format!("{} was not retired", plain(&command.kid)))?;
    print_keys(&of(purpose, changed))
}

fn of(purpose: KeyPurpose, keys: Vec<KeyRecord>) -> Vec<(KeyPurpose, KeyRecord)> {
    keys.into_iter().map(|key| (purpose, key)).collect()
}

fn print_keys(keys: &[(KeyPurpose, KeyRecord)]) -> anyhow::Result<()> {
    let mut table = Table::new([
        ("KID", 43),
        ("PURPOSE", 8),
        ("ALGORITHM", 0),
        ("STATE", 9),
        ("SIGNS FROM", 24),
        ("SIGNS UNTIL", 24),
        ("VERIFIES UNTIL", 0),
    ]);
    let now = composition::clock().now();
    let shown = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), |at| at.to_string());
    let row = |(purpose, key): &(KeyPurpose, KeyRecord)| {
        // A key that was retired before it became the signing key never signed.
        let never = key.signs_until == Some(key.signs_from) && key.state(now) == KeyState::Retired;
        [
            key.kid.clone(),
            purpose.to_string(),
            key.algorithm.to_string(),
            key.state(now).as_str().to_owned(),
            shown((!never).then_some(key.signs_from)),
            shown(key.signs_until.filter(|_| !never)),
            shown(key.verifies_until()),
        ]
    };
    print_page(&table.page(keys.iter().map(row).collect()))
}

async fn rotate_master(command: &RotateMaster, settings: &Settings) -> anyhow::Result<()> {
    let keys = composition::keys_of_rotation(settings, command.new_key_file.as_deref())?;
    let store = composition::open_store_with(settings, StoreAccess::Change, keys)
        .await?
        .store;
    let rewrapped = rewrap(&*store).await.context(
        "the rotation is not finished; the store accepts both keys until you run the same command again and it succeeds",
    )?;
    print(&format!(
        "encrypted the keys of {rewrapped} accounts with the new master key; only backups still need the old one"
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
