//! An issuer for tests: a small HTTP server on a local port, with real bytes, that can also answer wrongly.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use authlog_verifier::{Clock as _, Feed, SystemClock, Verifier, VerifierBuilder};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use uuid::Uuid;

/// A key that signs tokens.
pub struct Key {
    pub kid: String,
    pkcs8: Vec<u8>,
    point: Vec<u8>,
}

impl Key {
    pub fn new(kid: &str) -> Self {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).unwrap();
        let pkcs8 = document.as_ref().to_vec();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, &pkcs8).unwrap();
        Self {
            kid: kid.to_owned(),
            point: pair.public_key().as_ref().to_vec(),
            pkcs8,
        }
    }

    pub fn jwk(&self) -> Value {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.kid,
            "x": encode(&self.point[1..33]), "y": encode(&self.point[33..]),
        })
    }

    pub fn sign(&self, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some(self.kid.clone());
        self.sign_with(&header, claims)
    }

    pub fn sign_with(&self, header: &Header, claims: &Value) -> String {
        jsonwebtoken::encode(header, claims, &EncodingKey::from_ec_der(&self.pkcs8)).unwrap()
    }

    /// A token with any header and any payload.
    pub fn sign_raw(&self, header: &[u8], payload: &[u8]) -> String {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let message = format!("{}.{}", encode(header), encode(payload));
        let key = EncodingKey::from_ec_der(&self.pkcs8);
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::ES256);
        format!("{message}.{}", signature.unwrap())
    }
}

