//! A real browser: headless Chromium with an authenticator in software, as Debian's `chromedriver` operates it (W3C `WebDriver`,
//! and its extension in WebAuthn Level 3 §11).

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::eventually::{eventually, within};
use super::program::free_port;

/// The path of Debian's package.
const DRIVER: &str = "/usr/bin/chromedriver";

/// The member that names an element in answers of `WebDriver`.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// How long a page may take to appear.
const PATIENCE: Duration = Duration::from_secs(30);

/// A browser that shows a page.
pub struct Chromium {
    driver: Child,
    /// The host and the port of the driver.
    address: String,
    session: String,
    client: reqwest::Client,
}

impl Chromium {
    /// Starts a browser; `None`, with a note, if it is not installed.
    pub async fn start() -> Option<Self> {
        if !Path::new(DRIVER).exists() {
            eprintln!("skipped: there is no {DRIVER}; apt-get install chromium-driver");
            return None;
        }
        let port = free_port();
        let driver = Command::new(DRIVER)
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let client = reqwest::Client::builder().no_proxy().build();
        let mut browser = Self {
            driver: driver.expect("chromedriver"),
            address: format!("127.0.0.1:{port}"),
            session: String::new(),
            client: client.expect("a client"),
        };
        eventually("chromedriver answers", async || {
            let url = format!("http://{}/status", browser.address);
            browser.client.get(url).send().await.ok()
        })
        .await;
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
        ];
        let options = json!({"alwaysMatch": {"goog:chromeOptions": {"args": arguments}}});
        let begun = browser.ask("", &json!({"capabilities": options})).await;
        let id = begun["sessionId"].as_str().expect("a session").to_owned();
        browser.session = id;
        Some(browser)
    }

    /// Sends a command, and returns its value.
    async fn ask(&self, command: &str, body: &Value) -> Value {
        self.tried(command, body)
            .await
            .unwrap_or_else(|error| panic!("{command} {body}: {error}"))
    }

    async fn tried(&self, command: &str, body: &Value) -> Result<Value, Value> {
        let session = match self.session.as_str() {
            "" => String::new(),
            id => format!("/{id}/{command}"),
        };
        let url = format!("http://{}/session{session}", self.address);
        let answer = self.client.post(url).json(body).send().await;
        let answer = answer.expect("an answer of chromedriver");
        let is_success = answer.status().is_success();
        let body: Value = answer.json().await.expect("JSON");
        let value = body["value"].clone();
        if is_success { Ok(value) } else { Err(value) }
    }

    /// Opens a page.
    pub async fn open(&self, url: &str) {
        self.ask("url", &json!({"url": url})).await;
    }

    /// What a script in the page returns.
    pub async fn run(&self, script: &str) -> Value {
        let body = json!({"script": script, "args": []});
        self.ask("execute/sync", &body).await
    }

    /// Runs a script at the beginning of each page from now on. Returns its id.
    pub async fn begin_pages_with(&self, script: &str) -> Value {
        let command = "Page.addScriptToEvaluateOnNewDocument";
        let begun = self.devtools(command, &json!({"source": script})).await;
        begun["identifier"].clone()
    }

    /// Ends that.
    pub async fn begin_pages_without(&self, id: &Value) {
        let command = "Page.removeScriptToEvaluateOnNewDocument";
        self.devtools(command, &json!({"identifier": id})).await;
    }

    async fn devtools(&self, command: &str, parameters: &Value) -> Value {
        let body = json!({"cmd": command, "params": parameters});
        self.ask("goog/cdp/execute", &body).await
    }

    /// The first element of this `XPath` that is displayed.
    async fn element(&self, xpath: &str) -> String {
        let body = json!({"using": "xpath", "value": xpath});
        within(PATIENCE, xpath, async || {
            let found = self.tried("element", &body).await.ok()?;
            let id = found[ELEMENT].as_str()?.to_owned();
            let script = "return arguments[0].checkVisibility()";
            let body = json!({"script": script, "args": [found]});
            let is_shown = self.tried("execute/sync", &body).await.ok()?;
            (is_shown == true).then_some(id)
        })
        .await
    }

    /// Presses the button with this text.
    pub async fn press(&self, text: &str) {
        self.click("button", text).await;
    }

    /// Follows the link with this text.
    pub async fn follow(&self, text: &str) {
        self.click("a", text).await;
    }

    async fn click(&self, tag: &str, text: &str) {
        let xpath = format!("//{tag}[normalize-space()='{text}']");
        let element = self.element(&xpath).await;
        let command = format!("element/{element}/click");
        self.ask(&command, &json!({})).await;
    }

    /// Types into the field with this name.
    pub async fn fill_in(&self, name: &str, text: &str) {
        let element = self.element(&format!("//input[@name='{name}']")).await;
        let command = format!("element/{element}/value");
        self.ask(&command, &json!({"text": text})).await;
    }

    /// Waits until the browser shows these words.
    pub async fn shows(&self, words: &str) {
        let mut seen = String::new();
        let shown = async {
            loop {
                let body = json!({"script": "return document.body.innerText", "args": []});
                // A page that is being left has no text.
                let text = self.tried("execute/sync", &body).await.unwrap_or_default();
                seen = text.as_str().unwrap_or_default().to_owned();
                if seen.contains(words) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let shown = tokio::time::timeout(PATIENCE, shown).await;
        assert!(shown.is_ok(), "{words:?} is not in {seen}");
    }

    /// Gives the browser an authenticator that keeps passkeys, and whose person always agrees. Returns its id.
    pub async fn with_authenticator(&self) -> String {
        let body = json!({
            "protocol": "ctap2", "transport": "internal", "hasResidentKey": true, "hasUserVerification": true,
            "isUserConsenting": true, "isUserVerified": true,
        });
        let id = self.ask("webauthn/authenticator", &body).await;
        id.as_str().expect("an authenticator").to_owned()
    }

    /// Whether the authenticator verifies the person from now on.
    pub async fn verifies(&self, authenticator: &str, verifies: bool) {
        let command = format!("webauthn/authenticator/{authenticator}/uv");
        self.ask(&command, &json!({"isUserVerified": verifies}))
            .await;
    }
}

impl Drop for Chromium {
    /// Ends the browser, also after a test has failed.
    fn drop(&mut self) {
        if let Ok(mut stream) = TcpStream::connect(&self.address) {
            let (session, host) = (&self.session, &self.address);
            let request = format!(
                "DELETE /session/{session} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
            );
            let _ = stream.set_read_timeout(Some(PATIENCE));
            let _ = stream.write_all(request.as_bytes());
            // The driver answers once the browser has ended, and keeps the connection.
            let _ = stream.read_exact(&mut [0; 12]);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
