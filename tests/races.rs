//! Concurrent clients: exactly one of them gets what only one can have.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use serde_json::{Value, json};
use support::authenticator::with_apps;
use support::contract::{is_refused, refreshes_nothing, verifies};
use support::http::Request;
use support::mail::{Mailbox as _, mail_to};
use support::passkey;
use support::{
    Answer, Contract, Person, Program, Settings, Store, api_auth, on_both_stores, own, token, users,
};
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_number_that_is_already_in_use_is_drawn_again() {
    let service = fast_service(Store::Postgres).await;
    let http = service.http();
    Contract::V1Auth
        .registers(&http, &Person::called("ann"))
        .await;
    // As if the number had been allocated on a server that failed over before the number was used.
    service.settings.execute(
        "CREATE SEQUENCE tries;
         CREATE FUNCTION collide() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF nextval('tries') = 1 THEN
                 NEW.number := (SELECT min(number) FROM accounts);
             END IF;
             RETURN NEW;
         END $$;
         CREATE TRIGGER collide BEFORE INSERT ON accounts FOR EACH ROW EXECUTE FUNCTION collide()",
    );
    let bob = Person::called("bob");
    Contract::V1Auth.registers(&http, &bob).await;
    Contract::V1Auth.signs_in(&http, &bob).await;
}

/// How many clients register one name concurrently.
const CROWD: usize = 200;

on_both_stores!(
    exactly_one_of_many_registrations_of_a_username_succeeds,
    exactly_one_of_many_registrations_of_an_address_in_every_contract_succeeds,
    a_lost_race_for_one_name_does_not_claim_the_other,
    many_refreshes_of_one_token_at_once_are_retries,
    a_client_that_refreshes_among_many_others_is_not_starved,
    many_clients_use_one_refresh_token_of_users_at_once,
    exactly_one_of_many_uses_of_a_reset_token_succeeds,
    a_logout_wins_over_refreshes_that_race_it,
    a_new_password_wins_over_logins_that_race_it,
    nothing_that_a_thief_does_during_a_reset_outlasts_it,
    an_account_that_was_taken_back_is_not_erased_by_the_thief,
    a_link_that_was_mailed_to_the_old_address_resets_nothing_once_the_address_has_changed,
    recovery_codes_that_are_made_at_once_replace_each_other,
    of_many_logins_with_passkeys_at_once_only_the_replayed_ones_fail,
);

async fn of_many_logins_with_passkeys_at_once_only_the_replayed_ones_fail(store: Store) {
    let service = passkey::service(store).await;
    let http = service.http();
    let login = |begun: &Value, passkey: &passkey::Passkey| {
        let credential = passkey.get(&begun["publicKey"]);
        let body = json!({"challenge": begun["challenge"], "credential": credential});
        http.send(own::PASSKEY_SIGN_IN).json(&body)
    };
    let (mut right, mut replayed) = (Vec::new(), Vec::new());
    for number in 0..24 {
        let name = format!("person-{number}");
        let (_, passkey, _) = passkey::with_passkey(&http, &name).await;
        let used = passkey::sign_in_options(&http).await;
        if number % 4 == 0 {
            let answer = login(&used, &passkey).await;
            assert_eq!(answer.status, 200, "{answer}");
            replayed.push(login(&used, &passkey));
        } else {
            right.push(login(&used, &passkey));
        }
    }
    let sessions = service.settings.count("sessions");
    let count = right.len();
    let answers = at_once(right.into_iter().chain(replayed)).await;
    let (right, replayed) = answers.split_at(count);
    assert!(right.iter().all(|answer| answer.status == 200));
    assert!(replayed.iter().all(|answer| answer.status == 403));
    let started = service.settings.count("sessions") - sessions;
    assert_eq!(started, right.len() as i64);
    // Each of these challenges counts as signed.
    assert_eq!(
        service.settings.count("passkeys WHERE last_challenge = 0"),
        0
    );
}

