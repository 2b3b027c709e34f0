//! Accounts are imported from other services with their password hashes, and each password is hashed again at the next
//! login.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use std::process::Output;

use serde_json::{Value, json};
use support::authenticator::{Authenticator, challenge, finish};
use support::contract::verifies;
use support::{
    Contract, Person, Program, Settings, Store, api_auth, eventually, on_both_stores, own,
};
use tokio::task::JoinSet;

on_both_stores!(
    an_imported_account_signs_in_and_its_password_is_hashed_again,
    an_interrupted_import_can_be_resumed,
    an_error_in_a_file_names_its_line_and_repeats_nothing_of_it,
    a_password_that_is_longer_than_bcrypt_reads_is_not_hashed_again,
    an_import_without_ids_cannot_be_repeated,
    a_hash_cheaper_than_a_new_one_is_renewed_at_the_next_login,
    a_storm_of_logins_does_not_stop_verifying_and_refreshing,
    an_imported_app_signs_in_with_its_code,
    an_export_of_keycloak_is_imported_with_its_password_and_app,
);

const BCRYPT: &str = "$2b$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK";

/// Hashes of other programs with their passwords: test vectors of `crypt_blowfish`, of the reference implementation of
/// Argon2 and of RFC 7914, and hashes that passlib 1.7.4 and Django 5.2 made.
const ELSEWHERE: [(&str, &str, &str); 11] = [
    (
        "bcrypt-a",
        "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        "U*U",
    ),
    ("bcrypt-b", BCRYPT, "U*U*"),
    (
        "bcrypt-y",
        "$2y$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK",
        "U*U*",
    ),
    (
        "argon2id",
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "password",
    ),
    (
        "argon2i",
        "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$iekCn0Y3spW+sCcFanM2xBT63UP2sghkUoHLIUpWRS8",
        "password",
    ),
    (
        "scrypt",
        "$scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU$cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofI",
        "pleaseletmein",
    ),
    (
        "passlib-sha1",
        "$pbkdf2$1000$YW4gaW1wb3J0ZWQgc2FsdA$K3Wru5n0J3SGDJ9hpnSlvPX/Qbo",
        "correct horse",
    ),
    (
        "passlib-sha256",
        "$pbkdf2-sha256$1000$YW4gaW1wb3J0ZWQgc2FsdA$C5jMLqGRvRkwzyLZ1rZtp5hRpqf8Wy5dvGphIZC7dm8",
        "correct horse",
    ),
    (
        "passlib-sha512",
        "$pbkdf2-sha512$1000$YW4gaW1wb3J0ZWQgc2FsdA$m4OXmmSGoGmhAS94qWIT9nT4ehGCUdHCUegwOf58crG1lYNQ939IeDFkV7nRgXDuY5jYaYPZIamErkIOX4Jubw",
        "correct horse",
    ),
    (
        "django-sha256",
        "pbkdf2_sha256$1000$djangosalt22characters$mJK9IOf0Ui9EG7PkdSodPYJAUuBpDDOt5qravRFZSis=",
        "correct horse",
    ),
    (
        "django-sha1",
        "pbkdf2_sha1$1000$djangosalt22characters$Pk8l7ym9RwG++lzL7A990+TQ1Fs=",
        "correct horse",
    ),
];

