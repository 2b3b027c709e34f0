//! Authenticator apps: Debian's `oathtool`, which knows nothing of this program.

use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::http::Http;
use super::{Answer, Contract, Endpoint, Person, own};

/// For how long a code is shown.
const PERIOD: u64 = 30;

/// An authenticator app that is enrolled.
pub struct Authenticator {
    pub id: String,
    pub secret: String,
    /// An access token of the session in which it was enrolled: the first app of an account steps the session up.
    pub access: String,
    /// The time step of the last code that it showed.
    shown: u64,
}

impl Authenticator {
    /// An app that was enrolled elsewhere, with this seed.
    pub fn of(secret: &str) -> Self {
        Self {
            id: String::new(),
            secret: secret.to_owned(),
            access: String::new(),
            shown: current_step() - 1,
        }
    }

    /// A code that it has not shown before and that the service accepts now. Codes are good one step early.
    pub async fn fresh_code(&mut self) -> String {
        self.shown = (self.shown + 1).max(current_step());
        while self.shown > current_step() + 1 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        code(&self.secret, self.shown)
    }

    /// The code that it showed last.
    pub fn shown_code(&self) -> String {
        code(&self.secret, self.shown)
    }

    /// A code that is wrong now: one of a time long ago.
    pub fn wrong_code(&self) -> String {
        code(&self.secret, self.shown - 1000)
    }
}

#[expect(clippy::disallowed_methods, reason = "an app goes by the wall clock")]
fn current_step() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs() / PERIOD
}

fn code(secret: &str, step: u64) -> String {
    let at = format!("@{}", step * PERIOD);
    let output = Command::new("oathtool")
        .args(["--totp", "--base32", secret, "--now", &at])
        .output()
        .expect("oathtool, which scripts/test.sh installs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The code of this seed now.
pub fn code_now(secret: &str) -> String {
    code(secret, current_step())
}

/// Begins to enrol an app for the person who is signed in with `access`.
pub async fn begin(http: &Http, access: &str, person: &Person) -> Value {
    let request = http.send(own::BEGIN_TOTP).bearer(access);
    let answer = request.json(&json!({"password": person.password})).await;
    assert_eq!(answer.status, 200, "{answer}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    answer.json()
}

/// Confirms what was begun, with a code.
pub async fn confirm(http: &Http, access: &str, begun: &Value, code: &str) -> Answer {
    let id = begun["id"].as_str().unwrap();
    let path = format!("/account/factors/totp/{id}/confirm");
    let request = http.send(Endpoint::at("POST", path.leak())).bearer(access);
    request.json(&json!({"code": code})).await
}

/// Enrols an app for the person who is signed in with `access`.
pub async fn enrol(http: &Http, access: &str, person: &Person) -> Authenticator {
    let begun = begin(http, access, person).await;
    let secret = begun["secret"].as_str().unwrap().to_owned();
    let shown = current_step();
    let answer = confirm(http, access, &begun, &code(&secret, shown)).await;
    assert_eq!(answer.status, 201, "{answer}");
    let enrolled = answer.json();
    let stepped_up = enrolled["session"]["access_token"].as_str();
    Authenticator {
        id: enrolled["id"].as_str().unwrap().to_owned(),
        secret,
        access: stepped_up.unwrap_or(access).to_owned(),
        shown,
    }
}

/// A registered person with `N` apps, and an access token of the session in which they were enrolled.
pub async fn with_apps<const N: usize>(
    http: &Http,
    name: &str,
) -> (Person, [Authenticator; N], String) {
    let person = Person::called(name);
    Contract::ApiAuth.registers(http, &person).await;
    let mut access = Contract::Users.signs_in(http, &person).await.access;
    let mut apps = Vec::new();
    for _ in 0..N {
        let app = enrol(http, &access, &person).await;
        access.clone_from(&app.access);
        apps.push(app);
    }
    let apps = apps.try_into().unwrap_or_else(|_| unreachable!());
    (person, apps, access)
}

/// The challenge in the answer to a login of an account with authenticator apps and no passkeys.
#[track_caller]
pub fn challenge(answer: &Answer) -> String {
    let (challenge, methods) = challenge_and_methods(answer);
    assert!(["totp", "totp recovery"].contains(&&*methods), "{methods}");
    challenge
}

/// The challenge in the answer to a login, and the methods by which it can be finished.
#[track_caller]
pub fn challenge_and_methods(answer: &Answer) -> (String, String) {
    let header = answer.header("authlog-second-factor");
    let header = header.unwrap_or_else(|| panic!("no challenge: {answer}"));
    let (challenge, parameters) = header.split_once("; ").unwrap();
    let methods = parameters.strip_prefix("methods=\"");
    let methods = methods.and_then(|it| it.strip_suffix("\"; expires=300"));
    let methods = methods.unwrap_or_else(|| panic!("{parameters}"));
    (challenge.to_owned(), methods.to_owned())
}

/// Finishes the login with this member of the body.
pub async fn finish(http: &Http, challenge: &str, member: &str, code: &str) -> Answer {
    let body = json!({"challenge": challenge, member: code});
    http.send(own::SECOND_FACTOR).json(&body).await
}