async fn recovery_codes_that_are_made_at_once_replace_each_other(store: Store) {
    let service = fast_service(store).await;
    let http = service.http();
    let (_, [_], access) = with_apps::<1>(&http, "ann").await;
    // The second factor is recent, so no password is hashed.
    let body = json!({});
    let make = || http.send(own::RECOVERY_CODES).bearer(&access).json(&body);
    assert_eq!(make().await.status, 201);
    let answers = at_once((0..40).map(|_| make())).await;
    for answer in &answers {
        assert_eq!(answer.status, 201, "{answer}");
    }
    assert_eq!(service.settings.count("recovery_codes"), 10);
    let answer = service.send(own::READYZ).await;
    assert_eq!(answer.status, 200, "{answer}");
}

async fn exactly_one_of_many_registrations_of_a_username_succeeds(store: Store) {
    let service = fast_service(store).await;
    let people = (0..CROWD).map(|number| Person {
        username: ["ann", "ANN", "Ann", "aNN"][number % 4].to_owned(),
        ..Person::called(&format!("person-{number}"))
    });
    let people: Vec<_> = people.collect();
    let requests = people.iter().map(|person| {
        let body = Contract::ApiAuth.registration_of(person);
        service.send(api_auth::REGISTER).json(&body)
    });
    let answers = at_once(requests).await;
    let winners = where_status_is(&answers, 201);
    assert_eq!(winners.len(), 1, "{} won", winners.len());
    for (number, answer) in answers.iter().enumerate() {
        if number != winners[0] {
            assert_eq!(answer.status, 400, "{answer}");
            let body = answer.json();
            assert_eq!(body["message"], "username already exist, try another");
        }
    }
    // The winner has the account, and no other account exists.
    for (number, person) in people.iter().enumerate() {
        let answer = Contract::ApiAuth.sign_in(&service.http(), person).await;
        if number == winners[0] {
            assert_eq!(answer.status, 200, "{answer}");
        } else {
            Contract::ApiAuth.says_wrong_credentials(&answer);
        }
    }
}

async fn exactly_one_of_many_registrations_of_an_address_in_every_contract_succeeds(store: Store) {
    let service = fast_service(store).await;
    let people = (0..CROWD).map(|number| Person {
        email: ["ann@example.com", "Ann@Example.com"][number / 4 % 2].to_owned(),
        ..Person::called(&format!("person-{number}"))
    });
    let people: Vec<_> = people.collect();
    let contract_of = |number: usize| Contract::ALL[number % 4];
    let requests = people.iter().enumerate().map(|(number, person)| {
        let contract = contract_of(number);
        let body = contract.registration_of(person);
        service.send(contract.registration()).json(&body)
    });
    let answers = at_once(requests).await;
    let winners: Vec<_> = (0..CROWD)
        .filter(|number| answers[*number].status < 300)
        .collect();
    assert_eq!(winners.len(), 1, "{} won", winners.len());
    for (number, answer) in answers.iter().enumerate() {
        if number != winners[0] {
            contract_of(number).says_email_taken(answer);
        }
    }
    let winner = &people[winners[0]];
    for contract in Contract::ALL {
        contract.signs_in(&service.http(), winner).await;
    }
    let loser = &people[(winners[0] + 1) % CROWD];
    let answer = Contract::Api.sign_in(&service.http(), loser).await;
    Contract::Api.says_wrong_credentials(&answer);
}

async fn a_lost_race_for_one_name_does_not_claim_the_other(store: Store) {
    let service = fast_service(store).await;
    let http = service.http();
    // All want the same username, each with its own address.
    let wanting = |number: usize, username: &str| Person {
        username: username.to_owned(),
        ..Person::called(&format!("person-{number}"))
    };
    let requests = (0..20).map(|number| {
        let body = Contract::ApiAuth.registration_of(&wanting(number, "ann"));
        service.send(api_auth::REGISTER).json(&body)
    });
    let answers = at_once(requests).await;
    let winners = where_status_is(&answers, 201);
    assert_eq!(winners.len(), 1);
    for number in 0..20 {
        let person = wanting(number, &format!("second-choice-{number}"));
        let answer = Contract::ApiAuth.register(&http, &person).await;
        let expected = if number == winners[0] { 400 } else { 201 };
        assert_eq!(answer.status, expected, "{answer}");
    }
}

