//! An application that signs people in with OAuth: what it registers, asks and exchanges.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use url::Url;

use super::browser::{Browser, credentials};
use super::http::{Http, Request};
use super::random::random_text;
use super::{Answer, Endpoint, Person, Program, own, token};

/// Where the answers of most tests go. Nothing listens there.
pub const CALLBACK: &str = "https://app.example/callback";

/// What an application registers at the command line.
#[derive(Clone)]
pub struct Registration {
    id: String,
    options: Vec<(&'static str, String)>,
}

impl Registration {
    /// An application without a secret: it runs in a browser or on a device.
    pub fn public(id: &str) -> Self {
        Self::of(id).with("--auth-method", "none")
    }

    /// An application with a secret, which it sends in the `Authorization` header.
    pub fn confidential(id: &str) -> Self {
        Self::of(id).with("--auth-method", "client_secret_basic")
    }

    /// A program that acts for itself.
    pub fn machine(id: &str) -> Self {
        Self::bare(id)
            .with("--auth-method", "client_secret_basic")
            .with("--grant", "client_credentials")
    }

    /// A server that is called with access tokens for `audience`, and asks about them. It gets none itself.
    pub fn resource_server(id: &str, audience: &str) -> Self {
        Self::bare(id)
            .with("--auth-method", "client_secret_basic")
            .with("--audience", audience)
    }

    /// A client that is registered for nothing.
    pub(super) fn bare(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            options: Vec::new(),
        }
        .with("--name", id)
    }

    fn of(id: &str) -> Self {
        Self::bare(id)
            .with("--redirect-uri", CALLBACK)
            .with("--grant", "authorization_code")
            .with("--grant", "refresh_token")
            .with(
                "--scope",
                "openid profile email phone address offline_access",
            )
    }

    /// With an option. An option that may be repeated is added.
    pub fn with(mut self, option: &'static str, value: &str) -> Self {
        if !matches!(option, "--redirect-uri" | "--grant" | "--audience") {
            self.options.retain(|(known, _)| *known != option);
        }
        self.options.push((option, value.to_owned()));
        self
    }

    /// With one redirect URI only.
    pub fn answered_at(mut self, redirect_uri: &str) -> Self {
        self.options.retain(|(known, _)| *known != "--redirect-uri");
        self.with("--redirect-uri", redirect_uri)
    }

    /// Without a consent page.
    pub fn of_first_party(self) -> Self {
        self.with("--first-party", "true")
    }

    /// Without PKCE, as most modules of the conformance suite.
    pub fn without_pkce(self) -> Self {
        self.with("--require-pkce", "false")
    }

    /// Registers the application with a running service.
    pub fn at(&self, service: &Program) -> App {
        let mut arguments = vec!["client", "create", "--json", "--id", &self.id];
        for (option, value) in &self.options {
            arguments.extend([*option, value]);
        }
        let output = service.settings.run(&arguments, "");
        assert!(output.status.success(), "{output:?}");
        let printed: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {output:?}"));
        let redirect_uri = self
            .options
            .iter()
            .find(|(name, _)| *name == "--redirect-uri");
        App {
            id: self.id.clone(),
            secret: printed["secret"].as_str().map(str::to_owned),
            redirect_uri: redirect_uri.map_or_else(String::new, |(_, uri)| uri.clone()),
            sends_pkce: !self
                .options
                .contains(&("--require-pkce", "false".to_owned())),
            http: service.http(),
        }
    }
}

/// A registered application.
#[derive(Clone)]
pub struct App {
    pub id: String,
    pub secret: Option<String>,
    pub redirect_uri: String,
    sends_pkce: bool,
    http: Http,
}

/// An authorization request that the application begins.
#[derive(Clone)]
pub struct Begun {
    parameters: Vec<(String, String)>,
    pub verifier: Option<String>,
}

/// What the application received at its redirect URI.
#[derive(Clone, Debug)]
pub struct Callback {
    /// The redirect URI, without what was added.
    pub at: String,
    pub parameters: BTreeMap<String, String>,
}

/// What the token endpoint answered.
#[derive(Clone)]
pub struct Granted {
    pub answer: Value,
    pub access: String,
}

impl App {
    /// The same application, with a service that was restarted.
    pub fn of(&self, http: &Http) -> Self {
        Self {
            http: http.clone(),
            ..self.clone()
        }
    }

