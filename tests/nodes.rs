//! Two nodes on one PostgreSQL give the same answers.

use crate::support;

use std::time::{Duration, Instant};

use serde_json::json;
use support::contract::{eventually_refuses, verifies};
use support::load::{Load, are_whole};
use support::mail::Mailbox as _;
use support::{
    Contract, Person, Program, Settings, api_auth, eventually, own, staff, token, users,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_registered_on_one_node_signs_in_on_the_other() {
    let [first, second] = two_nodes().await;
    for (number, contract) in Contract::ALL.into_iter().enumerate() {
        let person = Person::called(&format!("person-{number}"));
        contract.registers(&first.http(), &person).await;
        for contract in Contract::ALL {
            contract.signs_in(&second.http(), &person).await;
        }
        let namesake = Person {
            username: format!("{}-again", person.username),
            ..person
        };
        let answer = contract.register(&second.http(), &namesake).await;
        contract.says_email_taken(&answer);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_node_verifies_and_refreshes_the_tokens_of_the_other() {
    let nodes = two_nodes().await;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&nodes[0].http(), &ann).await;
    for (here, there) in [(&nodes[0], &nodes[1]), (&nodes[1], &nodes[0])] {
        for contract in Contract::ALL {
            let tokens = contract.signs_in(&here.http(), &ann).await;
            verifies(&there.http(), &tokens.access).await;
        }
        let tokens = Contract::ApiAuth.signs_in(&here.http(), &ann).await;
        let answer = there.send(api_auth::REFRESH).bearer(tokens.refresh()).await;
        assert_eq!(answer.status, 200, "{answer}");
        let tokens = Contract::ApiAuth.tokens_in(&answer.json());
        let answer = here.send(api_auth::REFRESH).bearer(tokens.refresh()).await;
        assert_eq!(answer.status, 200, "{answer}");
    }
    // The first key of ID tokens may be published at this moment.
    eventually("both nodes publish the same keys", async || {
        let [first, second] = [&nodes[0], &nodes[1]].map(|node| node.send(own::KEY_SET));
        (first.await.json() == second.await.json()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logout_on_one_node_is_a_refusal_on_the_other() {
    let [first, second] = two_nodes().await;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&first.http(), &ann).await;
    for contract in Contract::ALL {
        let ended = contract.signs_in(&first.http(), &ann).await;
        let other = contract.signs_in(&first.http(), &ann).await;
        verifies(&second.http(), &ended.access).await;
        let answer = first.send(api_auth::LOGOUT).bearer(&ended.access).await;
        assert_eq!(answer.status, 200, "{answer}");
        eventually_refuses(&second.http(), &ended.access).await;
        verifies(&second.http(), &other.access).await;
        // Requests that change the session query the database, so they need no waiting.
        if let Some(refresh) = &ended.refresh {
            support::contract::refreshes_nothing(&second.http(), refresh).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_password_on_one_node_ends_every_session_on_the_other() {
    let nodes = two_nodes().await;
    let [first, second] = &nodes;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&first.http(), &ann).await;
    let mut sessions = Vec::new();
    for contract in Contract::ALL {
        sessions.push(contract.signs_in(&second.http(), &ann).await);
    }
    let request = first.send(users::REQUEST_RESET);
    request.json(&json!({"username": "ann"})).await;
    // Either node may have sent the mail.
    let mail = eventually("the mail arrives", async || {
        let mails = nodes.iter().flat_map(|node| node.mails());
        mails.into_iter().next()
    })
    .await;
    let answer = first
        .send(users::UPDATE_PASSWORD)
        .authorization(&mail.token())
        .json(&json!({"password": "another-secret"}))
        .await;
    assert_eq!(answer.status, 200, "{answer}");
    for tokens in &sessions {
        eventually_refuses(&second.http(), &tokens.access).await;
    }
    let refused = Contract::ApiAuth.sign_in(&second.http(), &ann).await;
    Contract::ApiAuth.says_wrong_credentials(&refused);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_on_one_node_ends_every_session_on_the_other() {
    let [first, second] = two_nodes().await;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&first.http(), &ann).await;
    let mut sessions = Vec::new();
    for contract in Contract::ALL {
        sessions.push(contract.signs_in(&second.http(), &ann).await);
    }
    let here = Contract::ApiAuth.signs_in(&first.http(), &ann).await;
    let request = first.send(own::ERASE).bearer(&here.access);
    let answer = request.json(&json!({"password": ann.password})).await;
    assert_eq!(answer.status, 204, "{answer}");
    for tokens in &sessions {
        eventually_refuses(&second.http(), &tokens.access).await;
        if let Some(refresh) = &tokens.refresh {
            support::contract::refreshes_nothing(&second.http(), refresh).await;
        }
    }
    let refused = Contract::ApiAuth.sign_in(&second.http(), &ann).await;
    Contract::ApiAuth.says_wrong_credentials(&refused);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_revoked_on_one_node_is_refused_on_the_other() {
    let [first, second] = two_nodes().await;
    let asker = staff::signed_in(&first, "billing", "service").await;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&first.http(), &ann).await;
    for contract in Contract::ALL {
        let tokens = contract.signs_in(&second.http(), &ann).await;
        let form = [("token", &*tokens.access)];
        let answer = first.send(own::REVOKE).form(&form).await;
        assert_eq!(answer.status, 200, "{answer}");
        eventually_refuses(&second.http(), &tokens.access).await;
        let request = second.send(own::INTROSPECT).bearer(&asker.access);
        let answer = request.form(&form).await;
        answer.is(200, &json!({"active": false}));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_role_on_one_node_ends_every_session_on_the_other() {
    let [first, second] = two_nodes().await;
    let asker = staff::signed_in(&first, "billing", "service").await;
    let ann = Person::called("ann");
    staff::create(&first, &ann, "auditor");
    let mut sessions = Vec::new();
    for contract in Contract::ALL {
        let tokens = contract.signs_in(&first.http(), &ann).await;
        let answer = second.send(own::LOG_KEY).bearer(&tokens.access).await;
        assert_eq!(answer.status, 200, "{answer}");
        sessions.push(tokens);
    }
    staff::set_role(&first, &ann, "user");
    for tokens in &sessions {
        eventually_refuses(&second.http(), &tokens.access).await;
        let answer = second.send(own::LOG_KEY).bearer(&tokens.access).await;
        assert_eq!(answer.status, 401, "{answer}");
        let request = second.send(own::INTROSPECT).bearer(&asker.access);
        let answer = request.form(&[("token", &tokens.access)]).await;
        answer.is(200, &json!({"active": false}));
        if let Some(refresh) = &tokens.refresh {
            support::contract::refreshes_nothing(&second.http(), refresh).await;
        }
    }
    let tokens = Contract::ApiAuth.signs_in(&second.http(), &ann).await;
    verifies(&first.http(), &tokens.access).await;
    assert_eq!(token::claims(&tokens.access)["role"], "user");
}

/// Prints what it measures: `cargo test --test stories how_long -- --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_long_a_logout_takes_to_reach_the_other_node() {
    let [first, second] = two_nodes().await;
    let ann = Person::called("ann");
    Contract::V1Auth.registers(&first.http(), &ann).await;
    let mut delays = Vec::new();
    for _ in 0..40 {
        let tokens = Contract::V1Auth.signs_in(&first.http(), &ann).await;
        verifies(&second.http(), &tokens.access).await;
        let answer = first.send(api_auth::LOGOUT).bearer(&tokens.access).await;
        assert_eq!(answer.status, 200, "{answer}");
        let ended = Instant::now();
        while second
            .send(users::VERIFY)
            .bearer(&tokens.access)
            .await
            .status
            == 200
        {
            assert!(
                ended.elapsed() < Duration::from_secs(60),
                "the logout does not reach the other node"
            );
        }
        delays.push(ended.elapsed());
    }
    delays.sort();
    eprintln!(
        "a logout reaches the other node after {:?} in the middle of {}, after {:?} at the latest",
        delays[delays.len() / 2],
        delays.len(),
        delays[delays.len() - 1],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stolen_token_used_on_one_node_ends_the_session_on_the_other() {
    let [first, second] = two_nodes().await;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&first.http(), &ann).await;
    let stolen = Contract::ApiAuth.signs_in(&first.http(), &ann).await;
    let mut newest = stolen.clone();
    for _ in 0..2 {
        let answer = first.send(api_auth::REFRESH).bearer(newest.refresh()).await;
        newest = Contract::ApiAuth.tokens_in(&answer.json());
    }
    verifies(&second.http(), &newest.access).await;
    let answer = first.send(api_auth::REFRESH).bearer(stolen.refresh()).await;
    assert_eq!(answer.status, 401, "{answer}");
    eventually_refuses(&second.http(), &newest.access).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_one_of_many_registrations_of_a_name_on_both_nodes_succeeds() {
    let nodes = two_nodes().await;
    let mut running = tokio::task::JoinSet::new();
    for number in 0..200 {
        let http = nodes[number % 2].http();
        let person = Person {
            username: "ann".to_owned(),
            ..Person::called(&format!("person-{number}"))
        };
        running.spawn(async move { Contract::ApiAuth.register(&http, &person).await });
    }
    let answers = running.join_all().await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
    assert_eq!(won.len(), 1);
    for answer in lost {
        assert_eq!(answer.status, 400, "{answer}");
        let message = answer.json()["message"].clone();
        assert_eq!(message, "username already exist, try another");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_one_node_is_killed_the_other_continues_to_serve() {
    let [mut first, second] = two_nodes().await;
    let loads = [
        Load::on(&first.http(), "of-the-first"),
        Load::on(&second.http(), "of-the-second"),
    ];
    for load in &loads {
        load.has_done(30).await;
    }
    first.kill9();
    let done = loads[1].done();
    loads[1].has_done(done + 30).await;
    for load in loads {
        are_whole(&load.end().await, &second.http()).await;
    }
    first.restart().await;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&second.http(), &ann).await;
    let tokens = Contract::ApiAuth.signs_in(&first.http(), &ann).await;
    let answer = second.send(api_auth::LOGOUT).bearer(&tokens.access).await;
    assert_eq!(answer.status, 200, "{answer}");
    eventually_refuses(&first.http(), &tokens.access).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_logins_on_one_node_count_on_the_other() {
    let [first, second] = Settings::of_two_nodes()
        .map(|settings| settings.without("AUTHLOG_RATE_LIMIT").with_cheap_hashing());
    let [first, second] = [first.start().await, second.start().await];
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&first.http(), &ann).await;
    let attacker = |node: &Program| node.http().calling_from("127.0.0.2");
    // For an unknown name and for the name of an account alike.
    let unknown = Person::called("unknown");
    for person in [&unknown, &ann] {
        eventually("the guesser is limited", async || {
            let guess = person.with_password("a-wild-guess");
            let answer = Contract::ApiAuth.sign_in(&attacker(&first), &guess).await;
            (answer.status == 429).then_some(())
        })
        .await;
    }
    // The right password counts nothing here, so the other node must have received the guesses.
    eventually("the other node limits the guesser", async || {
        let answer = Contract::ApiAuth.sign_in(&attacker(&second), &ann).await;
        (answer.status == 429).then_some(())
    })
    .await;
    let answer = Contract::ApiAuth
        .sign_in(&attacker(&second), &unknown)
        .await;
    Contract::ApiAuth.refuses(&answer, 429);
    assert!(answer.retry_after() >= 1, "{answer}");
    // The owner signs in from another address.
    for node in [&first, &second] {
        Contract::ApiAuth.signs_in(&node.http(), &ann).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_guesses_on_two_nodes_pass_at_most_two_bursts_and_delay_later_guesses() {
    let [first, second] = Settings::of_two_nodes()
        .map(|settings| settings.without("AUTHLOG_RATE_LIMIT").with_cheap_hashing());
    let nodes = [first.start().await, second.start().await];
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&nodes[0].http(), &ann).await;
    reports_guesses(&nodes[0], &nodes[1], "before").await;
    reports_guesses(&nodes[1], &nodes[0], "then").await;
    let mut running = tokio::task::JoinSet::new();
    for number in 0..200 {
        let attacker = nodes[number % 2].http().calling_from("127.0.0.2");
        let guess = ann.with_password("a-wild-guess");
        running.spawn(async move { Contract::ApiAuth.sign_in(&attacker, &guess).await });
    }
    let answers = running.join_all().await;
    let checked = answers.iter().filter(|answer| answer.status == 403);
    let checked = u64::try_from(checked.count()).unwrap();
    // Ten on each node, and one more for each half minute that a slow machine takes.
    assert!((10..=24).contains(&checked), "{checked} were checked");
    // Ten are free. Each further one delays the next guess on both nodes by half a minute. A slow machine may have used up a
    // minute. The other name is used, because the guessed one is refused without a lookup until then.
    let by_username = Person {
        email: ann.username.clone(),
        ..ann.with_password("a-wild-guess")
    };
    for (here, there) in [(&nodes[0], &nodes[1]), (&nodes[1], &nodes[0])] {
        reports_guesses(here, there, "after").await;
        let attacker = there.http().calling_from("127.0.0.2");
        let answer = Contract::ApiAuth.sign_in(&attacker, &by_username).await;
        Contract::ApiAuth.refuses(&answer, 429);
        let owed = (checked - 10) * 30;
        assert!(answer.retry_after() + 60 >= owed, "{answer}");
    }
}

/// Waits until one node has applied all guesses that the other has counted so far. Messages between nodes stay in
/// order.
async fn reports_guesses(here: &Program, there: &Program, when: &str) {
    let number = std::cell::Cell::new(0);
    eventually("the node receives the other's count", async || {
        number.set(number.get() + 1);
        let stranger = Person::called(&format!("stranger-{when}-{}", number.get()));
        let [here, there] = [here, there].map(|node| node.http().calling_from("127.0.0.4"));
        while Contract::ApiAuth.sign_in(&here, &stranger).await.status != 429 {}
        tokio::time::sleep(Duration::from_millis(200)).await;
        let answer = Contract::ApiAuth.sign_in(&there, &stranger).await;
        (answer.status == 429).then_some(())
    })
    .await;
}

/// Two nodes that share a database and a master key. The first makes the key.
async fn two_nodes() -> [Program; 2] {
    let [first, second] = Settings::of_two_nodes().map(Settings::with_cheap_hashing);
    [first.start().await, second.start().await]
}
