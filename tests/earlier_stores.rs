//! A store that an earlier version of the program wrote is verified, rebuilt and served.

use crate::support;

use std::process::Output;

use support::upgrade::store_with_every_event;
use support::{Contract, Person, Settings, Store, on_both_stores};

on_both_stores!(a_store_with_every_event_is_verified_rebuilt_and_served_without_a_difference,);

async fn a_store_with_every_event_is_verified_rebuilt_and_served_without_a_difference(
    store: Store,
) {
    let settings = store_with_every_event(store);
    let logged = settings.rows("event_log");
    let rows = read_models(&settings);
    assert!(rows.iter().all(|rows| rows.len() > 3), "{rows:?}");
    succeeds(&settings, &["migrate"]);
    assert_eq!(read_models(&settings), rows);
    is_whole(&settings);
    succeeds(&settings, &["rebuild"]);
    assert_eq!(read_models(&settings), rows);
    is_whole(&settings);

    let mut service = settings.start().await;
    let http = service.http();
    let called = |name: &str, password: &str| Person::called(name).with_password(password);
    let ann = called("ann", "ann-has-a-long-secret");
    for contract in Contract::ALL {
        contract.signs_in(&http, &ann).await;
    }
    for person in [
        called("ada", "another-secret"),
        called("root", "root-has-a-long-secret"),
    ] {
        Contract::ApiAuth.signs_in(&http, &person).await;
    }
    let bob = called("bob", "bob-has-a-long-secret");
    let refused = Contract::ApiAuth.sign_in(&http, &bob).await;
    Contract::ApiAuth.says_wrong_credentials(&refused);
    assert!(service.terminate().await.success());
    is_whole(&service.settings);
    let log = service.settings.rows("event_log");
    assert!(logged.iter().all(|entry| log.contains(entry)));
}

/// The rows of the read models, and the identifiers that accounts claim. Empty columns at the end are left out: a migration may
/// have added them.
fn read_models(settings: &Settings) -> [Vec<String>; 3] {
    ["accounts", "sessions", "identifier_claims"].map(|table| {
        let rows = settings.rows(table).into_iter();
        rows.map(|row| {
            let (without, end) = if settings.is_sqlite() {
                (row.trim_end_matches(']'), ", Null")
            } else {
                (row.trim_end_matches(')'), ",")
            };
            without.trim_end_matches(end).to_owned()
        })
        .collect()
    })
}

/// The store holds what its log says, and the log is the one that was signed.
fn is_whole(settings: &Settings) {
    let examined = succeeds(settings, &["doctor"]);
    assert!(!String::from_utf8_lossy(&examined.stdout).contains("WRONG"));
    succeeds(settings, &["log", "verify"]);
}

fn succeeds(settings: &Settings, command: &[&str]) -> Output {
    let output = settings.run(command, "");
    assert!(output.status.success(), "{command:?}: {output:?}");
    output
}