async fn an_imported_account_signs_in_and_its_password_is_hashed_again(store: Store) {
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let http = service.http();
    let lines: Vec<Value> = ELSEWHERE
        .iter()
        .map(|(name, hash, _)| {
            json!({
                "username": name,
                "email": format!("{name}@example.com"),
                "name": "Another Name",
                "phone": "+6285319076822",
                "role": "auditor",
                "created_at": "2019-02-03T04:05:06Z",
                "password_hash": hash,
                "email_verified": true,
            })
        })
        .collect();
    let import = import(&service.settings, &lines);
    assert!(import.status.success(), "{import:?}");
    for (name, _, password) in ELSEWHERE {
        let person = Person::called(name).with_password(password);
        let refused = Contract::ApiAuth
            .sign_in(&http, &person.with_password("not-the-password"))
            .await;
        Contract::ApiAuth.says_wrong_credentials(&refused);
        assert_eq!(
            renewals(&service, name),
            0,
            "{name}: a wrong password is refused"
        );
        for contract in Contract::ALL {
            contract.signs_in(&http, &person).await;
        }
        eventually("the password is hashed again", async || {
            (renewals(&service, name) > 0).then_some(())
        })
        .await;
        // The new hash is used, and the password is hashed again only once.
        let tokens = Contract::ApiAuth.signs_in(&http, &person).await;
        verifies(&http, &tokens.access).await;
        let refused = Contract::ApiAuth
            .sign_in(&http, &person.with_password("not-the-password"))
            .await;
        Contract::ApiAuth.says_wrong_credentials(&refused);
        assert_eq!(renewals(&service, name), 1, "{name}");
    }
    let person = Person::called("bcrypt-b").with_password("U*U*");
    let answer = Contract::V1Auth.sign_in(&http, &person).await.json();
    let user = &answer["data"]["user"];
    assert_eq!(user["name"], "Another Name", "{user}");
    assert_eq!(
        user["created_at"].as_str().unwrap()[..19],
        *"2019-02-03T04:05:06",
        "{user}"
    );
    let listed = service.settings.run(&["user", "list"], "");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert_eq!(
        listed.matches("auditor").count(),
        ELSEWHERE.len(),
        "{listed}"
    );
    for (name, ..) in ELSEWHERE {
        let hash = service.settings.stored_hash(name).await;
        assert!(hash.starts_with("$argon2id$v=19$m=1024,t=1,p=1$"), "{hash}");
    }
}

async fn an_interrupted_import_can_be_resumed(store: Store) {
    let settings = Settings::on(store).with_cheap_hashing();
    let lines: Vec<Value> = (0..300).map(imported_person).collect();
    let first = import(&settings, &lines[..150]);
    assert!(
        said(&first.stdout).contains("imported 150 accounts, skipped 0"),
        "{first:?}"
    );
    // The file from its beginning, with one account twice.
    let mut whole = lines.clone();
    whole.push(lines[299].clone());
    let second = import(&settings, &whole);
    assert!(second.status.success(), "{second:?}");
    assert!(
        said(&second.stdout).contains("imported 150 accounts, skipped 151"),
        "{second:?}"
    );
    let id = lines[7]["id"].as_str().unwrap();
    let erased = settings.run(&["user", "erase", id, "--yes"], "");
    assert!(erased.status.success(), "{erased:?}");
    // An old file does not restore an erased account.
    let third = import(&settings, &lines);
    assert!(!third.status.success(), "{third:?}");
    assert!(
        said(&third.stdout).contains("imported 0 accounts, skipped 299"),
        "{third:?}"
    );
    assert!(
        said(&third.stderr).contains("line 8: the account was erased here"),
        "{third:?}"
    );
}

async fn an_error_in_a_file_names_its_line_and_repeats_nothing_of_it(store: Store) {
    let settings = Settings::on(store).with("AUTHLOG_LOG", "trace");
    let mut lines = lines_with_errors();
    lines.extend(lines_with_wrong_apps());
    let first = import(&settings, &[imported_person(1)]);
    assert!(first.status.success(), "{first:?}");
    let text: Vec<&str> = lines.iter().map(|(line, _)| line.as_str()).collect();
    let file = settings.data().with_file_name("accounts.ndjson");
    std::fs::write(&file, text.join("\n")).unwrap();
    let report = settings.data().with_file_name("report.txt");
    let [file, report] = [file, report].map(|path| path.display().to_string());
    let import = settings.run(&["user", "import", &file, "--report", &report], "");
    assert!(!import.status.success(), "{import:?}");
    assert!(
        said(&import.stdout).contains("imported 1 accounts, skipped 1"),
        "{import:?}"
    );
    let report = std::fs::read_to_string(report).unwrap();
    let numbers: Vec<usize> = report
        .lines()
        .map(|line| line[5..].split_once(':').unwrap().0.parse().unwrap())
        .collect();
    assert!(numbers.is_sorted(), "{report}");
    let refused: Vec<(usize, &str)> = lines
        .iter()
        .enumerate()
        .filter(|(_, (_, why))| !why.is_empty())
        .map(|(index, (_, why))| (index + 1, *why))
        .collect();
    assert_eq!(report.lines().count(), refused.len(), "{report}");
    for (number, why) in refused {
        let line = report
            .lines()
            .find(|line| line.starts_with(&format!("line {number}: ")));
        assert!(
            line.is_some_and(|line| line.contains(why)),
            "{number} {why}: {report}"
        );
    }
    for text in [&report, &said(&import.stderr), &said(&import.stdout)] {
        assert!(!text.to_lowercase().contains("canar"), "{text}");
        assert!(
            !text.contains("$2b$") && !text.contains("c2VjcmV0"),
            "{text}"
        );
    }
}

