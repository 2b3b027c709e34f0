//! Password hashing with Argon2id. Imported hashes of other schemes are checked until they are replaced.

mod bcrypt_hash;
mod cpu_backoff;
mod cpu_time;
mod fair_queue;
mod hasher;
mod memory;
mod parameters;
mod pbkdf2_hash;
mod pool;
mod scrypt_hash;
mod stored;

pub use hasher::{Argon2PasswordHasher, Argon2Settings, HasherError};
pub use parameters::{Argon2Parameters, InvalidParameters};
