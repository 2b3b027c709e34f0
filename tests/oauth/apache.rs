//! Debian's Apache with `mod_auth_openidc`, a certified relying party, if it is installed: it signs people in to a site, and asks
//! about the tokens of an API. Its settings are those of `docs/oauth.md`.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::net::TcpStream;

use super::provider::Provider;
use crate::support::http::{Http, Request};
use crate::support::oauth::{App, Registration, completes};
use crate::support::program::free_port;
use crate::support::{Answer, Endpoint, Settings, Store, eventually, on_both_stores, own};

const APACHE: &str = "/usr/sbin/apache2";

/// The directory of Debian's modules.
const MODULES: &str = "/usr/lib/apache2/modules";

/// The page that Apache protects.
const INSIDE: &str = "inside";

/// The resource that the API is.
const API: &str = "https://api.example";

on_both_stores!(
    apache_signs_a_person_in_to_a_site,
    apache_ends_its_session_when_the_person_signs_out,
    apache_asks_about_each_token_of_an_api,
);

async fn apache_signs_a_person_in_to_a_site(store: Store) {
    if !is_installed() {
        return;
    }
    let port = free_port();
    let callback = format!("http://127.0.0.1:{port}/site/callback");
    let registration = Registration::confidential("apache").answered_at(&callback);
    let mut op = Provider::with(Settings::on(store), &registration).await;
    let configuration = relying_party(&op.app, &issuer(&op), &callback);
    let mut apache = Apache::start(port, &configuration).await;
    let location = apache.sends_to_sign_in().await;
    // An answer to no request, and one without a valid code, do not sign the person in.
    for forged in [
        "/site/callback?code=forged&state=forged".to_owned(),
        format!("/site/callback?code=forged&state={}", state_of(&location)),
    ] {
        let answer = apache.get(&forged).await;
        assert!(!answer.body.contains(INSIDE), "{answer}");
        apache.sends_to_sign_in().await;
    }
    apache.forgets();

    let answer = apache.signs_in(&mut op).await;
    assert_eq!(answer.body, INSIDE);
    // The module read the claim at the userinfo endpoint.
    assert_eq!(answer.header("x-user"), Some("ann@example.com"), "{answer}");
    let answer = apache.get("/site/").await;
    assert_eq!(answer.header("x-user"), Some("ann@example.com"), "{answer}");
    // Another session of Apache begins without a page, because the person is signed in and has consented.
    apache.forgets();
    let location = apache.sends_to_sign_in().await;
    op.browser
        .come_from_another_site(&path_of(&op, &location))
        .await;
    let answer = apache.comes_back(&op).await;
    assert_eq!(answer.header("x-user"), Some("ann@example.com"), "{answer}");
}

async fn apache_ends_its_session_when_the_person_signs_out(store: Store) {
    if !is_installed() {
        return;
    }
    let port = free_port();
    let callback = format!("http://127.0.0.1:{port}/site/callback");
    let goodbye = format!("http://127.0.0.1:{port}/goodbye");
    let registration = Registration::confidential("apache")
        .answered_at(&callback)
        .with("--post-logout-redirect-uri", &goodbye)
        .with(
            "--backchannel-logout-uri",
            &format!("{callback}?logout=backchannel"),
        );
    let mut op = Provider::with(Settings::on(store), &registration).await;
    let configuration = relying_party(&op.app, &issuer(&op), &callback);
    let mut apache = Apache::start(port, &configuration).await;
    apache.signs_in(&mut op).await;
    // The person signs out here.
    op.browser.open("/sign-out").await;
    op.browser.submit("/sign-out", &[]).await;
    eventually("Apache's session ends", async || {
        (apache.request("/site/").await.status == 302).then_some(())
    })
    .await;
    apache.forgets();

    // The person signs out there.
    apache.signs_in(&mut op).await;
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("logout", &goodbye)
        .finish();
    let answer = apache.get(&format!("/site/callback?{query}")).await;
    assert_eq!(answer.status, 302, "{answer}");
    let path = path_of(&op, answer.header("location").unwrap());
    assert!(path.contains("id_token_hint="), "{path}");
    op.browser.come_from_another_site(&path).await;
    assert_eq!(op.browser.path, goodbye);
    apache.sends_to_sign_in().await;
    op.browser.open("/security").await;
    assert!(op.browser.asks("/sign-in"), "{}", op.browser.page());
}

