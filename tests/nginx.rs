//! The nginx configuration of `docs/forward-auth.md`, in Debian's nginx if it is installed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use std::path::Path;
use std::process::{Child, Command, Stdio};

use support::http::{Http, Request};
use support::program::free_port;
use support::{
    Answer, Contract, Endpoint, Person, Program, Settings, Store, eventually, on_both_stores, own,
    staff,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const NGINX: &str = "/usr/sbin/nginx";

on_both_stores!(nginx_checks_each_request_and_passes_the_identity_to_the_application);

async fn nginx_checks_each_request_and_passes_the_identity_to_the_application(store: Store) {
    if !Path::new(NGINX).exists() {
        eprintln!("skipped: there is no {NGINX}; apt-get install nginx");
        return;
    }
    let settings = Settings::on(store).with("AUTHLOG_TRUSTED_PROXIES", "127.0.0.1");
    let service = settings.with_cheap_hashing().start().await;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&service.http(), &ann).await;
    let user = Contract::ApiAuth.signs_in(&service.http(), &ann).await;
    let admin = staff::signed_in(&service, "root", "admin").await;
    let nginx = Nginx::before(&service).await;

    for path in ["/", "/admin/users"] {
        let answer = forging(nginx.get(path)).await;
        assert_eq!(answer.status, 401, "{answer}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        let answer = forging(nginx.get(path)).bearer("nonsense").await;
        assert_eq!(answer.status, 401, "{answer}");
        let expected = Some("Bearer error=\"invalid_token\"");
        assert_eq!(answer.header("www-authenticate"), expected);
    }
    let known = service
        .send(own::FORWARD_AUTH)
        .bearer(&user.access)
        .await
        .header("x-auth-subject")
        .unwrap()
        .to_owned();
    let answer = forging(nginx.get("/page?a=b")).bearer(&user.access).await;
    let seen = seen_by_the_application(&answer);
    assert_eq!(seen["x-auth-subject"], known);
    assert_eq!(seen["x-auth-username"], "ann");
    assert_eq!(seen["x-auth-email"], "ann@example.com");
    assert_eq!(seen["x-auth-role"], "user");
    assert!(seen.contains_key("x-auth-session"));
    // A body goes to the application, and the check does not wait for it.
    let upload = nginx.http.send(Endpoint::at("PUT", "/upload"));
    let upload = upload.untyped_body(&[b'x'; 100_000]).bearer(&user.access);
    let answer = upload.await;
    let seen = seen_by_the_application(&answer);
    assert_eq!(seen["content-length"], "100000");
    // The required role of a location.
    let answer = forging(nginx.get("/admin/users"))
        .bearer(&user.access)
        .await;
    assert_eq!(answer.status, 403, "{answer}");
    let answer = forging(nginx.get("/admin/users"))
        .bearer(&admin.access)
        .await;
    assert_eq!(seen_by_the_application(&answer)["x-auth-role"], "admin");
    // Locations without a check pass no identity headers to the application.
    let answer = forging(nginx.get("/public/page")).await;
    let seen = seen_by_the_application(&answer);
    let identity = seen.keys().find(|name| name.as_str().contains("auth"));
    assert_eq!(identity, None, "{seen:?}");
}

/// Adds forged identity headers to a request.
fn forging(request: Request) -> Request {
    [
        "subject",
        "username",
        "email",
        "email-verified",
        "role",
        "session",
    ]
    .iter()
    .fold(request, |request, name| {
        let underscored = format!("x_auth_{}", name.replace('-', "_"));
        request
            .header(&format!("x-auth-{name}"), "forged")
            .header(&underscored, "forged")
    })
}

/// The headers that reached the application. Asserts that none is forged.
#[track_caller]
fn seen_by_the_application(answer: &Answer) -> reqwest::header::HeaderMap {
    assert_eq!(answer.status, 200, "{answer}");
    assert!(!answer.body.contains("forged"), "{answer}");
    let lines = answer.body.lines().skip(1);
    lines
        .take_while(|line| !line.is_empty())
        .map(|line| {
            let (name, value) = line.split_once(':').unwrap();
            let name: reqwest::header::HeaderName = name.parse().unwrap();
            (name, value.trim().parse().unwrap())
        })
        .collect()
}

/// A running nginx.
struct Nginx {
    http: Http,
    process: Child,
    _directory: TempDir,
}

impl Nginx {
    /// Starts nginx with the documented configuration in front of the service and an application.
    async fn before(service: &Program) -> Self {
        let application = application().await;
        let directory = TempDir::new().unwrap();
        let port = free_port();
        let configuration = documented()
            .replace("127.0.0.1:8080", &service.address())
            .replace("127.0.0.1:3000", &application)
            .replace("listen 80;", &format!("listen 127.0.0.1:{port};"));
        let place = directory.path().display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|kind| format!("{kind}_temp_path {place}/{kind};\n"))
            .collect();
        let whole = format!(
            "daemon off;\nmaster_process off;\npid {place}/pid;\nerror_log stderr;\n\
             events {{}}\nhttp {{\naccess_log off;\n{temporary}{configuration}\n}}\n"
        );
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

    fn get(&self, path: &'static str) -> Request {
        self.http.send(Endpoint::at("GET", path))
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The configuration in the documentation.
fn documented() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/forward-auth.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, rest) = text.split_once("```nginx\n").unwrap();
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
