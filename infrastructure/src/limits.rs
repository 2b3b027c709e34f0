//! Limits on guessing, kept in memory.