async fn apache_asks_about_each_token_of_an_api(store: Store) {
    if !is_installed() {
        return;
    }
    let registration = Registration::public("app")
        .with("--scope", "openid email api.read")
        .with("--audience", API);
    let mut op = Provider::with(Settings::on(store), &registration).await;
    let server = Registration::resource_server("server", API);
    let configuration = resource_server(&server.at(&op.service), &issuer(&op));
    let apache = Apache::start(free_port(), &configuration).await;
    let call = |token: &str| apache.request("/api/").bearer(token);

    let begun = op.app.begins("openid api.read").with("resource", API);
    let granted = op.completes(&begun).await;
    let answer = call(&granted.access).await;
    assert_eq!(answer.status, 200, "{answer}");
    let person = granted.id_claims()["sub"].clone();
    assert_eq!(answer.header("x-user"), person.as_str(), "{answer}");
    // A token without the scope, and one for another resource.
    let begun = op.app.begins("openid email").with("resource", API);
    let without_scope = op.completes(&begun).await;
    let (_, for_another) = op.signs_in("openid api.read").await;
    for token in [&without_scope.access, &for_another.access, "nonsense"] {
        let answer = call(token).await;
        assert_eq!(answer.status, 401, "{answer}");
    }
    assert_eq!(apache.request("/api/").await.status, 401);
    // The token of a session that ended is refused at once.
    let form = [("token", granted.access.as_str())];
    let answer = op.app.authenticated(own::REVOKE, &form).await;
    assert_eq!(answer.status, 200, "{answer}");
    assert_eq!(call(&granted.access).await.status, 401);
}

/// The configuration of a site that signs people in.
fn relying_party(app: &App, issuer: &str, callback: &str) -> String {
    format!(
        "OIDCProviderMetadataURL {issuer}/.well-known/openid-configuration\n\
         OIDCClientID {id}\nOIDCClientSecret {secret}\nOIDCRedirectURI {callback}\n\
         OIDCPKCEMethod S256\nOIDCScope \"openid email\"\nOIDCRemoteUserClaim email\n\
         OIDCCryptoPassphrase a-passphrase-for-cookies\n\
         <Location /site>\nAuthType openid-connect\nRequire valid-user\n</Location>\n",
        id = app.id,
        secret = app.secret.as_deref().unwrap(),
    )
}

/// The configuration of an API that has each token introspected. By default the module remembers an answer until the token
/// expires. Our tokens are longer than the keys of its cache, which are digests if the cache is encrypted.
fn resource_server(app: &App, issuer: &str) -> String {
    format!(
        "OIDCOAuthServerMetadataURL {issuer}/.well-known/oauth-authorization-server\n\
         OIDCOAuthClientID {id}\nOIDCOAuthClientSecret {secret}\nOIDCOAuthRemoteUserClaim sub\n\
         OIDCOAuthTokenIntrospectionInterval -1\nOIDCCacheEncrypt On\n\
         OIDCCryptoPassphrase a-passphrase-for-the-cache\n\
         <Location /api>\nAuthType oauth20\nRequire claim \"scope~(^| )api\\.read( |$)\"\n</Location>\n",
        id = app.id,
        secret = app.secret.as_deref().unwrap(),
    )
}

fn issuer(op: &Provider) -> String {
    format!("http://{}", op.service.address())
}

/// The path of an address of the service.
fn path_of(op: &Provider, location: &str) -> String {
    let path = location.strip_prefix(&issuer(op));
    path.unwrap_or_else(|| panic!("{location}")).to_owned()
}

/// The value of `state` in an authorization request.
fn state_of(location: &str) -> &str {
    let rest = location.split("&state=").nth(1).unwrap();
    rest.split('&').next().unwrap()
}