async fn many_refreshes_of_one_token_at_once_are_retries(store: Store) {
    let service = fast_service(store).await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let tokens = Contract::ApiAuth.signs_in(&http, &ann).await;
    let answers =
        at_once((0..50).map(|_| service.send(api_auth::REFRESH).bearer(tokens.refresh()))).await;
    for answer in &answers {
        assert_eq!(answer.status, 200, "{answer}");
        let access = answer.json()["accessToken"].as_str().unwrap().to_owned();
        assert_eq!(
            token::claims(&access)["sid"],
            token::claims(&tokens.access)["sid"]
        );
    }
    // Each of the successors continues the session.
    let body = answers[25].json();
    let successor = body["data"]["refresh_token"]["token"].as_str().unwrap();
    let answer = service.send(api_auth::REFRESH).bearer(successor).await;
    assert_eq!(answer.status, 200, "{answer}");
}

/// Clients that refresh one token repeatedly without a pause.
async fn all_are_answered(services: &[&Program], token: &str) {
    let mut clients = JoinSet::new();
    for number in 0..16 {
        let request = services[number % services.len()]
            .send(api_auth::REFRESH)
            .bearer(token);
        clients.spawn(async move {
            for _ in 0..25 {
                let answer = request.clone().await;
                assert_eq!(answer.status, 200, "{answer}");
            }
        });
    }
    clients.join_all().await;
}

async fn a_client_that_refreshes_among_many_others_is_not_starved(store: Store) {
    let service = fast_service(store).await;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&service.http(), &ann).await;
    let tokens = Contract::ApiAuth.signs_in(&service.http(), &ann).await;
    all_are_answered(&[&service], tokens.refresh()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_refreshes_on_two_nodes_are_all_answered() {
    let nodes = Settings::of_two_nodes()
        .map(|node| node.with_cheap_hashing().with("AUTHLOG_RATE_LIMIT", "off"));
    let [first, second] = nodes;
    let (first, second) = (first.start().await, second.start().await);
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&first.http(), &ann).await;
    let tokens = Contract::ApiAuth.signs_in(&first.http(), &ann).await;
    all_are_answered(&[&first, &second], tokens.refresh()).await;
}

async fn many_clients_use_one_refresh_token_of_users_at_once(store: Store) {
    let service = fast_service(store).await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::Users.registers(&http, &ann).await;
    let tokens = Contract::Users.signs_in(&http, &ann).await;
    let requests = (0..50).map(|_| service.send(users::REFRESH).authorization(tokens.refresh()));
    for answer in at_once(requests).await {
        assert_eq!(answer.status, 200, "{answer}");
    }
}

async fn exactly_one_of_many_uses_of_a_reset_token_succeeds(store: Store) {
    let service = fast_service(store).await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::Users.registers(&http, &ann).await;
    let request = json!({"username": ann.email});
    http.send(users::REQUEST_RESET).json(&request).await;
    let token = mail_to(&service, &ann.email).await.token();
    let password = |number: usize| format!("new-secret-{number}");
    let requests = (0..20).map(|number| {
        let request = service.send(users::UPDATE_PASSWORD).authorization(&token);
        request.json(&json!({"password": password(number)}))
    });
    let answers = at_once(requests).await;
    let winners = where_status_is(&answers, 200);
    assert_eq!(winners.len(), 1, "{} won", winners.len());
    for (number, answer) in answers.iter().enumerate() {
        let ann = ann.with_password(&password(number));
        let login = Contract::Users.sign_in(&http, &ann).await;
        if number == winners[0] {
            assert_eq!(login.status, 200, "{login}");
        } else {
            Contract::Users.says_wrong_credentials(&login);
            let message = answer.json()["message"].clone();
            assert_eq!(message, "please provided a valid reset_password_token!");
        }
    }
}

