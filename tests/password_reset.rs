//! The reset of a forgotten password: the mail, its token, and the page that its link opens.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

use crate::support;

use std::time::Duration;

use serde_json::{Value, json};
use support::contract::{
    is_refused, refreshes_nothing, refusal_of_users, success_of_users, verifies,
};
use support::form::TEXT;
use support::http::Http;
use support::mail::{Mail, MailServer, Mailbox as _, mail_to, new_mail_to};
use support::program::free_port;
use support::{
    Answer, Contract, Person, Program, Settings, Store, api_auth, on_both_stores, own, users,
};

/// The answer of `/users` to every request for a reset.
const SENT: &str = "If the account is already registered, we have sent a password reset link to your email so you can change the new password,";

on_both_stores!(
    every_request_gets_the_same_answer_and_only_accounts_are_mailed,
    a_request_without_a_username_is_refused_in_one_sentence,
    an_account_of_any_contract_is_mailed_by_address_and_by_username,
    a_token_is_verified_before_it_is_used,
    a_new_password_replaces_the_old_one_in_every_contract,
    a_new_password_ends_every_session_of_the_account_and_no_other,
    a_token_works_once,
    a_newer_token_replaces_an_older_one,
    a_queued_request_neither_revives_a_used_link_nor_makes_one_for_the_future,
    an_invalid_token_is_refused_as_printed,
    a_refused_new_password_does_not_use_up_the_token,
    a_reset_token_neither_authenticates_nor_refreshes,
    a_token_stays_valid_across_a_restart,
    the_mailed_link_opens_a_page_on_which_a_person_types_the_new_password,
    the_page_says_what_is_wrong_and_lets_the_person_try_again,
    the_page_repeats_nothing_that_a_browser_would_run,
    mail_goes_through_smtp_where_it_is_configured,
    mail_waits_for_a_mail_server_that_is_away,
    mail_is_sent_after_a_crash_between_request_and_mail,
    a_mail_server_that_never_answers_delays_no_request,
);

async fn every_request_gets_the_same_answer_and_only_accounts_are_mailed(store: Store) {
    let service = Program::on(store).await;
    Contract::Users
        .registers(&service.http(), &Person::called("ann"))
        .await;
    for username in ["unknown@example.com", "unknown", "ann@example.com"] {
        let body = json!({"username": username});
        let answer = service.send(users::REQUEST_RESET).json(&body).await;
        answer.is(200, &success_of_users(SENT, &Value::Null));
    }
    // Requests are handled in order, so those for unknown names have been handled by now.
    mail_to(&service, "ann@example.com").await;
    let addresses: Vec<_> = service.mails().into_iter().map(|mail| mail.to).collect();
    assert_eq!(addresses, ["ann@example.com"]);
}

async fn a_request_without_a_username_is_refused_in_one_sentence(store: Store) {
    let service = Program::on(store).await;
    for body in [json!({}), json!({"username": ""})] {
        let answer = service.send(users::REQUEST_RESET).json(&body).await;
        answer.is(400, &refusal_of_users(400, TEXT));
    }
}

async fn an_account_of_any_contract_is_mailed_by_address_and_by_username(store: Store) {
    let service = Program::on(store).await;
    for contract in Contract::ALL {
        let person = Person::called(&format!("person-{contract:?}").to_lowercase());
        contract.registers(&service.http(), &person).await;
        let mail = request_reset(&service, &person.email.to_uppercase(), &person.email).await;
        assert!(!mail.subject.is_empty());
        assert!(!mail.text.contains(&person.password));
        if contract == Contract::ApiAuth {
            request_reset(&service, &person.username, &person.email).await;
        }
    }
}

async fn a_token_is_verified_before_it_is_used(store: Store) {
    let service = Program::on(store).await;
    let ann = registered(&service, "ann").await;
    let token = request_reset(&service, &ann.email, &ann.email)
        .await
        .token();
    let verified = success_of_users("token verified", &Value::Null);
    for header in [token.clone(), format!("Bearer {token}")] {
        let answer = service
            .send(users::VERIFY_RESET)
            .authorization(&header)
            .await;
        answer.is(200, &verified);
    }
    // Opening the page does not use the token up.
    update_password(&service.http(), &token, "another-secret").await;
}