fn is_installed() -> bool {
    let module = format!("{MODULES}/mod_auth_openidc.so");
    let installed = [APACHE, &module].iter().all(|it| Path::new(it).exists());
    if !installed {
        eprintln!("skipped: apt-get install apache2 libapache2-mod-auth-openidc");
    }
    installed
}

/// A running Apache, and the cookies that a browser has of it.
struct Apache {
    process: Child,
    http: Http,
    cookies: Vec<(String, String)>,
    _directory: TempDir,
}

impl Apache {
    /// With a site at `/site/` and an API at `/api/`. Both say in a header whom the module takes the caller for.
    async fn start(port: u16, configuration: &str) -> Self {
        let directory = TempDir::new().unwrap();
        for folder in ["site", "api"] {
            let folder = directory.path().join(folder);
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join("index.html"), INSIDE).unwrap();
        }
        let modules: String = [
            "mpm_event",
            "authn_core",
            "authz_core",
            "authz_user",
            "dir",
            "headers",
            "auth_openidc",
        ]
        .iter()
        .map(|module| format!("LoadModule {module}_module {MODULES}/mod_{module}.so\n"))
        .collect();
        let configuration = format!(
            "{modules}ServerName localhost\nListen 127.0.0.1:{port}\nDefaultRuntimeDir {place}\n\
             PidFile {place}/pid\nErrorLog /dev/stderr\nDocumentRoot {place}\n\
             DirectoryIndex index.html\nHeader set X-User expr=%{{REMOTE_USER}}\n{configuration}",
            place = directory.path().display(),
        );
        let file = directory.path().join("apache.conf");
        std::fs::write(&file, configuration).unwrap();
        let process = Command::new(APACHE)
            .args(["-X", "-f"])
            .arg(&file)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let apache = Self {
            process,
            http: Http::to(&format!("http://127.0.0.1:{port}")),
            cookies: Vec::new(),
            _directory: directory,
        };
        eventually("Apache listens", async || {
            TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        apache
    }

    /// A request with the cookies.
    fn request(&self, path: &str) -> Request {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let endpoint = Endpoint::at("GET", path.to_owned().leak());
        let mut request = self.http.send(endpoint);
        if !query.is_empty() {
            request = request.query(query);
        }
        let cookies = self.cookies.iter();
        let cookies: Vec<String> = cookies
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if cookies.is_empty() {
            request
        } else {
            request.header("cookie", cookies.join("; "))
        }
    }

    /// Opens a path as a browser does, which keeps the cookies.
    async fn get(&mut self, path: &str) -> Answer {
        let answer = self.request(path).await;
        for header in answer.headers.get_all("set-cookie") {
            let pair = header.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies.retain(|(known, _)| known != name);
            self.cookies.push((name.to_owned(), value.to_owned()));
        }
        answer
    }

    /// Removes the cookies.
    fn forgets(&mut self) {
        self.cookies.clear();
    }

    /// Where Apache sends a person who opens the site and is not signed in to it.
    async fn sends_to_sign_in(&mut self) -> String {
        let answer = self.get("/site/").await;
        assert_eq!(answer.status, 302, "{answer}");
        answer.header("location").unwrap().to_owned()
    }

    /// A person opens the site, signs in where Apache sends them, and consents. Returns the page of the site.
    async fn signs_in(&mut self, op: &mut Provider) -> Answer {
        let location = self.sends_to_sign_in().await;
        let path = path_of(op, &location);
        op.browser.come_from_another_site(&path).await;
        completes(&mut op.browser, &op.person).await;
        self.comes_back(op).await
    }

    /// The browser comes back from the service. Returns the page of the site.
    async fn comes_back(&mut self, op: &Provider) -> Answer {
        let (_, callback) = op.browser.path.split_once("/site/").unwrap();
        let answer = self.get(&format!("/site/{callback}")).await;
        assert_eq!(answer.status, 302, "{answer}");
        let answer = self.get("/site/").await;
        assert_eq!(answer.status, 200, "{answer}");
        answer
    }
}

impl Drop for Apache {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
