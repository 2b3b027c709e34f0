//! A service that verifies tokens by itself, and follows the events to know what has ended: the example in Python, if its libraries
//! are installed (Debian: `python3-jwt`, `python3-cryptography`, `python3-requests`).
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use support::browser::{self, Browser};
use support::http::Http;
use support::mail::mail_to;
use support::oauth::{App, Registration, completes};
use support::program::free_port;
use support::{
    Answer, Contract, Endpoint, Person, Program, Settings, Store, api_auth, eventually,
    on_both_stores, own, staff, token, users,
};

/// Debian's Python, which has the packages. Another one may be first on the path.
const PYTHON: &str = "/usr/bin/python3";

/// The resource of the applications.
const API: &str = "https://api.example";

/// Longer than a test takes.
const PATIENT: (&str, &str) = ("MAX_STALENESS_MS", "600000");

on_both_stores!(
    a_service_refuses_what_has_ended_without_asking,
    an_application_ends_with_its_parent_and_a_program_with_its_client,
    a_service_reads_a_restored_log_again,
);

async fn a_service_refuses_what_has_ended_without_asking(store: Store) {
    if !has_libraries() {
        return;
    }
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let reader = reader_at(&service);
    let admin = staff::signed_in(&service, "root", "admin").await.access;
    let patient = Example::of(&service, &reader, &[PATIENT]).await;
    let mut ended = Vec::new();
    for ending in Ending::ALL {
        let token = signed_up(&service, &format!("{ending:?}").to_lowercase()).await;
        patient.accepts(&token).await;
        ending.happens(&service, &admin, &token).await;
        patient.eventually_refuses(&token).await;
        ended.push(token);
    }
    let live = signed_up(&service, "ann").await;
    // One that starts later knows it as well, before it answers.
    let strict = Example::of(&service, &reader, &[]).await;
    for token in &ended {
        strict.refuses(token).await;
    }
    strict.accepts(&live).await;
    // A program that is stopped answers no question.
    service.freeze();
    for token in &ended {
        patient.refuses(token).await;
    }
    patient.accepts(&live).await;
    eventually("the news is too old", async || {
        let answer = strict.asked(&live).await;
        (answer.status == 503).then(|| assert_eq!(answer.json()["error"], "stale", "{answer}"))
    })
    .await;
    // What has ended does not come back.
    strict.refuses(&ended[0]).await;
    service.thaw();
    strict.eventually_accepts(&live).await;
}

async fn an_application_ends_with_its_parent_and_a_program_with_its_client(store: Store) {
    if !has_libraries() {
        return;
    }
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let reader = reader_at(&service);
    let registration = Registration::confidential("shop").of_first_party();
    let shop = registration.with("--audience", API).at(&service);
    let registration = Registration::machine("robot").with("--audience", API);
    let robot = registration.at(&service);
    let audience = ("AUDIENCE", "authlog,https://api.example");
    let example = Example::of(&service, &reader, &[audience, PATIENT]).await;
    let agrees = Agreeing {
        example: &example,
        service: &service,
        reader: &reader,
    };

    let http = service.http();
    let (ann, mut window) = browser::registered(&http, "ann").await;
    let contract = Contract::ApiAuth.signs_in(&http, &ann).await.access;
    let application = granted(&shop, &ann, &mut window).await;
    let claims = token::claims(&application);
    assert!(claims["psid"].is_string(), "{claims}");
    agrees.accept(&[&contract, &application]).await;
    // The session of the browser is kept, and no other: the application has one of its own.
    window.open("/security").await;
    window.submit("/security/sessions/end-others", &[]).await;
    agrees.refuse(&[&contract, &application]).await;
    let application = granted(&shop, &ann, &mut window).await;
    agrees.accept(&[&application]).await;
    window.open("/sign-out").await;
    window.submit("/sign-out", &[]).await;
    agrees.refuse(&[&application]).await;

    let contract = Contract::ApiAuth.signs_in(&http, &ann).await.access;
    let of_robot = own_token(&robot).await;
    agrees.accept(&[&contract, &of_robot]).await;
    succeeds(&service, &["client", "lock", "robot"]);
    agrees.refuse(&[&of_robot]).await;
    agrees.accept(&[&contract]).await;
    succeeds(&service, &["client", "unlock", "robot"]);
    agrees.accept(&[&of_robot]).await;
    // Without the grant, a program has no tokens of its own.
    succeeds(&service, &["client", "change", "robot", "--grant", ""]);
    agrees.refuse(&[&of_robot]).await;
    let change = ["client", "change", "robot", "--grant", "client_credentials"];
    succeeds(&service, &change);
    agrees.accept(&[&of_robot]).await;
    let secret = token::claims(&of_robot)["secret_id"].clone();
    let retire = ["client", "retire-secret", "robot", secret.as_str().unwrap()];
    succeeds(&service, &retire);
    agrees.refuse(&[&of_robot]).await;
}

