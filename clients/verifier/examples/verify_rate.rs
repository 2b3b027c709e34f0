//! Measures what verification costs, compared with the verification of the signature alone, and what a million entries of the deny
//! list take.
//!
//! ```sh
//! cargo run --release -p authlog-verifier --example verify_rate
//! ```
//!
//! It runs an issuer of its own on a local port, with a log of a million logouts. Both verifications use the same tokens in turn, in
//! the same run, so that the ratio does not depend on what else the machine does.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use authlog_verifier::{Clock as _, Feed, ProvidedToken, SystemClock, Verifier};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

const LOGOUTS: u64 = 1_000_000;
const TOKENS: usize = 1000;
const ROUNDS: usize = 20;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new())?;
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref())?;
    let point = pair.public_key().as_ref();
    let (x, y) = (&point[1..33], &point[33..]);
    let [x, y] = [x, y].map(|part| URL_SAFE_NO_PAD.encode(part));
    let keys = json!({ "keys": [
        { "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "key", "x": x, "y": y },
    ]});
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let issuer = format!("http://{}", listener.local_addr()?);
    let (keys, source) = (keys.to_string(), issuer.clone());
    std::thread::spawn(move || serve(&listener, &keys, &source));

    let build = |cached: usize| {
        let feed = Feed::with_tokens(|| async {
            let token = "token".to_owned();
            let expires_in = None;
            Ok(ProvidedToken { token, expires_in })
        });
        let builder = Verifier::builder().issuer(&issuer).audience("authlog");
        let builder = builder.revocations(feed).cached_tokens(cached);
        builder.max_staleness(Duration::from_secs(3600)).start()
    };
    let before = resident()?;
    let uncached = build(0)?;
    let began = Instant::now();
    uncached.ready().await;
    let entries = uncached.stats().entries.sessions;
    let taken = resident()?.saturating_sub(before);
    say(&format!(
        "{entries} ended sessions take {} MiB resident, read in {:.1} s",
        taken / 1024 / 1024,
        began.elapsed().as_secs_f64()
    ));
    let cached = build(4 * TOKENS)?;
    cached.ready().await;

    let now = seconds();
    let encoding = EncodingKey::from_ec_der(pkcs8.as_ref());
    let mut header = Header::new(Algorithm::ES256);
    header.typ = Some("at+jwt".to_owned());
    header.kid = Some("key".to_owned());
    let tokens = (0..TOKENS).map(|number| {
        let claims = json!({
            "iss": issuer, "aud": "authlog", "sub": Uuid::from_u128(number as u128), "client_id": "users",
            "iat": now, "exp": now + 3600, "jti": Uuid::from_u128(number as u128), "epoch": 0,
            "sid": Uuid::from_u128(u128::MAX - number as u128), "role": "user", "amr": ["pwd"],
            "acr": "urn:authlog:aal1", "auth_time": now,
        });
        encode(&header, &claims, &encoding)
    });
    let tokens: Vec<_> = tokens.collect::<Result<_, _>>()?;
    let decoding = DecodingKey::from_ec_components(&x, &y)?;
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_issuer(&[&issuer]);
    validation.set_audience(&["authlog"]);
    let bare = |token: &str| decode::<Value>(token, &decoding, &validation).is_ok();
    let uncached = |token: &str| uncached.verify_now(token).is_ok();
    let cached = |token: &str| cached.verify_now(token).is_ok();
    let mut spent = [Duration::ZERO; 3];
    for round in 0..=ROUNDS {
        let ways: [&dyn Fn(&str) -> bool; 3] = [&bare, &uncached, &cached];
        for (way, spent) in ways.into_iter().zip(&mut spent) {
            let began = Instant::now();
            if !tokens.iter().all(|token| way(token)) {
                return Err("a token was refused".into());
            }
            // The first round fills the cache.
            if round > 0 {
                *spent += began.elapsed();
            }
        }
    }
    let each = spent.map(|spent| spent.as_secs_f64() / (TOKENS * ROUNDS) as f64 * 1e6);
    say(&format!("jsonwebtoken::decode  {:7.2} µs", each[0]));
    for (name, each_one) in [("without the cache", each[1]), ("with the cache", each[2])] {
        let ratio = each[0] / each_one;
        say(&format!(
            "{name:21} {each_one:7.2} µs, {ratio:.2} of its rate"
        ));
    }
    Ok(())
}

fn seconds() -> u64 {
    let since = SystemClock::default().now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// The memory of this process that is resident, in bytes.
fn resident() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let line = line.ok_or("the system does not say how much memory is resident")?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kibibytes * 1024)
}

fn say(line: &str) {
    // The output may be closed.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Serves the key set and the feed.
fn serve(listener: &TcpListener, keys: &str, source: &str) {
    let (keys, source): (Arc<str>, Arc<str>) = (keys.into(), source.into());
    for stream in listener.incoming().flatten() {
        let (keys, source) = (Arc::clone(&keys), Arc::clone(&source));
        std::thread::spawn(move || answer(stream, &keys, &source));
    }
}

fn answer(mut stream: TcpStream, keys: &str, source: &str) -> std::io::Result<()> {
    let mut head = [0; 4096];
    let read = stream.read(&mut head)?;
    let is_feed = String::from_utf8_lossy(&head[..read]).starts_with("GET /audit");
    if !is_feed {
        let length = keys.len();
        return write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{keys}"
        );
    }
    let arrived = Instant::now();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    )?;
    let time = i64::try_from(seconds()).ok();
    let time = time.and_then(|time| OffsetDateTime::from_unix_timestamp(time).ok());
    let time = time
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default();
    let mut text = String::new();
    for index in 1..=LOGOUTS {
        // Scattered, as the ids of sessions are.
        let session =
            Uuid::from_u128(u128::from(index).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_0C0F));
        let _ = writeln!(
            text,
            r#"{{"data":{{"session_id":"{session}"}},"id":"session/{session}/2","logindex":"{index}","source":"{source}","specversion":"1.0","subject":"{session}","time":"{time}","type":"dev.authlog.session.logged-out.v1"}}"#
        );
        if text.len() > 50_000 {
            chunk(&mut stream, &text)?;
            text.clear();
        }
    }
    chunk(&mut stream, &text)?;
    loop {
        let elapsed = arrived.elapsed().as_millis();
        let beat = format!("{{\"logindex\":\"{LOGOUTS}\",\"elapsed_ms\":{elapsed}}}\n");
        chunk(&mut stream, &beat)?;
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn chunk(stream: &mut TcpStream, text: &str) -> std::io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    write!(stream, "{:x}\r\n{text}\r\n", text.len())
}
