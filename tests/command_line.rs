//! The command line: what each command prints, and what it must not change.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use std::collections::BTreeMap;
use std::process::Output;

use support::upgrade::store_of_the_version_before;
use support::{Contract, Person, Postgres, Program, Settings, Store, eventually, on_both_stores};

on_both_stores!(
    a_read_only_command_changes_nothing,
    a_read_only_command_refuses_an_older_schema_and_does_not_change_it,
    a_command_reports_a_missing_store_and_creates_none,
    migrate_needs_no_master_key_and_creates_none,
    a_command_without_the_master_key_creates_no_other,
    a_mistyped_command_or_option_is_named,
    the_file_of_the_new_master_key_is_a_setting_like_the_others,
    the_help_of_a_command_shows_its_own_options_and_refers_to_the_settings,
    columns_line_up_with_wide_letters,
    an_export_says_what_it_exported,
);

/// Commands that only read.
const READING: [&[&str]; 9] = [
    &["user", "list"],
    &["client", "list"],
    &["keys", "list"],
    &["history", "ann"],
    &["state", "ann"],
    &["doctor"],
    &["log", "key"],
    &["log", "verify"],
    &["user", "list", "--log", "debug"],
];

/// Commands that change an existing store.
const CHANGING: [&[&str]; 15] = [
    &["client", "lock", "shop"],
    &["client", "remove", "shop", "--yes"],
    &["user", "role", "ann", "admin"],
    &["user", "lock", "ann"],
    &["user", "unlock", "ann"],
    &["user", "erase", "ann", "--yes"],
    &["keys", "rotate"],
    &["keys", "retire", "nonsense"],
    &["keys", "rotate-master", "--new-key-file", "new.key"],
    &["rebuild"],
    &["doctor", "--repair"],
    &["log", "checkpoint"],
    &["log", "prove", "1"],
    &["log", "verify", "--repair"],
    &["export"],
];

async fn a_read_only_command_changes_nothing(store: Store) {
    let mut service = Program::on(store).await;
    Contract::ApiAuth
        .registers(&service.http(), &Person::called("ann"))
        .await;
    let settings = service.settings.clone();
    eventually("a checkpoint covers every event", async || {
        let verified = settings.run(&["log", "verify"], "");
        verified.status.success().then_some(())
    })
    .await;
    // SQLite keeps a write-ahead log that the next writing program would empty.
    service.kill9();
    let before = stored(&settings);
    for command in READING {
        let output = settings.run(command, "");
        assert!(output.status.success(), "{command:?}: {output:?}");
        assert_eq!(stored(&settings), before, "{command:?}");
    }
    // A missing key is not created either.
    settings.execute("DELETE FROM shared_secrets WHERE name = 'checkpoint-key'");
    let before = stored(&settings);
    for command in [["log", "key"], ["log", "verify"]] {
        let refused = settings.run(&command, "");
        assert_eq!(refused.status.code(), Some(1), "{command:?}: {refused:?}");
        says(&refused, "the key that signs checkpoints");
        assert_eq!(stored(&settings), before, "{command:?}");
    }
}

async fn a_read_only_command_refuses_an_older_schema_and_does_not_change_it(store: Store) {
    let settings = store_of_the_version_before(store);
    let before = stored(&settings);
    for command in READING {
        let refused = settings.run(command, "");
        assert_eq!(refused.status.code(), Some(1), "{command:?}: {refused:?}");
        says(&refused, "run `authlog migrate`");
        assert_eq!(stored(&settings), before, "{command:?}");
    }
}

async fn a_command_reports_a_missing_store_and_creates_none(store: Store) {
    let settings = Settings::without_a_schema(store);
    let given = settings.clone().with("AUTHLOG_MASTER_KEY", KEY);
    for command in READING.into_iter().chain(CHANGING) {
        let refused = given.run(command, "");
        assert_eq!(refused.status.code(), Some(1), "{command:?}: {refused:?}");
        says(&refused, "there is no store");
        says(&refused, "AUTHLOG_DATA_DIR");
        if store == Store::Sqlite {
            // The key is missing as well, but the missing store is reported first.
            says(&settings.run(command, ""), "there is no store");
        }
        let files = std::fs::read_dir(settings.data().parent().unwrap()).unwrap();
        let files: Vec<_> = files.map(|it| it.unwrap().file_name()).collect();
        assert!(
            files.iter().all(|name| name == "new.key"),
            "{command:?}: {files:?}"
        );
        if let Some(url) = settings.get("AUTHLOG_DATABASE_URL") {
            assert!(!Postgres::dump(url).contains("CREATE TABLE"), "{command:?}");
        }
    }
}