    /// A request for a code, with a new state, nonce and PKCE challenge.
    pub fn begins(&self, scope: &str) -> Begun {
        let mut parameters = vec![
            ("response_type", "code".to_owned()),
            ("client_id", self.id.clone()),
            ("redirect_uri", self.redirect_uri.clone()),
            ("scope", scope.to_owned()),
            ("state", random_text(24)),
            ("nonce", random_text(24)),
        ];
        let verifier = self.sends_pkce.then(|| random_text(64));
        if let Some(verifier) = &verifier {
            parameters.push(("code_challenge", challenge_of(verifier)));
            parameters.push(("code_challenge_method", "S256".to_owned()));
        }
        let parameters = parameters.into_iter();
        Begun {
            parameters: parameters
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            verifier,
        }
    }

    /// The request that exchanges a code.
    pub fn exchange(&self, begun: &Begun, code: &str) -> Request {
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.redirect_uri),
        ];
        if let Some(verifier) = &begun.verifier {
            form.push(("code_verifier", verifier));
        }
        self.token_request(&form)
    }

    /// Exchanges the code that it received.
    pub async fn redeems(&self, begun: &Begun, callback: &Callback) -> Granted {
        begun.is_answered_by(callback);
        Granted::of(&self.exchange(begun, callback.code()).await)
    }

    /// Uses a refresh token.
    pub async fn refreshes(&self, refresh_token: &str) -> Answer {
        self.refresh(refresh_token).await
    }

    /// The request that uses a refresh token.
    pub fn refresh(&self, refresh_token: &str) -> Request {
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token),
        ];
        self.token_request(&form)
    }

    /// The request that pushes the parameters of an authorization request.
    pub fn push(&self, begun: &Begun) -> Request {
        let mut form = begun.form();
        // A public client is named once.
        if self.secret.is_none() {
            form.retain(|(name, _)| *name != "client_id");
        }
        self.authenticated(own::PAR, &form)
    }

    /// Pushes an authorization request. The browser is sent with what is returned.
    pub async fn pushes(&self, begun: &Begun) -> Begun {
        begun.pushed(&self.push(begun).await)
    }

    /// A request of this client at the token endpoint.
    pub fn token_request(&self, form: &[(&str, &str)]) -> Request {
        self.authenticated(own::TOKEN, form)
    }

    /// A form with the credentials of this client.
    pub fn authenticated(&self, endpoint: Endpoint, form: &[(&str, &str)]) -> Request {
        let request = self.http.send(endpoint);
        match &self.secret {
            Some(secret) => request.authorization(&basic(&self.id, secret)).form(form),
            None => request.form(&[form, &[("client_id", self.id.as_str())]].concat()),
        }
    }
}

