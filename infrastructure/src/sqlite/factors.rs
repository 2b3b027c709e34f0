//! The tables of second factors: secrets of authenticator apps, passkeys and digests of recovery codes.

use authlog_application::ports::AppendError;
use authlog_domain::{FactorId, UserId};
use rusqlite::{Connection, Result, Row, params};

use super::errors::store_error;
use super::rows::id;
use crate::store::{SealedFactorChange, SealedFactorChangeKind, unreadable};

/// A row of `second_factors`.
pub(super) struct FactorRow {
    pub(super) factor: FactorId,
    pub(super) sealed: Vec<u8>,
    pub(super) last_step: i64,
}

/// The rows of an account, and its wrapped key.
pub(super) fn factors_of(
    connection: &Connection,
    user: UserId,
) -> Result<Vec<(FactorRow, Vec<u8>)>> {
    const SELECT: &str = "
        SELECT f.factor_id, f.sealed, f.last_step, k.wrapped
          FROM second_factors AS f JOIN subject_keys AS k ON k.user_id = f.user_id
         WHERE f.user_id = ? ORDER BY f.factor_id";
    let mut select = connection.prepare_cached(SELECT)?;
    let rows = select.query_map([user.to_string()], |row| {
        let factor = FactorRow {
            factor: id(row, 0, FactorId::parse)?,
            sealed: row.get(1)?,
            last_step: row.get(2)?,
        };
        Ok((factor, row.get(3)?))
    })?;
    rows.collect()
}

/// A row of `passkeys`.
pub(super) struct PasskeyRow {
    pub(super) factor: FactorId,
    pub(super) sealed: Vec<u8>,
    pub(super) sign_count: i64,
    /// The wrapped key of its account.
    pub(super) wrapped: Vec<u8>,
}

/// The columns of a [`PasskeyRow`], of the tables called `f` and `k`.
pub(super) const PASSKEY: &str = "f.factor_id, f.sealed, f.sign_count, k.wrapped";

/// The number of these columns.
pub(super) const PASSKEY_COLUMNS: usize = 4;

/// The row in the first columns of a result.
pub(super) fn passkey(row: &Row<'_>) -> Result<PasskeyRow> {
    Ok(PasskeyRow {
        factor: id(row, 0, FactorId::parse)?,
        sealed: row.get(1)?,
        sign_count: row.get(2)?,
        wrapped: row.get(3)?,
    })
}

/// The passkeys of an account.
pub(super) fn passkeys_of(connection: &Connection, user: UserId) -> Result<Vec<PasskeyRow>> {
    let mut select = connection.prepare_cached(&format!(
        "SELECT {PASSKEY} FROM passkeys AS f JOIN subject_keys AS k ON k.user_id = f.user_id
         WHERE f.user_id = ? ORDER BY f.factor_id"
    ))?;
    let rows = select.query_map([user.to_string()], passkey)?;
    rows.collect()
}

/// Makes the change; returns how many rows were written or deleted.
///
/// # Errors
/// [`AppendError::CodeUsed`] for a code or a challenge that is not valid any more; [`AppendError::PasskeyTaken`].
pub(super) fn change_factors(
    connection: &Connection,
    change: &SealedFactorChange,
) -> std::result::Result<usize, AppendError> {
    let changed = write(connection, change).map_err(store_error)?;
    let uses_code = matches!(
        change.what,
        SealedFactorChangeKind::UseCode { .. }
            | SealedFactorChangeKind::UsePasskey { .. }
            | SealedFactorChangeKind::UseRecoveryCode(_)
    );
    if uses_code && changed != 1 {
        return Err(AppendError::CodeUsed);
    }
    if matches!(change.what, SealedFactorChangeKind::EnrolPasskey { .. }) && changed != 1 {
        return Err(AppendError::PasskeyTaken);
    }
    if !are_kept(connection, change).map_err(store_error)? {
        return Err(unreadable(FactorsNotKept).into());
    }
    Ok(changed)
}

/// A trigger on a table of the store has suppressed or changed the rows of second factors.
#[derive(Debug, thiserror::Error)]
#[error("the rows of second factors were not kept: a trigger interferes. Run `authlog doctor`")]
struct FactorsNotKept;