/// The line of a person with one member that is wrong.
fn with(member: &str, value: Value) -> String {
    let mut line = imported_person(500);
    line["username"] = json!("canary-user");
    line["email"] = json!("canary@canary.example");
    line[member] = value;
    line.to_string()
}

/// Lines with authenticator apps or exported credentials that are wrong.
fn lines_with_wrong_apps() -> Vec<(String, &'static str)> {
    vec![
        (with("totp", json!("canary")), "totp is not an array"),
        (
            with("totp", json!([{"secret": "canary!"}])),
            "totp 1: secret is not base 32",
        ),
        (
            with("totp", json!([{"secret": "CANARYCANARYCANA", "digits": 9}])),
            "totp 1: digits is not 6, 7 or 8",
        ),
        (
            with(
                "totp",
                json!([{"secret": "CANARYCANARYCANA"}, {"secret": "canary canary cana"}]),
            ),
            "totp 2: secret is that of an app before",
        ),
        (
            with(
                "totp",
                json!(vec![json!({"secret": "CANARYCANARYCANA"}); 11]),
            ),
            "totp has more than 10 apps",
        ),
        (
            with(
                "credentials",
                json!([{"type": "otp", "secretData": "canary"}]),
            ),
            "without secretData and credentialData",
        ),
    ]
}

/// Lines of a file, each with the reason for which it is refused; empty for lines without an error.
fn lines_with_errors() -> Vec<(String, &'static str)> {
    let many_rounds = BCRYPT.replace("$05$", "$31$");
    vec![
        (imported_person(1).to_string(), ""),
        ("{canary".to_owned(), "is not a JSON object"),
        ("\"canary\"".to_owned(), "is not a JSON object"),
        (String::new(), ""),
        (with("id", json!("canary")), "id is no UUID"),
        (with("id", json!(5)), "id is not a string"),
        (
            with("username", json!("two canaries")),
            "username is malformed",
        ),
        (with("email", json!("canary@")), "email is malformed"),
        (with("phone", json!("canary")), "phone is malformed"),
        (with("role", json!("canary")), "role is no role"),
        (
            with("created_at", json!("canary")),
            "created_at is no RFC 3339 instant",
        ),
        (
            with("password_hash", json!(null)),
            "password_hash is required",
        ),
        (
            with("password_hash", json!("canary")),
            "password_hash cannot be used",
        ),
        (
            with("password_hash", json!(many_rounds)),
            "cost 31 takes too long",
        ),
        (
            with(
                "password_hash",
                json!("$argon2id$v=19$m=4294967295,t=9,p=1$c29tZXNhbHQ$c2VjcmV0c2VjcmV0"),
            ),
            "password_hash cannot be used",
        ),
        (
            with(
                "password_hash",
                json!("$scrypt$ln=40,r=8,p=1$c29tZXNhbHQ$c2VjcmV0c2VjcmV0"),
            ),
            "ln=40, r=8, p=1 costs too much",
        ),
        (
            with(
                "password_hash",
                json!(format!(
                    "pbkdf2_sha256$3000001$canary$c2VjcmV0{}",
                    "A".repeat(35)
                )),
            ),
            "a PBKDF2 hash of 3000001 iterations for each of 1 blocks takes too long to check",
        ),
        (
            json!({"password_hash": BCRYPT, "name": "Canary"}).to_string(),
            "username or email is required",
        ),
        (
            with("name", json!("canary".repeat(20_000))),
            "is longer than",
        ),
        (
            with("username", json!("person-1")),
            "username is taken by another account",
        ),
        (
            format!("{}{}", "[".repeat(30_000), "canary"),
            "is not a JSON object",
        ),
        (imported_person(2).to_string(), ""),
    ]
}

