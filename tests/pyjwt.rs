//! Our tokens in another ecosystem: PyJWT (Debian: `python3-jwt`, `python3-cryptography`) verifies them by the key set
//! alone, where it is installed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use support::{Contract, Person, Program, Settings, Store, eventually, on_both_stores, own, token};

/// Not whichever python3 comes first: the packages belong to Debian's.
const PYTHON: &str = "/usr/bin/python3";

on_both_stores!(a_stranger_verifies_tokens_by_the_key_set_alone);

async fn a_stranger_verifies_tokens_by_the_key_set_alone(store: Store) {
    let has_pyjwt = Command::new(PYTHON)
        .args(["-c", "import jwt, cryptography"])
        .output();
    if !has_pyjwt.is_ok_and(|output| output.status.success()) {
        eprintln!(
            "skipped: {PYTHON} has no PyJWT; apt-get install python3-jwt python3-cryptography"
        );
        return;
    }
    // Each algorithm takes over from the one before, whose tokens stay good.
    let mut settings = Settings::on(store).with_cheap_hashing();
    let ann = Person::called("ann");
    let mut tokens: Vec<String> = Vec::new();
    for algorithm in ["EdDSA", "ES256", "RS256"] {
        settings = settings.with("AUTHLOG_JWT_ALGORITHM", algorithm);
        let mut service = settings.clone().start().await;
        let http = service.http();
        if tokens.is_empty() {
            Contract::A.registers(&http, &ann).await;
        } else {
            let hurried = settings.run(&["keys", "rotate", "--now"], "");
            assert!(hurried.status.success(), "{hurried:?}");
        }
        let signed = eventually("tokens are signed with it", async || {
            let tokens = Contract::A.signs_in(&http, &ann).await;
            (token::header(&tokens.access)["alg"] == algorithm).then_some(tokens)
        })
        .await;
        let of_e = Contract::E.signs_in(&http, &ann).await.access;
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
            // A refresh token is for nobody but the service to read.
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

/// What PyJWT says of each token.
async fn asked(service: &Program, tokens: &[String]) -> Vec<String> {
    let address = format!("http://{}", service.address());
    let input = tokens.join("\n");
    let running = tokio::task::spawn_blocking(move || {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pyjwt/verify.py");
        let mut python = Command::new(PYTHON)
            .arg(script)
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
