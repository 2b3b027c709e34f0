//! Password hashing with Argon2id.

mod hasher;
mod memory;
mod parameters;
mod pool;
mod stored;

pub use hasher::{Argon2PasswordHasher, Argon2Settings, HasherError};
pub use parameters::{Argon2Parameters, InvalidParameters};