/// Hashes of bcrypt by Debian's crypt(3): a number of letters `a`, an ending, and the hash.
const OF_86_BYTES: (usize, &str, &str) = (
    72,
    "-my-own-ending",
    "$2b$04$CCCCCCCCCCCCCCCCCCCCC.mDyzbhj.9K0apb9O/AGMWwoLXiYAu6u",
);
const OF_71_BYTES: (usize, &str, &str) = (
    71,
    "",
    "$2b$04$CCCCCCCCCCCCCCCCCCCCC.ZP48wSDJeZC4KEEZRkahyfLke0vxZNC",
);

async fn a_password_that_is_longer_than_bcrypt_reads_is_not_hashed_again(store: Store) {
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let http = service.http();
    let people = [("long", OF_86_BYTES), ("short", OF_71_BYTES)].map(|(name, (length, ending, hash))| {
        let password = format!("{}{ending}", "a".repeat(length));
        let line = json!({"username": name, "email": format!("{name}@example.com"), "password_hash": hash});
        (Person::called(name).with_password(&password), line)
    });
    let imported = import(&service.settings, &people.clone().map(|(_, line)| line));
    assert!(imported.status.success(), "{imported:?}");
    let [long, short] = people.map(|(person, _)| person);

    // bcrypt ignores everything after 72 bytes. That must not change later.
    let prefix = "a".repeat(72);
    for password in [format!("{prefix}-of-another-person"), prefix] {
        Contract::ApiAuth
            .signs_in(&http, &long.with_password(&password))
            .await;
    }
    // Passwords are hashed again in order: once this one is, the earlier ones would have been.
    Contract::ApiAuth.signs_in(&http, &short).await;
    eventually("the short one is hashed again", async || {
        (renewals(&service, "short") > 0).then_some(())
    })
    .await;
    assert_eq!(renewals(&service, "long"), 0);
    let stored = service.settings.stored_hash("long").await;
    assert_eq!(stored, OF_86_BYTES.2);
    let tokens = Contract::ApiAuth.signs_in(&http, &long).await;

    // If the owner changes the password, all of its bytes count.
    let chosen = format!("{}-chosen", "b".repeat(80));
    let body = json!({"current_password": long.password, "new_password": chosen});
    let answer = http
        .send(own::CHANGE_PASSWORD)
        .bearer(&tokens.access)
        .json(&body)
        .await;
    assert!(answer.status < 300, "{answer}");
    Contract::ApiAuth
        .signs_in(&http, &long.with_password(&chosen))
        .await;
    for other in ["b".repeat(72), format!("{}-other", "b".repeat(80))] {
        let refused = Contract::ApiAuth
            .sign_in(&http, &long.with_password(&other))
            .await;
        Contract::ApiAuth.says_wrong_credentials(&refused);
    }
}

async fn an_import_without_ids_cannot_be_repeated(store: Store) {
    let settings = Settings::on(store).with_cheap_hashing();
    let lines: Vec<Value> = (0..3)
        .map(|number| {
            let mut line = imported_person(number);
            line.as_object_mut().unwrap().remove("id");
            line
        })
        .collect();
    let first = import(&settings, &lines);
    assert!(first.status.success(), "{first:?}");
    let second = import(&settings, &lines);
    assert!(!second.status.success(), "{second:?}");
    let refused: Vec<String> = said(&second.stderr)
        .lines()
        .filter(|line| line.contains("taken by another account"))
        .map(str::to_owned)
        .collect();
    let expected =
        [1, 2, 3].map(|number| format!("line {number}: username is taken by another account"));
    assert_eq!(refused, expected);
}