async fn migrate_needs_no_master_key_and_creates_none(store: Store) {
    let settings = Settings::without_a_schema(store);
    for _ in 0..2 {
        let migrated = settings.run(&["migrate"], "");
        assert!(migrated.status.success(), "{migrated:?}");
    }
    assert!(!settings.data().join("master.key").exists());
    // The store is bound to the key of the first service.
    let settings = settings.with("AUTHLOG_MASTER_KEY", KEY);
    for command in READING {
        let refused = settings.run(command, "");
        assert_eq!(refused.status.code(), Some(1), "{command:?}: {refused:?}");
        says(&refused, "no service has been started on it yet");
    }
    let service = settings.with("AUTHLOG_MIGRATE", "off").start().await;
    Contract::ApiAuth
        .registers(&service.http(), &Person::called("ann"))
        .await;
}

async fn a_command_without_the_master_key_creates_no_other(store: Store) {
    let settings = used(store).await;
    let key = settings.data().join("master.key");
    std::fs::rename(&key, settings.data().join("moved")).unwrap();
    for command in READING.into_iter().chain(CHANGING) {
        let refused = settings.run(command, "");
        assert_eq!(refused.status.code(), Some(1), "{command:?}: {refused:?}");
        says(&refused, "AUTHLOG_MASTER_KEY_FILE");
        assert!(!key.exists(), "{command:?}");
    }
    // A migration needs no key.
    let migrated = settings.run(&["migrate"], "");
    assert!(migrated.status.success() && !key.exists(), "{migrated:?}");
}

async fn a_mistyped_command_or_option_is_named(store: Store) {
    let settings = Settings::on(store);
    for (arguments, named) in [
        (&["doctr"][..], "'doctor'"),
        (&["migrat"], "a similar subcommand exists: 'migrate'"),
        (&["authlog.toml"], "unrecognized subcommand 'authlog.toml'"),
        (&["users", "list"], "'user'"),
        (&["user", "lst"], "'list'"),
        (&["--listn", "127.0.0.1:0"], "'--listen'"),
        (&["doctor", "--repiar"], "'--repair'"),
        (&["user", "role", "ann", "emperor"], "expected one of"),
        (&["keys"], "Usage: authlog keys"),
    ] {
        let refused = settings.run(arguments, "");
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}: {refused:?}");
        says(&refused, named);
        assert!(!settings.data().exists(), "{arguments:?}");
    }
}

async fn the_file_of_the_new_master_key_is_a_setting_like_the_others(store: Store) {
    let settings = used(store).await;
    let new = settings.data().join("new.key").display().to_string();
    let missing = settings.run(&["keys", "list", "--new-master-key-file", &new], "");
    assert_eq!(missing.status.code(), Some(1), "{missing:?}");
    says(&missing, &new);
    std::fs::write(&new, KEY).unwrap();
    let rotated = settings.run(
        &["--new-master-key-file", &new, "keys", "rotate-master"],
        "",
    );
    assert!(rotated.status.success(), "{rotated:?}");
    let listed = settings.run(&["--master-key-file", &new, "user", "list"], "");
    assert!(listed.status.success(), "{listed:?}");
}