async fn a_new_password_replaces_the_old_one_in_every_contract(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    let ann = registered(&service, "ann").await;
    let token = request_reset(&service, &ann.email, &ann.email)
        .await
        .token();
    let answer = service
        .send(users::UPDATE_PASSWORD)
        .authorization(&token)
        .json(&json!({"password": "another-secret"}))
        .await;
    answer.is(
        200,
        &success_of_users("password successfully updated", &Value::Null),
    );
    for contract in Contract::ALL {
        contract.says_wrong_credentials(&contract.sign_in(&http, &ann).await);
        let tokens = contract
            .signs_in(&http, &ann.with_password("another-secret"))
            .await;
        verifies(&http, &tokens.access).await;
    }
}

async fn a_new_password_ends_every_session_of_the_account_and_no_other(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    let ann = registered(&service, "ann").await;
    let bob = registered(&service, "bob").await;
    let mut of_ann = Vec::new();
    let mut of_bob = Vec::new();
    for contract in Contract::ALL {
        of_ann.push(contract.signs_in(&http, &ann).await);
        of_bob.push(contract.signs_in(&http, &bob).await);
    }
    let token = request_reset(&service, &ann.email, &ann.email)
        .await
        .token();
    for tokens in &of_ann {
        verifies(&http, &tokens.access).await;
    }
    update_password(&http, &token, "another-secret").await;
    for tokens in &of_ann {
        is_refused(&http, &tokens.access).await;
        if let Some(refresh) = &tokens.refresh {
            refreshes_nothing(&http, refresh).await;
        }
    }
    for tokens in &of_bob {
        verifies(&http, &tokens.access).await;
    }
}

async fn a_token_works_once(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    let ann = registered(&service, "ann").await;
    let token = request_reset(&service, &ann.email, &ann.email)
        .await
        .token();
    update_password(&http, &token, "another-secret").await;
    is_refused_for_a_reset(&http, &token).await;
    Contract::Users
        .signs_in(&http, &ann.with_password("another-secret"))
        .await;
}

async fn a_queued_request_neither_revives_a_used_link_nor_makes_one_for_the_future(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    let ann = registered(&service, "ann").await;
    let bob = registered(&service, "bob").await;
    let used = request_reset(&service, &ann.email, &ann.email)
        .await
        .token();
    update_password(&http, &used, "another-secret").await;
    let known = service.mails();
    let used_reset = {
        use base64::Engine as _;
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(&used);
        uuid::Uuid::from_slice(&bytes.unwrap()[16..32]).unwrap()
    };
    // The request whose link would be valid for years comes first, because requests are handled in order.
    enqueue_request(
        &service.settings,
        uuid::Uuid::from_u128(7),
        &bob.email,
        3650,
    );
    enqueue_request(&service.settings, used_reset, &ann.email, 0);
    new_mail_to(&service, &ann.email, &known).await;
    is_refused_for_a_reset(&http, &used).await;
    support::eventually("every request was handled", async || {
        (service.settings.count("reset_requests") == 0).then_some(())
    })
    .await;
    assert!(service.mails().iter().all(|mail| mail.to != bob.email));
}

/// Inserts a reset request into the queue, as an attacker with write access can, dated this many days from now.
fn enqueue_request(settings: &Settings, reset: uuid::Uuid, identifier: &str, days: u32) {
    let context = json!({
        "request": uuid::Uuid::from_u128(8), "contract": "users", "address": null, "user_agent": null,
    });
    let (identifier, now, at) = if settings.is_sqlite() {
        let now = "CAST(strftime('%s', 'now') AS INTEGER) * 1000";
        let at = format!("{now} + {days} * 86400000");
        (format!("'{identifier}'"), now, at)
    } else {
        let at = format!("now() + interval '{days} days'");
        (format!("convert_to('{identifier}', 'UTF8')"), "now()", at)
    };
    settings.execute(&format!(
        "INSERT INTO reset_requests (reset_id, identifier, requested_at, context, attempts, due_at)
         VALUES ('{reset}', {identifier}, {at}, '{context}', 0, {now})"
    ));
}

