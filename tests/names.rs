//! Names of accounts: several spellings of one mailbox, and names of one kind that look like another kind.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use std::process::Output;

use serde_json::{Value, json};
use support::mail::mail_to;
use support::{
    Contract, Person, Program, Settings, Store, api_auth, earlier_account, on_both_stores, own,
    staff, users,
};

on_both_stores!(
    a_mailbox_is_one_account_in_every_contract,
    addresses_in_other_scripts_are_registered_and_mailed,
    a_username_that_looks_like_an_id_is_refused_in_the_words_of_each_contract,
    an_earlier_username_that_is_an_id_is_not_taken_for_that_id,
    every_command_finds_an_account_by_each_of_its_names,
    the_doctor_names_earlier_accounts_that_share_a_mailbox,
);

async fn service_on(store: Store) -> Program {
    Settings::on(store).with_cheap_hashing().start().await
}

fn of_address(username: &str, email: &str) -> Person {
    Person {
        email: email.to_owned(),
        ..Person::called(username)
    }
}

fn said(output: &Output) -> String {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

async fn users(service: &Program, access: &str, query: &str) -> Vec<Value> {
    let answer = service.send(own::USERS).query(query).bearer(access).await;
    assert_eq!(answer.status, 200, "{answer}");
    answer.json()["users"].as_array().unwrap().clone()
}

async fn a_mailbox_is_one_account_in_every_contract(store: Store) {
    let service = service_on(store).await;
    let http = service.http();
    for (number, contract) in Contract::ALL.into_iter().enumerate() {
        let written = format!("mo{number}\u{e9}@b\u{fc}cher.example");
        let mo = of_address(&format!("mo{number}"), &written);
        contract.registers(&http, &mo).await;
        for spelling in [
            written.clone(),
            format!("MO{number}\u{c9}@xn--bcher-kva.example"),
            format!("mo{number}e\u{301}@bu\u{308}cher.example"),
        ] {
            for other in Contract::ALL {
                let same = of_address(&format!("other{number}"), &spelling);
                let same = same.with_password(&mo.password);
                other.signs_in(&http, &same).await;
                other.says_email_taken(&other.register(&http, &same).await);
            }
        }
    }
}

async fn addresses_in_other_scripts_are_registered_and_mailed(store: Store) {
    let service = service_on(store).await;
    let http = service.http();
    for (email, mailed) in [
        // Hindi, Telugu, Tamil.
        (
            "\u{938}\u{902}\u{92a}\u{930}\u{94d}\u{915}@\u{921}\u{93e}\u{91f}\u{93e}\u{92e}\u{947}\u{932}.\u{92d}\u{93e}\u{930}\u{924}",
            "\u{938}\u{902}\u{92a}\u{930}\u{94d}\u{915}@xn--c2bd4bq1db8d.xn--h2brj9c",
        ),
        (
            "\u{c38}\u{c02}\u{c2a}\u{c4d}\u{c30}\u{c26}\u{c3f}@example.com",
            "\u{c38}\u{c02}\u{c2a}\u{c4d}\u{c30}\u{c26}\u{c3f}@example.com",
        ),
        (
            "\u{ba4}\u{bca}\u{b9f}\u{bb0}\u{bcd}\u{baa}\u{bc1}@example.com",
            "\u{ba4}\u{bca}\u{b9f}\u{bb0}\u{bcd}\u{baa}\u{bc1}@example.com",
        ),
        ("mo@b\u{fc}cher.example", "mo@xn--bcher-kva.example"),
    ] {
        let person = of_address("mo", email);
        Contract::V1Auth.registers(&http, &person).await;
        Contract::V1Auth.signs_in(&http, &person).await;
        let asked = http
            .send(users::REQUEST_RESET)
            .json(&json!({"username": email}))
            .await;
        assert_eq!(asked.status, 200, "{asked}");
        let mail = mail_to(&service, mailed).await;
        assert!(!mail.token().is_empty());
    }
}

async fn a_username_that_looks_like_an_id_is_refused_in_the_words_of_each_contract(store: Store) {
    let service = service_on(store).await;
    let http = service.http();
    let id = "0192d3f0-0000-7000-8000-000000000001";
    for username in [
        id,
        "0192D3F0000070008000000000000001",
        "{0192d3f0-0000-7000-8000-000000000001}",
        "urn:uuid:0192d3f0-0000-7000-8000-000000000001",
        "\u{ff10}192d3f0-0000-7000-8000-000000000001",
    ] {
        let person = of_address(username, "mo@example.com");
        let answer = Contract::ApiAuth.register(&http, &person).await;
        Contract::ApiAuth.refuses(&answer, 400);
        assert_eq!(
            answer.json()["errors"]["username"],
            json!(["The username field must not be a UUID."]),
            "{username}"
        );
        let body = json!({"username": username, "password": person.password});
        let answer = http.send(users::REGISTER).json(&body).await;
        Contract::Users.refuses(&answer, 400);
        assert_eq!(
            answer.json()["message"],
            "username must not be a UUID",
            "{username}"
        );
        let arguments = ["user", "create", "--username", username];
        let refused = service.settings.run(&arguments, &person.password);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        assert!(
            said(&refused).contains("--username is written like the id of an account"),
            "{refused:?}"
        );
        let line = json!({"username": username, "password_hash": "$2b$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK"});
        let refused = service
            .settings
            .run(&["user", "import", "-"], &line.to_string());
        assert!(
            said(&refused).contains("line 1: username is written like the id of an account"),
            "{refused:?}"
        );
    }
}

async fn an_earlier_username_that_is_an_id_is_not_taken_for_that_id(store: Store) {
    let service = service_on(store).await;
    let http = service.http();
    let admin = staff::signed_in(&service, "root", "admin").await.access;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let found = users(&service, &admin, "username=ann").await;
    let id = found[0]["id"].as_str().unwrap().to_owned();
    let mallory = of_address(&id, "mallory@example.com").with_password(earlier_account::PASSWORD);
    let mallorys = earlier_account::is_registered(&service, &mallory).await;

    // That account continues to work.
    let body = Contract::ApiAuth.login_of(&id, &mallory.password);
    let answer = http.send(api_auth::LOGIN).json(&body).await;
    assert_eq!(answer.status, 200, "{answer}");
    assert_eq!(answer.json()["user"]["username"], id);

    // Each query parameter looks for one kind of name.
    for (query, expected) in [
        (format!("id={id}"), Some("ann@example.com")),
        (format!("username={id}"), Some("mallory@example.com")),
        (format!("email={id}"), None),
        ("username=ann@example.com".to_owned(), None),
        ("id=ann".to_owned(), None),
    ] {
        let found = users(&service, &admin, &query).await;
        let emails: Vec<_> = found.iter().map(|it| it["email"].as_str()).collect();
        let expected: Vec<_> = expected.into_iter().map(Some).collect();
        assert_eq!(emails, expected, "{query}");
    }

    // A name that matches two accounts is refused.
    let settings = &service.settings;
    let before = said(&settings.run(&["user", "list"], ""));
    let commands: [&[&str]; 7] = [
        &["user", "role", &id, "admin"],
        &["user", "lock", &id],
        &["user", "unlock", &id],
        &["user", "erase", &id, "--yes"],
        &["history", &id],
        &["state", &id],
        &["export", "--user", &id],
    ];
    for command in commands {
        let refused = settings.run(command, "");
        assert_eq!(refused.status.code(), Some(1), "{command:?}: {refused:?}");
        let why =
            format!("{id}: it is the id of one account and the username of another, {mallorys}");
        assert!(said(&refused).contains(&why), "{command:?}: {refused:?}");
    }
    assert_eq!(said(&settings.run(&["user", "list"], "")), before);

    // Each of the two accounts can be named in another way.
    let locked = settings.run(&["user", "lock", &mallorys.to_string()], "");
    assert!(
        said(&locked).contains(&format!("locked {mallorys}")),
        "{locked:?}"
    );
    let locked = settings.run(&["user", "lock", "ann"], "");
    assert!(
        said(&locked).contains(&format!("locked {id}")),
        "{locked:?}"
    );
}

async fn every_command_finds_an_account_by_each_of_its_names(store: Store) {
    let service = service_on(store).await;
    let ann = of_address("ann", "ann@b\u{fc}cher.example");
    Contract::ApiAuth.registers(&service.http(), &ann).await;
    let settings = &service.settings;
    let locked = said(&settings.run(&["user", "lock", "ann"], ""));
    let id = locked.trim().strip_prefix("locked ").unwrap().to_owned();
    let names = [
        id.as_str(),
        "ANN",
        "ann@b\u{fc}cher.example",
        "ann@xn--bcher-kva.example",
    ];
    let commands: [&[&str]; 7] = [
        &["user", "role", "", "auditor"],
        &["user", "lock", ""],
        &["user", "unlock", ""],
        &["history", ""],
        &["state", ""],
        &["export", "--user", ""],
        &["user", "erase", "", "--yes"],
    ];
    for command in commands {
        let is_last = command[1] == "erase";
        for name in names.into_iter().filter(|name| !is_last || *name == id) {
            let arguments: Vec<&str> = command
                .iter()
                .map(|word| if word.is_empty() { name } else { word })
                .collect();
            let output = settings.run(&arguments, "");
            assert!(output.status.success(), "{arguments:?}: {output:?}");
            assert!(said(&output).contains(&id), "{arguments:?}: {output:?}");
        }
        let arguments: Vec<&str> = command
            .iter()
            .map(|word| if word.is_empty() { "missing" } else { word })
            .collect();
        let refused = settings.run(&arguments, "");
        assert_eq!(refused.status.code(), Some(1), "{arguments:?}: {refused:?}");
        assert!(
            said(&refused).contains("missing: there is no such account"),
            "{arguments:?}: {refused:?}"
        );
    }
    // Only the id of an erased account remains.
    let history = settings.run(&["history", &id], "");
    assert!(history.status.success(), "{history:?}");
    let again = settings.run(&["user", "erase", &id, "--yes"], "");
    assert!(again.status.success(), "{again:?}");
}

async fn the_doctor_names_earlier_accounts_that_share_a_mailbox(store: Store) {
    let service = service_on(store).await;
    let (http, settings) = (service.http(), &service.settings);
    let registered = async |username: &str, email: &str| {
        let person = of_address(username, email);
        Contract::ApiAuth.registers(&http, &person).await;
        let locked = said(&settings.run(&["user", "unlock", username], ""));
        locked.trim().strip_prefix("unlocked ").unwrap().to_owned()
    };
    // Earlier versions did not claim mailboxes. An account with a single claim shows which claim is that of a mailbox.
    let shown = registered("shown", "mo@xn--bcher-kva.example").await;
    settings.execute(&format!(
        "CREATE TABLE shown AS SELECT digest FROM identifier_claims WHERE kind = 'email' AND owner = '{shown}'"
    ));
    settings.run(&["user", "erase", &shown, "--yes"], "");
    let ann = registered("ann", "mo@b\u{fc}cher.example").await;
    settings.execute("DELETE FROM identifier_claims WHERE digest IN (SELECT digest FROM shown)");
    settings.execute("DROP TABLE shown");
    let bob = registered("bob", "mo@xn--bcher-kva.example").await;

    let examined = settings.run(&["doctor"], "");
    assert!(examined.status.success(), "{examined:?}");
    let note = format!("note      accounts {ann} and {bob} share a mailbox");
    assert!(said(&examined).contains(&note), "{examined:?}");
    for (username, email) in [
        ("ann", "Mo@B\u{dc}CHER.example"),
        ("bob", "Mo@XN--BCHER-KVA.example"),
    ] {
        Contract::ApiAuth
            .signs_in(&http, &of_address(username, email))
            .await;
    }
}
