//! Independent libraries sign people in, if they are installed (Debian: `python3-authlib`, `python3-requests`).

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::provider::Provider;
use crate::support::oauth::{App, CALLBACK, Registration};
use crate::support::{Settings, Store, on_both_stores};

/// Debian's Python, which has the packages. Another one may be first on the path.
const PYTHON: &str = "/usr/bin/python3";

on_both_stores!(
    authlib_signs_in_to_an_application_with_a_secret,
    authlib_signs_in_to_a_public_application,
);

async fn authlib_signs_in_to_an_application_with_a_secret(store: Store) {
    signs_in(store, &Registration::confidential("app")).await;
}

async fn authlib_signs_in_to_a_public_application(store: Store) {
    signs_in(store, &Registration::public("app")).await;
}

async fn signs_in(store: Store, registration: &Registration) {
    if !is_installed() {
        return;
    }
    let op = Provider::with(Settings::on(store), registration).await;
    let said = authlib(&op, &op.app).await;
    let member = |name: &str| {
        let mut found = said.iter().filter_map(|line| line.get(name));
        found
            .next()
            .cloned()
            .unwrap_or_else(|| panic!("no {name}: {said:?}"))
    };
    let (claims, info) = (member("id_token"), member("userinfo"));
    assert_eq!(claims["aud"], "app");
    assert_eq!(claims["sub"], info["sub"]);
    assert_eq!(info["email"], "ann@example.com");
    assert_eq!(info["preferred_username"], "ann");
    assert_eq!(member("refreshed"), true);
    assert_eq!(member("second_use"), "invalid_grant");
}

async fn authlib(op: &Provider, app: &App) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pyjwt/authlib_client.py");
    let mut python = Command::new(PYTHON);
    python
        .arg(script)
        .arg(format!("http://{}", op.service.address()))
        .arg(&app.id)
        .arg(app.secret.as_deref().unwrap_or("-"))
        .args([CALLBACK, &op.person.username, &op.person.password])
        .env("no_proxy", "*");
    let output = tokio::task::spawn_blocking(move || python.output().unwrap());
    let output = output.await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    said.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn is_installed() -> bool {
    let modules = "import authlib.integrations.requests_client";
    let imported = Command::new(PYTHON).args(["-c", modules]).output();
    let has = imported.is_ok_and(|output| output.status.success());
    if !has {
        eprintln!("skipped: apt-get install python3-authlib python3-requests");
    }
    has
}