async fn a_newer_token_replaces_an_older_one(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    let ann = registered(&service, "ann").await;
    let older = request_reset(&service, &ann.email, &ann.email)
        .await
        .token();
    let newer = request_reset(&service, &ann.email, &ann.email)
        .await
        .token();
    assert_ne!(older, newer);
    is_refused_for_a_reset(&http, &older).await;
    update_password(&http, &newer, "another-secret").await;
}

async fn an_invalid_token_is_refused_as_printed(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    let ann = registered(&service, "ann").await;
    let token = request_reset(&service, &ann.email, &ann.email)
        .await
        .token();
    let tokens = Contract::Users.signs_in(&http, &ann).await;
    let refusal = refusal_of_users(400, "please provided a valid reset_password_token!");
    let answer = service.send(users::VERIFY_RESET).await;
    answer.is(400, &refusal);
    let body = json!({"password": "another-secret"});
    let answer = service.send(users::UPDATE_PASSWORD).json(&body).await;
    answer.is(400, &refusal);
    let mut altered = token.clone().into_bytes();
    altered[10] = if altered[10] == b'A' { b'B' } else { b'A' };
    for bad in [
        "reset_password_token",
        tokens.access.as_str(),
        tokens.refresh(),
        std::str::from_utf8(&altered).unwrap(),
    ] {
        is_refused_for_a_reset(&http, bad).await;
    }
    Contract::Users.signs_in(&http, &ann).await;
}

async fn a_refused_new_password_does_not_use_up_the_token(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    let ann = registered(&service, "ann").await;
    let token = request_reset(&service, &ann.email, &ann.email)
        .await
        .token();
    for body in [
        json!({}),
        json!({"password": ""}),
        json!({"password": "short"}),
        json!({"password": "x".repeat(5000)}),
    ] {
        let answer = service
            .send(users::UPDATE_PASSWORD)
            .authorization(&token)
            .json(&body)
            .await;
        answer.is(400, &refusal_of_users(400, TEXT));
    }
    Contract::Users.signs_in(&http, &ann).await;
    update_password(&http, &token, "another-secret").await;
}

async fn a_reset_token_neither_authenticates_nor_refreshes(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    let ann = registered(&service, "ann").await;
    let token = request_reset(&service, &ann.email, &ann.email)
        .await
        .token();
    is_refused(&http, &token).await;
    refreshes_nothing(&http, &token).await;
    let answer = service.send(api_auth::LOGOUT).bearer(&token).await;
    assert_eq!(answer.status, 401, "{answer}");
}

async fn a_token_stays_valid_across_a_restart(store: Store) {
    let mut service = Program::on(store).await;
    let ann = registered(&service, "ann").await;
    let token = request_reset(&service, &ann.email, &ann.email)
        .await
        .token();
    service.kill9();
    service.restart().await;
    update_password(&service.http(), &token, "another-secret").await;
    is_refused_for_a_reset(&service.http(), &token).await;
}

