//! Lists of breached passwords: a local file, and a service that is asked by a prefix of the hash (`docs/adr/0031`).

mod breaker;
mod build;
mod file;
mod list;
mod range;

use authlog_application::Password;
use authlog_application::ports::BreachLookup;
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use zeroize::Zeroizing;

pub use build::{BuildError, BuiltList, build};
pub use file::InvalidFile;
pub use list::BreachedPasswordFile;
pub use range::{RangeService, RangeServiceError};

/// Bytes of a SHA-1 hash, which published lists of breached passwords contain.
const DIGEST_BYTES: usize = 20;

/// The SHA-1 hash of a password. It has no `Debug`.
type Digest = Zeroizing<[u8; DIGEST_BYTES]>;

/// The hash under which lists have the password: of its UTF-8 bytes, after the normalisation of new passwords.
fn digest_of(password: &Password) -> Digest {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, password.expose_to_hasher());
    let mut bytes = Zeroizing::new([0; DIGEST_BYTES]);
    bytes.copy_from_slice(hash.as_ref());
    bytes
}

/// Counts a lookup for Prometheus.
fn count(outcome: &'static str) {
    metrics::counter!("authlog_breached_password_lookups_total", "outcome" => outcome).increment(1);
}

/// The answer for a list that has the password or not.
fn answer(is_listed: bool) -> BreachLookup {
    if is_listed {
        count("listed");
        BreachLookup::Listed
    } else {
        count("not_listed");
        BreachLookup::NotListed
    }
}
