//! The two stores, and the macro that runs one story on both.

/// Where the program keeps its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// In a file of its own.
    Sqlite,
    /// In a database on a real PostgreSQL server.
    Postgres,
}

/// Makes two tests of each story, `story::on_sqlite` and `story::on_postgresql`. A story is an `async fn(Store)`. The
/// compiler reports a story that is missing from the list as dead code.
macro_rules! on_both_stores {
    ($($story:ident),+ $(,)?) => {$(
        mod $story {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() {
                Box::pin(super::$story($crate::support::Store::Sqlite)).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgresql() {
                Box::pin(super::$story($crate::support::Store::Postgres)).await;
            }
        }
    )+};
}
pub(crate) use on_both_stores;
