//! A server that gives the answer of a verify endpoint without any check, or with the check of a signature alone.

use std::io::Write as _;
use std::process::Stdio;

use anyhow::Context as _;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};

/// Without any check.
pub(crate) const PLAIN: &str = "/plain";

/// With the check of a token's signature and expiry.
pub(crate) const SIGNED: &str = "/signed";

/// The server, in its own process like the service. Killed when dropped.
pub(crate) struct Bare {
    _child: Child,
    pub(crate) address: String,
}

/// Starts a server that verifies with this key set.
pub(crate) async fn start(key_set: &Value) -> anyhow::Result<Bare> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("bare")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut input = child.stdin.take().context("it has an input")?;
    input.write_all(format!("{key_set}\n").as_bytes()).await?;
    let output = child.stdout.take().context("it has an output")?;
    let address = BufReader::new(output).lines().next_line().await?;
    Ok(Bare {
        _child: child,
        address: address.context("the bare server does not start")?,
    })
}

/// Serves. Reads the key set from standard input and writes the address to standard output.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    let keys: JwkSet = serde_json::from_str(&line)?;
    let jwk = keys.keys.first().context("a key")?;
    let key = DecodingKey::from_jwk(jwk)?;
    let algorithm = jwk
        .common
        .key_algorithm
        .context("the algorithm of the key")?;
    let mut validation = Validation::new(algorithm.to_string().parse()?);
    validation.validate_aud = false;
    let app = Router::new()
        .route(PLAIN, get(async || Json(body())))
        .route(SIGNED, get(signed))
        .with_state(std::sync::Arc::new((key, validation)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let mut output = std::io::stdout().lock();
    writeln!(output, "{}", listener.local_addr()?)?;
    output.flush()?;
    drop(output);
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
        // Like the service.
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, app).await?;
    Ok(())
}

async fn signed(
    State(verifies): State<std::sync::Arc<(DecodingKey, Validation)>>,
    headers: HeaderMap,
) -> impl IntoResponse {
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let (key, validation) = &*verifies;
    match jsonwebtoken::decode::<Value>(token, key, validation) {
        Ok(_) => Json(body()).into_response(),
        Err(_) => StatusCode::UNAUTHORIZED.into_response(),
    }
}

/// What `GET /users/verify-token` answers.
fn body() -> Value {
    json!({"status": 200, "message": "token verified", "data": null, "refrence": null, "error": false})
}