async fn a_logout_wins_over_refreshes_that_race_it(store: Store) {
    let service = fast_service(store).await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    for _ in 0..10 {
        let tokens = Contract::ApiAuth.signs_in(&http, &ann).await;
        let mut requests = vec![service.send(api_auth::LOGOUT).bearer(&tokens.access)];
        requests.extend((0..5).map(|_| service.send(api_auth::REFRESH).bearer(tokens.refresh())));
        let answers = at_once(requests).await;
        assert_eq!(answers[0].status, 200, "{}", answers[0]);
        is_refused(&http, &tokens.access).await;
        refreshes_nothing(&http, tokens.refresh()).await;
        for answer in answers[1..].iter().filter(|answer| answer.status == 200) {
            let body: Value = answer.json();
            let text = |pointer| body.pointer(pointer).and_then(Value::as_str).unwrap();
            is_refused(&http, text("/accessToken")).await;
            refreshes_nothing(&http, text("/data/refresh_token/token")).await;
        }
    }
}

async fn a_new_password_wins_over_logins_that_race_it(store: Store) {
    let service = fast_service(store).await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::Users.registers(&http, &ann).await;
    let request = json!({"username": ann.email});
    http.send(users::REQUEST_RESET).json(&request).await;
    let token = mail_to(&service, &ann.email).await.token();
    let update = service
        .send(users::UPDATE_PASSWORD)
        .authorization(&token)
        .json(&json!({"password": "another-secret"}));
    let login = Contract::Users.login_of(&ann.email, &ann.password);
    let mut requests = vec![update];
    requests.extend((0..50).map(|_| service.send(users::LOGIN).json(&login)));
    let answers = at_once(requests).await;
    assert_eq!(answers[0].status, 200, "{}", answers[0]);
    // A session that began with the old password has ended, whichever request was first.
    for answer in answers[1..].iter().filter(|answer| answer.status == 200) {
        let tokens = Contract::Users.tokens_in(&answer.json());
        is_refused(&http, &tokens.access).await;
        refreshes_nothing(&http, tokens.refresh()).await;
    }
    let ann = ann.with_password("another-secret");
    let tokens = Contract::Users.signs_in(&http, &ann).await;
    verifies(&http, &tokens.access).await;
}

async fn nothing_that_a_thief_does_during_a_reset_outlasts_it(store: Store) {
    let service = fast_service(store).await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::Users.registers(&http, &ann).await;
    let thief = Contract::ApiAuth.signs_in(&http, &ann).await;
    // There must be another session to end.
    Contract::ApiAuth.signs_in(&http, &ann).await;
    let request = json!({"username": ann.email});
    http.send(users::REQUEST_RESET).json(&request).await;
    let token = mail_to(&service, &ann.email).await.token();
    let update = service
        .send(users::UPDATE_PASSWORD)
        .authorization(&token)
        .json(&json!({"password": "another-secret"}));
    let keep = service.send(own::END_OTHER_SESSIONS).bearer(&thief.access);
    let mut requests = vec![update];
    requests.extend((0..30).map(|_| keep.clone()));
    requests.extend((0..4).map(|number| {
        let email = format!("thief{number}@example.org");
        let request = service.send(own::CHANGE_EMAIL).bearer(&thief.access);
        request.json(&json!({"email": email, "password": ann.password}))
    }));
    let answers = at_once(requests).await;
    assert_eq!(answers[0].status, 200, "{}", answers[0]);
    for answer in &answers[1..] {
        assert!([202, 204, 401, 403].contains(&answer.status), "{answer}");
    }
    // The thief's session stays ended, and none of the thief's links works.
    is_refused(&http, &thief.access).await;
    refreshes_nothing(&http, thief.refresh()).await;
    let ann = ann.with_password("another-secret");
    let tokens = Contract::ApiAuth.signs_in(&http, &ann).await;
    let profile = service.send(own::PROFILE).bearer(&tokens.access).await;
    assert_eq!(profile.json()["pending_email"], json!(null));
}

/// How often a race is run that either side may win.
const ROUNDS: usize = 20;

