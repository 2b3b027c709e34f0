//! Debian's nginx, if it is installed, with a configuration of the documentation in front of an application.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::http::{Http, Request};
use super::program::free_port;
use super::{Endpoint, Program, eventually};

const NGINX: &str = "/usr/sbin/nginx";

/// The directory of Debian's modules.
const MODULES: &str = "/usr/lib/nginx/modules";

/// A running nginx.
pub struct Nginx {
    pub http: Http,
    process: Child,
    _directory: TempDir,
}

impl Nginx {
    /// Whether nginx and these modules are installed. Says what is missing.
    pub fn is_installed(modules: &[&str]) -> bool {
        let modules = modules.iter().map(|name| format!("{MODULES}/{name}"));
        let mut files = std::iter::once(NGINX.to_owned()).chain(modules);
        let missing = files.find(|file| !Path::new(file).exists());
        if let Some(missing) = &missing {
            eprintln!("skipped: there is no {missing}");
        }
        missing.is_none()
    }

    /// Starts nginx in front of the service and an application, with this configuration of the documentation, these modules, and
    /// files that the configuration names under `/etc/nginx`.
    pub async fn before(
        service: &Program,
        configuration: &str,
        modules: &[&str],
        files: &[(&str, &str)],
    ) -> Self {
        let application = application().await;
        let directory = TempDir::new().unwrap();
        let place = directory.path().display().to_string();
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        let port = free_port();
        let configuration = configuration
            .replace("127.0.0.1:8080", &service.address())
            .replace("127.0.0.1:3000", &application)
            .replace("listen 80;", &format!("listen 127.0.0.1:{port};"))
            .replace("/etc/nginx", &place);
        let mut whole = String::new();
        for module in modules {
            writeln!(whole, "load_module {MODULES}/{module};").unwrap();
        }
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|kind| format!("{kind}_temp_path {place}/{kind};\n"))
            .collect();
        write!(
            whole,
            "daemon off;\nmaster_process off;\npid {place}/pid;\nerror_log stderr;\n\
             events {{}}\nhttp {{\naccess_log off;\n{temporary}{configuration}\n}}\n"
        )
        .unwrap();
        let file = directory.path().join("nginx.conf");
        std::fs::write(&file, whole).unwrap();
        let process = Command::new(NGINX)
            .arg("-c")
            .arg(&file)
            .args(["-e", "stderr"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        eventually("nginx listens", async || {
            TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        Self {
            http: Http::to(&format!("http://127.0.0.1:{port}")),
            process,
            _directory: directory,
        }
    }

    pub fn get(&self, path: &'static str) -> Request {
        self.http.send(Endpoint::at("GET", path))
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The first block of this language in a document.
pub fn documented(document: &str, language: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
    let text = std::fs::read_to_string(path).unwrap();
    let (_, rest) = text.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

/// Starts an application that answers each request with the request's head. Returns its address.
async fn application() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(answer_with_the_head(connection));
        }
    });
    address
}

async fn answer_with_the_head(mut connection: TcpStream) {
    let mut read = Vec::new();
    let end = loop {
        if let Some(end) = read.windows(4).position(|end| end == b"\r\n\r\n") {
            break end;
        }
        if connection.read_buf(&mut read).await.unwrap_or(0) == 0 {
            return;
        }
    };
    let head = String::from_utf8_lossy(&read[..end]).into_owned();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .map_or(0, |length| length.parse().unwrap());
    while read.len() < end + 4 + length {
        if connection.read_buf(&mut read).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{head}",
        head.len()
    );
    let _ = connection.write_all(answer.as_bytes()).await;
}
