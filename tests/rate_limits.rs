//! Every contract limits guesses in its own words, and a guesser cannot lock the owner of an account out.
#![expect(clippy::panic, reason = "a test that cannot go on fails")]

use crate::support;

use serde_json::json;
use support::{
    Answer, Contract, Endpoint, Person, Program, Settings, Store, api_auth, eventually,
    on_both_stores, own, users,
};

/// More wrong passwords than any sensible limit allows.
const STUBBORN: usize = 300;

on_both_stores!(
    guesses_at_one_password_are_limited,
    guesses_at_many_accounts_are_limited,
    concurrent_guesses_count_like_sequential_ones,
    both_names_of_an_account_share_one_budget,
    the_right_password_is_limited_generously_and_for_one_account_alone,
    the_right_password_is_limited_at_every_endpoint_that_takes_it,
    a_guesser_does_not_keep_others_out,
    a_person_who_signed_in_from_an_address_is_not_kept_out_by_others_there,
    changes_of_ones_own_account_are_limited_by_account,
    a_change_of_address_is_limited_alike_for_taken_and_free_addresses,
    wrong_passwords_keep_no_link_from_the_owner_of_another_address,
    requests_for_mail_are_limited_and_answered_alike,
    many_addresses_cannot_flood_one_mailbox,
    refreshes_are_limited_by_session_and_a_refused_one_appends_nothing,
    the_limit_can_be_turned_off,
);

async fn guesses_at_one_password_are_limited(store: Store) {
    for contract in Contract::ALL {
        let service = limited(store).await;
        let ann = Person::called("ann");
        contract.registers(&service.http(), &ann).await;
        let refused =
            guess_until_refused(&service, contract, |_| ann.with_password("not-her-secret")).await;
        contract.refuses(&refused, 429);
        assert!(refused.retry_after() >= 1, "{refused}");
    }
}

async fn guesses_at_many_accounts_are_limited(store: Store) {
    let service = limited(store).await;
    let refused = guess_until_refused(&service, Contract::V1Auth, |number| {
        Person::called(&format!("person-{number}"))
    })
    .await;
    Contract::V1Auth.refuses(&refused, 429);
    assert!(refused.retry_after() >= 1, "{refused}");
}

async fn concurrent_guesses_count_like_sequential_ones(store: Store) {
    for contract in [Contract::ApiAuth, Contract::V1Auth] {
        let service = limited(store).await;
        let ann = Person::called("ann");
        contract.registers(&service.http(), &ann).await;
        let guess = ann.with_password("not-her-secret");
        let mut running = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let attacker = service.http().calling_from("127.0.0.2");
            let guess = guess.clone();
            running.spawn(async move { contract.sign_in(&attacker, &guess).await });
        }
        let answers = running.join_all().await;
        let (refused, checked): (Vec<_>, Vec<_>) =
            answers.iter().partition(|answer| answer.status == 429);
        // One more for each half minute that a slow machine takes.
        assert!(checked.len() <= 12, "{} were checked", checked.len());
        for answer in checked {
            contract.says_wrong_credentials(answer);
        }
        for answer in refused {
            assert!(answer.retry_after() >= 1, "{answer}");
        }
    }
}

async fn both_names_of_an_account_share_one_budget(store: Store) {
    let service = limited(store).await;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&service.http(), &ann).await;
    let refused = guess_until_refused(&service, Contract::ApiAuth, |_| {
        ann.with_password("not-her-secret")
    })
    .await;
    assert!(refused.retry_after() >= 1, "{refused}");
    let by_email = Person {
        username: ann.email.clone(),
        ..ann.clone()
    };
    let attacker = service.http().calling_from("127.0.0.2");
    for contract in [Contract::ApiAuth, Contract::V1Auth] {
        let answer = contract.sign_in(&attacker, &by_email).await;
        contract.refuses(&answer, 429);
    }
}

async fn the_right_password_is_limited_generously_and_for_one_account_alone(store: Store) {
    let service = limited(store).await;
    let [ann, bob] = ["ann", "bob"].map(Person::called);
    for person in [&ann, &bob] {
        Contract::ApiAuth.registers(&service.http(), person).await;
    }
    for _ in 0..60 {
        Contract::ApiAuth.signs_in(&service.http(), &ann).await;
    }
    let refused = sign_in_until_refused(&service, &ann).await;
    Contract::ApiAuth.refuses(&refused, 429);
    assert_eq!(refused.retry_after(), 1, "{refused}");
    // Other accounts at the address are not limited, nor is she from another address.
    Contract::ApiAuth.signs_in(&service.http(), &bob).await;
    let elsewhere = service.http().calling_from("127.0.0.3");
    Contract::ApiAuth.signs_in(&elsewhere, &ann).await;
}

