//! A PostgreSQL server for the tests, stopped after the last test that uses it.

use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

use crate::store_behaviour::system::random;

pub struct Server {
    folder: TempDir,
    port: u16,
    process: Option<Child>,
}

static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());

impl Server {
    /// The server that the tests of this program share.
    pub fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Self::start());
            *shared = Arc::downgrade(&server);
            server
        })
    }

    /// A server that a test may stop.
    pub fn start() -> Self {
        let folder = folder();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut server = Self {
            folder,
            port,
            process: None,
        };
        copy(&empty_cluster(), &server.data());
        server.resume();
        server
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Starts the server that was stopped.
    pub fn resume(&mut self) {
        let process = command("postgres")
            .arg("-D")
            .arg(self.data())
            .args(["-p", &self.port.to_string()])
            // What a crash of the operating system would cost is not what is tested here.
            .args(["-c", "fsync=off", "-c", "max_connections=500"])
            .args(["-c", "listen_addresses=127.0.0.1"])
            .args(["-c", "unix_socket_directories="])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.process = Some(process);
        let started = Instant::now();
        loop {
            let ready = command("psql")
                .args(["-h", "127.0.0.1", "-p", &self.port.to_string()])
                .args(["-U", "postgres", "-c", "SELECT 1"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .unwrap();
            if ready.success() {
                return;
            }
            assert!(started.elapsed() < Duration::from_secs(30), "no server");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops the server at once, and with it all its connections.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let interrupt = Command::new("kill")
                .args(["-INT", &process.id().to_string()])
                .status();
            assert!(interrupt.unwrap().success());
            process.wait().unwrap();
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Makes an empty database and returns its name.
    pub async fn database(&self) -> String {
        let name = format!("t{}", random().simple());
        let mut connection = PgConnection::connect(&self.url("postgres")).await.unwrap();
        sqlx::query(&format!("CREATE DATABASE {name}"))
            .execute(&mut connection)
            .await
            .unwrap();
        name
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The files of a new cluster. They are made once and copied, because `initdb` takes longer than most tests.
fn empty_cluster() -> PathBuf {
    let mut version = command("postgres");
    let version = version.arg("--version").stdout(Stdio::piped());
    let version = version.output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let name = version
        .trim()
        .replace(|it: char| !it.is_ascii_alphanumeric(), "-");
    let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("empty-{name}"));
    if !made.exists() {
        let folder = folder();
        let data = folder.path().join("data");
        let initdb = command("initdb")
            .args(["-A", "trust", "-U", "postgres", "-N", "-E", "UTF8", "-D"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(initdb.status.success(), "initdb: {initdb:?}");
        let copied = made.with_extension(std::process::id().to_string());
        copy(&data, &copied);
        // Of several processes the first one wins.
        if let Err(error) = std::fs::rename(&copied, &made) {
            assert!(made.exists(), "{error}");
            std::fs::remove_dir_all(&copied).unwrap();
        }
    }
    made
}

/// A folder that the server can write to.
fn folder() -> TempDir {
    let folder = TempDir::with_prefix("authlog-postgres-").unwrap();
    if let Some((user, group)) = unprivileged() {
        chown(folder.path(), Some(user), Some(group)).unwrap();
    }
    folder
}

/// Copies a directory with its owners and modes.
fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(status.unwrap().success());
}

/// PostgreSQL refuses to run as root.
fn unprivileged() -> Option<(u32, u32)> {
    let id = |flags: &[&str]| {
        let output = Command::new("id").args(flags).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse()
    };
    (id(&["-u"]) == Ok(0)).then(|| {
        let of_postgres = |flag| id(&[flag, "postgres"]).unwrap();
        (of_postgres("-u"), of_postgres("-g"))
    })
}

/// Where Debian puts the newest installed server's program.
fn installed(program: &str) -> PathBuf {
    let installed = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .map(|version| version.unwrap().path().join("bin").join(program))
        .filter(|path| path.exists())
        .max();
    installed.unwrap_or_else(|| program.into())
}

fn command(program: &str) -> Command {
    let program = match std::env::var_os("AUTHLOG_TEST_POSTGRES") {
        Some(directory) => PathBuf::from(directory).join(program),
        None => installed(program),
    };
    let mut command = match unprivileged() {
        None => Command::new(program),
        Some((user, group)) => {
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid", &user.to_string(), "--regid", &group.to_string()])
                .arg("--clear-groups")
                .arg(program);
            command
        }
    };
    command.stdout(Stdio::null()).current_dir("/");
    command
}
