//! Signed tokens, and the keys that sign them.

mod algorithm;
mod jwt;
mod key_changes;
mod key_keeping;
mod key_ledger;
mod key_record;
mod key_set;
mod key_watch;
mod remembered;
mod retired_keys;
mod secret;
mod signing_key;

pub use algorithm::{JwtAlgorithm, UnknownAlgorithm};
pub use jwt::JwtTokens;
pub use key_changes::{KNOWN_TO_NODES_AFTER, KeyRefusal, PUBLISHED_FOR};
pub use key_keeping::{KeyChangeError, keep_signing_key, retire_signing_key, rotate_signing_key};
pub use key_ledger::{KeyFault, SigningKeys};
pub(crate) use key_ledger::{KeyLedger, KeyRow, KeyTimes, judge};
pub use key_record::{KeyRecord, KeyState};
pub use key_set::KeySet;
pub use key_watch::{KeyWatch, Keys};
pub(crate) use retired_keys::RetiredKeys;
pub use secret::HmacSecretTokens;
pub use signing_key::{SigningKey, SigningKeyError};
