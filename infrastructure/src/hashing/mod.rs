//! Password hashing with Argon2id.
