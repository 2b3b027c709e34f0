//! The memory of retired keys outside the store. A retired key stays retired, even if the store is changed. A file keeps the
//! names across restarts, if there is one.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Result, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The names of retired keys.
#[derive(Default)]
pub(crate) struct RetiredKeys(Mutex<State>);

#[derive(Default)]
struct State {
    kids: BTreeSet<String>,
    file: Option<PathBuf>,
}

impl RetiredKeys {
    /// Stores the names in this file as well, one per line, and adds the names that it contains.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub(crate) fn keep_in(&self, file: PathBuf) -> Result<()> {
        let held = match std::fs::read_to_string(&file) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            other => other?,
        };
        let held: BTreeSet<String> = held.lines().map(str::to_owned).collect();
        let mut state = self.lock();
        let new: Vec<String> = state.kids.difference(&held).cloned().collect();
        state.kids.extend(held);
        state.file = Some(file);
        state.append(&new)
    }

    /// Whether the key with this name was ever seen as retired.
    pub(crate) fn contains(&self, kid: &str) -> bool {
        self.lock().kids.contains(kid)
    }

    /// Adds the names of retired keys.
    pub(crate) fn note<'a>(&self, kids: impl Iterator<Item = &'a str>) {
        let mut state = self.lock();
        let new: Vec<String> = kids
            .filter(|kid| !state.kids.contains(*kid))
            .map(str::to_owned)
            .collect();
        state.kids.extend(new.iter().cloned());
        if let Err(error) = state.append(&new) {
            tracing::error!(%error, "a retired signing key could not be saved to its file and is kept in memory only");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn append(&self, new: &[String]) -> Result<()> {
        let (Some(path), false) = (&self.file, new.is_empty()) else {
            return Ok(());
        };
        let mut options = OpenOptions::new();
        let mut file = options.append(true).create(true).mode(0o600).open(path)?;
        file.write_all(format!("{}\n", new.join("\n")).as_bytes())?;
        file.sync_all()
    }
}