async fn the_right_password_is_limited_at_every_endpoint_that_takes_it(store: Store) {
    let service = limited(store).await;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&service.http(), &ann).await;
    let tokens = Contract::ApiAuth.signs_in(&service.http(), &ann).await;
    // If a second passes, one more is allowed.
    let refused = eventually("the password is not checked", async || {
        sign_in_until_refused(&service, &ann).await;
        let request = service.send(own::CHANGE_EMAIL).bearer(&tokens.access);
        let answer = request
            .json(&json!({"password": ann.password, "email": ann.email}))
            .await;
        (answer.status == 429).then_some(answer)
    })
    .await;
    // All other limits that could apply have a longer wait.
    assert_eq!(refused.retry_after(), 1, "{refused}");
}

async fn a_guesser_does_not_keep_others_out(store: Store) {
    let service = limited(store).await;
    let [ann, bob] = ["ann", "bob"].map(Person::called);
    for person in [&ann, &bob] {
        Contract::ApiAuth.registers(&service.http(), person).await;
    }
    guess_until_refused(&service, Contract::ApiAuth, |_| {
        ann.with_password("not-her-secret")
    })
    .await;
    // Bob signs in from another address at once. Ann, whose account is under attack, does so after a wait at most.
    let elsewhere = service.http().calling_from("127.0.0.3");
    Contract::ApiAuth.signs_in(&elsewhere, &bob).await;
    support::eventually::within(
        std::time::Duration::from_secs(240),
        "Ann signs in",
        async || {
            let answer = Contract::ApiAuth.sign_in(&elsewhere, &ann).await;
            if answer.status == 200 {
                return Some(());
            }
            Contract::ApiAuth.refuses(&answer, 429);
            let wait = std::time::Duration::from_secs(answer.retry_after());
            tokio::time::sleep(wait).await;
            None
        },
    )
    .await;
}

async fn a_person_who_signed_in_from_an_address_is_not_kept_out_by_others_there(store: Store) {
    let service = limited(store).await;
    let office = service.http().calling_from("127.0.0.2");
    let [ann, bob, eve] = ["ann", "bob", "eve"].map(Person::called);
    // Ann has signed in from there before, Bob has registered from there, and Eve's account is from another address.
    Contract::ApiAuth.registers(&service.http(), &ann).await;
    Contract::ApiAuth.registers(&service.http(), &eve).await;
    Contract::ApiAuth.signs_in(&office, &ann).await;
    Contract::ApiAuth.registers(&office, &bob).await;
    guess_until_refused(&service, Contract::V1Auth, |number| {
        Person::called(&format!("person-{number}"))
    })
    .await;
    for person in [&ann, &bob] {
        Contract::ApiAuth.signs_in(&office, person).await;
        // Also by the other name.
        Contract::V1Auth.signs_in(&office, person).await;
    }
    // A person who is new at the address waits while the guesser continues.
    eventually("others wait", async || {
        for number in 0..20 {
            let guess = Person::called(&format!("other-{number}"));
            Contract::V1Auth.sign_in(&office, &guess).await;
        }
        let answer = Contract::ApiAuth.sign_in(&office, &eve).await;
        (answer.status == 429).then_some(())
    })
    .await;
    // Their own guesses are limited as usual.
    guess_until_refused(&service, Contract::ApiAuth, |_| {
        ann.with_password("not-her-secret")
    })
    .await;
}

const ANY_SESSION: &str = "/account/sessions/018f0000-0000-7000-8000-000000000000";

