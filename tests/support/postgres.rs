//! A real PostgreSQL server, from the binaries that Debian installs.
//!
//! Test processes share one server. Each holds a shared lock on a file while it lives, and a watchdog waits until the
//! file is unlocked. The kernel releases locks however a process ends, so the server is stopped and its files are
//! removed after a panic, an interrupt and a kill alike.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::program::signal;

/// How many statements the server counts separately ([`super::statements`]): one or two hundred for each database of a
/// whole run of the tests. Beyond this number the server forgets the rarest ones.
const STATEMENTS: u32 = 100_000;

/// A server that runs at least until this is dropped.
pub struct Postgres {
    home: PathBuf,
    port: u16,
    /// The lock by which the watchdog knows that the server is in use.
    _need: File,
}

impl Postgres {
    /// The server that all tests share. No test may stop it.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| {
            // Each worktree has its own server, so that an old test process does not hold the files of a new one.
            let worktree = env!("CARGO_MANIFEST_DIR").replace('/', "-");
            // Each version has its own server, too.
            let programs = binary("").display().to_string().replace('/', "-");
            let name = format!("authlog-tests{worktree}{programs}");
            let home = std::env::temp_dir().join(name);
            // The lock files stay, because another process may be waiting for one. No test cuts the power of this server, so
            // it need not wait for the disk. Databases of one test are too small and too short-lived for autovacuum, which would
            // visit a thousand of them again and again.
            let first = [
                "ALTER SYSTEM SET fsync = off",
                "ALTER SYSTEM SET autovacuum = off",
            ];
            Self::at(&home, &home.join("data"), &first)
        })
    }

    /// A server of one test, which may stop and start it.
    pub fn of_its_own() -> Self {
        let home = own_home();
        Self::at(&home, &home, &[])
    }

    /// A standby on a server of its own, with a copy of everything. It replicates over `upstream`, a port that leads to
    /// the primary.
    pub fn standby_of(upstream: u16) -> Self {
        let home = own_home();
        make_directory(&home);
        let need = open(&home.join("need"));
        need.lock_shared().expect("a lock");
        make_data_directory(&home);
        run(as_owner(&binary("pg_basebackup"))
            .arg("--pgdata")
            .arg(home.join("data"))
            .args(["--host=127.0.0.1", "--username=postgres", "--no-sync"])
            .args(["--write-recovery-conf", "--checkpoint=fast"])
            .args(["--wal-method=stream", "--port", &upstream.to_string()]));
        let port = start(&home);
        watch(&home, &home);
        Self {
            home,
            port,
            _need: need,
        }
    }

    /// Promotes a standby to a primary.
    pub fn promote(&self) {
        run(pg_ctl(&self.home).args(["promote", "--wait"]));
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Changes a setting of the running server.
    pub fn set(&self, name: &str, value: &str) {
        let set = format!("ALTER SYSTEM SET {name} = '{value}'");
        self.execute("postgres", &set);
        self.execute("postgres", "SELECT pg_reload_conf()");
    }

    /// The server with its files in `home`, started unless it runs. A new one executes `first`. `litter` is removed after
    /// the last use.
    fn at(home: &Path, litter: &Path, first: &[&str]) -> Self {
        make_directory(home);
        let need = open(&home.join("need"));
        need.lock_shared().expect("a lock");
        let starting = open(&home.join("starting"));
        starting.lock().expect("a lock");
        let port = running_at(home).unwrap_or_else(|| {
            make_cluster(home);
            let port = start(home);
            watch(home, litter);
            let server = url(port, "postgres");
            // Only in this database, because tests dump and compare theirs.
            Self::execute_at(&server, "CREATE EXTENSION pg_stat_statements");
            for statement in first {
                Self::execute_at(&server, statement);
            }
            Self::execute_at(&server, "SELECT pg_reload_conf()");
            port
        });
        Self {
            home: home.to_owned(),
            port,
            _need: need,
        }
    }

    /// Creates an empty database and returns its URL.
    pub fn fresh_database(&self) -> String {
        let name = format!("authlog_{}", unique());
        self.execute("postgres", &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    /// Creates a database with the schema of the program and nothing else, and returns its URL. To copy one takes a third of the
    /// processor time of the migrations.
    pub fn migrated_database(&self) -> String {
        static TEMPLATE: OnceLock<String> = OnceLock::new();
        self.copy_of(TEMPLATE.get_or_init(|| self.migrated_template()))
    }

    /// The database that [`Self::migrated_database`] copies. The first test process of a server makes it.
    fn migrated_template(&self) -> String {
        let making = open(&self.home.join("template"));
        making.lock().expect("a lock");
        let template = self.url(&format!("migrated_{:x}", schema_version()));
        if !Self::runs(&template, "SELECT 1") {
            let unfinished = self.fresh_database();
            run(Command::new(env!("CARGO_BIN_EXE_authlog"))
                .arg("migrate")
                .env("AUTHLOG_DATABASE_URL", &unfinished));
            let [from, to] =
                [&unfinished, &template].map(|url| url.rsplit_once('/').expect("a database").1);
            self.execute("postgres", &format!("ALTER DATABASE {from} RENAME TO {to}"));
        }
        template
    }

    fn url(&self, database: &str) -> String {
        url(self.port, database)
    }

    /// Runs SQL as the server's owner.
    pub fn execute(&self, database: &str, sql: &str) {
        Self::execute_at(&self.url(database), sql);
    }

    /// The rows of a query, as text.
    pub fn ask(url: &str, sql: &str) -> Vec<String> {
        let mut psql = Command::new(binary("psql"));
        psql.arg(url)
            .args(["--no-psqlrc", "--tuples-only", "--no-align"])
            .args(["--command", sql]);
        let output = psql.output().expect("psql");
        assert!(output.status.success(), "{output:?}");
        let rows = String::from_utf8_lossy(&output.stdout);
        rows.lines().map(str::to_owned).collect()
    }

    /// Copies the database at `url`, which must have no connections, and returns the URL of the copy.
    pub fn copy_of(&self, url: &str) -> String {
        let (_, original) = url.rsplit_once('/').expect("a database");
        let name = format!("authlog_{}", unique());
        self.execute(
            "postgres",
            &format!("CREATE DATABASE {name} TEMPLATE {original}"),
        );
        self.url(&name)
    }

    /// The single value of a query of a database, as text.
    pub fn query(url: &str, sql: &str) -> String {
        Self::ask(url, sql).concat()
    }

    /// Runs SQL in the database at `url` as the server's owner.
    pub fn execute_at(url: &str, sql: &str) {
        let mut psql = Command::new(binary("psql"));
        run(psql.arg(url).args([
            "--no-psqlrc",
            "--quiet",
            "--set=ON_ERROR_STOP=1",
            "--command",
            sql,
        ]));
    }

    /// Like [`Self::execute_at`], but returns whether it succeeded.
    pub fn runs(url: &str, sql: &str) -> bool {
        let mut psql = Command::new(binary("psql"));
        psql.arg(url)
            .args(["--no-psqlrc", "--set=ON_ERROR_STOP=1", "--command", sql]);
        psql.output().expect("psql").status.success()
    }

    /// The text of the server's log.
    pub fn log(&self) -> String {
        log(&self.home)
    }

    /// A dump of a database.
    pub fn dump(url: &str) -> String {
        let output = Command::new(binary("pg_dump")).arg(url).output();
        let output = output.expect("pg_dump");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Stops the server as an operator does, which disconnects its clients.
    pub fn stop(&self) {
        run(pg_ctl(&self.home).args(["stop", "--mode=fast", "--wait"]));
    }

    /// Stops the server as a power failure does: it writes nothing more.
    pub fn crash(&self) {
        run(pg_ctl(&self.home).args(["stop", "--mode=immediate", "--wait"]));
    }

    /// Stops the process of one connection (SIGSTOP) until the guard is dropped.
    pub fn freeze_backend(process: u32) -> FrozenPostgres {
        signal("STOP", process);
        FrozenPostgres(vec![process])
    }

    /// Stops every process of the server (SIGSTOP) until the guard is dropped, as if the machine hung.
    pub fn freeze(&self) -> FrozenPostgres {
        let postmaster = postmaster(&self.home).expect("its process");
        // First the process that starts the others.
        signal("STOP", postmaster);
        let children = fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children"));
        let children = children.expect("its children");
        let children = children
            .split_whitespace()
            .map(|it| it.parse().expect("a pid"));
        let processes: Vec<u32> = children.chain([postmaster]).collect();
        for process in &processes {
            signal("STOP", *process);
        }
        FrozenPostgres(processes)
    }

    /// Starts the server again, on the same port.
    pub fn start(&self) {
        assert!(start_on(&self.home, self.port), "{}", log(&self.home));
    }
}

/// A transaction that has a number and stays open until this is dropped.
pub struct OpenTransaction(Child);

impl OpenTransaction {
    /// Begins it in the database at `url`. It holds up the logs of the whole server.
    pub fn begin(url: &str) -> Self {
        let mut psql = Command::new(binary("psql"));
        psql.arg(url)
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut psql = psql.spawn().expect("psql");
        let input = psql.stdin.as_mut().expect("its input");
        input
            .write_all(b"BEGIN;\nSELECT pg_current_xact_id();\n")
            .expect("a statement");
        let mut number = String::new();
        let mut output = BufReader::new(psql.stdout.as_mut().expect("its output"));
        output.read_line(&mut number).expect("a number");
        assert!(number.trim().parse::<u64>().is_ok(), "{number}");
        Self(psql)
    }
}

impl Drop for OpenTransaction {
    fn drop(&mut self) {
        // Without input psql ends, and the server rolls the transaction back.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// The stopped processes of a server.
pub struct FrozenPostgres(Vec<u32>);

impl Drop for FrozenPostgres {
    fn drop(&mut self) {
        for process in &self.0 {
            signal("CONT", *process);
        }
    }
}

/// A number that changes with the migrations.
fn schema_version() -> u64 {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/postgres");
    let files = fs::read_dir(folder).expect("the migrations");
    let mut files: Vec<_> = files.map(|it| it.expect("a file").path()).collect();
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in files {
        fs::read(file).expect("a migration").hash(&mut hasher);
    }
    hasher.finish()
}

fn url(port: u16, database: &str) -> String {
    format!("postgres://postgres@127.0.0.1:{port}/{database}")
}

/// The path of a program of PostgreSQL: in the directory `AUTHLOG_TEST_POSTGRES` or, without it, in that of the newest
/// Debian package.
fn binary(name: &str) -> PathBuf {
    if let Some(directory) = std::env::var_os("AUTHLOG_TEST_POSTGRES") {
        return PathBuf::from(directory).join(name);
    }
    let versions =
        fs::read_dir("/usr/lib/postgresql").map_or_else(|_| Vec::new(), Iterator::collect);
    let newest = versions
        .into_iter()
        .filter_map(Result::ok)
        .filter(|version| version.path().join("bin/initdb").exists())
        .max_by_key(|version| version.file_name().to_string_lossy().parse().unwrap_or(0));
    let newest = newest.expect("PostgreSQL is not installed: run scripts/test.sh");
    newest.path().join("bin").join(name)
}

/// A command that runs as the owner of the server, because PostgreSQL refuses to run as root.
pub(super) fn as_owner(program: &Path) -> Command {
    if !we_are_root() {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(program);
    command
}

fn we_are_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

fn pg_ctl(home: &Path) -> Command {
    let mut command = as_owner(&binary("pg_ctl"));
    command.arg("--pgdata").arg(home.join("data"));
    command
}

/// The port of the running server in `home`, if there is one.
fn running_at(home: &Path) -> Option<u16> {
    let process = postmaster(home)?;
    let name = fs::read_to_string(format!("/proc/{process}/comm")).ok()?;
    if name.trim() != "postgres" {
        return None;
    }
    fs::read_to_string(home.join("port")).ok()?.parse().ok()
}

/// The process of the server in `home`, which may have ended without removing its file.
fn postmaster(home: &Path) -> Option<u32> {
    let file = fs::read_to_string(home.join("data/postmaster.pid")).ok()?;
    file.lines().next()?.parse().ok()
}

/// A directory for a server of one test.
fn own_home() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("authlog-test-{}-{number}", std::process::id());
    std::env::temp_dir().join(name)
}

/// An empty directory for a server's data. PostgreSQL requires that other users cannot read it.
fn make_data_directory(home: &Path) {
    let data = home.join("data");
    let _ = fs::remove_dir_all(&data);
    make_directory(&data);
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).expect("its mode");
    if we_are_root() {
        run(Command::new("chown").arg("postgres").arg(&data));
    }
}

fn make_cluster(home: &Path) {
    make_data_directory(home);
    run(as_owner(&binary("initdb"))
        .arg("--pgdata")
        .arg(home.join("data"))
        .args([
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
        ])
        .arg("--no-sync"));
}

/// Starts the server on a free port.
fn start(home: &Path) -> u16 {
    for _ in 0..10 {
        let port = super::program::free_port();
        // Another process may have taken the port since.
        if start_on(home, port) {
            fs::write(home.join("port"), port.to_string()).expect("the port's file");
            return port;
        }
    }
    panic!("PostgreSQL does not start: {}", log(home));
}

/// The settings are durable as in production, because some tests simulate a power failure.
fn start_on(home: &Path, port: u16) -> bool {
    let options = format!(
        "-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=500 \
         -c shared_preload_libraries=pg_stat_statements -c pg_stat_statements.max={STATEMENTS}"
    );
    let status = pg_ctl(home)
        .args(["start", "--wait", "--options", &options, "--log"])
        .arg(home.join("data/log"))
        .current_dir("/")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.expect("pg_ctl").success()
}

fn log(home: &Path) -> String {
    fs::read_to_string(home.join("data/log")).unwrap_or_default()
}

/// Starts a process that stops the server once it was not used for half a minute: between two tests that use it there may be others,
/// and the files of several hundred databases are removed slowly. The process has a session of its own, so that an interrupt of the
/// tests does not reach it.
fn watch(home: &Path, litter: &Path) {
    const WATCHDOG: &str = r#"
        exec 9<"$0/need"
        unused=0
        while [ "$unused" -lt 15 ] || ! flock --exclusive --nonblock 9; do
            sleep 2
            if flock --exclusive --nonblock 9; then flock --unlock 9; unused=$((unused + 1)); else unused=0; fi
        done
        litter="$1"; shift
        "$@"
        rm -rf "$litter"
    "#;
    let mut stop = pg_ctl(home);
    stop.args(["stop", "--mode=immediate"]);
    let left_behind = Command::new("setsid")
        .args(["--fork", "sh", "-c", WATCHDOG])
        .args([home, litter])
        .arg(stop.get_program())
        .args(stop.get_args())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(left_behind.expect("setsid").success());
}

fn make_directory(path: &Path) {
    fs::create_dir_all(path).expect("a directory");
    make_readable(path);
}

/// Lets the servers' owner read a directory.
pub(super) fn make_readable(directory: &Path) {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).expect("its mode");
}

fn open(path: &Path) -> File {
    let file = File::options().create(true).append(true).open(path);
    file.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command.current_dir("/").stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {output:?}");
}

/// A unique word.
fn unique() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let nanos = super::form::now().unix_timestamp_nanos();
    format!("{}_{number}_{nanos}", std::process::id())
}
