//! PostgreSQL's load generator with the statements of a refresh alone.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::process::Command;

use crate::load::Sample;

const SCHEMA: &str = include_str!("../../pgbench/schema.sql");
const REFRESH: &str = include_str!("../../pgbench/refresh.sql");

/// The file with the statements, and their database.
pub(crate) struct Pgbench {
    database: String,
    script: tempfile::NamedTempFile,
}

impl Pgbench {
    /// Creates the tables in an empty database.
    pub(crate) async fn prepare(database: &str) -> anyhow::Result<Self> {
        ask(database, SCHEMA).await?;
        let script = tempfile::NamedTempFile::new()?;
        std::fs::write(script.path(), REFRESH)?;
        Ok(Self {
            database: database.to_owned(),
            script,
        })
    }

    /// Runs the statements with this many clients for a while.
    pub(crate) async fn measure(
        &self,
        clients: usize,
        a_while: Duration,
    ) -> anyhow::Result<Sample> {
        // pgbench takes whole seconds.
        let seconds = a_while.as_secs_f64().ceil().max(1.0);
        let output = Command::new("pgbench")
            .args(["--no-vacuum", "--protocol=prepared", "--jobs=2"])
            .args(["--client", &clients.to_string()])
            .args(["--time", &seconds.to_string()])
            .arg("--file")
            .arg(self.script.path())
            .arg(&self.database)
            .stderr(Stdio::piped())
            .output()
            .await
            .context("pgbench is not installed: it comes with Debian's postgresql")?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success(),
            "pgbench: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let tps = said.lines().find_map(|line| line.strip_prefix("tps = "));
        let tps = tps.and_then(|line| line.split_whitespace().next());
        let tps: f64 = tps.context("pgbench said no tps")?.parse()?;
        Ok(Sample::counted(
            (tps * seconds) as u64,
            Duration::from_secs_f64(seconds),
        ))
    }
}

/// The result of a query.
pub(crate) async fn ask(database: &str, sql: &str) -> anyhow::Result<String> {
    let output = Command::new("psql")
        .arg(database)
        .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
        .args(["--set=ON_ERROR_STOP=1", "--command", sql])
        .output()
        .await
        .context("psql is not installed: it comes with Debian's postgresql")?;
    ensure!(
        output.status.success(),
        "psql: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The URL of another, empty database on the server of `url`.
pub(crate) async fn fresh_database(url: &str, name: &str) -> anyhow::Result<String> {
    for statement in [
        format!("DROP DATABASE IF EXISTS {name}"),
        format!("CREATE DATABASE {name}"),
    ] {
        ask(url, &statement).await?;
    }
    let (server, _) = url.rsplit_once('/').context("a URL with a database")?;
    Ok(format!("{server}/{name}"))
}
