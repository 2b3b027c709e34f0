//! The program: start, output, signals and restart.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use tempfile::TempDir;

use super::http::{Http, Request};
use super::{Endpoint, Postgres, Store, eventually};

/// The longest time until the program is ready, on a busy machine.
const START: Duration = Duration::from_secs(60);

/// The environment and the files of a program. Clones share the files.
#[derive(Clone)]
pub struct Settings {
    environment: BTreeMap<String, String>,
    directory: Arc<TempDir>,
    data: PathBuf,
}

impl Settings {
    /// The defaults with an empty store of this kind, migrated on PostgreSQL, on a free port, without limits of attempts.
    pub fn on(store: Store) -> Self {
        Self::with_database(store, Postgres::migrated_database)
    }

    /// Like [`Self::on`], without a schema on PostgreSQL.
    pub fn without_a_schema(store: Store) -> Self {
        Self::with_database(store, Postgres::fresh_database)
    }

    fn with_database(store: Store, new: fn(&Postgres) -> String) -> Self {
        let settings = Self::in_an_empty_directory();
        match store {
            Store::Sqlite => settings,
            Store::Postgres => settings.with("AUTHLOG_DATABASE_URL", &new(Postgres::shared())),
        }
    }

    /// Like [`Self::on`] with PostgreSQL, on a server of the test's own.
    pub fn on_server(server: &Postgres) -> Self {
        Self::in_an_empty_directory().with("AUTHLOG_DATABASE_URL", &server.fresh_database())
    }

    fn in_an_empty_directory() -> Self {
        let directory = TempDir::new().expect("a directory");
        let settings = Self {
            environment: BTreeMap::new(),
            data: directory.path().join("data"),
            directory: Arc::new(directory),
        };
        let data = settings.data.display().to_string();
        settings
            .with("AUTHLOG_LISTEN", "127.0.0.1:0")
            .with("AUTHLOG_DATA_DIR", &data)
            .with("AUTHLOG_RATE_LIMIT", "off")
    }

    /// These settings with another one.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// These settings without one.
    pub fn without(mut self, name: &str) -> Self {
        self.environment.remove(name);
        self
    }

    /// With cheap password hashing, for tests that need thousands of hashes. Never in production.
    pub fn with_cheap_hashing(self) -> Self {
        self.with("AUTHLOG_ARGON2_MEMORY_KIB", "1024")
            .with("AUTHLOG_ARGON2_ITERATIONS", "1")
    }

    /// With a list of breached passwords that has one: that of the person who is imported in `story`.
    pub fn with_a_breached_password(self) -> Self {
        let folder = self.data.parent().expect("a folder");
        let [published, list] = ["published.txt", "breached"].map(|name| folder.join(name));
        // SHA-1 of `U*U*`, by `sha1sum`.
        let line = "FCE7471C621F750146990AC5F71671FB46C5B8B3:1\n";
        std::fs::write(&published, line).expect("a list");
        authlog_infrastructure::breached::build(&published, &list, |_, _, why| panic!("{why}"))
            .expect("a list");
        let list = list.display().to_string();
        self.with("AUTHLOG_BREACHED_PASSWORDS", &list)
    }

    /// Settings of two nodes that share a database and a master key.
    pub fn of_two_nodes() -> [Self; 2] {
        Self::on(Store::Postgres).of_nodes()
    }

    /// These settings for several nodes that share a database and a master key.
    pub fn of_nodes<const N: usize>(self) -> [Self; N] {
        let key = self.directory.path().join("master.key");
        let shared = self.with("AUTHLOG_MASTER_KEY_FILE", &key.display().to_string());
        std::array::from_fn(|number| {
            let node = Self {
                data: shared.directory.path().join(format!("data-{number}")),
                ..shared.clone()
            };
            let data = node.data.display().to_string();
            node.with("AUTHLOG_DATA_DIR", &data)
        })
    }

