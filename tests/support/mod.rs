//! Support of the tests: the real program on a real store, and the clients that send requests to it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

pub mod administered_account;
pub mod authenticator;
pub mod browser;
pub mod chromium;
pub mod contract;
pub mod document;
pub mod earlier_account;
pub mod endpoint;
pub mod events;
pub mod eventually;
pub mod failover;
pub mod following;
pub mod form;
pub mod http;
pub mod http2;
pub mod load;
pub mod mail;
pub mod meter;
pub mod nats;
pub mod nginx;
pub mod oauth;
pub mod passkey;
pub mod person;
pub mod pgbouncer;
pub mod postgres;
pub mod program;
pub mod proxy;
pub mod random;
pub mod range_service;
pub mod sql;
pub mod staff;
pub mod statements;
pub mod store;
pub mod story;
pub mod token;
pub mod upgrade;
pub mod wire;
pub mod workers;

pub use contract::Contract;
pub use endpoint::{Endpoint, api, api_auth, own, users, v1_auth};
pub use eventually::eventually;
pub use http::Answer;
pub use nats::Nats;
pub use person::Person;
pub use postgres::Postgres;
pub use program::{Program, Settings};
pub use store::Store;

pub(crate) use http2::over_http2;
pub(crate) use store::on_both_stores;
