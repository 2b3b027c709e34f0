//! Python libraries verify tokens and metadata, if they are installed (Debian: `python3-jwt`, `python3-cryptography`,
//! `python3-jose`, `python3-authlib`).
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use support::{Contract, Person, Program, Settings, Store, eventually, on_both_stores, own, token};

/// Debian's Python, which has the packages. Another one may be first on the path.
const PYTHON: &str = "/usr/bin/python3";

on_both_stores!(
    a_third_party_verifies_tokens_with_the_key_set_alone,
    a_library_without_ed25519_verifies_what_a_new_database_signs,
    the_metadata_is_valid,
);

async fn a_third_party_verifies_tokens_with_the_key_set_alone(store: Store) {
    if !has("jwt, cryptography", "python3-jwt python3-cryptography") {
        return;
    }
    // Each algorithm replaces the one before, whose tokens stay valid.
    let mut settings = Settings::on(store).with_cheap_hashing();
    let ann = Person::called("ann");
    let mut tokens: Vec<String> = Vec::new();
    for algorithm in ["EdDSA", "ES256", "RS256"] {
        settings = settings.with("AUTHLOG_JWT_ALGORITHM", algorithm);
        let mut service = settings.clone().start().await;
        let http = service.http();
        if tokens.is_empty() {
            Contract::ApiAuth.registers(&http, &ann).await;
        } else {
            let fast_service = settings.run(&["keys", "rotate", "--now"], "");
            assert!(fast_service.status.success(), "{fast_service:?}");
        }
        let signed = eventually("tokens are signed with it", async || {
            let tokens = Contract::ApiAuth.signs_in(&http, &ann).await;
            (token::header(&tokens.access)["alg"] == algorithm).then_some(tokens)
        })
        .await;
        let of_e = Contract::V1Auth.signs_in(&http, &ann).await.access;
        tokens.extend([signed.access.clone(), of_e]);
        let answers = asked(&service, &tokens).await;
        assert_eq!(answers.len(), tokens.len());
        for (token, answer) in tokens.iter().zip(&answers) {
            let claims: Value = serde_json::from_str(answer).unwrap_or_default();
            assert_eq!(claims, token::claims(token), "{answer}");
        }
        let altered = token::altered(&signed.access, |claims| claims["role"] = "admin".into());
        for (forged, reason) in [
            (token::forged(&signed.access), "InvalidSignatureError"),
            (altered, "InvalidSignatureError"),
            (token::unsigned(&signed.access), "PyJWKClientError"),
            // Only the service verifies refresh tokens.
            (signed.refresh().to_owned(), "InvalidAlgorithmError"),
        ] {
            let answers = asked(&service, &[forged]).await;
            let said = answers.concat();
            assert!(said.starts_with(&format!("refused: {reason}")), "{said}");
        }
        let set = service.send(own::KEY_SET).await.json();
        assert!(
            set["keys"]
                .as_array()
                .unwrap()
                .iter()
                .any(|key| key["alg"] == algorithm)
        );
        assert!(service.terminate().await.success());
    }
}

async fn a_library_without_ed25519_verifies_what_a_new_database_signs(store: Store) {
    if !has("jose", "python3-jose") {
        return;
    }
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let mut tokens = Vec::new();
    for contract in [Contract::ApiAuth, Contract::Users, Contract::V1Auth] {
        tokens.push(contract.signs_in(&http, &ann).await.access);
    }
    let forged = token::forged(&tokens[0]);
    let refresh = Contract::ApiAuth
        .signs_in(&http, &ann)
        .await
        .refresh()
        .to_owned();
    let presented = [tokens.clone(), vec![forged, refresh]].concat();
    let answers = says("jose_verify.py", &service, presented.join("\n")).await;
    let (good, refused) = answers.split_at(tokens.len());
    for (token, answer) in tokens.iter().zip(good) {
        let claims: Value = serde_json::from_str(answer).unwrap_or_default();
        assert_eq!(claims, token::claims(token), "{answer}");
    }
    assert_eq!(refused.len(), 2);
    for answer in refused {
        assert!(answer.starts_with("refused: JWTError"), "{answer}");
    }
}

async fn the_metadata_is_valid(store: Store) {
    if !has("authlib", "python3-authlib") {
        return;
    }
    let url = "https://auth.example.com";
    let settings = Settings::on(store).with("AUTHLOG_PUBLIC_URL", url);
    let service = settings.start().await;
    let metadata = service.send(own::METADATA).await;
    // RFC 8414 §3.2: an empty list is omitted.
    let members = metadata.json();
    for (name, value) in members.as_object().unwrap() {
        assert!(
            value.as_array().is_none_or(|list| !list.is_empty()),
            "{name}"
        );
    }
    let said = says("authlib_metadata.py", &service, metadata.body).await;
    for line in &said {
        let (name, verdict) = line.split_once(": ").unwrap();
        assert_eq!(verdict, "ok", "{name}");
    }
    // Authlib knows these members.
    assert!(said.len() > 15, "{said:?}");
}

/// Whether Debian's Python has these modules.
fn has(modules: &str, packages: &str) -> bool {
    let imported = Command::new(PYTHON)
        .args(["-c", &format!("import {modules}")])
        .output();
    let has = imported.is_ok_and(|output| output.status.success());
    if !has {
        eprintln!("skipped: {PYTHON} has no {modules}; apt-get install {packages}");
    }
    has
}

/// PyJWT's result for each token.
async fn asked(service: &Program, tokens: &[String]) -> Vec<String> {
    says("verify.py", service, tokens.join("\n")).await
}

/// The output lines of a script.
async fn says(script: &'static str, service: &Program, input: String) -> Vec<String> {
    let address = format!("http://{}", service.address());
    let running = tokio::task::spawn_blocking(move || {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pyjwt");
        let mut python = Command::new(PYTHON)
            .arg(scripts.join(script))
            .arg(address)
            .env("no_proxy", "*")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut typing = python.stdin.take().unwrap();
        typing.write_all(input.as_bytes()).unwrap();
        drop(typing);
        python.wait_with_output().unwrap()
    });
    let output = running.await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    said.lines().map(str::to_owned).collect()
}