async fn the_help_of_a_command_shows_its_own_options_and_refers_to_the_settings(store: Store) {
    let settings = Settings::on(store);
    let help = |arguments: &[&str]| {
        let output = settings.run(arguments, "");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let program = help(&["--help"]);
    let names = ["--config", "--data-dir", "--database-url", "--log-format"];
    assert!(names.iter().all(|name| program.contains(name)), "{program}");
    // A secret is never a flag, because other users of the machine see command lines.
    assert!(!program.contains("--jwt-secret"), "{program}");
    for (command, option) in [
        (&["serve", "--help"][..], "--help"),
        (&["user", "--help"], "import"),
        (&["user", "create", "--help"], "--email"),
        (&["keys", "rotate-master", "--help"], "--new-key-file"),
        (&["log", "verify", "-h"], "--repair"),
        (&["help", "doctor"], "--repair"),
    ] {
        let help = help(command);
        assert!(help.contains(option), "{command:?}: {help}");
        assert!(help.contains("see `authlog --help`"), "{command:?}: {help}");
        let own = help.split("Settings such as").next().unwrap();
        for setting in ["--data-dir", "--database-url", "--log-format"] {
            assert!(!own.contains(setting), "{command:?}: {help}");
        }
    }
}

async fn columns_line_up_with_wide_letters(store: Store) {
    let settings = Settings::on(store);
    for (username, email) in [
        ("bo", "bo@example.com"),
        ("山田太郎子", "yamada@example.com"),
    ] {
        let create = ["user", "create", "--username", username, "--email", email];
        let made = settings.run(&create, "correct horse battery\n");
        assert!(made.status.success(), "{made:?}");
    }
    let listed = settings.run(&["user", "list"], "");
    let text = String::from_utf8(listed.stdout).unwrap();
    // Five wide letters take ten places.
    for end in [
        "  USERNAME    E-MAIL",
        "  bo          bo@example.com",
        "  山田太郎子  yamada@example.com",
    ] {
        assert!(
            text.lines().any(|line| line.ends_with(end)),
            "{end:?} in {text}"
        );
    }
}

async fn an_export_says_what_it_exported(store: Store) {
    let settings = used(store).await;
    let file = settings.data().join("log.ndjson").display().to_string();
    let to_file = settings.run(&["export", "--out", &file], "");
    assert!(to_file.status.success(), "{to_file:?}");
    let answer = String::from_utf8(to_file.stdout).unwrap();
    assert!(
        answer.starts_with("exported 2 events of the whole log"),
        "{answer}"
    );
    assert!(answer.ends_with(&format!("to {file}\n")), "{answer}");
    // If the events go to standard output, the message does not.
    let printed = settings.run(&["export", "--user", "ann"], "");
    assert!(printed.status.success(), "{printed:?}");
    let exported = String::from_utf8(printed.stdout.clone()).unwrap();
    assert!(
        exported.lines().all(|line| line.starts_with('{')),
        "{exported}"
    );
    says(&printed, "exported 2 events of the account ");
}

/// A master key that no file holds.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// The settings of a service that was used and then stopped.
async fn used(store: Store) -> Settings {
    let mut service = Program::on(store).await;
    Contract::ApiAuth
        .registers(&service.http(), &Person::called("ann"))
        .await;
    assert!(service.terminate().await.success());
    service.settings.clone()
}

/// Everything that is stored: the files in the data directory, and the database on PostgreSQL. SQLite's write-ahead log
/// and its index are left out, because they come and go with connections.
fn stored(settings: &Settings) -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(settings.data()).unwrap();
    let mut stored: BTreeMap<String, Vec<u8>> = files
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| (path.display().to_string(), std::fs::read(&path).unwrap()))
        .filter(|(name, bytes)| {
            !(name.ends_with("-shm") || name.ends_with("-wal") && bytes.is_empty())
        })
        .collect();
    if let Some(url) = settings.get("AUTHLOG_DATABASE_URL") {
        let dump = Postgres::dump(url);
        // pg_dump begins and ends with a random word.
        let lines = dump.lines().filter(|line| !line.starts_with('\\'));
        let dump = lines.collect::<Vec<_>>().join("\n");
        stored.insert("database".to_owned(), dump.into_bytes());
    }
    stored
}

/// Asserts that the program printed this on standard error without a panic.
#[track_caller]
fn says(output: &Output, words: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    // clap breaks long lines.
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains(words), "`{words}` is missing: {said}");
    assert!(!said.contains("panicked"), "{said}");
}
