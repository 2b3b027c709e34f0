//! Debian's HAProxy and Apache in front of the service, if they are installed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::json;
use support::contract::is_refused;
use support::http::Http;
use support::program::free_port;
use support::{
    Contract, Person, Program, Settings, Store, api_auth, eventually, on_both_stores, own,
};
use tempfile::TempDir;
use tokio::net::TcpStream;

const HAPROXY: &str = "/usr/sbin/haproxy";
const APACHE: &str = "/usr/sbin/apache2";

/// A second loopback address, from which a client connects.
const CLIENT: &str = "127.0.0.9";

on_both_stores!(
    haproxy_passes_requests_on_over_http1_and_http2,
    apache_serves_the_service_below_a_path,
);

async fn haproxy_passes_requests_on_over_http1_and_http2(store: Store) {
    if !is_installed(HAPROXY) {
        return;
    }
    let settings = Settings::on(store).with("AUTHLOG_TRUSTED_PROXIES", "127.0.0.1");
    let service = settings.with_cheap_hashing().start().await;
    let ports = [free_port(), free_port()];
    let configuration = format!(
        "global\n maxconn 100\n\
         defaults\n mode http\n option forwardfor\n option httpchk GET /readyz\n \
         timeout connect 10s\n timeout client 60s\n timeout server 60s\n\
         listen over_http1\n bind 127.0.0.1:{}\n server node {address} check\n\
         listen over_http2\n bind 127.0.0.1:{}\n server node {address} check proto h2\n",
        ports[0],
        ports[1],
        address = service.address(),
    );
    let _haproxy = Proxy::start(HAPROXY, &["-db", "-f"], &configuration);
    for (port, name) in ports.into_iter().zip(["ann", "bob"]) {
        listens(port).await;
        let http = Http::to(&format!("http://127.0.0.1:{port}")).calling_from(CLIENT);
        eventually("haproxy has found the node", async || {
            let answer = http.send(own::READYZ).attempt().await.ok()?;
            (answer.status == 200).then_some(())
        })
        .await;
        registers_and_erases_an_account(&service, &http, &Person::called(name), "/api/auth").await;
    }
}

async fn apache_serves_the_service_below_a_path(store: Store) {
    if !is_installed(APACHE) {
        return;
    }
    let port = free_port();
    let public_url = format!("http://127.0.0.1:{port}/login");
    let settings = Settings::on(store)
        .with("AUTHLOG_TRUSTED_PROXIES", "127.0.0.1")
        .with("AUTHLOG_PUBLIC_URL", &public_url);
    let service = settings.with_cheap_hashing().start().await;
    let directory = TempDir::new().unwrap();
    let modules: String = ["mpm_event", "authz_core", "proxy", "proxy_http"]
        .iter()
        .map(|module| {
            format!("LoadModule {module}_module /usr/lib/apache2/modules/mod_{module}.so\n")
        })
        .collect();
    let configuration = format!(
        "{modules}ServerName localhost\nListen 127.0.0.1:{port}\nDefaultRuntimeDir {place}\n\
         PidFile {place}/pid\nErrorLog /dev/stderr\nProxyPass /login/ http://{address}/\n",
        place = directory.path().display(),
        address = service.address(),
    );
    let _apache = Proxy::start(APACHE, &["-X", "-f"], &configuration);
    listens(port).await;
    let http = Http::to(&public_url).calling_from(CLIENT);
    registers_and_erases_an_account(&service, &http, &Person::called("ann"), "/login/api/auth")
        .await;
}

/// Registers through a proxy, refreshes by the cookie, checks the recorded client address, and erases the account.
async fn registers_and_erases_an_account(
    service: &Program,
    http: &Http,
    person: &Person,
    path: &str,
) {
    Contract::ApiAuth.registers(http, person).await;
    let answer = Contract::ApiAuth.sign_in(http, person).await;
    let cookie = answer.cookie("refreshToken").unwrap();
    assert_eq!(cookie.attribute("path"), Some(path), "{answer}");
    let request = http.send(api_auth::REFRESH_TOKEN);
    let answer = request.cookie("refreshToken", &cookie.value).await;
    assert_eq!(answer.status, 200, "{answer}");
    let access = answer.json()["accessToken"].as_str().unwrap().to_owned();
    let sessions = http.send(own::SESSIONS).bearer(&access).await.json();
    for session in sessions["sessions"].as_array().unwrap() {
        assert_eq!(session["address"], CLIENT, "{sessions}");
    }
    let answer = http.send(api_auth::LOGIN).json_text("{").await;
    Contract::ApiAuth.refuses(&answer, 400);
    let body = json!({"password": person.password});
    let answer = http.send(own::ERASE_BY_POST).bearer(&access).json(&body);
    assert_eq!(answer.await.status, 204);
    is_refused(&service.http(), &access).await;
}

fn is_installed(program: &str) -> bool {
    let installed = Path::new(program).exists();
    if !installed {
        eprintln!("skipped: there is no {program}");
    }
    installed
}

async fn listens(port: u16) {
    eventually("the proxy listens", async || {
        TcpStream::connect(("127.0.0.1", port)).await.ok()
    })
    .await;
}

/// A running proxy.
struct Proxy {
    process: Child,
    _directory: TempDir,
}

impl Proxy {
    /// Starts `program` in the foreground. The path of the file with `configuration` follows the last argument.
    fn start(program: &str, arguments: &[&str], configuration: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("proxy.conf");
        std::fs::write(&file, configuration).unwrap();
        let process = Command::new(program)
            .args(arguments)
            .arg(&file)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            process,
            _directory: directory,
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
