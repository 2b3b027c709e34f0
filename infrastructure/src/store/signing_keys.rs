//! The signing keys of a store: opening the stored rows, and computing the rows of a change.

use authlog_application::ports::StoreError;
use authlog_domain::Timestamp;

use super::keys::{KeyVault, shared_secret_place, signing_key_place};
use super::unreadable;
use crate::tokens::{KeyLedger, KeyPurpose, KeyRecord, KeyRow, KeyTimes, SigningKeys, judge};

/// The stored set of signing keys of one purpose, read in one snapshot.
pub(crate) struct StoredKeys {
    pub(crate) purpose: KeyPurpose,
    pub(crate) rows: Vec<KeyRow>,
    pub(crate) number: i64,
    /// The ledger, sealed.
    pub(crate) ledger: Option<Vec<u8>>,
}

/// The rows that a change of the signing keys writes.
pub(crate) struct KeyChange {
    /// The rows, ordered so that there is never more than one newest key.
    pub(crate) rows: Vec<(KeyRow, KeyTimes)>,
    /// The names of the rows to remove before these are written.
    pub(crate) removed: Vec<String>,
    /// The ledger, sealed.
    pub(crate) ledger: Vec<u8>,
}

impl KeyVault {
    /// Opens the stored keys and checks them against the ledger.
    pub(crate) fn signing_keys(
        &self,
        stored: &StoredKeys,
        now: Timestamp,
    ) -> Result<SigningKeys, StoreError> {
        let ledger = self.open_ledger(stored)?;
        let open = |row: &KeyRow| {
            let place = signing_key_place(stored.purpose, &row.algorithm, &row.kid);
            self.master.open(&place, row.sealed.as_deref()?).ok()
        };
        let was_retired = |kid: &str| self.retired_keys.contains(kid);
        let found = judge(
            stored.purpose,
            &stored.rows,
            stored.number,
            ledger.as_ref(),
            now,
            open,
            was_retired,
        );
        // A key that is unusable because its row is damaged was not retired: the row may be restored.
        let is_faulty = |kid: &str| found.faults.iter().any(|fault| fault.kid == kid);
        let retired = found.keys.iter().filter(|key| key.retired_at.is_some());
        let retired = retired.map(|key| key.kid.as_str());
        self.retired_keys
            .note(retired.filter(|kid| !is_faulty(kid)));
        Ok(found)
    }

    fn open_ledger(&self, stored: &StoredKeys) -> Result<Option<KeyLedger>, StoreError> {
        let place = shared_secret_place(stored.purpose.ledger());
        let Some(sealed) = &stored.ledger else {
            return Ok(None);
        };
        let opened = self.master.open(&place, sealed).map_err(unreadable)?;
        serde_json::from_slice(&opened)
            .map(Some)
            .map_err(unreadable)
    }

    /// The rows to write so that the stored keys include `changed`.
    pub(crate) fn change_of_keys(
        &self,
        stored: &StoredKeys,
        changed: &[KeyRecord],
        removed: &[String],
        now: Timestamp,
    ) -> Result<KeyChange, StoreError> {
        let mut keys = self.signing_keys(stored, now)?.keys;
        for change in changed {
            match keys.iter_mut().find(|key| key.kid == change.kid) {
                Some(key) => *key = change.clone(),
                None => keys.push(change.clone()),
            }
        }
        let mut rows = Vec::new();
        for key in &keys {
            let times = KeyTimes::of(key);
            let row = stored.rows.iter().find(|row| row.kid == key.kid);
            let is_written = row.is_some_and(|row| {
                row.times == Some(times) && row.sealed.is_some() == key.private.is_some()
            });
            if !is_written {
                rows.push((self.row_of_key(stored.purpose, key)?, times));
            }
        }
        rows.sort_by_key(|(row, _)| row.is_newest);
        let is_left_out = |row: &&KeyRow| !keys.iter().any(|key| key.kid == row.kid);
        let surplus = stored.rows.iter().filter(is_left_out);
        // There can be one newest key, and it cannot be one that is left out.
        let surplus = surplus.filter(|row| row.is_newest || removed.contains(&row.kid));
        let removed = surplus.map(|row| row.kid.clone()).collect();
        let before = self.open_ledger(stored)?;
        let ledger =
            KeyLedger::following(before.as_ref(), stored.number.saturating_add(1), &keys, now);
        let ledger = serde_json::to_vec(&ledger).map_err(unreadable)?;
        let place = shared_secret_place(stored.purpose.ledger());
        let ledger = self.master.seal(&place, &ledger, &*self.entropy);
        Ok(KeyChange {
            rows,
            removed,
            ledger: ledger.map_err(unreadable)?,
        })
    }

    fn row_of_key(&self, purpose: KeyPurpose, key: &KeyRecord) -> Result<KeyRow, StoreError> {
        let place = signing_key_place(purpose, key.algorithm.as_str(), &key.kid);
        let private = key.private.as_ref();
        let sealed = private.map(|private| self.master.seal(&place, private, &*self.entropy));
        Ok(KeyRow {
            kid: key.kid.clone(),
            algorithm: key.algorithm.to_string(),
            times: Some(KeyTimes::of(key)),
            is_newest: key.signs_until.is_none(),
            sealed: sealed.transpose().map_err(unreadable)?,
        })
    }
}