    /// The value of a setting.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str)
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The same settings with a copy of the whole store. The program must not run.
    pub fn backup(&self) -> Self {
        let directory = TempDir::new().expect("a directory");
        let data = directory.path().join("data");
        let copied = Command::new("cp")
            .arg("-r")
            .args([&self.data, &data])
            .status();
        assert!(copied.expect("cp").success());
        let copy = Self {
            environment: self.environment.clone(),
            directory: Arc::new(directory),
            data,
        };
        let data = copy.data.display().to_string();
        let copy = copy.with("AUTHLOG_DATA_DIR", &data);
        match self.get("AUTHLOG_DATABASE_URL") {
            Some(url) => copy.with("AUTHLOG_DATABASE_URL", &Postgres::shared().copy_of(url)),
            None => copy,
        }
    }

    /// The content of the store, as bytes to search in.
    pub fn stored_bytes(&self) -> Vec<u8> {
        if let Some(url) = self.get("AUTHLOG_DATABASE_URL") {
            return Postgres::dump(url).into_bytes();
        }
        let files = ["authlog.db", "authlog.db-wal"].map(|name| self.data.join(name));
        assert!(
            files[0].exists(),
            "no authlog.db in {}",
            self.data.display()
        );
        files
            .iter()
            .filter_map(|path| std::fs::read(path).ok())
            .flatten()
            .collect()
    }

    /// Starts the program, as `authlog serve`.
    pub async fn start(self) -> Program {
        self.start_as(&["serve"]).await
    }

    /// Starts the program with these arguments and waits until it listens.
    pub async fn start_as(self, arguments: &[&str]) -> Program {
        let mut command = self.command(arguments);
        tokio::task::spawn_blocking(move || {
            let running = Running::start(&mut command);
            Program {
                settings: self,
                running,
            }
        })
        .await
        .expect("the program starts")
    }

    /// Starts the program by a script of bash, in which it is `$0`, and waits until it listens.
    pub async fn start_by(self, script: &str) -> Program {
        let mut command = self.with_environment(Command::new("bash"));
        command.args(["-c", script, env!("CARGO_BIN_EXE_authlog")]);
        tokio::task::spawn_blocking(move || {
            let running = Running::start(&mut command);
            Program {
                settings: self,
                running,
            }
        })
        .await
        .expect("the program starts")
    }

    /// Runs the program to its end, with `input` as its standard input. After a minute it is killed, which counts as a
    /// failure.
    pub fn run(&self, arguments: &[&str], input: &str) -> Output {
        self.run_under(&["60"], arguments, input)
    }

    /// Like [`Self::run`], but kills the program after this many milliseconds.
    pub fn run_and_kill_after(&self, millis: u32, arguments: &[&str]) -> Output {
        let seconds = format!("{}.{:03}", millis / 1000, millis % 1000);
        self.run_under(&["--signal=KILL", &seconds], arguments, "")
    }

    fn run_under(&self, timeout: &[&str], arguments: &[&str], input: &str) -> Output {
        let mut command = self.with_environment(Command::new("timeout"));
        command
            .args(timeout)
            .arg(env!("CARGO_BIN_EXE_authlog"))
            .args(arguments)
            .stdin(Stdio::piped());
        let mut child = command.spawn().expect("the program");
        let mut typing = child.stdin.take().expect("its input");
        // A program that reads no input may have ended already.
        let _ = typing.write_all(input.as_bytes());
        drop(typing);
        child.wait_with_output().expect("its output")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.with_environment(Command::new(env!("CARGO_BIN_EXE_authlog")));
        command.args(arguments);
        command
    }

