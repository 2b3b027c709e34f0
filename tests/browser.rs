//! The reset page in headless Chromium, if it is installed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use std::path::Path;
use std::process::Command;

use serde_json::json;
use support::mail::mail_to;
use support::{Contract, Person, Program, Store, on_both_stores, users};

/// The path of Debian's package.
const CHROMIUM: &str = "/usr/bin/chromium";

on_both_stores!(the_reset_page_is_shown_by_a_browser);

async fn the_reset_page_is_shown_by_a_browser(store: Store) {
    if !Path::new(CHROMIUM).exists() {
        eprintln!("skipped: there is no {CHROMIUM}; apt-get install chromium");
        return;
    }
    let service = Program::on(store).await;
    let ann = Person::called("ann");
    Contract::Users.registers(&service.http(), &ann).await;
    let request = service.send(users::REQUEST_RESET);
    request.json(&json!({"username": ann.email})).await;
    let link = mail_to(&service, &ann.email).await.link();

    let shown = open(&["--dump-dom", &link]);
    let document = String::from_utf8_lossy(&shown).into_owned();
    assert!(
        document.contains(r#"name="password_confirmation""#),
        "{document}"
    );

    // The screenshot is kept for inspection.
    let picture = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("reset-page-{store:?}.png"));
    let _ = std::fs::remove_file(&picture);
    open(&[&format!("--screenshot={}", picture.display()), &link]);
    let png = std::fs::read(&picture).unwrap();
    assert!(png.starts_with(b"\x89PNG"), "{}", picture.display());
    eprintln!("the page looks like {}", picture.display());
}

/// Runs Chromium to its end and returns what it printed.
fn open(arguments: &[&str]) -> Vec<u8> {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new("timeout")
        .args([
            "120",
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
        ])
        .args(["--disable-dev-shm-usage", "--window-size=900,700"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}