async fn a_service_reads_a_restored_log_again(store: Store) {
    if !has_libraries() {
        return;
    }
    let listen = format!("127.0.0.1:{}", free_port());
    let settings = Settings::on(store).with_cheap_hashing();
    let settings = settings.with("AUTHLOG_LISTEN", &listen);
    let mut service = settings.clone().start().await;
    let reader = reader_at(&service);
    let token = signed_up(&service, "ann").await;
    assert!(service.terminate().await.success());
    let backup = settings.backup();
    service.restart().await;
    let example = Example::of(&service, &reader, &[PATIENT]).await;
    let answer = service.send(api_auth::LOGOUT).bearer(&token).await;
    assert_eq!(answer.status, 200, "{answer}");
    example.eventually_refuses(&token).await;
    assert!(service.terminate().await.success());
    // It continues with other events in place of the logout.
    let restored = backup.start().await;
    let of_bob = signed_up(&restored, "bob").await;
    example.eventually_accepts(&token).await;
    example.accepts(&of_bob).await;
    let answer = restored.send(api_auth::LOGOUT).bearer(&of_bob).await;
    assert_eq!(answer.status, 200, "{answer}");
    example.eventually_refuses(&of_bob).await;
}

/// How a session ends.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Logout,
    Lock,
    RoleChange,
    PasswordReset,
    Erasure,
}

impl Ending {
    const ALL: [Self; 5] = [
        Self::Logout,
        Self::Lock,
        Self::RoleChange,
        Self::PasswordReset,
        Self::Erasure,
    ];

    async fn happens(self, service: &Program, admin: &str, token: &str) {
        let claims = token::claims(token);
        let [id, email] = ["sub", "email"].map(|name| claims[name].as_str().unwrap());
        let about = |method, rest: &str| {
            let path = format!("/admin/users/{id}{rest}");
            service
                .send(Endpoint::at(method, path.leak()))
                .bearer(admin)
        };
        let answer = match self {
            Self::Logout => service.send(api_auth::LOGOUT).bearer(token).await,
            Self::Lock => about("POST", "/lock").await,
            Self::RoleChange => {
                about("PUT", "/role")
                    .json(&json!({"role": "auditor"}))
                    .await
            }
            Self::PasswordReset => {
                let request = service.send(users::REQUEST_RESET);
                request.json(&json!({"username": email})).await;
                let mailed = mail_to(service, email).await.token();
                let reset = service.send(users::UPDATE_PASSWORD).authorization(&mailed);
                reset.json(&json!({"password": "another-secret"})).await
            }
            Self::Erasure => about("DELETE", "").await,
        };
        assert!([200, 204].contains(&answer.status), "{answer}");
    }
}

/// The running example. Killed when dropped.
struct Example {
    python: Child,
    http: Http,
}

impl Example {
    /// Starts the example, which reads the events of `service` as the client `reader`, and waits until it listens.
    async fn of(service: &Program, reader: &App, settings: &[(&str, &str)]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/revocation/python");
        let mut command = Command::new(PYTHON);
        command
            .arg("-B")
            .arg(script.join("service.py"))
            .env("no_proxy", "*")
            .env("LISTEN", "127.0.0.1:0")
            .env("AUTHLOG_URL", format!("http://{}", service.address()))
            .env("ISSUER", "authlog")
            .env("CLIENT_ID", &reader.id)
            .env("CLIENT_SECRET", reader.secret.as_ref().unwrap())
            .envs(settings.iter().copied())
            .stdout(Stdio::piped());
        let starting = tokio::task::spawn_blocking(move || {
            let mut python = command.spawn().unwrap();
            let mut line = String::new();
            let mut output = BufReader::new(python.stdout.take().unwrap());
            output.read_line(&mut line).unwrap();
            let address = line.trim_start_matches("listening on ").trim();
            let http = Http::to(&format!("http://{address}"));
            Self { python, http }
        });
        starting.await.unwrap()
    }

