//! The list of breached passwords that the settings name.

use std::sync::Arc;

use anyhow::{Context, anyhow};
use authlog_application::ports::BreachedPasswords;
use authlog_infrastructure::breached::{BreachedPasswordFile, RangeService};

use crate::settings::{BreachedPasswordList, Settings};

/// The list; `None` without the setting.
///
/// # Errors
/// The URL cannot be used.
pub(crate) fn breached_passwords(
    settings: &Settings,
) -> anyhow::Result<Option<Arc<dyn BreachedPasswords>>> {
    Ok(match &settings.accounts.breached_passwords {
        None => None,
        Some(BreachedPasswordList::File(path)) => {
            Some(Arc::new(BreachedPasswordFile::at(path.clone())))
        }
        Some(BreachedPasswordList::Service(url)) => {
            let service = RangeService::new(url.clone());
            Some(Arc::new(service.context("AUTHLOG_BREACHED_PASSWORDS")?))
        }
    })
}

/// Checks at the start that a local list can be read. Afterwards a list that cannot be read refuses no password.
///
/// # Errors
/// It cannot be read, or is no list.
pub(crate) fn check_breached_passwords(settings: &Settings) -> anyhow::Result<()> {
    let Some(BreachedPasswordList::File(path)) = &settings.accounts.breached_passwords else {
        return Ok(());
    };
    BreachedPasswordFile::at(path.clone())
        .check()
        .map_err(|error| anyhow!(error))
        .with_context(|| {
            format!(
                "AUTHLOG_BREACHED_PASSWORDS: {} cannot be used; build it with `authlog breached import`",
                path.display()
            )
        })
}
