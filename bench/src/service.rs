//! The release program, with its processor time and memory.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::http::{Carried, Connection};
use crate::passkey::ORIGIN;

/// The settings of every start of the program.
#[derive(Clone)]
pub(crate) struct Setup {
    /// The program.
    pub(crate) program: PathBuf,
    /// Its data directory.
    pub(crate) data: PathBuf,
    /// PostgreSQL instead of SQLite.
    pub(crate) database: Option<String>,
}

impl Setup {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .env_clear()
            .env("AUTHLOG_DATA_DIR", &self.data)
            .env("AUTHLOG_LISTEN", "127.0.0.1:0")
            .env("AUTHLOG_PUBLIC_URL", ORIGIN)
            .env("AUTHLOG_RATE_LIMIT", "off")
            .env("AUTHLOG_LOG", "error")
            .kill_on_drop(true);
        if let Some(database) = &self.database {
            command.env("AUTHLOG_DATABASE_URL", database);
        }
        command
    }

    /// Starts the program with these additional settings.
    pub(crate) async fn start(&self, settings: &[(&str, &str)]) -> anyhow::Result<Service> {
        let began = Instant::now();
        let mut child = self
            .command(&[])
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} does not start", self.program.display()))?;
        let output = child.stdout.take().context("it has an output")?;
        let first = BufReader::new(output).lines().next_line().await?;
        let first = first.context("the program ended at once")?;
        let address = first.strip_prefix("listening on http://");
        let address = address
            .with_context(|| format!("the program said {first:?}"))?
            .to_owned();
        let mut connection = Connection::open(&address).await?;
        loop {
            let ready = connection.send(hyper::Method::GET, "/readyz", Carried::default());
            if ready.await?.status().is_success() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(Service {
            child,
            address,
            ready_after: began.elapsed(),
            earlier_peak: Mutex::default(),
        })
    }

    /// Runs a command of the program and returns its duration.
    pub(crate) async fn run(&self, arguments: &[&str]) -> anyhow::Result<Duration> {
        let began = Instant::now();
        self.output(arguments).await?;
        Ok(began.elapsed())
    }

    /// Runs a command of the program and returns what it prints.
    pub(crate) async fn output(&self, arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
        let output = self.command(arguments).output().await?;
        ensure!(
            output.status.success(),
            "authlog {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(output.stdout)
    }

    /// The same with a password on its standard input.
    pub(crate) async fn run_with(&self, arguments: &[&str], input: &str) -> anyhow::Result<()> {
        use tokio::io::AsyncWriteExt as _;
        let mut command = self.command(arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        let mut typing = child.stdin.take().context("it has an input")?;
        typing.write_all(input.as_bytes()).await?;
        drop(typing);
        let status = child.wait().await?;
        ensure!(status.success(), "authlog {}", arguments.join(" "));
        Ok(())
    }
}

/// The serving program. Killed when dropped.
pub(crate) struct Service {
    child: Child,
    /// The address at which it listens.
    pub(crate) address: String,
    /// The time from the start of the process to the first ready answer.
    pub(crate) ready_after: Duration,
    /// The peak memory before the last [`Service::reset_peak`], in MiB.
    earlier_peak: Mutex<f64>,
}

impl Service {
    /// Stops it as an operator does.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let pid = self.child.id().context("it runs")?;
        let status = Command::new("kill").arg(pid.to_string()).status().await?;
        ensure!(status.success(), "cannot send the signal to stop");
        self.child.wait().await?;
        Ok(())
    }

    /// Its processor time so far, in seconds.
    pub(crate) fn processor_time(&self) -> anyhow::Result<f64> {
        /// Clock ticks a second, on every Linux that Rust supports (`getconf CLK_TCK`).
        const TICKS_A_SECOND: f64 = 100.0;
        let stat = std::fs::read_to_string(self.proc()?.join("stat"))?;
        // The second field, the program's name, may have spaces.
        let (_, fields) = stat.rsplit_once(')').context("a line of /proc/…/stat")?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ticks = |place: usize| -> anyhow::Result<f64> {
            let field = fields.get(place).context("utime and stime")?;
            Ok(field.parse()?)
        };
        Ok((ticks(11)? + ticks(12)?) / TICKS_A_SECOND)
    }

    /// Its present memory, in MiB.
    pub(crate) fn memory(&self) -> anyhow::Result<f64> {
        Ok(memory(&self.proc()?)?.0)
    }

    /// Its peak memory since [`Self::reset_peak`], in MiB.
    pub(crate) fn peak(&self) -> anyhow::Result<f64> {
        Ok(memory(&self.proc()?)?.1)
    }

    /// Its peak memory since the start, in MiB.
    pub(crate) fn peak_of_all(&self) -> anyhow::Result<f64> {
        Ok(self.peak()?.max(*self.earlier_peak()))
    }

    /// Resets [`Self::peak`] to the present memory (`proc(5)`, `clear_refs`).
    pub(crate) fn reset_peak(&self) -> anyhow::Result<()> {
        let peak = self.peak_of_all()?;
        std::fs::write(self.proc()?.join("clear_refs"), "5")?;
        *self.earlier_peak() = peak;
        Ok(())
    }

    fn earlier_peak(&self) -> MutexGuard<'_, f64> {
        self.earlier_peak
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn proc(&self) -> anyhow::Result<PathBuf> {
        let pid = self.child.id().context("the program has ended")?;
        Ok(Path::new("/proc").join(pid.to_string()))
    }
}

/// The present and the peak memory of a process in MiB, from its directory in `/proc`.
pub(crate) fn memory(process: &Path) -> anyhow::Result<(f64, f64)> {
    let status = std::fs::read_to_string(process.join("status"))?;
    let kib = |name: &str| -> anyhow::Result<f64> {
        for line in status.lines() {
            if let Some(value) = line.strip_prefix(name) {
                let number = value.trim().trim_end_matches("kB").trim();
                return Ok(number.parse()?);
            }
        }
        bail!("no {name} in /proc/…/status")
    };
    Ok((kib("VmRSS:")? / 1024.0, kib("VmHWM:")? / 1024.0))
}
