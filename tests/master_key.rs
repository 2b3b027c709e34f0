//! The master key is replaced without an interruption, and the old key opens nothing afterwards.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;

use support::contract::verifies;
use support::load::{Load, are_whole};
use support::{Contract, Person, Settings, Store, api_auth, on_both_stores, own};

on_both_stores!(
    a_replaced_master_key_opens_nothing_and_the_new_one_everything,
    a_service_that_has_both_keys_serves_on_while_one_replaces_the_other,
    a_node_without_the_new_master_key_is_not_ready,
    a_replacement_that_is_killed_at_any_moment_is_finished_by_the_next,
    a_replacement_without_a_new_key_says_how_to_pass_it,
);

async fn a_replaced_master_key_opens_nothing_and_the_new_one_everything(store: Store) {
    let settings = Settings::on(store).with_cheap_hashing();
    let mut service = settings.clone().start().await;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&service.http(), &ann).await;
    let tokens = Contract::ApiAuth.signs_in(&service.http(), &ann).await;
    assert!(service.terminate().await.success());

    let rotated = run(
        &settings,
        &["keys", "rotate-master", "--new-key-file", "new.key"],
    )
    .await;
    assert!(rotated.status.success(), "{rotated:?}");
    assert!(said(&rotated).contains("1 accounts"), "{rotated:?}");
    let new = settings.data().parent().unwrap().join("new.key");
    let mode = std::fs::metadata(&new).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let refused = run(&settings, &["user", "list"]).await;
    assert!(!refused.status.success());
    assert!(said(&refused).contains("another master key"), "{refused:?}");
    let with_the_new = settings.with("AUTHLOG_MASTER_KEY_FILE", "new.key");
    let service = with_the_new.start().await;
    verifies(&service.http(), &tokens.access).await;
    for contract in Contract::ALL {
        contract.signs_in(&service.http(), &ann).await;
    }
    let role = run(&service.settings, &["user", "role", "ann", "auditor"]).await;
    assert!(role.status.success(), "{role:?}");
    // Rebuilding decrypts every personal field.
    let rebuilt = run(&service.settings, &["rebuild"]).await;
    assert!(rebuilt.status.success(), "{rebuilt:?}");
    Contract::Api.signs_in(&service.http(), &ann).await;
}

async fn a_service_that_has_both_keys_serves_on_while_one_replaces_the_other(store: Store) {
    let settings = Settings::on(store).with_cheap_hashing();
    let file = settings.data().parent().unwrap().join("new.key");
    std::fs::write(&file, "B0VIhsV2rK5PcUWq4cFYhkg1m0Pr2+wXBbC3Tw9iL0o=\n").unwrap();
    let both = settings
        .clone()
        .with("AUTHLOG_NEW_MASTER_KEY_FILE", "new.key");
    let service = both.clone().start().await;
    let load = Load::on(&service.http(), "before-and-after");
    load.has_done(10).await;
    let rotated = run(&both, &["keys", "rotate-master"]).await;
    assert!(rotated.status.success(), "{rotated:?}");
    let done = load.done();
    load.has_done(done + 10).await;
    let visitors = load.end().await;
    drop(service);
    let service = settings
        .with("AUTHLOG_MASTER_KEY_FILE", "new.key")
        .start()
        .await;
    are_whole(&visitors, &service.http()).await;
    let rebuilt = run(&service.settings, &["rebuild"]).await;
    assert!(rebuilt.status.success(), "{rebuilt:?}");
}

async fn a_node_without_the_new_master_key_is_not_ready(store: Store) {
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let answer = service.send(own::READYZ).await;
    assert_eq!(answer.status, 200, "{answer}");
    let settings = service.settings.clone();
    let rotated = run(
        &settings,
        &["keys", "rotate-master", "--new-key-file", "new.key"],
    )
    .await;
    assert!(rotated.status.success(), "{rotated:?}");
    // It cannot store a registration any more, and reports this before one is attempted.
    let answer = service.send(own::READYZ).attempt().await.unwrap();
    assert_eq!(answer.status, 503, "{answer}");
    let ann = Person::called("ann");
    let registration = Contract::ApiAuth.registration_of(&ann);
    let request = service.send(api_auth::REGISTER).json(&registration);
    let answer = request.attempt().await.unwrap();
    assert_eq!(answer.status, 503, "{answer}");
    let reason = "the store's master key was replaced";
    service.has_logged(reason).await;
    drop(service);
    let with_the_new = settings.with("AUTHLOG_MASTER_KEY_FILE", "new.key");
    let service = with_the_new.start().await;
    let answer = service.send(own::READYZ).await;
    assert_eq!(answer.status, 200, "{answer}");
    Contract::ApiAuth.registers(&service.http(), &ann).await;
}

async fn a_replacement_that_is_killed_at_any_moment_is_finished_by_the_next(store: Store) {
    let settings = Settings::on(store).with_cheap_hashing();
    let file = settings.data().parent().unwrap().join("new.key");
    std::fs::write(&file, "B0VIhsV2rK5PcUWq4cFYhkg1m0Pr2+wXBbC3Tw9iL0o=\n").unwrap();
    let both = settings
        .clone()
        .with("AUTHLOG_NEW_MASTER_KEY_FILE", "new.key");
    let service = both.clone().start().await;
    let people: Vec<_> = (0..20)
        .map(|number| Person::called(&format!("person{number}")))
        .collect();
    for person in &people {
        Contract::V1Auth.registers(&service.http(), person).await;
    }
    let load = Load::on(&service.http(), "meanwhile");
    // The delays range from before the command opens the store to after its end.
    let mut killed = 0;
    for millis in (10..).step_by(15) {
        let killing = both.clone();
        let outcome = tokio::task::spawn_blocking(move || {
            killing.run_and_kill_after(millis, &["keys", "rotate-master"])
        });
        if outcome.await.unwrap().status.success() {
            break;
        }
        killed += 1;
    }
    assert!(killed > 0);
    let visitors = load.end().await;
    drop(service);
    let service = settings
        .with("AUTHLOG_MASTER_KEY_FILE", "new.key")
        .start()
        .await;
    for person in &people {
        Contract::V1Auth.signs_in(&service.http(), person).await;
    }
    are_whole(&visitors, &service.http()).await;
    let well = run(&service.settings, &["doctor"]).await;
    assert!(well.status.success(), "{well:?}");
}

async fn a_replacement_without_a_new_key_says_how_to_pass_it(store: Store) {
    // A store that no service has used has no master key to replace.
    let service = Settings::on(store).start().await;
    let settings = service.settings.clone();
    for (settings, arguments, word) in [
        (
            settings.clone(),
            ["keys", "rotate-master"],
            "--new-key-file",
        ),
        (
            settings.clone().with("AUTHLOG_NEW_MASTER_KEY", "short"),
            ["keys", "rotate-master"],
            "44 characters",
        ),
        (
            settings.with("AUTHLOG_NEW_MASTER_KEY_FILE", "nowhere.key"),
            ["user", "list"],
            "nowhere.key",
        ),
    ] {
        let refused = run(&settings, &arguments).await;
        assert!(!refused.status.success(), "{refused:?}");
        assert!(said(&refused).contains(word), "{refused:?}");
    }
}

async fn run(settings: &Settings, arguments: &[&str]) -> Output {
    let settings = settings.clone();
    let arguments: Vec<String> = arguments.iter().map(|it| (*it).to_owned()).collect();
    let running = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        settings.run(&arguments, "")
    });
    running.await.unwrap()
}

fn said(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    format!("{out}{err}")
}