impl Begun {
    /// With this parameter, instead of any other value of it.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self = self.without(name);
        self.parameters.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With this parameter in addition to others of its name.
    pub fn and(mut self, name: &str, value: &str) -> Self {
        self.parameters.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without a parameter.
    pub fn without(mut self, name: &str) -> Self {
        self.parameters.retain(|(known, _)| known != name);
        self
    }

    /// With this parameter alone.
    pub fn only(mut self, name: &str) -> Self {
        self.parameters.retain(|(known, _)| known == name);
        self
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> &str {
        let mut found = self.parameters.iter().filter(|(known, _)| known == name);
        found.next().map_or("", |(_, value)| value)
    }

    /// The request with the parameters that are left in the URL after it was pushed.
    #[track_caller]
    pub fn pushed(&self, answer: &Answer) -> Self {
        assert_eq!(answer.status, 201, "{answer}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let body = answer.json();
        let request_uri = body["request_uri"].as_str().expect("a request_uri");
        Self {
            parameters: Vec::new(),
            verifier: self.verifier.clone(),
        }
        .with("client_id", self.get("client_id"))
        .with("request_uri", request_uri)
    }

    /// The query of the request.
    pub fn query(&self) -> String {
        url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&self.parameters)
            .finish()
    }

    /// The parameters.
    pub fn form(&self) -> Vec<(&str, &str)> {
        let pairs = self.parameters.iter();
        pairs
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect()
    }

    /// The path of the request.
    pub fn path(&self) -> String {
        format!("{}?{}", own::AUTHORIZE.path, self.query())
    }

    /// The application sends the browser here.
    pub async fn open_in(&self, browser: &mut Browser) {
        browser.come_from_another_site(&self.path()).await;
    }

    /// Asserts that the callback answers this request and no other.
    #[track_caller]
    pub fn is_answered_by(&self, callback: &Callback) {
        assert_eq!(callback.at, self.get("redirect_uri"));
        assert_eq!(callback.get("state"), Some(self.get("state")));
        assert!(callback.get("iss").is_some(), "{callback:?}");
    }
}

impl Callback {
    /// The callback that a `Location` leads to.
    #[track_caller]
    pub fn of(location: &str) -> Self {
        let url = Url::parse(location).unwrap_or_else(|error| panic!("{error}: {location}"));
        let (at, _) = location.split_once('?').unwrap_or((location, ""));
        assert_eq!(url.fragment(), None, "{location}");
        Self {
            at: at.to_owned(),
            parameters: url.query_pairs().into_owned().collect(),
        }
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    #[track_caller]
    pub fn code(&self) -> &str {
        assert_eq!(self.get("error"), None, "{self:?}");
        self.get("code")
            .unwrap_or_else(|| panic!("no code: {self:?}"))
    }

    /// Asserts that it has this error, a sentence about it, and no code.
    #[track_caller]
    pub fn has_error(&self, error: &str) {
        assert_eq!(self.get("error"), Some(error), "{self:?}");
        assert_eq!(self.get("code"), None, "{self:?}");
        assert!(self.get("error_description").is_some(), "{self:?}");
    }
}

impl Granted {
    /// The tokens of a successful answer.
    #[track_caller]
    pub fn of(answer: &Answer) -> Self {
        Self::of_type(answer, "Bearer")
    }

    /// The tokens of a successful answer, of which the access token is bound to a key.
    #[track_caller]
    pub fn bound(answer: &Answer) -> Self {
        Self::of_type(answer, "DPoP")
    }

    #[track_caller]
    fn of_type(answer: &Answer, token_type: &str) -> Self {
        assert_eq!(answer.status, 200, "{answer}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("pragma"), Some("no-cache"));
        let json = answer.json();
        assert_eq!(json["token_type"], token_type);
        Self {
            access: json["access_token"].as_str().expect("a token").to_owned(),
            answer: json,
        }
    }

    #[track_caller]
    pub fn refresh(&self) -> &str {
        let token = self.answer["refresh_token"].as_str();
        token.unwrap_or_else(|| panic!("no refresh token: {}", self.answer))
    }

    #[track_caller]
    pub fn id_token(&self) -> &str {
        let token = self.answer["id_token"].as_str();
        token.unwrap_or_else(|| panic!("no ID token: {}", self.answer))
    }

    /// The claims of the ID token, unverified.
    #[track_caller]
    pub fn id_claims(&self) -> Value {
        token::claims(self.id_token())
    }
}

/// Brings a browser that shows a page of the flow to the end of it: the person signs in and consents, whichever is asked.
pub async fn completes(browser: &mut Browser, person: &Person) -> Callback {
    if browser.asks("/sign-in") {
        browser.submit("/sign-in", &credentials(person)).await;
    }
    if browser.asks("/consent") {
        browser.submit("/consent", &[("decision", "allow")]).await;
    }
    callback_of(browser)
}

/// The callback to which the browser was sent.
#[track_caller]
pub fn callback_of(browser: &Browser) -> Callback {
    assert_eq!(browser.page().status, 303, "{}", browser.page());
    Callback::of(&browser.path)
}

/// Asserts the error of an answer of the token endpoint (RFC 6749 §5.2).
#[track_caller]
pub fn is_grant_error(answer: &Answer, status: u16, error: &str) {
    assert_eq!(answer.status, status, "{answer}");
    let body = answer.json();
    assert_eq!(body["error"], error, "{answer}");
    let sentence = body["error_description"].as_str().unwrap_or_default();
    assert!(sentence.ends_with('.'), "{answer}");
    assert_eq!(body.as_object().map(|it| it.len()), Some(2), "{answer}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

/// The value of an `Authorization` header with these credentials.
pub fn basic(client: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{client}:{secret}")))
}

/// The PKCE challenge of a verifier (RFC 7636 §4.2).
pub fn challenge_of(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}

/// The claims that the userinfo endpoint gives for a token.
pub async fn userinfo(http: &Http, access: &str) -> Value {
    let answer = http.send(own::USERINFO).bearer(access).await;
    assert_eq!(answer.status, 200, "{answer}");
    answer.json()
}

/// Asserts that a token grants nothing any more.
pub async fn is_dead(http: &Http, access: &str) {
    let answer = http.send(own::USERINFO).bearer(access).await;
    assert_eq!(answer.status, 401, "{answer}");
    let challenge = answer.header("www-authenticate");
    assert_eq!(challenge, Some("Bearer error=\"invalid_token\""));
    assert_eq!(answer.json()["error"], json!("invalid_token"));
}