    async fn asked(&self, token: &str) -> Answer {
        let request = self.http.send(Endpoint::at("GET", "/protected"));
        request.bearer(token).attempt().await.unwrap()
    }

    async fn accepts(&self, token: &str) {
        let answer = self.asked(token).await;
        assert_eq!(answer.status, 200, "{answer}");
        assert_eq!(answer.json()["subject"], token::claims(token)["sub"]);
    }

    async fn refuses(&self, token: &str) {
        let answer = self.asked(token).await;
        assert_eq!(answer.status, 401, "{answer}");
        assert_eq!(answer.json(), json!({"error": "ended"}));
        let challenge = answer.header("www-authenticate");
        assert_eq!(challenge, Some("Bearer error=\"invalid_token\""));
    }

    async fn eventually_accepts(&self, token: &str) {
        eventually("the token is accepted", async || {
            (self.asked(token).await.status == 200).then_some(())
        })
        .await;
        self.accepts(token).await;
    }

    async fn eventually_refuses(&self, token: &str) {
        eventually("the token is refused", async || {
            (self.asked(token).await.status == 401).then_some(())
        })
        .await;
        self.refuses(token).await;
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.python.kill();
        let _ = self.python.wait();
    }
}

/// An example that has to come to the same result as introspection.
struct Agreeing<'a> {
    example: &'a Example,
    service: &'a Program,
    reader: &'a App,
}

impl Agreeing<'_> {
    async fn accept(&self, tokens: &[&str]) {
        for token in tokens {
            self.example.eventually_accepts(token).await;
            assert_eq!(self.introspected(token).await, json!(true));
        }
    }

    async fn refuse(&self, tokens: &[&str]) {
        for token in tokens {
            self.example.eventually_refuses(token).await;
            eventually("the token is inactive", async || {
                (self.introspected(token).await == json!(false)).then_some(())
            })
            .await;
        }
    }

    async fn introspected(&self, token: &str) -> Value {
        let form = [("token", token)];
        let answer = self.reader.of(&self.service.http());
        let answer = answer.authenticated(own::INTROSPECT, &form).await;
        assert_eq!(answer.status, 200, "{answer}");
        answer.json()["active"].clone()
    }
}

/// The client with which the example reads the events. It may also introspect every token.
fn reader_at(service: &Program) -> App {
    let scopes = "events.read tokens.introspect";
    let registration = Registration::machine("hello").with("--scope", scopes);
    registration.at(service)
}

/// The access token of a person who has just registered.
async fn signed_up(service: &Program, name: &str) -> String {
    let (http, person) = (service.http(), Person::called(name));
    Contract::ApiAuth.registers(&http, &person).await;
    Contract::ApiAuth.signs_in(&http, &person).await.access
}

/// The access token that a person grants to an application.
async fn granted(app: &App, person: &Person, browser: &mut Browser) -> String {
    let begun = app.begins("email").with("resource", API);
    begun.open_in(browser).await;
    let callback = completes(browser, person).await;
    let token = app.exchange(&begun, callback.code()).await.json();
    token["access_token"].as_str().unwrap().to_owned()
}

/// An access token of the client itself.
async fn own_token(client: &App) -> String {
    let form = [("grant_type", "client_credentials"), ("resource", API)];
    let token = client.token_request(&form).await.json();
    token["access_token"].as_str().unwrap().to_owned()
}

fn succeeds(service: &Program, arguments: &[&str]) {
    let output = service.settings.run(arguments, "");
    assert!(output.status.success(), "{output:?}");
}

/// Whether Debian's Python has the libraries.
fn has_libraries() -> bool {
    let imported = Command::new(PYTHON)
        .args(["-c", "import jwt, cryptography, requests"])
        .output();
    let has = imported.is_ok_and(|output| output.status.success());
    if !has {
        let packages = "python3-jwt python3-cryptography python3-requests";
        eprintln!("skipped: apt-get install {packages}");
    }
    has
}