pub fn seconds() -> i64 {
    let now = SystemClock::default().now();
    now.duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

pub fn account(number: u128) -> Uuid {
    Uuid::from_u128(0xA000 + number)
}

pub fn session(number: u128) -> Uuid {
    Uuid::from_u128(0x5000 + number)
}

/// An answer with other bytes than the right ones.
#[derive(Clone)]
pub struct Wrong {
    pub bytes: Vec<u8>,
    /// Whether the connection stays open afterwards.
    pub hangs: bool,
}

/// What the issuer answers.
#[derive(Default)]
pub struct Issuer {
    pub url: String,
    pub keys: Mutex<Vec<Value>>,
    /// Events from index 1 on, without their index.
    pub log: Mutex<Vec<Value>>,
    /// What is answered instead, to the next requests of the feed and of the key set.
    pub wrong_feed: Mutex<Vec<Wrong>>,
    pub wrong_keys: Mutex<Option<Wrong>>,
    /// The feed has no heartbeats.
    pub is_silent: AtomicBool,
    /// Ends all answers of the feed.
    pub hang_up: AtomicUsize,
    pub key_requests: AtomicUsize,
    pub token_requests: AtomicUsize,
    /// Access tokens with a lower number are refused.
    pub valid_tokens_from: AtomicUsize,
    pub feed_requests: Mutex<Vec<String>>,
}

impl Issuer {
    pub async fn start() -> (Arc<Self>, Key) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let key = Key::new("first");
        let issuer = Arc::new(Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            keys: Mutex::new(vec![key.jwk()]),
            ..Self::default()
        });
        let serving = Arc::clone(&issuer);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let issuer = Arc::clone(&serving);
                tokio::spawn(async move {
                    let _ = issuer.serve(stream).await;
                });
            }
        });
        (issuer, key)
    }

    pub fn builder(&self) -> VerifierBuilder {
        Verifier::builder()
            .issuer(&self.url)
            .audience("authlog")
            .revocations(Feed::with_client("orders", "a secret"))
    }

    /// The claims of a token of a session.
    pub fn claims(&self, number: u128, epoch: u32) -> Value {
        let now = seconds();
        json!({
            "iss": self.url, "aud": "authlog", "sub": account(number), "client_id": "users",
            "iat": now, "exp": now + 300, "jti": "j", "sid": session(number), "epoch": epoch,
            "role": "user", "acr": "urn:authlog:aal1", "auth_time": now, "amr": ["pwd"],
        })
    }

    /// Publishes an event. Returns its index.
    pub fn publish(&self, kind: &str, subject: &str, data: &Value) -> u64 {
        let time = OffsetDateTime::from_unix_timestamp(seconds()).unwrap();
        let mut log = self.log.lock().unwrap();
        let number = log.len() + 1;
        log.push(json!({
            "data": data, "datacontenttype": "application/json", "id": format!("event/{number}"),
            "sequence": "00000000000000000001", "source": self.url, "specversion": "1.0",
            "subject": subject, "time": time.format(&Rfc3339).unwrap(),
            "type": format!("dev.authlog.{kind}.v1"),
        }));
        log.len() as u64
    }

    pub fn log_out(&self, number: u128) -> u64 {
        let data = json!({ "session_id": session(number) });
        self.publish("session.logged-out", &account(number).to_string(), &data)
    }

    /// Ends all answers of the feed that are open.
    pub fn hang_up(&self) {
        self.hang_up.fetch_add(1, SeqCst);
    }

    async fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut head = Vec::new();
        while !head.windows(4).any(|it| it == b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
        if target.starts_with("/.well-known/jwks.json") {
            self.key_requests.fetch_add(1, SeqCst);
            let wrong = self.wrong_keys.lock().unwrap().clone();
            if let Some(wrong) = wrong {
                return send_wrong(stream, &wrong).await;
            }
            let keys = json!({ "keys": *self.keys.lock().unwrap() });
            return send_json(stream, &keys).await;
        }
        if target.starts_with("/oauth2/token") {
            let number = self.token_requests.fetch_add(1, SeqCst) + 1;
            let token = json!({
                "access_token": format!("token-{number}"), "token_type": "Bearer", "expires_in": 300,
            });
            return send_json(stream, &token).await;
        }
        self.feed_requests.lock().unwrap().push(target.clone());
        let number = head
            .split("token-")
            .nth(1)
            .and_then(|it| it.split("\r\n").next()?.parse().ok());
        if number.unwrap_or(0) < self.valid_tokens_from.load(SeqCst) {
            return stream
                .write_all(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n")
                .await;
        }
        let wrong = {
            let mut wrong = self.wrong_feed.lock().unwrap();
            (!wrong.is_empty()).then(|| wrong.remove(0))
        };
        match wrong {
            Some(wrong) => send_wrong(stream, &wrong).await,
            None => self.feed(stream, &target).await,
        }
    }

    async fn feed(&self, mut stream: TcpStream, target: &str) -> std::io::Result<()> {
        let arrived = Instant::now();
        let hang_up = self.hang_up.load(SeqCst);
        let after = target.split("after=").nth(1);
        let mut sent: usize = after.map_or(0, |it| it.split('&').next().unwrap().parse().unwrap());
        if sent > self.log.lock().unwrap().len() {
            return stream
                .write_all(b"HTTP/1.1 409 Conflict\r\ncontent-length: 0\r\n\r\n")
                .await;
        }
        stream.write_all(FEED_HEAD).await?;
        let mut beat_at = Duration::ZERO;
        while self.hang_up.load(SeqCst) == hang_up {
            let elapsed = arrived.elapsed();
            let mut text = String::new();
            {
                let log = self.log.lock().unwrap();
                for event in log.iter().skip(sent) {
                    sent += 1;
                    let mut event = event.clone();
                    event["logindex"] = json!(sent.to_string());
                    text.push_str(&format!("{event}\n"));
                }
            }
            if elapsed >= beat_at && !self.is_silent.load(SeqCst) {
                beat_at = elapsed + Duration::from_millis(50);
                let elapsed = elapsed.as_millis() as u64;
                let beat = json!({ "logindex": sent.to_string(), "elapsed_ms": elapsed });
                text.push_str(&format!("{beat}\n"));
            }
            if !text.is_empty() {
                let chunk = format!("{:x}\r\n{text}\r\n", text.len());
                stream.write_all(chunk.as_bytes()).await?;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stream.write_all(b"0\r\n\r\n").await
    }
}

pub const FEED_HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n";

/// A complete answer that carries `body`.
pub fn answer(status: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

async fn send_json(mut stream: TcpStream, body: &Value) -> std::io::Result<()> {
    let body = body.to_string();
    stream.write_all(&answer("200 OK", body.as_bytes())).await
}

async fn send_wrong(mut stream: TcpStream, wrong: &Wrong) -> std::io::Result<()> {
    stream.write_all(&wrong.bytes).await?;
    if wrong.hangs {
        // Until the other side gives up.
        let mut rest = [0; 64];
        while stream.read(&mut rest).await? > 0 {}
    }
    Ok(())
}

/// How long a test waits for what should happen at once.
pub const LIMIT: Duration = Duration::from_secs(30);

/// An issuer, its key, and a verifier that is ready.
pub async fn ready() -> (Arc<Issuer>, Key, Verifier) {
    let (issuer, key) = Issuer::start().await;
    let verifier = issuer.builder().max_staleness(LIMIT).start().unwrap();
    tokio::time::timeout(LIMIT, verifier.ready()).await.unwrap();
    (issuer, key, verifier)
}

/// Waits until something holds.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not happen within 30 seconds: {what}");
}
