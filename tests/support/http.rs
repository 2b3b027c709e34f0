//! Requests, and answers with checks that hold for every answer.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::HeaderMap;
use serde_json::Value;

use super::{Endpoint, form, http2};

/// After this time an answer counts as missing.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client of the service. It follows no redirects and keeps no cookies. Cloning is cheap.
#[derive(Clone)]
pub struct Http {
    base: String,
    client: reqwest::Client,
}

impl Http {
    /// A client of the service at `base`.
    pub fn to(base: &str) -> Self {
        Self {
            base: base.to_owned(),
            client: client().build().expect("a client"),
        }
    }

    /// The same client, connecting from another loopback address.
    pub fn calling_from(&self, address: &str) -> Self {
        let address: IpAddr = address.parse().expect("an address");
        Self {
            base: self.base.clone(),
            client: client().local_address(address).build().expect("a client"),
        }
    }

    /// A request to `endpoint`. Awaiting it sends it.
    pub fn send(&self, endpoint: Endpoint) -> Request {
        Request {
            http: self.clone(),
            endpoint,
            query: String::new(),
            headers: Vec::new(),
            body: Vec::new(),
            secrets: Vec::new(),
        }
    }
}

fn client() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(PATIENCE)
}

/// A request before it is sent.
#[derive(Clone)]
pub struct Request {
    http: Http,
    endpoint: Endpoint,
    query: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    secrets: Vec<String>,
}

impl Request {
    /// With a JSON body.
    pub fn json(self, body: &Value) -> Self {
        self.json_text(&body.to_string())
    }

    /// With a body of the media type `application/json`.
    pub fn json_text(self, body: &str) -> Self {
        self.body_of("application/json", body.as_bytes())
    }

    /// With a body of this media type.
    pub fn body_of(mut self, media_type: &str, body: &[u8]) -> Self {
        self.secrets = passwords_in(body);
        self.body = body.to_vec();
        self.header("content-type", media_type)
    }

    /// With a body without a media type.
    pub fn untyped_body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self
    }

    /// With the fields of an HTML form.
    pub fn form(self, fields: &[(&str, &str)]) -> Self {
        let mut encoded = url::form_urlencoded::Serializer::new(String::new());
        encoded.extend_pairs(fields);
        let body = encoded.finish();
        let passwords = fields
            .iter()
            .filter(|(name, _)| name.starts_with("password"));
        let secrets = passwords
            .map(|(_, value)| (*value).to_owned())
            .filter(|password| can_be_found(password))
            .collect();
        let mut request = self.body_of("application/x-www-form-urlencoded", body.as_bytes());
        request.secrets = secrets;
        request
    }

    /// With a query string.
    pub fn query(mut self, query: &str) -> Self {
        self.query = format!("?{query}");
        self
    }

    /// With `Authorization: Bearer <token>`.
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// With `Authorization: <token>`.
    pub fn authorization(self, token: &str) -> Self {
        self.header("authorization", token)
    }

    /// With a cookie.
    pub fn cookie(self, name: &str, value: &str) -> Self {
        self.header("cookie", format!("{name}={value}"))
    }

    /// With a header.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers
            .push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Sends the request to a service that may be down.
    ///
    /// # Errors
    /// There is no complete answer.
    pub async fn attempt(self) -> Result<Answer, reqwest::Error> {
        let what = format!("{}{}", self.endpoint, self.query);
        let url = format!("{}{}{}", self.http.base, self.endpoint.path, self.query);
        let method = self.endpoint.method.parse().expect("a method");
        let mut request = self.http.client.request(method, url);
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        if !self.body.is_empty() {
            request = request.body(self.body);
        }
        let response = request.send().await?;
        let answer = Answer {
            what,
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.text().await?,
        };
        answer.gives_nothing_away(&self.secrets);
        Ok(answer)
    }
}

