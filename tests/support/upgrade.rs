//! Stores of earlier versions of the program.

use super::{Settings, Store};

/// A dump, and the master key of the store.
type Dump = (&'static str, &'static str);

/// Restores a store of version 0.1.0 with the migrations up to 0010. It has people who registered and signed in, a
/// locked account, and two imported ones.
pub fn store_of_the_version_before(store: Store) -> Settings {
    let sqlite = (
        include_str!("../upgrade/sqlite.sql"),
        "fWXS3//62BcHSRoMMiCOH/p+UzK7ZySVcTC3fVBgkKk=",
    );
    let postgres = (
        include_str!("../upgrade/postgres.sql"),
        "nuxQkzyj6FePAXeSqwC9eRhpUfdLrLrhKn59jQRnIEI=",
    );
    restored(store, sqlite, postgres)
}

/// Restores a store with the migrations up to 0026, of the program as it was before its read models moved below its use
/// cases. Every kind of event happened in it, as `everything_happens` in `story.rs` tells. `ann` has sessions, `bob` is
/// locked, and `root` is an administrator.
pub fn store_with_every_event(store: Store) -> Settings {
    let sqlite = (
        include_str!("../upgrade/sqlite-0026.sql"),
        "I8lMhaW2lg737EyfpKPS1Y45CLpkiS9bzzcm4RrLTy0=",
    );
    let postgres = (
        include_str!("../upgrade/postgres-0026.sql"),
        "gdgZfDlhoFNkYbNStpuM4IS9lX+7HA0JW3BUJSJgy84=",
    );
    restored(store, sqlite, postgres)
}

fn restored(store: Store, sqlite: Dump, postgres: Dump) -> Settings {
    let settings = Settings::without_a_schema(store).with_cheap_hashing();
    std::fs::create_dir_all(settings.data()).unwrap();
    let (dump, key) = match store {
        Store::Sqlite => sqlite,
        Store::Postgres => postgres,
    };
    settings.execute(dump);
    settings.with("AUTHLOG_MASTER_KEY", key)
}
