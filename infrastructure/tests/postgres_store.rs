//! The store on PostgreSQL: what every store does, and what only one that many nodes share over a network has to.

#[macro_use]
mod store_behaviour;
mod postgres;

use postgres::open;

store_behaviour!(crate::open);