async fn a_hash_cheaper_than_a_new_one_is_renewed_at_the_next_login(store: Store) {
    let settings = Settings::on(store).with_cheap_hashing();
    let mut service = settings.clone().start().await;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&service.http(), &ann).await;
    let before = Contract::ApiAuth.signs_in(&service.http(), &ann).await;
    assert_eq!(renewals(&service, "ann"), 0);
    service.terminate().await;

    let dearer = settings.with("AUTHLOG_ARGON2_ITERATIONS", "2");
    let service = dearer.start().await;
    let http = service.http();
    let refused = Contract::ApiAuth
        .sign_in(&http, &ann.with_password("not-her-secret"))
        .await;
    Contract::ApiAuth.says_wrong_credentials(&refused);
    Contract::ApiAuth.signs_in(&http, &ann).await;
    eventually("the password is hashed again", async || {
        (renewals(&service, "ann") == 1).then_some(())
    })
    .await;
    let hash = service.settings.stored_hash("ann").await;
    assert!(hash.contains("$m=1024,t=2,p=1$"), "{hash}");
    for _ in 0..3 {
        Contract::ApiAuth.signs_in(&http, &ann).await;
    }
    assert_eq!(renewals(&service, "ann"), 1);
    // The password is unchanged, and the sessions stay alive.
    verifies(&http, &before.access).await;
}

async fn a_storm_of_logins_does_not_stop_verifying_and_refreshing(store: Store) {
    let settings = Settings::on(store).with_cheap_hashing();
    let mut service = settings.clone().start().await;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&service.http(), &ann).await;
    let mut tokens = Contract::ApiAuth.signs_in(&service.http(), &ann).await;
    service.terminate().await;
    // Hashes that take seconds, and more logins than the service can hash before they time out.
    let dear = settings
        .with("AUTHLOG_ARGON2_MEMORY_KIB", "65536")
        .with("AUTHLOG_ARGON2_ITERATIONS", "64");
    let service = dear.start().await;
    let http = service.http();
    let mut storm = JoinSet::new();
    for number in 0..32 {
        let http = http.clone();
        storm.spawn(async move {
            let contract = Contract::ALL[number % 4];
            let unknown = Person::called(&format!("unknown-{number}"));
            let body = contract.login_of(&unknown.email, &unknown.password);
            let answer = http
                .send(contract.login())
                .json(&body)
                .attempt()
                .await
                .unwrap();
            (contract, answer)
        });
    }
    let mut turned_away = 0;
    while let Some(joined) = {
        // While the logins wait, other requests are served.
        verifies(&http, &tokens.access).await;
        let answer = http.send(api_auth::REFRESH).bearer(tokens.refresh()).await;
        assert_eq!(answer.status, 200, "{answer}");
        tokens = Contract::ApiAuth.tokens_in(&answer.json());
        storm.join_next().await
    } {
        let (contract, answer) = joined.unwrap();
        if answer.status == 503 {
            contract.refuses(&answer, 503);
            assert!(answer.retry_after() >= 1, "{answer}");
            turned_away += 1;
        } else {
            contract.says_wrong_credentials(&answer);
        }
    }
    assert!(turned_away > 0, "no login was refused");
}

async fn an_imported_app_signs_in_with_its_code(store: Store) {
    const SEEDS: [&str; 2] = [
        "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ",
        "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP",
    ];
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let http = service.http();
    let mut line = imported_person(1);
    line["totp"] = json!([
        {"secret": SEEDS[0].to_lowercase(), "algorithm": "SHA1", "digits": 6, "period": 30, "label": "old phone"},
        format!("otpauth://totp/Example:ann?secret={}&issuer=Example", SEEDS[1]),
    ]);
    let imported = import(&service.settings, &[line.clone(), imported_person(2)]);
    assert!(imported.status.success(), "{imported:?}");
    let person = Person::called("person-1").with_password("U*U*");
    let begun = challenge(&Contract::Users.sign_in(&http, &person).await);
    let mut apps = SEEDS.map(Authenticator::of);
    let answer = finish(&http, &begun, "code", &apps[0].fresh_code().await).await;
    assert_eq!(answer.status, 200, "{answer}");
    let access = Contract::Users.tokens_in(&answer.json()).access;
    // Also if the second step, which has no password, is a request of its own.
    eventually("the password is hashed again", async || {
        (renewals(&service, "person-1") == 1).then_some(())
    })
    .await;
    let typed = format!("U*U*{}", apps[1].fresh_code().await);
    Contract::ApiAuth
        .signs_in(&http, &person.with_password(&typed))
        .await;
    let listed = http.send(own::FACTORS).bearer(&access).await.json();
    let listed = listed["factors"].as_array().unwrap().clone();
    let labels: Vec<_> = listed.iter().map(|factor| &factor["label"]).collect();
    assert_eq!(labels, [&json!("old phone"), &Value::Null]);
    // A second import skips the account, and the doctor finds nothing.
    let again = import(&service.settings, &[line]);
    assert!(again.status.success(), "{again:?}");
    assert_eq!(service.settings.count("second_factors"), 2);
    let doctor = service.settings.run(&["doctor"], "");
    assert!(doctor.status.success(), "{doctor:?}");
    let other = Person::called("person-2").with_password("U*U*");
    Contract::Users.signs_in(&http, &other).await;
}