async fn changes_of_ones_own_account_are_limited_by_account(store: Store) {
    let service = limited(store).await;
    let [ann, bob] = ["ann", "bob"].map(Person::called);
    for person in [&ann, &bob] {
        Contract::ApiAuth.registers(&service.http(), person).await;
    }
    let tokens = Contract::ApiAuth.signs_in(&service.http(), &ann).await;
    let mut changes = 0;
    let refused = loop {
        let request = service.send(own::END_OTHER_SESSIONS);
        let answer = request.bearer(&tokens.access).await;
        if answer.status == 429 {
            break answer;
        }
        assert_eq!(answer.status, 204, "{answer}");
        changes += 1;
        assert!(changes < STUBBORN, "never refused");
    };
    assert!((60..70).contains(&changes), "{changes}");
    assert!((1..=60).contains(&refused.retry_after()), "{refused}");
    // From any address, at every endpoint that changes the account. Reading, refreshing and logging out are not
    // limited.
    let elsewhere = service.http().calling_from("127.0.0.3");
    let nothing = json!({});
    for request in [
        elsewhere.send(own::END_OTHER_SESSIONS),
        elsewhere.send(Endpoint::at("DELETE", ANY_SESSION)),
        elsewhere.send(own::CHANGE_PASSWORD).json(&nothing),
        elsewhere.send(own::CHANGE_EMAIL).json(&nothing),
        elsewhere.send(own::REQUEST_VERIFICATION),
        elsewhere.send(own::ERASE).json(&nothing),
    ] {
        let answer = request.bearer(&tokens.access).await;
        assert_eq!(answer.status, 429, "{answer}");
    }
    let answer = service.send(own::PROFILE).bearer(&tokens.access).await;
    assert_eq!(answer.status, 200, "{answer}");
    let answer = service
        .send(api_auth::REFRESH)
        .bearer(tokens.refresh())
        .await;
    assert_eq!(answer.status, 200, "{answer}");
    let tokens = Contract::ApiAuth.tokens_in(&answer.json());
    let answer = service.send(api_auth::LOGOUT).bearer(&tokens.access).await;
    assert_eq!(answer.status, 200, "{answer}");
    let of_bob = Contract::ApiAuth.signs_in(&service.http(), &bob).await;
    let request = service.send(own::END_OTHER_SESSIONS);
    let answer = request.bearer(&of_bob.access).await;
    assert_eq!(answer.status, 204, "{answer}");
}

async fn refreshes_are_limited_by_session_and_a_refused_one_appends_nothing(store: Store) {
    let service = limited(store).await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let of_c = Contract::Users.signs_in(&http, &ann).await;
    let mut of_a = Contract::ApiAuth.signs_in(&http, &ann).await;
    let other = Contract::ApiAuth.signs_in(&http, &ann).await;
    let mut done = 0;
    let refused = loop {
        let answer = http
            .send(users::REFRESH)
            .authorization(of_c.refresh())
            .await;
        if answer.status != 200 {
            break answer;
        }
        done += 1;
        assert!(done < STUBBORN, "no refresh is refused");
    };
    Contract::Users.refuses(&refused, 429);
    assert!(refused.retry_after() >= 1, "{refused}");
    assert!(done >= 60, "{done}");
    let refused = loop {
        let answer = http.send(api_auth::REFRESH).bearer(of_a.refresh()).await;
        if answer.status != 200 {
            break answer;
        }
        of_a = Contract::ApiAuth.tokens_in(&answer.json());
        done += 1;
        assert!(done < 2 * STUBBORN, "no refresh is refused");
    };
    Contract::ApiAuth.refuses(&refused, 429);
    assert!(refused.retry_after() >= 1, "{refused}");
    let history = http.send(own::HISTORY).bearer(&other.access);
    let history = history.query("type=TokenRefreshed&limit=1000").await.json();
    assert_eq!(history["events"].as_array().map(Vec::len), Some(done));
    // Another session has its own budget, and the refused token works later.
    let answer = http.send(api_auth::REFRESH).bearer(other.refresh()).await;
    assert_eq!(answer.status, 200, "{answer}");
    eventually("the refused token works later", async || {
        let answer = http.send(api_auth::REFRESH).bearer(of_a.refresh()).await;
        (answer.status == 200).then_some(())
    })
    .await;
}

async fn wrong_passwords_keep_no_link_from_the_owner_of_another_address(store: Store) {
    let settings = Settings::on(store).without("AUTHLOG_RATE_LIMIT");
    let settings = settings.with("AUTHLOG_TRUSTED_PROXIES", "127.0.0.1");
    let service = settings.with_cheap_hashing().start().await;
    let owner = Person::called("owner");
    // More than the sixty requests that one address may send.
    for number in 0..8 {
        let stranger = Person::called(&format!("stranger-{number}"));
        Contract::ApiAuth
            .registers(&service.http(), &stranger)
            .await;
        let tokens = Contract::ApiAuth.signs_in(&service.http(), &stranger).await;
        let wrong = json!({"password": "not-the-password", "email": owner.email});
        for _ in 0..9 {
            let request = service.send(own::CHANGE_EMAIL).bearer(&tokens.access);
            let from = format!("2001:db8:0:{number:x}::1");
            let answer = request.header("x-forwarded-for", from).json(&wrong).await;
            assert_eq!(answer.status, 403, "{answer}");
        }
    }
    let request = service.send(users::REQUEST_RESET);
    let answer = request.json(&json!({"username": owner.email})).await;
    assert_eq!(answer.status, 200, "{answer}");
}