    fn with_environment(&self, mut command: Command) -> Command {
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .envs(&self.environment)
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

/// A running service.
pub struct Program {
    pub settings: Settings,
    running: Running,
}

impl Program {
    /// A service on an empty store of this kind, with cheap password hashing.
    pub async fn on(store: Store) -> Self {
        Settings::on(store).with_cheap_hashing().start().await
    }

    /// A client of it.
    pub fn http(&self) -> Http {
        self.running.http.clone()
    }

    /// A request to it.
    pub fn send(&self, endpoint: Endpoint) -> Request {
        self.running.http.send(endpoint)
    }

    /// Waits until every event has its place in the log. The feed delivers it then.
    pub async fn log_is_complete(&self) {
        eventually("every event is in the log", async || {
            let settings = &self.settings;
            (settings.count("event_log") == settings.count("events")).then_some(())
        })
        .await;
    }

    /// `127.0.0.1:<port>`.
    pub fn address(&self) -> String {
        self.running.address.clone()
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.running.child.id()
    }

    /// The standard output and standard error so far.
    pub fn output(&self) -> String {
        self.running.output.text()
    }

    /// Waits until the program has logged this text: a thread of its own writes the log.
    pub async fn has_logged(&self, text: &str) {
        eventually(&format!("{text:?} in the log"), async || {
            self.output().contains(text).then_some(())
        })
        .await;
    }

    /// Kills the program, as a power failure does.
    pub fn kill9(&mut self) {
        self.running.child.kill().expect("kill -9");
        self.running.child.wait().expect("its end");
    }

    /// Sends SIGTERM, without waiting for the end.
    pub fn ask_to_end(&self) {
        signal("TERM", self.running.child.id());
    }

    /// Freezes the program at any point (SIGSTOP), as if the machine hung.
    pub fn freeze(&self) {
        signal("STOP", self.running.child.id());
    }

    /// Lets the frozen program continue.
    pub fn thaw(&self) {
        signal("CONT", self.running.child.id());
    }

    /// Waits for its end.
    pub async fn end(&mut self) -> ExitStatus {
        let child = Mutex::new(&mut self.running.child);
        eventually("the program ends", async || {
            let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
            child.try_wait().expect("its state")
        })
        .await
    }

    /// Sends SIGTERM and waits for the end.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.ask_to_end();
        self.end().await
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        self.running.child.try_wait().expect("its state").is_none()
    }

    /// Restarts the ended program with the same settings and files.
    pub async fn restart(&mut self) {
        assert!(!self.is_running(), "the program still runs");
        let mut command = self.settings.command(&["serve"]);
        self.running = tokio::task::spawn_blocking(move || Running::start(&mut command))
            .await
            .expect("the program starts");
    }
}

/// The process.
struct Running {
    child: Child,
    address: String,
    http: Http,
    output: Transcript,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("the program");
        let output = Transcript::default();
        let (said_address, address) = mpsc::channel();
        output.take(child.stdout.take().expect("its output"), move |line| {
            // A text or a JSON line.
            let rest = ["listening on http://", r#"{"listening":"http://"#];
            if let Some(rest) = rest.iter().find_map(|start| line.strip_prefix(start)) {
                let address = rest.trim().trim_end_matches(r#""}"#);
                let _ = said_address.send(address.to_owned());
            }
        });
        output.take(child.stderr.take().expect("its log"), |_| {});
        let Ok(address) = address.recv_timeout(START) else {
            let _ = child.kill();
            let end = child.wait();
            panic!("the program does not listen: {end:?}\n{}", output.text());
        };
        Self {
            child,
            http: Http::to(&format!("http://{address}")),
            address,
            output,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- what the program said\n{}---", self.output.text());
        }
    }
}

/// The output of a process, read continuously so that the process never blocks on it.
#[derive(Clone, Default)]
struct Transcript(Arc<Mutex<String>>);

impl Transcript {
    fn take(&self, from: impl Read + Send + 'static, heard: impl Fn(&str) + Send + 'static) {
        let transcript = self.clone();
        std::thread::spawn(move || {
            let mut lines = BufReader::new(from);
            let mut line = Vec::new();
            while lines
                .read_until(b'\n', &mut line)
                .is_ok_and(|read| read > 0)
            {
                let text = String::from_utf8_lossy(&line).into_owned();
                transcript.lock().push_str(&text);
                heard(&text);
                line.clear();
            }
        });
    }

    fn text(&self) -> String {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends a signal to a process.
pub fn signal(name: &str, process: u32) {
    let process = process.to_string();
    let sent = Command::new("kill").args(["-s", name, &process]).status();
    assert!(sent.expect("kill").success());
}

/// A free port.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its number").port()
}
