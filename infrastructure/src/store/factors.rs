//! Changes of second factors, ready for the statements of a store.

use authlog_application::ports::{
    CredentialDigest, FactorChange, FactorChangeKind, RecoveryDigest, StoreError, StoredPasskey,
    StoredTotp,
};
use authlog_domain::{FactorId, UserId};
use serde_json::{Value, json};

use super::keys::{KeyVault, WrappedKeys};
use super::{readable_row, unreadable};
use crate::sealing::SubjectKey;

/// A change of an account's second factors whose secrets are sealed.
pub(crate) struct SealedFactorChange {
    pub(crate) user: UserId,
    pub(crate) what: SealedFactorChangeKind,
}

pub(crate) enum SealedFactorChangeKind {
    Enrol {
        factor: FactorId,
        sealed: Vec<u8>,
        step: i64,
    },
    EnrolPasskey {
        factor: FactorId,
        digest: CredentialDigest,
        sealed: Vec<u8>,
        sign_count: u32,
        backed_up: bool,
    },
    UsePasskey {
        factor: FactorId,
        challenge: i64,
        latest: i64,
        sign_count: u32,
        backed_up: bool,
    },
    Remove(Option<FactorId>),
    UseCode {
        factor: FactorId,
        step: i64,
    },
    IssueRecoveryCodes(Vec<RecoveryDigest>),
    UseRecoveryCode(RecoveryDigest),
}

impl SealedFactorChange {
    /// The change, with the secret of a new factor sealed under the key of its account. `new_key` is that key if the account is
    /// new.
    pub(crate) async fn seal(
        change: FactorChange,
        vault: &KeyVault,
        stored: &impl WrappedKeys,
        new_key: Option<&SubjectKey>,
    ) -> Result<Self, StoreError> {
        let FactorChange { user, what } = change;
        let what = match what {
            FactorChangeKind::Enrol {
                factor,
                secret,
                step,
            } => {
                let key = sealing_key(user, vault, stored, new_key).await?;
                let sealed = key.map(|key| key.seal_totp(user, factor, &secret, &*vault.entropy));
                SealedFactorChangeKind::Enrol {
                    factor,
                    sealed: sealed.transpose().map_err(unreadable)?.unwrap_or_default(),
                    step: step.cast_signed(),
                }
            }
            FactorChangeKind::EnrolPasskey {
                factor,
                digest,
                credential,
                sign_count,
                backed_up,
            } => {
                let key = sealing_key(user, vault, stored, new_key).await?;
                let entropy = &*vault.entropy;
                let sealed = key.map(|key| key.seal_passkey(user, factor, &credential, entropy));
                SealedFactorChangeKind::EnrolPasskey {
                    factor,
                    digest,
                    sealed: sealed.transpose().map_err(unreadable)?.unwrap_or_default(),
                    sign_count,
                    backed_up,
                }
            }
            FactorChangeKind::UsePasskey {
                factor,
                challenge,
                latest,
                sign_count,
                backed_up,
            } => SealedFactorChangeKind::UsePasskey {
                factor,
                challenge,
                latest,
                sign_count,
                backed_up,
            },
            FactorChangeKind::Remove(factor) => SealedFactorChangeKind::Remove(factor),
            FactorChangeKind::UseCode { factor, step } => SealedFactorChangeKind::UseCode {
                factor,
                step: step.cast_signed(),
            },
            FactorChangeKind::IssueRecoveryCodes(digests) => {
                SealedFactorChangeKind::IssueRecoveryCodes(digests)
            }
            FactorChangeKind::UseRecoveryCode(digest) => {
                SealedFactorChangeKind::UseRecoveryCode(digest)
            }
        };
        Ok(Self { user, what })
    }

    /// The parameter of the function `change_factors` in PostgreSQL.
    pub(crate) fn to_json(&self) -> Value {
        let bytes = |bytes: &[u8]| format!("\\x{}", hex::encode(bytes));
        let mut change = match &self.what {
            SealedFactorChangeKind::Enrol {
                factor,
                sealed,
                step,
            } => json!({"enrol": factor, "sealed": bytes(sealed), "step": step}),
            SealedFactorChangeKind::EnrolPasskey {
                factor,
                digest,
                sealed,
                sign_count,
                backed_up,
            } => json!({
                "passkey": factor, "digest": bytes(&digest.0), "sealed": bytes(sealed),
                "count": sign_count, "backed_up": backed_up,
            }),
            SealedFactorChangeKind::UsePasskey {
                factor,
                challenge,
                latest,
                sign_count,
                backed_up,
            } => json!({
                "signed": factor, "challenge": challenge, "latest": latest, "count": sign_count, "backed_up": backed_up,
            }),
            SealedFactorChangeKind::Remove(factor) => json!({"remove": true, "factor": factor}),
            SealedFactorChangeKind::UseCode { factor, step } => {
                json!({"use": factor, "step": step})
            }
            SealedFactorChangeKind::IssueRecoveryCodes(digests) => {
                let digests = digests.iter().map(|digest| bytes(&digest.0));
                json!({"issue": digests.collect::<Vec<_>>()})
            }
            SealedFactorChangeKind::UseRecoveryCode(digest) => {
                json!({"recover": bytes(&digest.0)})
            }
        };
        change["user"] = json!(self.user);
        change
    }
}

/// The key of the account. Without one the account was erased, and the store refuses the append.
async fn sealing_key(
    user: UserId,
    vault: &KeyVault,
    stored: &impl WrappedKeys,
    new_key: Option<&SubjectKey>,
) -> Result<Option<SubjectKey>, StoreError> {
    match new_key {
        Some(key) => Ok(Some(key.clone())),
        None => vault.sealing_key(user, stored).await,
    }
}

/// A row of `second_factors` or of `passkeys`, whose secret is sealed under the key of its account.
pub(crate) struct SealedFactor<'a> {
    pub(crate) user: UserId,
    pub(crate) factor: FactorId,
    pub(crate) sealed: &'a [u8],
    /// The wrapped key of the account.
    pub(crate) wrapped: &'a [u8],
}

impl SealedFactor<'_> {
    /// The authenticator app; `None` if its seed cannot be opened, because it is another account's or was changed. Then it is
    /// logged, and grants nothing.
    pub(crate) fn totp(
        &self,
        vault: &KeyVault,
        last_step: i64,
    ) -> Result<Option<StoredTotp>, StoreError> {
        let key = vault.unwrap(self.user, self.wrapped);
        let secret = key.and_then(|key| {
            let secret = key.open_totp(self.user, self.factor, self.sealed);
            secret.map_err(unreadable)
        });
        Ok(readable_row(secret)?.map(|secret| StoredTotp {
            factor: self.factor,
            secret,
            last_step: last_step.cast_unsigned(),
        }))
    }

    /// The passkey; `None` as for [`Self::totp`].
    pub(crate) fn passkey(
        &self,
        vault: &KeyVault,
        sign_count: i64,
    ) -> Result<Option<StoredPasskey>, StoreError> {
        let key = vault.unwrap(self.user, self.wrapped);
        let passkey = key.and_then(|key| {
            let credential = key.open_passkey(self.user, self.factor, self.sealed);
            Ok(StoredPasskey {
                factor: self.factor,
                credential: credential.map_err(unreadable)?,
                sign_count: u32::try_from(sign_count).map_err(unreadable)?,
            })
        });
        readable_row(passkey)
    }
}
