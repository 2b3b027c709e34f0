//! `authlog client`: what an operator does without the service.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use serde_json::Value;
use support::{Settings, Store, on_both_stores};

on_both_stores!(
    an_operator_registers_changes_and_removes_a_client,
    a_command_that_is_refused_says_which_option_is_wrong,
    the_doctor_finds_and_repairs_a_forged_client,
);

/// The standard output of a command that succeeds.
fn run(settings: &Settings, arguments: &[&str]) -> String {
    let output = settings.run(arguments, "");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The standard error of a command that fails.
fn refused(settings: &Settings, arguments: &[&str]) -> String {
    let output = settings.run(arguments, "");
    assert!(!output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn json(settings: &Settings, arguments: &[&str]) -> Value {
    serde_json::from_str(&run(settings, arguments)).unwrap()
}

#[expect(clippy::too_many_lines, reason = "one story of one client")]
async fn an_operator_registers_changes_and_removes_a_client(store: Store) {
    let settings = &Settings::on(store);
    let created = run(
        settings,
        &[
            "client",
            "create",
            "--id",
            "shop",
            "--name",
            "Shop",
            "--redirect-uri",
            "https://shop.example/callback",
            "--redirect-uri",
            "http://127.0.0.1/callback",
            "--scope",
            "openid email",
            "--scope",
            "profile",
        ],
    );
    let secret = created.lines().next_back().unwrap();
    assert!(
        secret.starts_with("als_") && secret.len() == 69,
        "{created}"
    );
    assert!(created.contains("is shown only now"), "{created}");
    let shown = run(settings, &["client", "show", "shop"]);
    assert!(
        shown.contains("redirect_uris             https://shop.example/callback"),
        "{shown}"
    );
    assert!(
        shown.contains("scopes                    email openid profile"),
        "{shown}"
    );
    assert!(!shown.contains(secret), "{shown}");
    let document = json(settings, &["client", "show", "shop", "--json"]);
    assert_eq!(document["redirect_uris"].as_array().unwrap().len(), 2);

    let changed = json(
        settings,
        &[
            "client",
            "change",
            "shop",
            "--redirect-uri",
            "https://shop.example/callback",
            "--first-party",
            "true",
            "--post-logout-redirect-uri",
            "https://shop.example/",
            "--json",
        ],
    );
    assert_eq!(changed["redirect_uris"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&changed["first_party"], &changed["name"]),
        (&true.into(), &"Shop".into())
    );
    let cleared = json(
        settings,
        &[
            "client",
            "change",
            "shop",
            "--post-logout-redirect-uri",
            "",
            "--json",
        ],
    );
    assert_eq!(cleared["post_logout_redirect_uris"], serde_json::json!([]));

    let rotated = json(settings, &["client", "rotate-secret", "shop", "--json"]);
    assert_ne!(rotated["secret"], secret);
    let full = refused(settings, &["client", "rotate-secret", "shop"]);
    assert!(full.contains("retire one of them first"), "{full}");
    let old = document["secrets"][0]["id"].as_str().unwrap();
    let retired = run(settings, &["client", "retire-secret", "shop", old]);
    assert!(retired.contains("still valid: 1"), "{retired}");

    run(settings, &["client", "lock", "shop"]);
    let machine = json(
        settings,
        &[
            "client",
            "create",
            "--name",
            "Worker",
            "--grant",
            "client_credentials",
            "--json",
        ],
    );
    assert!(machine["secret"].is_string());
    let list = run(settings, &["client", "list"]);
    assert!(list.contains("locked") && list.contains("Worker"), "{list}");
    assert_eq!(
        run(settings, &["client", "list", "--json"]).lines().count(),
        2
    );
    run(settings, &["client", "unlock", "shop"]);

    let unconfirmed = refused(settings, &["client", "remove", "shop"]);
    assert!(unconfirmed.contains("--yes"), "{unconfirmed}");
    run(settings, &["client", "remove", "shop", "--yes"]);
    let gone = refused(settings, &["client", "show", "shop"]);
    assert!(gone.contains("there is no such client"), "{gone}");
    run(settings, &["rebuild"]);
    run(settings, &["doctor"]);
}

async fn a_command_that_is_refused_says_which_option_is_wrong(store: Store) {
    let settings = &Settings::on(store);
    let keys = settings.data().parent().unwrap().join("keys.json");
    std::fs::write(
        &keys,
        r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"a","d":"private"}]}"#,
    )
    .unwrap();
    let keys = keys.to_str().unwrap();
    for (arguments, word) in [
        (
            &["--name", "Shop", "--redirect-uri", "http://shop.example/"][..],
            "--redirect-uri is malformed",
        ),
        (&["--name", ""], "--name is required"),
        (&[], "--name is required"),
        (&["--name", "Shop", "--id", "a.b"], "--id is malformed"),
        (
            &["--name", "Shop", "--grant", "implicit"],
            "--grant has an unknown value",
        ),
        (
            &["--name", "Shop", "--grant", "authorization_code"],
            "--redirect-uri needs at least one URI",
        ),
        (
            &[
                "--name",
                "Shop",
                "--auth-method",
                "none",
                "--require-pkce",
                "false",
            ],
            "--require-pkce must be true",
        ),
        (
            &["--name", "Shop", "--auth-method", "private_key_jwt"],
            "--jwks is required",
        ),
        (
            &[
                "--name",
                "Shop",
                "--auth-method",
                "private_key_jwt",
                "--jwks",
                keys,
            ],
            "--jwks is malformed",
        ),
        (
            &["--name", "Shop", "--scope", "a\"b"],
            "--scope is malformed",
        ),
    ] {
        let said = refused(settings, &[&["client", "create"], arguments].concat());
        assert!(said.contains(word), "{word:?}: {said}");
    }
    assert_eq!(run(settings, &["client", "list", "--json"]), "");
    let unknown = refused(settings, &["client", "lock", "unknown"]);
    assert!(unknown.contains("there is no such client"), "{unknown}");
    let malformed = refused(settings, &["client", "lock", "a.b"]);
    assert!(
        malformed.contains("expected the ID of a client"),
        "{malformed}"
    );
}

async fn the_doctor_finds_and_repairs_a_forged_client(store: Store) {
    let settings = &Settings::on(store);
    let create = [
        "client",
        "create",
        "--id",
        "shop",
        "--name",
        "Shop",
        "--redirect-uri",
        "https://shop.example/",
    ];
    run(settings, &create);
    // A service seals a new store when it first starts.
    drop(settings.clone().start().await);
    let original = json(settings, &["client", "show", "shop", "--json"]);
    settings.execute("UPDATE clients SET state = replace(state, 'shop.example', 'evil.example')");
    let forged = refused(settings, &["client", "show", "shop"]);
    assert!(forged.contains("there is no such client"), "{forged}");
    let found = settings.run(&["doctor"], "");
    assert!(!found.status.success(), "{found:?}");
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    assert!(found.contains("rows of clients"), "{found}");
    run(settings, &["doctor", "--repair"]);
    assert_eq!(
        json(settings, &["client", "show", "shop", "--json"]),
        original
    );
    settings.execute("DELETE FROM clients");
    run(settings, &["rebuild"]);
    assert_eq!(
        json(settings, &["client", "show", "shop", "--json"]),
        original
    );
    run(settings, &["doctor"]);
}