/// Whether the rows are as they should be after the change. What is used is counted by its own statement.
fn are_kept(connection: &Connection, change: &SealedFactorChange) -> Result<bool> {
    const ENROLLED: &str =
        "SELECT 1 FROM second_factors WHERE factor_id = ? AND user_id = ? AND sealed = ?";
    const ENROLLED_PASSKEY: &str =
        "SELECT 1 FROM passkeys WHERE factor_id = ? AND user_id = ? AND sealed = ?";
    const ISSUED: &str = "SELECT count(*) FROM recovery_codes WHERE user_id = ?";
    const LEFT: &str =
        "SELECT 1 FROM second_factors WHERE user_id = ?1 AND (?2 IS NULL OR factor_id = ?2)";
    const LEFT_PASSKEYS: &str =
        "SELECT 1 FROM passkeys WHERE user_id = ?1 AND (?2 IS NULL OR factor_id = ?2)";
    let user = change.user.to_string();
    match &change.what {
        SealedFactorChangeKind::Enrol { factor, sealed, .. } => connection
            .prepare_cached(ENROLLED)?
            .exists(params![factor.to_string(), user, sealed]),
        SealedFactorChangeKind::EnrolPasskey { factor, sealed, .. } => connection
            .prepare_cached(ENROLLED_PASSKEY)?
            .exists(params![factor.to_string(), user, sealed]),
        SealedFactorChangeKind::IssueRecoveryCodes(digests) => {
            let mut select = connection.prepare_cached(ISSUED)?;
            let issued: i64 = select.query_row([user], |row| row.get(0))?;
            Ok(issued.cast_unsigned() == digests.len() as u64)
        }
        SealedFactorChangeKind::Remove(factor) => {
            let factor = factor.map(|factor| factor.to_string());
            let mut apps = connection.prepare_cached(LEFT)?;
            let mut passkeys = connection.prepare_cached(LEFT_PASSKEYS)?;
            Ok(!apps.exists(params![user, factor])? && !passkeys.exists(params![user, factor])?)
        }
        SealedFactorChangeKind::UsePasskey { .. }
        | SealedFactorChangeKind::UseCode { .. }
        | SealedFactorChangeKind::UseRecoveryCode(_) => Ok(true),
    }
}

fn write(connection: &Connection, change: &SealedFactorChange) -> Result<usize> {
    const ENROL: &str =
        "INSERT INTO second_factors (factor_id, user_id, sealed, last_step) VALUES (?, ?, ?, ?)";
    const ENROL_PASSKEY: &str = "
        INSERT INTO passkeys (factor_id, user_id, credential_digest, sealed, last_challenge, sign_count, backed_up)
        VALUES (?, ?, ?, ?, 0, ?, ?) ON CONFLICT DO NOTHING";
    const USE_PASSKEY: &str = "
        UPDATE passkeys SET last_challenge = ?3, sign_count = ?4, backed_up = ?5
         WHERE factor_id = ?1 AND user_id = ?2 AND (last_challenge < ?3 OR last_challenge > ?6)";
    const REMOVE_PASSKEY: &str =
        "DELETE FROM passkeys WHERE user_id = ?1 AND (?2 IS NULL OR factor_id = ?2)";
    const REMOVE: &str =
        "DELETE FROM second_factors WHERE user_id = ?1 AND (?2 IS NULL OR factor_id = ?2)";
    const REMOVE_CODES: &str = "
        DELETE FROM recovery_codes WHERE user_id = ?1
           AND NOT EXISTS (SELECT 1 FROM second_factors WHERE user_id = ?1)
           AND NOT EXISTS (SELECT 1 FROM passkeys WHERE user_id = ?1)";
    const USE: &str = "
        UPDATE second_factors SET last_step = ?3 WHERE factor_id = ?1 AND user_id = ?2 AND last_step < ?3";
    const FORGET: &str = "DELETE FROM recovery_codes WHERE user_id = ?";
    const ISSUE: &str = "INSERT INTO recovery_codes (user_id, digest) VALUES (?, ?)";
    const RECOVER: &str = "DELETE FROM recovery_codes WHERE user_id = ? AND digest = ?";
    let user = change.user.to_string();
    let execute = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
        connection.prepare_cached(sql)?.execute(values)
    };
    match &change.what {
        SealedFactorChangeKind::Enrol {
            factor,
            sealed,
            step,
        } => execute(ENROL, params![factor.to_string(), user, sealed, step]),
        SealedFactorChangeKind::EnrolPasskey {
            factor,
            digest,
            sealed,
            sign_count,
            backed_up,
        } => {
            let factor = factor.to_string();
            let values = params![factor, user, digest.0, sealed, sign_count, backed_up];
            execute(ENROL_PASSKEY, values)
        }
        SealedFactorChangeKind::UsePasskey {
            factor,
            challenge,
            latest,
            sign_count,
            backed_up,
        } => {
            let factor = factor.to_string();
            let values = params![factor, user, challenge, sign_count, backed_up, latest];
            execute(USE_PASSKEY, values)
        }
        SealedFactorChangeKind::Remove(factor) => {
            let factor = factor.map(|factor| factor.to_string());
            let removed = execute(REMOVE, params![user, factor])?
                + execute(REMOVE_PASSKEY, params![user, factor])?;
            Ok(removed + execute(REMOVE_CODES, params![user])?)
        }
        SealedFactorChangeKind::UseCode { factor, step } => {
            execute(USE, params![factor.to_string(), user, step])
        }
        SealedFactorChangeKind::IssueRecoveryCodes(digests) => {
            let mut changed = execute(FORGET, params![user])?;
            for digest in digests {
                changed += execute(ISSUE, params![user, digest.0])?;
            }
            Ok(changed)
        }
        SealedFactorChangeKind::UseRecoveryCode(digest) => {
            execute(RECOVER, params![user, digest.0])
        }
    }
}
