//! Signed tokens, and the keys that sign them.
//!
//! | file | contents |
//! |---|---|
//! | `jwt`, `token_cache` | access and refresh tokens, and the cache of verified ones |
//! | `secret` | tokens in links of mails, and digests of opaque tokens |
//! | `client_secrets` | secrets of OAuth clients, which are derived and not stored |
//! | `factor_secrets`, `totp` | codes of second factors, and sealed values that clients keep |
//! | `client_assertions` | authentication of clients by tokens that they sign themselves |
//! | `dpop_proofs` | proofs of clients that they hold a key, to which their tokens are bound |
//! | `client_jwt`, `used_ids` | what both have in common: their form, and the memory of those that were used |
//! | `algorithm`, `signing_key` | the algorithms, and a key of one of them |
//! | `key_purpose` | what a key signs: each purpose has a set of keys of its own (`docs/adr/0036`) |
//! | `key_record`, `loaded_keys`, `key_set` | a key with its times, and the keys of a node in memory |
//! | `key_changes` | which keys change when one is added, rotated or retired: decisions without a store or a clock |
//! | `key_rotation` | these changes on a store, at the start of a node and for `authlog keys` |
//! | `key_ledger`, `retired_keys` | protection of the stored keys against changes in the store (`docs/adr/0019`) |
//! | `key_watch`, `id_token_keys` | the workers that read the keys again, and that make the first key of ID tokens |

mod algorithm;
mod client_assertions;
mod client_jwt;
mod client_secrets;
mod dpop_proofs;
mod factor_secrets;
mod id_token_keys;
mod jwt;
mod key_changes;
mod key_ledger;
mod key_purpose;
mod key_record;
mod key_rotation;
mod key_set;
mod key_watch;
mod loaded_keys;
mod retired_keys;
mod secret;
mod signing_key;
mod token_cache;
mod totp;
mod used_ids;

pub use algorithm::{JwtAlgorithm, UnknownAlgorithm};
pub use client_assertions::JwtClientAssertions;
pub use client_secrets::HmacClientSecrets;
pub use dpop_proofs::JwtDpopProofs;
pub use factor_secrets::KeyedFactorSecrets;
pub use id_token_keys::IdTokenKeys;
pub use jwt::JwtTokens;
pub use key_changes::{KNOWN_TO_NODES_AFTER, KeyRefusal, PUBLISHED_FOR};
pub use key_ledger::{KeyFault, SigningKeys};
pub(crate) use key_ledger::{KeyLedger, KeyRow, KeyTimes, judge};
pub use key_purpose::KeyPurpose;
pub use key_record::{KeyRecord, KeyState};
pub use key_rotation::{
    KeyChangeError, ensure_signing_key, retire_signing_key, rotate_signing_key,
};
pub use key_set::KeySet;
pub use key_watch::{KeyWatch, Keys};
pub(crate) use retired_keys::RetiredKeys;
pub use secret::HmacSecretTokens;
pub use signing_key::{SigningKey, SigningKeyError};
