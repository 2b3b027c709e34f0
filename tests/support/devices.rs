//! A device without a browser that signs in with OAuth: its codes, and the person who approves it elsewhere.

use serde_json::Value;
use url::Url;

use super::browser::{Browser, credentials};
use super::http::Request;
use super::oauth::{App, Registration};
use super::{Answer, Person, own};

/// The grant type of devices (RFC 8628 §3.4).
pub const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// The codes of a device.
#[derive(Clone)]
pub struct DeviceCodes {
    pub answer: Value,
    /// What the device keeps.
    pub device_code: String,
    /// What it shows.
    pub user_code: String,
}

impl Registration {
    /// An application on devices without a browser, which have no secret.
    pub fn device(id: &str) -> Self {
        Self::bare(id)
            .with("--auth-method", "none")
            .with("--grant", DEVICE_CODE)
            .with("--grant", "refresh_token")
            .with("--scope", "openid profile email")
    }
}

impl App {
    /// A device asks for its codes.
    pub async fn begins_on_a_device(&self, scope: &str) -> DeviceCodes {
        let form = [("scope", scope)];
        DeviceCodes::of(&self.authenticated(own::DEVICE_AUTHORIZATION, &form).await)
    }

    /// The request with which a device asks for its tokens.
    pub fn poll(&self, codes: &DeviceCodes) -> Request {
        let form = [
            ("grant_type", DEVICE_CODE),
            ("device_code", codes.device_code.as_str()),
        ];
        self.token_request(&form)
    }
}

impl DeviceCodes {
    /// The codes of a successful answer.
    #[track_caller]
    pub fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{answer}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("pragma"), Some("no-cache"));
        let json = answer.json();
        let text = |name: &str| json[name].as_str().expect("a text").to_owned();
        Self {
            device_code: text("device_code"),
            user_code: text("user_code"),
            answer: json,
        }
    }

    /// The path of the page with the code filled in.
    pub fn path(&self) -> String {
        let uri = self.answer["verification_uri_complete"].as_str();
        let url = Url::parse(uri.expect("a URI")).expect("a URI");
        format!("{}?{}", url.path(), url.query().expect("the code"))
    }
}

/// The person opens the page of a device, signs in if that is asked, and decides.
pub async fn decides(browser: &mut Browser, person: &Person, codes: &DeviceCodes, decision: &str) {
    browser.open(&codes.path()).await;
    if browser.asks("/sign-in") {
        browser.submit("/sign-in", &credentials(person)).await;
    }
    let code = [("user_code", codes.user_code.as_str())];
    browser.submit("/device", &code).await;
    browser.shows(200, &codes.user_code);
    let decision = [("decision", decision)];
    browser.submit("/device/decision", &decision).await;
}

/// The person lets the device sign in.
pub async fn approves(browser: &mut Browser, person: &Person, codes: &DeviceCodes) {
    decides(browser, person, codes, "allow").await;
    browser.shows(200, "You can go back to your device.");
}