async fn an_export_of_keycloak_is_imported_with_its_password_and_app(store: Store) {
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let http = service.http();
    // By Python's hashlib, in the form of Keycloak's exports.
    let passwords = [
        ("pbkdf2", 1300, "P62Z4tXB8dRCqlyvrxCULpAXetQ="),
        (
            "pbkdf2-sha256",
            2750,
            "HVCaS3ZhZo6+nfLkO6sG140ROlWgq+MfjkXznedoVCVClJw//FeXYjTMopLy04bVmJDVGMkDkD8TnygWCFXugg==",
        ),
        (
            "pbkdf2-sha512",
            2100,
            "dOLJrwYjCU20UKtZvvlqvvshTqXBUam+rupbD6P3jxocmxxzfEGnsJD3HMnME62fFAjUn2IBAIILuy7fCF1eEw==",
        ),
    ];
    let lines: Vec<Value> = passwords
        .iter()
        .enumerate()
        .map(|(number, (algorithm, iterations, value))| {
            let mut line = imported_person(number);
            line.as_object_mut().unwrap().remove("password_hash");
            let secret = json!({"value": value, "salt": "AAECAwQFBgcICQoLDA0ODw==", "additionalParameters": {}});
            let data = json!({"hashIterations": iterations, "algorithm": algorithm, "additionalParameters": {}});
            let seed = json!({"value": "12345678901234567890"});
            let app = json!({"subType": "totp", "digits": 6, "counter": 0, "period": 30, "algorithm": "HmacSHA1"});
            line["credentials"] = json!([
                {"type": "password", "userLabel": "My password", "secretData": secret.to_string(), "credentialData": data.to_string()},
                {"type": "otp", "userLabel": "phone", "secretData": seed.to_string(), "credentialData": app.to_string()},
            ]);
            line
        })
        .collect();
    let imported = import(&service.settings, &lines);
    assert!(imported.status.success(), "{imported:?}");
    for (number, (algorithm, ..)) in passwords.iter().enumerate() {
        let name = format!("person-{number}");
        let person = Person::called(&name).with_password("correct horse");
        let mut app = Authenticator::of("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        let typed = format!("correct horse{}", app.fresh_code().await);
        Contract::ApiAuth
            .signs_in(&http, &person.with_password(&typed))
            .await;
        let refused = Contract::ApiAuth
            .sign_in(&http, &person.with_password("Correct horse"))
            .await;
        Contract::ApiAuth.says_wrong_credentials(&refused);
        eventually("the password is hashed again", async || {
            (renewals(&service, &name) == 1).then_some(())
        })
        .await;
        let hash = service.settings.stored_hash(&name).await;
        assert!(hash.starts_with("$argon2id$"), "{algorithm}: {hash}");
    }
}

/// How often an account's password was hashed again.
fn renewals(service: &Program, name: &str) -> usize {
    let history = service.settings.run(
        &["history", name, "--type", "PasswordRehashed", "--json"],
        "",
    );
    assert!(history.status.success(), "{history:?}");
    said(&history.stdout)
        .matches("\"PasswordRehashed\"")
        .count()
}

/// A line of a file to import.
fn imported_person(number: usize) -> Value {
    json!({
        "id": format!("0192d3f0-0000-7000-8000-{number:012}"),
        "username": format!("person-{number}"),
        "email": format!("person-{number}@example.com"),
        "password_hash": BCRYPT,
    })
}

fn import(settings: &Settings, lines: &[Value]) -> Output {
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    settings.run(&["user", "import", "-"], &lines.join("\n"))
}

fn said(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}
