//! A real nats-server with JetStream, for one test.
#![allow(
    dead_code,
    clippy::expect_used,
    reason = "every test binary uses its own part, and a test that cannot go on fails"
)]

use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::support::eventually;
use crate::support::program::free_port;

/// A server, ended when dropped.
pub struct Nats {
    child: Child,
    port: u16,
    files: TempDir,
}

impl Nats {
    /// Starts one with an empty store.
    pub async fn start() -> Self {
        let files = TempDir::new().expect("a directory");
        let port = free_port();
        let child = run(port, &files);
        let server = Self { child, port, files };
        server.listens().await;
        server
    }

    /// `nats://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Ends it as a loss of power does, and starts it again.
    pub async fn crashes(&mut self) {
        self.child.kill().expect("kill -9");
        self.child.wait().expect("its end");
        self.child = run(self.port, &self.files);
        self.listens().await;
    }

    /// A client's view of its streams.
    pub async fn jetstream(&self) -> async_nats::jetstream::Context {
        let client = async_nats::connect(self.url()).await.expect("a connection");
        async_nats::jetstream::new(client)
    }

    async fn listens(&self) {
        // It takes clients once JetStream is there.
        eventually("nats-server listens", async || {
            async_nats::connect(self.url()).await.ok()
        })
        .await;
    }
}

fn run(port: u16, files: &TempDir) -> Child {
    Command::new("nats-server")
        .args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"])
        .arg(files.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("nats-server is not installed: run scripts/test.sh")
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