async fn the_mailed_link_opens_a_page_on_which_a_person_types_the_new_password(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    let ann = registered(&service, "ann").await;
    let session = Contract::ApiAuth.signs_in(&http, &ann).await;
    let mail = request_reset(&service, &ann.email, &ann.email).await;

    let link = mail.link();
    let page_of_ours = format!("http://{}/reset-password?", service.address());
    let query = link
        .strip_prefix(&page_of_ours)
        .unwrap_or_else(|| panic!("{link}"));
    let page = service.send(own::RESET_PAGE).query(query).await;
    is_a_page(&page, 200);
    // The username lets a password manager store the new password.
    let name = r#"<input type="text" name="username" value="ann" autocomplete="username" hidden>"#;
    assert!(page.body.contains(name), "{page}");
    let form = page.body.to_lowercase();
    assert!(
        form.contains("<form") && form.contains(r#"method="post""#),
        "{page}"
    );
    for field in ["token", "password", "password_confirmation"] {
        assert!(
            page.body.contains(&format!(r#"name="{field}""#)),
            "{field}: {page}"
        );
    }
    assert!(
        page.body.contains(&mail.token()),
        "the form keeps the token"
    );

    let done = submit(&http, &mail.token(), "another-secret", "another-secret").await;
    is_a_page(&done, 200);
    assert!(!done.body.contains("another-secret"), "{done}");
    is_refused(&http, &session.access).await;
    Contract::ApiAuth
        .signs_in(&http, &ann.with_password("another-secret"))
        .await;

    // Both the link and the form are spent.
    let page = service.send(own::RESET_PAGE).query(query).await;
    assert!(!page.body.to_lowercase().contains("<form"), "{page}");
    let again = submit(&http, &mail.token(), "a-third-secret", "a-third-secret").await;
    assert!((400..500).contains(&again.status), "{again}");
    is_a_page(&again, again.status);
}

async fn the_page_says_what_is_wrong_and_lets_the_person_try_again(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    let ann = registered(&service, "ann").await;
    let token = request_reset(&service, &ann.email, &ann.email)
        .await
        .token();
    for (password, confirmation) in [
        ("another-secret", "a-different-one"),
        ("short", "short"),
        ("", ""),
    ] {
        let page = submit(&http, &token, password, confirmation).await;
        assert!((400..500).contains(&page.status), "{page}");
        is_a_page(&page, page.status);
        assert!(page.body.to_lowercase().contains("<form"), "{page}");
        assert!(page.body.contains(&token), "the form keeps the token");
        Contract::ApiAuth.signs_in(&http, &ann).await;
    }
    let fields = [("token", &*token), ("username", "<ann>"), ("password", "")];
    let page = http.send(own::RESET_FORM).form(&fields).await;
    let name = r#"name="username" value="&lt;ann&gt;""#;
    assert!(page.body.contains(name), "{page}");
    let page = submit(&http, &token, "another-secret", "another-secret").await;
    is_a_page(&page, 200);
    // Browsers request an icon; the answer is cached.
    let icon = service.send(own::ICON).await;
    assert_eq!(icon.status, 204, "{icon}");
    let kept = icon.header("cache-control");
    assert_eq!(kept, Some("public, max-age=86400"));
}

async fn the_page_repeats_nothing_that_a_browser_would_run(store: Store) {
    let service = Program::on(store).await;
    let attack = r#""><script>alert(1)</script>"#;
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("token", attack)
        .finish();
    let answers = [
        service.send(own::RESET_PAGE).query(&query).await,
        service.send(own::RESET_PAGE).await,
        submit(&service.http(), attack, "another-secret", "another-secret").await,
        service
            .send(own::RESET_FORM)
            .form(&[("token", "x"), ("username", attack)])
            .await,
        service.send(own::RESET_FORM).form(&[]).await,
        service
            .send(own::RESET_FORM)
            .json(&json!({"token": attack}))
            .await,
    ];
    for answer in answers {
        assert!((400..500).contains(&answer.status), "{answer}");
        assert!(!answer.body.contains("<script>alert"), "{answer}");
    }
    let page = service.send(own::RESET_PAGE).query("token=x").await;
    // A token in an address must not travel on in a `Referer`.
    assert_eq!(
        page.header("referrer-policy"),
        Some("no-referrer"),
        "{page}"
    );
    assert!(page.header("content-security-policy").is_some(), "{page}");
}

async fn mail_goes_through_smtp_where_it_is_configured(store: Store) {
    let port = free_port();
    let post = MailServer::on(port).await;
    let settings = Settings::on(store)
        .with("AUTHLOG_SMTP_URL", &format!("smtp://127.0.0.1:{port}"))
        .with("AUTHLOG_PUBLIC_URL", "https://auth.example.com");
    let service = settings.start().await;
    let ann = registered(&service, "ann").await;
    ask_for_a_reset(&service.http(), &ann.email).await;
    let mail = mail_to(&post, &ann.email).await;
    assert!(
        mail.link()
            .starts_with("https://auth.example.com/reset-password?token="),
        "{mail:?}"
    );
    assert_eq!(service.mails(), []);
    update_password(&service.http(), &mail.token(), "another-secret").await;
}

async fn mail_waits_for_a_mail_server_that_is_away(store: Store) {
    // The server closes the first connection, which shows that there was an attempt.
    let hanging_up = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = hanging_up.local_addr().unwrap().port();
    let service = Settings::on(store)
        .with("AUTHLOG_SMTP_URL", &format!("smtp://127.0.0.1:{port}"))
        .start()
        .await;
    let ann = registered(&service, "ann").await;
    ask_for_a_reset(&service.http(), &ann.email).await;
    let attempt = tokio::time::timeout(Duration::from_secs(60), hanging_up.accept());
    drop(attempt.await.unwrap().unwrap());
    drop(hanging_up);
    let post = MailServer::on(port).await;
    let mail = mail_to(&post, &ann.email).await;
    update_password(&service.http(), &mail.token(), "another-secret").await;
}

async fn mail_is_sent_after_a_crash_between_request_and_mail(store: Store) {
    let port = free_port();
    let mut service = Settings::on(store)
        .with("AUTHLOG_SMTP_URL", &format!("smtp://127.0.0.1:{port}"))
        .start()
        .await;
    let ann = registered(&service, "ann").await;
    ask_for_a_reset(&service.http(), &ann.email).await;
    service.kill9();
    let post = MailServer::on(port).await;
    service.restart().await;
    let mail = mail_to(&post, &ann.email).await;
    update_password(&service.http(), &mail.token(), "another-secret").await;
}

async fn a_mail_server_that_never_answers_delays_no_request(store: Store) {
    // The listener accepts connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let mut service = Settings::on(store)
        .with("AUTHLOG_SMTP_URL", &format!("smtp://127.0.0.1:{port}"))
        .start()
        .await;
    let ann = registered(&service, "ann").await;
    for _ in 0..3 {
        ask_for_a_reset(&service.http(), &ann.email).await;
    }
    Contract::ApiAuth.signs_in(&service.http(), &ann).await;
    assert!(
        service.terminate().await.success(),
        "the shutdown was delayed"
    );
}

/// Registers a person.
async fn registered(service: &Program, name: &str) -> Person {
    let person = Person::called(name);
    Contract::ApiAuth.registers(&service.http(), &person).await;
    person
}

/// Requests a reset, and asserts that the answer is the usual one.
async fn ask_for_a_reset(http: &Http, username: &str) {
    let body = json!({"username": username});
    let answer = http.send(users::REQUEST_RESET).json(&body).await;
    answer.is(200, &success_of_users(SENT, &Value::Null));
}

/// Requests a reset, and waits for the mail to `address`.
async fn request_reset(service: &Program, username: &str, address: &str) -> Mail {
    let known = service.mails();
    ask_for_a_reset(&service.http(), username).await;
    new_mail_to(service, address, &known).await
}

/// Sets a new password through `/users`, and asserts that it worked.
async fn update_password(http: &Http, token: &str, password: &str) {
    let request = http.send(users::UPDATE_PASSWORD).authorization(token);
    let answer = request.json(&json!({"password": password})).await;
    assert_eq!(answer.status, 200, "{answer}");
}

/// Asserts that `token` resets nothing.
async fn is_refused_for_a_reset(http: &Http, token: &str) {
    let refusal = refusal_of_users(400, "please provided a valid reset_password_token!");
    let answer = http.send(users::VERIFY_RESET).authorization(token).await;
    answer.is(400, &refusal);
    let request = http.send(users::UPDATE_PASSWORD).authorization(token);
    let answer = request
        .json(&json!({"password": "yet-another-secret"}))
        .await;
    answer.is(400, &refusal);
}

/// Sends the page's form.
async fn submit(http: &Http, token: &str, password: &str, confirmation: &str) -> Answer {
    let fields = [
        ("token", token),
        ("password", password),
        ("password_confirmation", confirmation),
    ];
    http.send(own::RESET_FORM).form(&fields).await
}

/// Asserts that `answer` is an HTML page.
#[track_caller]
fn is_a_page(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{answer}");
    let media_type = answer.header("content-type").unwrap_or_default();
    assert!(media_type.starts_with("text/html"), "{answer}");
}
