//! A store of an earlier version of the program.

use super::{Settings, Store};

/// Restores a store of version 0.1.0 with the migrations up to 0010. It has people who registered and signed in, a
/// locked account, and two imported ones.
pub fn store_of_the_version_before(store: Store) -> Settings {
    let settings = Settings::on(store).with_cheap_hashing();
    std::fs::create_dir_all(settings.data()).unwrap();
    let (dump, key) = match store {
        Store::Sqlite => (
            include_str!("../upgrade/sqlite.sql"),
            "fWXS3//62BcHSRoMMiCOH/p+UzK7ZySVcTC3fVBgkKk=",
        ),
        Store::Postgres => (
            include_str!("../upgrade/postgres.sql"),
            "nuxQkzyj6FePAXeSqwC9eRhpUfdLrLrhKn59jQRnIEI=",
        ),
    };
    settings.execute(dump);
    settings.with("AUTHLOG_MASTER_KEY", key)
}
