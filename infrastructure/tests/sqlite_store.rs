//! The store on SQLite: what every store does, and what only one file on one machine has to.

#[macro_use]
mod store_behaviour;
mod sqlite;

use sqlite::open;

store_behaviour!(crate::open);
