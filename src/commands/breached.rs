//! `authlog breached`: builds the list of breached passwords.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context, bail};
use authlog_infrastructure::breached::build;

use super::print;
use super::terminal::plain;
use crate::cli::{BreachedCommand, ImportBreached};
use crate::settings::{BreachedPasswordList, Settings};

/// How many bad lines are printed. A file of another format has only bad lines.
const PRINTED: u64 = 20;

/// Runs a command about breached passwords.
pub(crate) fn breached(command: BreachedCommand, settings: &Settings) -> anyhow::Result<()> {
    match command {
        BreachedCommand::Import(command) => import(command, settings),
    }
}

/// Builds the list. Bad lines are reported, and then the list stays as it was.
///
/// # Errors
/// A line is bad, a file cannot be read or written, or it is unknown where to write the list.
fn import(command: ImportBreached, settings: &Settings) -> anyhow::Result<()> {
    let ImportBreached { source, to } = command;
    let target = target(to, settings)?;
    let mut bad = 0;
    let built = build(&source, &target, |path, number, why| {
        bad += 1;
        if bad <= PRINTED {
            let path = path.display().to_string();
            // A report that cannot be written is not worth stopping for: the number of bad lines follows.
            drop(writeln!(
                std::io::stderr(),
                "{} line {number} {why}",
                plain(&path)
            ));
        }
    })
    .with_context(|| target.display().to_string())?;
    if built.bad_lines > 0 {
        bail!(
            "{} lines are not valid, so the list was not written",
            built.bad_lines
        );
    }
    print(&format!(
        "{} breached passwords in {}",
        built.entries,
        plain(&target.display().to_string())
    ))
}

fn target(to: Option<PathBuf>, settings: &Settings) -> anyhow::Result<PathBuf> {
    match (to, &settings.accounts.breached_passwords) {
        (Some(path), _) => Ok(path),
        (None, Some(BreachedPasswordList::File(path))) => Ok(path.clone()),
        (None, _) => bail!("name the file with --to, or in AUTHLOG_BREACHED_PASSWORDS"),
    }
}
