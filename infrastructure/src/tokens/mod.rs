//! Signed tokens, and the keys that sign them.

mod algorithm;
mod jwt;
mod secret;
mod signing_key;

pub use algorithm::{JwtAlgorithm, UnknownAlgorithm};
pub use jwt::JwtTokens;
pub use secret::HmacSecretTokens;
pub use signing_key::{SigningKey, SigningKeyError};