async fn a_change_of_address_is_limited_alike_for_taken_and_free_addresses(store: Store) {
    let mut first_refused = Vec::new();
    for email in ["bob@example.com", "free@example.com"] {
        let service = limited(store).await;
        let [ann, bob] = ["ann", "bob"].map(Person::called);
        for person in [&ann, &bob] {
            Contract::ApiAuth.registers(&service.http(), person).await;
        }
        let tokens = Contract::ApiAuth.signs_in(&service.http(), &ann).await;
        // Requests for mail from this address have reached the limit.
        for number in 0.. {
            assert!(number < STUBBORN, "never refused");
            let name = json!({"username": format!("unknown-{number}")});
            let answer = service.send(users::REQUEST_RESET).json(&name).await;
            if answer.status == 429 {
                break;
            }
        }
        let request = service.send(own::CHANGE_EMAIL).bearer(&tokens.access);
        let answer = request
            .json(&json!({"password": ann.password, "email": email}))
            .await;
        first_refused.push(answer.status);
    }
    assert_eq!(
        first_refused,
        [429, 429],
        "the limit tells whose an address is"
    );
}

async fn requests_for_mail_are_limited_and_answered_alike(store: Store) {
    let mut first_refused = Vec::new();
    for username in ["ann@example.com", "unknown@example.com"] {
        let service = limited(store).await;
        Contract::Users
            .registers(&service.http(), &Person::called("ann"))
            .await;
        for number in 0.. {
            assert!(number < STUBBORN, "never refused");
            let body = json!({"username": username});
            let answer = service.send(users::REQUEST_RESET).json(&body).await;
            if answer.status != 200 {
                Contract::Users.refuses(&answer, 429);
                assert!(answer.retry_after() >= 1, "{answer}");
                first_refused.push(number);
                break;
            }
        }
    }
    assert_eq!(
        first_refused[0], first_refused[1],
        "the limit tells who is registered"
    );
}

async fn many_addresses_cannot_flood_one_mailbox(store: Store) {
    let settings = Settings::on(store).without("AUTHLOG_RATE_LIMIT");
    let settings = settings.with("AUTHLOG_TRUSTED_PROXIES", "127.0.0.1");
    let service = settings.with_cheap_hashing().start().await;
    let [ann, bob] = ["ann", "bob"].map(Person::called);
    for person in [&ann, &bob] {
        Contract::ApiAuth.registers(&service.http(), person).await;
    }
    let ask = async |email: &str, number: usize| {
        let from = format!("2001:db8:0:{number:x}::1");
        let request = service
            .send(users::REQUEST_RESET)
            .json(&json!({"username": email}));
        let answer = request.header("x-forwarded-for", from).await;
        assert_eq!(answer.status, 200, "{answer}");
    };
    for number in 0..40 {
        ask(&ann.email, number).await;
    }
    // Mail that was requested later is sent later.
    ask(&bob.email, 41).await;
    support::mail::mail_to(&service, &bob.email).await;
    let folder = std::fs::read_dir(service.settings.data().join("mail"));
    let mails = folder.unwrap_or_else(|error| panic!("{error}"));
    let to_ann = mails
        .filter_map(|mail| std::fs::read_to_string(mail.ok()?.path()).ok())
        .filter(|mail| mail.contains(&format!("To: {}", ann.email)))
        .count();
    assert!((1..=5).contains(&to_ann), "{to_ann} mails");
}

async fn the_limit_can_be_turned_off(store: Store) {
    let settings = Settings::on(store).with("AUTHLOG_RATE_LIMIT", "off");
    let service = settings.with_cheap_hashing().start().await;
    let unknown = Person::called("unknown");
    for _ in 0..STUBBORN {
        let answer = Contract::ApiAuth.sign_in(&service.http(), &unknown).await;
        Contract::ApiAuth.says_wrong_credentials(&answer);
    }
}

/// A service with the default limits of attempts.
async fn limited(store: Store) -> Program {
    let settings = Settings::on(store).without("AUTHLOG_RATE_LIMIT");
    settings.with_cheap_hashing().start().await
}

/// Signs in with the right password from the default address until it is refused.
async fn sign_in_until_refused(service: &Program, person: &Person) -> Answer {
    for _ in 0..STUBBORN {
        let answer = Contract::ApiAuth.sign_in(&service.http(), person).await;
        if answer.status != 200 {
            return answer;
        }
    }
    panic!("none of {STUBBORN} sign-ins was refused");
}

/// Signs in as these people with wrong passwords until the limit refuses it.
async fn guess_until_refused(
    service: &Program,
    contract: Contract,
    who: impl Fn(usize) -> Person,
) -> Answer {
    // From another address than the default one.
    let attacker = service.http().calling_from("127.0.0.2");
    for number in 0..STUBBORN {
        let answer = contract.sign_in(&attacker, &who(number)).await;
        if answer.status == 429 {
            return answer;
        }
        contract.says_wrong_credentials(&answer);
    }
    panic!("{STUBBORN} wrong passwords were not limited");
}