async fn an_account_that_was_taken_back_is_not_erased_by_the_thief(store: Store) {
    let service = fast_service(store).await;
    let http = service.http();
    let mut taken_back = 0;
    for round in 0..ROUNDS {
        let ann = Person::called(&format!("ann-{round}"));
        Contract::Users.registers(&http, &ann).await;
        let thief = Contract::ApiAuth.signs_in(&http, &ann).await;
        let request = json!({"username": ann.email});
        http.send(users::REQUEST_RESET).json(&request).await;
        let token = mail_to(&service, &ann.email).await.token();
        let reset = service.send(users::UPDATE_PASSWORD).authorization(&token);
        let reset = reset.json(&json!({"password": "another-secret"}));
        let erase = service.send(own::ERASE).bearer(&thief.access);
        let erase = erase.json(&json!({"password": ann.password}));
        let answers = at_once([reset, erase]).await;
        let statuses = (answers[0].status, answers[1].status);
        if statuses.0 == 200 {
            assert!([401, 403].contains(&statuses.1), "{statuses:?}");
            taken_back += 1;
            let ann = ann.with_password("another-secret");
            Contract::Users.signs_in(&http, &ann).await;
        } else {
            assert_eq!(statuses, (400, 204));
        }
    }
    eprintln!("taken back in {taken_back} of {ROUNDS} rounds");
}

async fn a_link_that_was_mailed_to_the_old_address_resets_nothing_once_the_address_has_changed(
    store: Store,
) {
    let service = fast_service(store).await;
    let http = service.http();
    let mut people = Vec::new();
    for round in 0..ROUNDS {
        let ann = Person::called(&format!("ann-{round}"));
        Contract::ApiAuth.registers(&http, &ann).await;
        let tokens = Contract::ApiAuth.signs_in(&http, &ann).await;
        let new = format!("new-{}", ann.email);
        let request = service.send(own::CHANGE_EMAIL).bearer(&tokens.access);
        let body = json!({"email": new, "password": ann.password});
        assert_eq!(request.json(&body).await.status, 202);
        let link = mail_to(&service, &new).await.token();
        let forgot = service.send(users::REQUEST_RESET);
        let forgot = forgot.json(&json!({"username": ann.username}));
        let follow = service.send(own::EMAIL_FORM).form(&[("token", &link)]);
        let follow = follow.bearer(&tokens.access);
        // The mailer looks the account up a few milliseconds after the request.
        let later = async {
            tokio::time::sleep(std::time::Duration::from_millis(round as u64 / 2)).await;
            follow.await
        };
        let (forgot, followed) = tokio::join!(async { forgot.await }, later);
        assert_eq!((forgot.status, followed.status), (200, 200));
        people.push(ann);
    }
    // Whichever links were mailed, the accounts have the new addresses, and no link in the old mailboxes works.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    for mail in service.mails() {
        if people.iter().any(|ann| ann.email == mail.to) {
            let page = http.send(own::RESET_PAGE);
            let page = page.query(&format!("token={}", mail.token())).await;
            assert_eq!(page.status, 400, "{mail:?}");
        }
    }
}

/// A service with cheap hashing, so that the requests race for the store.
async fn fast_service(store: Store) -> Program {
    Settings::on(store).with_cheap_hashing().start().await
}

/// Sends these requests concurrently. The answers are in the order of the requests.
async fn at_once(requests: impl IntoIterator<Item = Request>) -> Vec<Answer> {
    let requests: Vec<_> = requests.into_iter().collect();
    let start = std::sync::Arc::new(tokio::sync::Barrier::new(requests.len()));
    let mut running = JoinSet::new();
    for (number, request) in requests.into_iter().enumerate() {
        let start = std::sync::Arc::clone(&start);
        running.spawn(async move {
            start.wait().await;
            (number, request.await)
        });
    }
    let mut answers = running.join_all().await;
    answers.sort_by_key(|(number, _)| *number);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

/// The positions of the answers with this status.
fn where_status_is(answers: &[Answer], status: u16) -> Vec<usize> {
    let numbers = 0..answers.len();
    numbers
        .filter(|number| answers[*number].status == status)
        .collect()
}