impl Request {
    async fn over_http2(self) -> Answer {
        let what = format!("{}{} over HTTP/2", self.endpoint, self.query);
        let mut request = http::Request::builder()
            .method(self.endpoint.method)
            .uri(format!(
                "{}{}{}",
                self.http.base, self.endpoint.path, self.query
            ));
        for (name, value) in &self.headers {
            request = request.header(name, value.as_slice());
        }
        let request = request.body(self.body).expect("a request");
        let answer = http2::send(what, request).await;
        answer.gives_nothing_away(&self.secrets);
        answer
    }
}

impl IntoFuture for Request {
    type Output = Answer;
    type IntoFuture = std::pin::Pin<Box<dyn Future<Output = Answer> + Send>>;

    /// Sends the request to a running service, and asserts that the answer is not a server error.
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let what = self.endpoint.to_string();
            let answer = if http2::is_spoken() {
                self.over_http2().await
            } else {
                let answer = self.attempt().await;
                answer.unwrap_or_else(|error| panic!("{what}: {error:?}"))
            };
            assert!(answer.status < 500, "{answer}");
            answer
        })
    }
}

/// An answer of the service.
#[derive(Clone)]
pub struct Answer {
    /// The endpoint of the request.
    pub what: String,
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        let media_type = self.header("content-type").unwrap_or_default();
        assert!(media_type.starts_with("application/json"), "{self}");
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self}"))
    }

    /// Asserts that this is the whole answer, with `form`s for members that differ from run to run. Returns the body.
    #[track_caller]
    pub fn is(&self, status: u16, expected: &Value) -> Value {
        assert_eq!(self.status, status, "{self}");
        let actual = self.json();
        form::assert_fits(expected, &actual, &self.what);
        actual
    }

    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The cookie of that name that the answer sets.
    pub fn cookie(&self, name: &str) -> Option<Cookie> {
        self.headers
            .get_all("set-cookie")
            .iter()
            .filter_map(|value| Cookie::parse(value.to_str().ok()?))
            .find(|cookie| cookie.name == name)
    }

    /// The value of `Retry-After`, in seconds.
    #[track_caller]
    pub fn retry_after(&self) -> u64 {
        let seconds = self
            .header("retry-after")
            .and_then(|text| text.parse().ok());
        seconds.unwrap_or_else(|| panic!("no Retry-After in seconds: {self}"))
    }

    /// Asserts that the answer has no password and no hash of one.
    #[track_caller]
    fn gives_nothing_away(&self, secrets: &[String]) {
        for secret in secrets {
            assert!(!self.body.contains(secret), "{secret} is in {self}");
        }
        for hash in ["$argon2", "$2a$", "$2b$", "$2y$"] {
            assert!(!self.body.contains(hash), "a hash is in {self}");
        }
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} was answered {} {:?} {}",
            self.what, self.status, self.headers, self.body
        )
    }
}

/// Whether a password is long enough not to occur in an answer by chance.
fn can_be_found(password: &str) -> bool {
    password.len() >= 7
}

/// The passwords in a JSON body that are recognizable in an answer.
fn passwords_in(body: &[u8]) -> Vec<String> {
    let Ok(Value::Object(members)) = serde_json::from_slice(body) else {
        return Vec::new();
    };
    ["password", "confirm_password"]
        .iter()
        .filter_map(|name| members.get(*name)?.as_str())
        .filter(|password| can_be_found(password))
        .map(str::to_owned)
        .collect()
}

/// A cookie in `Set-Cookie` (RFC 6265 §4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookie {
    pub name: String,
    pub value: String,
    attributes: Vec<(String, String)>,
}

impl Cookie {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (name.trim().to_owned(), value.trim().to_owned())
        });
        let (name, value) = parts.next()?;
        let attributes = parts.map(|(name, value)| (name.to_lowercase(), value));
        Some(Self {
            name,
            value,
            attributes: attributes.collect(),
        })
    }

    /// The value of an attribute by its lower-case name; empty if the attribute has no value.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let mut found = self.attributes.iter().filter(|(known, _)| known == name);
        found.next().map(|(_, value)| value.as_str())
    }
}
