//! A real PgBouncer in front of a PostgreSQL server.

use std::fs;
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::postgres::{as_owner, make_readable};
use super::program::free_port;

/// A pooler. It ends with the shell that starts it. The shell ends when its input closes, which happens however the test
/// process ends.
pub struct PgBouncer {
    _directory: TempDir,
    port: u16,
    keeper: Child,
}

const KEEPER: &str = r#"
    "$@" >/dev/null 2>&1 &
    pooler=$!
    read -r end
    # runuser passes this on to the pooler, and would leave it behind if it were killed.
    kill -s TERM $pooler
    wait $pooler
"#;

impl PgBouncer {
    /// A pooler in front of `server`, a local port, with its defaults except `pool_mode`.
    pub fn to(server: u16, pool_mode: &str) -> Self {
        let directory = TempDir::new().expect("a directory");
        make_readable(directory.path());
        let path = |name: &str| directory.path().join(name);
        for _ in 0..10 {
            let port = free_port();
            let users = path("users").display().to_string();
            let settings = format!(
                "[databases]\n* = host=127.0.0.1 port={server} user=postgres\n\
                 [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
                 auth_type = any\nauth_file = {users}\npool_mode = {pool_mode}\n"
            );
            fs::write(&users, "\"postgres\" \"\"\n").expect("its users");
            fs::write(path("settings"), settings).expect("its settings");
            let program = as_owner("/usr/sbin/pgbouncer".as_ref());
            let mut keeper = std::process::Command::new("sh")
                .args(["-c", KEEPER, "keeper"])
                .arg(program.get_program())
                .args(program.get_args())
                .arg(path("settings"))
                .current_dir("/")
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("sh");
            if listens_on(port) {
                return Self {
                    _directory: directory,
                    port,
                    keeper,
                };
            }
            // Another process may have taken the port since.
            drop(keeper.stdin.take());
            let _ = keeper.wait();
        }
        panic!("PgBouncer does not start: run scripts/test.sh, which installs it");
    }

    /// The port at which it listens.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

fn listens_on(port: u16) -> bool {
    (0..200).any(|_| {
        let listens = TcpStream::connect(("127.0.0.1", port)).is_ok();
        if !listens {
            std::thread::sleep(Duration::from_millis(25));
        }
        listens
    })
}
