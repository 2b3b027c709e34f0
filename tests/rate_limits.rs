//! Guessing is slowed down, in every contract's words, and nobody is locked out by somebody else.
#![expect(clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use serde_json::json;
use support::{Answer, Contract, Person, Program, Settings, Store, c, on_both_stores};

/// More wrong passwords than any sensible limit takes.
const STUBBORN: usize = 300;

on_both_stores!(
    whoever_guesses_at_a_password_is_told_to_wait,
    whoever_guesses_at_many_accounts_is_told_to_wait,
    whoever_signs_in_with_the_right_password_is_not_counted,
    whoever_guesses_does_not_keep_others_out,
    requests_for_mail_are_limited_and_answered_alike,
    nobodys_mailbox_is_flooded_from_many_addresses,
    the_limit_can_be_turned_off,
);

async fn whoever_guesses_at_a_password_is_told_to_wait(store: Store) {
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

async fn whoever_guesses_at_many_accounts_is_told_to_wait(store: Store) {
    let service = limited(store).await;
    let refused = guess_until_refused(&service, Contract::E, |number| {
        Person::called(&format!("person-{number}"))
    })
    .await;
    Contract::E.refuses(&refused, 429);
    assert!(refused.retry_after() >= 1, "{refused}");
}

async fn whoever_signs_in_with_the_right_password_is_not_counted(store: Store) {
    let service = limited(store).await;
    let ann = Person::called("ann");
    Contract::A.registers(&service.http(), &ann).await;
    for _ in 0..STUBBORN {
        Contract::A.signs_in(&service.http(), &ann).await;
    }
}

async fn whoever_guesses_does_not_keep_others_out(store: Store) {
    let service = limited(store).await;
    let [ann, bob] = ["ann", "bob"].map(Person::called);
    for person in [&ann, &bob] {
        Contract::A.registers(&service.http(), person).await;
    }
    guess_until_refused(&service, Contract::A, |_| {
        ann.with_password("not-her-secret")
    })
    .await;
    // Bob signs in from elsewhere at once; Ann, at whose account somebody guesses, after a wait at most.
    let elsewhere = service.http().calling_from("127.0.0.3");
    Contract::A.signs_in(&elsewhere, &bob).await;
    support::waiting::within(
        std::time::Duration::from_secs(240),
        "Ann signs in",
        async || {
            let answer = Contract::A.sign_in(&elsewhere, &ann).await;
            if answer.status == 200 {
                return Some(());
            }
            Contract::A.refuses(&answer, 429);
            let wait = std::time::Duration::from_secs(answer.retry_after());
            tokio::time::sleep(wait).await;
            None
        },
    )
    .await;
}

async fn requests_for_mail_are_limited_and_answered_alike(store: Store) {
    let mut first_refused = Vec::new();
    for username in ["ann@example.com", "nobody@example.com"] {
        let service = limited(store).await;
        Contract::C
            .registers(&service.http(), &Person::called("ann"))
            .await;
        for number in 0.. {
            assert!(number < STUBBORN, "never refused");
            let body = json!({"username": username});
            let answer = service.send(c::REQUEST_RESET).json(&body).await;
            if answer.status != 200 {
                Contract::C.refuses(&answer, 429);
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

async fn nobodys_mailbox_is_flooded_from_many_addresses(store: Store) {
    let settings = Settings::on(store).without("AUTHLOG_RATE_LIMIT");
    let settings = settings.with("AUTHLOG_TRUSTED_PROXIES", "127.0.0.1");
    let service = settings.with_cheap_hashing().start().await;
    let [ann, bob] = ["ann", "bob"].map(Person::called);
    for person in [&ann, &bob] {
        Contract::A.registers(&service.http(), person).await;
    }
    let ask = async |email: &str, number: usize| {
        let from = format!("2001:db8:0:{number:x}::1");
        let request = service
            .send(c::REQUEST_RESET)
            .json(&json!({"username": email}));
        let answer = request.header("x-forwarded-for", from).await;
        assert_eq!(answer.status, 200, "{answer}");
    };
    for number in 0..40 {
        ask(&ann.email, number).await;
    }
    // What was asked for later is sent later.
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
    let nobody = Person::called("nobody");
    for _ in 0..STUBBORN {
        let answer = Contract::A.sign_in(&service.http(), &nobody).await;
        Contract::A.says_wrong_credentials(&answer);
    }
}

/// A service that limits attempts, as it does unless it is told otherwise.
async fn limited(store: Store) -> Program {
    let settings = Settings::on(store).without("AUTHLOG_RATE_LIMIT");
    settings.with_cheap_hashing().start().await
}

/// Signs in as these people, all of whom are refused, until the refusal is another.
async fn guess_until_refused(
    service: &Program,
    contract: Contract,
    who: impl Fn(usize) -> Person,
) -> Answer {
    // From another address than the tests' own.
    let attacker = service.http().calling_from("127.0.0.2");
    for number in 0..STUBBORN {
        let answer = contract.sign_in(&attacker, &who(number)).await;
        if answer.status == 429 {
            return answer;
        }
        contract.says_wrong_credentials(&answer);
    }
    panic!("{STUBBORN} wrong passwords, and nobody minds");
}
