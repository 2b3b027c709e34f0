//! The hosted pages: a person signs up, signs in, protects the account and signs out, in a browser without script.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

use crate::support;

use serde_json::json;
use support::authenticator::{Authenticator, enrol};
use support::browser::{Browser, between, credentials, registered, signed_in};
use support::http::Http;
use support::mail::mail_to;
use support::{
    Answer, Contract, Endpoint, Person, Postgres, Program, Settings, Store, eventually,
    on_both_stores, own, staff, users,
};

on_both_stores!(
    a_person_signs_up_signs_out_and_signs_in,
    an_authenticator_app_and_recovery_codes_protect_the_account,
    a_person_sees_and_ends_sessions,
    a_new_password_ends_the_other_sessions,
    a_forgotten_password_is_reset,
    the_session_of_a_browser_is_a_session_like_any_other,
    showing_a_page_writes_nothing,
    a_session_that_ended_shows_no_page,
    forms_of_other_sites_and_sessions_are_refused,
    a_login_leads_to_no_other_site,
    the_cookie_is_found_among_others_of_its_name,
    the_cookie_is_for_the_host_alone_and_the_links_stay_below_the_public_url,
    every_page_is_html_for_a_visitor,
    names_are_text_in_a_page,
    strange_forms_are_refused,
    guesses_are_limited_with_the_time_to_wait,
    an_unverified_person_is_told_to_follow_the_link,
    closed_registration_is_refused_everywhere,
);

async fn service(store: Store) -> Program {
    Settings::on(store).with_cheap_hashing().start().await
}

async fn a_person_signs_up_signs_out_and_signs_in(store: Store) {
    let service = service(store).await;
    let ann = Person::called("ann");
    let mut browser = Browser::new(&service.http());
    browser.open("/").await;
    browser.shows(200, "Create an account");
    browser.open("/sign-up").await;
    let form = [
        ("email", ann.email.as_str()),
        ("username", &ann.username),
        ("password", &ann.password),
    ];
    let mistyped = [&form[..], &[("password_confirmation", "another")]].concat();
    browser.submit("/sign-up", &mistyped).await;
    browser.shows(400, "The passwords do not match.");
    assert!(browser.html().contains("value=\"ann@example.com\""));
    let right = [&form[..], &[("password_confirmation", &ann.password)]].concat();
    browser.submit("/sign-up", &right).await;
    assert_eq!(browser.path, "/security");
    browser.shows(200, "Signed in as <strong>ann</strong>");
    // The names are taken now.
    let mut other = Browser::new(&service.http());
    other.open("/sign-up").await;
    other.submit("/sign-up", &right).await;
    other.shows(409, "Another account has this");

    browser.open("/sign-out").await;
    browser.submit("/sign-out", &[]).await;
    browser.shows(200, "You are signed out.");
    assert!(browser.cookies.is_empty());

    browser.open("/security/password").await;
    assert_eq!(browser.path, "/sign-in?next=%2Fsecurity%2Fpassword");
    browser
        .submit(
            "/sign-in",
            &[("username", "ann"), ("password", "wrong-guess")],
        )
        .await;
    browser.shows(403, "The name or the password is wrong.");
    assert!(browser.html().contains("value=\"ann\""));
    browser
        .submit("/sign-in", &[("username", ""), ("password", "")])
        .await;
    browser.shows(400, "Please type your username or e-mail address");
    browser.submit("/sign-in", &credentials(&ann)).await;
    assert_eq!(browser.path, "/security/password");
    browser.shows(200, "Current password");
    // A person who is signed in goes on at once.
    browser.open("/sign-in?next=/security").await;
    assert_eq!(browser.path, "/security");
}

async fn an_authenticator_app_and_recovery_codes_protect_the_account(store: Store) {
    let service = service(store).await;
    let (ann, mut browser) = registered(&service.http(), "ann").await;
    let right = [("password", ann.password.as_str())];
    browser.open("/security/authenticator").await;
    browser
        .submit("/security/authenticator", &[("password", "wrong-guess")])
        .await;
    browser.shows(403, "The password is wrong.");
    browser.submit("/security/authenticator", &right).await;
    browser.shows(200, "Scan this code");
    assert!(browser.html().contains("<svg class=\"qr\""));
    let secret = between(&browser.html(), "<code>", "</code>").replace(' ', "");
    assert!(browser.html().contains(&format!("secret={secret}&")));
    let mut app = Authenticator::of(&secret);
    // After a mistyped code the same secret is shown once more.
    browser
        .submit("/security/authenticator/confirm", &[("code", "12345")])
        .await;
    browser.shows(403, "The code is wrong.");
    assert_eq!(
        between(&browser.html(), "<code>", "</code>").replace(' ', ""),
        secret
    );
    let code = app.fresh_code().await;
    browser
        .submit("/security/authenticator/confirm", &[("code", &code)])
        .await;
    assert_eq!(browser.path, "/security?done=authenticator-added");
    browser.shows(200, "The authenticator app is added.");

    browser.open("/security/recovery-codes").await;
    browser.submit("/security/recovery-codes", &right).await;
    browser.shows(201, "They are shown only now.");
    let codes: Vec<String> = browser
        .html()
        .split("<li><code>")
        .skip(1)
        .map(|item| item.split('<').next().unwrap().to_owned())
        .collect();
    assert_eq!(codes.len(), 10);

    // The password alone leads to the second step; a code counts once.
    let mut other = Browser::new(&service.http());
    other.open("/sign-in?next=/security/password").await;
    other.submit("/sign-in", &credentials(&ann)).await;
    other.shows(200, "Code of your authenticator app");
    assert!(other.cookies.is_empty());
    other
        .submit("/sign-in/code", &[("code", &app.shown_code())])
        .await;
    other.shows(403, "This code was used before.");
    other
        .submit("/sign-in/code", &[("code", &app.wrong_code())])
        .await;
    other.shows(403, "The code is wrong.");
    let code = app.fresh_code().await;
    other.submit("/sign-in/code", &[("code", &code)]).await;
    assert_eq!(other.path, "/security/password");

    for (code, status) in [(&codes[0], 200), (&codes[0], 403), (&codes[1], 200)] {
        let mut other = Browser::new(&service.http());
        other.open("/sign-in").await;
        other.submit("/sign-in", &credentials(&ann)).await;
        other
            .submit("/sign-in/code", &[("recovery_code", code)])
            .await;
        assert_eq!(other.page().status, status, "{}", other.page());
    }
    browser.open("/security").await;
    browser.shows(200, "You have 8 recovery codes left.");

    let id = between(&browser.html(), "href=\"/security/factors/", "/");
    let rename = format!("/security/factors/{id}/label");
    browser.open(&rename).await;
    for (label, status, words) in [
        (&*"a".repeat(65), 400, "A name has at most 64 characters"),
        ("Phone <b>", 200, "The name is saved."),
        ("  ", 200, "The name is saved."),
        ("Phone", 200, "<strong>Phone</strong>"),
    ] {
        browser.submit(&rename, &[("label", label)]).await;
        browser.shows(status, words);
        browser.open(&rename).await;
    }
    assert!(browser.page().body.contains("value=\"Phone\""));

    let remove = format!("/security/factors/{id}/removal");
    browser.open(&remove).await;
    browser.shows(200, "your recovery codes are removed");
    browser.submit(&remove, &right).await;
    browser.shows(200, "The second factor is removed.");
    for path in [&rename, &remove] {
        browser.open(path).await;
        browser.shows(404, "no such second factor");
    }
    signed_in(&service.http(), &ann).await;
}

async fn a_person_sees_and_ends_sessions(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (ann, mut browser) = registered(&http, "ann").await;
    let mut phone = signed_in(&http, &ann).await;
    Contract::Users.signs_in(&http, &ann).await;
    browser.open("/security").await;
    browser.shows(200, "This browser");
    browser.shows(200, "at /users");
    let ends = browser.html().matches("/end\">").count();
    // The registration at `/api/auth` began a session as well.
    assert_eq!(ends, 3, "{}", browser.html());

    phone.open("/security").await;
    let of_phone = listed(&http, &phone).await;
    let path = format!("/security/sessions/{of_phone}/end");
    browser.submit(&path, &[]).await;
    browser.shows(200, "The session has ended.");
    phone.open("/security").await;
    assert_eq!(phone.path, "/sign-in?next=%2Fsecurity");
    // A second click on an old page.
    let token = form_token(&browser);
    let answer = browser.post(&path, &token, &[]).await;
    assert_eq!(answer.status, 404, "{answer}");
    assert!(answer.body.contains("ended already"), "{answer}");

    browser.submit("/security/sessions/end-others", &[]).await;
    browser.shows(200, "All other sessions have ended.");
    assert_eq!(browser.html().matches("/end\">").count(), 0);
    // The message is not shown to a person whom a link of another site leads here.
    let request = browser.request("GET", "/security?done=password");
    let answer = request.header("sec-fetch-site", "cross-site").await;
    assert!(!answer.body.contains("role=\"status\""), "{answer}");
}

async fn a_new_password_ends_the_other_sessions(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (ann, mut browser) = registered(&http, "ann").await;
    let mut phone = signed_in(&http, &ann).await;
    browser.open("/security/password").await;
    let new = ann.with_password("a-better-password");
    for (current, again, status, words) in [
        (
            "wrong-guess",
            "a-better-password",
            403,
            "The current password is wrong.",
        ),
        (
            &*ann.password,
            "another",
            400,
            "The passwords do not match.",
        ),
        (
            &*ann.password,
            "a-better-password",
            200,
            "Your password is changed.",
        ),
    ] {
        let form = [
            ("password", current),
            ("new_password", new.password.as_str()),
            ("password_confirmation", again),
        ];
        browser.submit("/security/password", &form).await;
        browser.shows(status, words);
    }
    phone.open("/security").await;
    assert_eq!(phone.path, "/sign-in?next=%2Fsecurity");
    browser.open("/security").await;
    browser.shows(200, "Signed in as");
    signed_in(&http, &new).await;
}

async fn a_forgotten_password_is_reset(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (ann, mut browser) = registered(&http, "ann").await;
    let mut other = Browser::new(&http);
    other.open("/forgotten-password").await;
    for name in ["a-stranger", "ann"] {
        other
            .submit("/forgotten-password", &[("username", name)])
            .await;
        other.shows(202, "If there is such an account");
        other.open("/forgotten-password").await;
    }
    let link = mail_to(&service, &ann.email).await.link();
    let path = link.split(&service.address()).nth(1).unwrap();
    other.open(path).await;
    let new = ann.with_password("a-better-password");
    let form = [
        ("password", new.password.as_str()),
        ("password_confirmation", &new.password),
    ];
    other.submit("/reset-password", &form).await;
    other.shows(200, "Your new password is set.");
    browser.open("/security").await;
    assert_eq!(browser.path, "/sign-in?next=%2Fsecurity");
    signed_in(&http, &new).await;
}

async fn the_session_of_a_browser_is_a_session_like_any_other(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (ann, browser) = registered(&http, "ann").await;
    let secret = browser.cookies["authlog"].clone();
    assert_eq!(secret.len(), 43);
    let access = Contract::Users.signs_in(&http, &ann).await.access;
    let listed = http.send(own::SESSIONS).bearer(&access).await.json();
    let sessions = listed["sessions"].as_array().unwrap();
    let ours = sessions.iter().find(|it| it["contract"] == "authlog");
    let ours = ours.unwrap_or_else(|| panic!("not in {listed}"));
    assert_eq!(ours["amr"], json!(["pwd"]));
    let history = http.send(own::HISTORY).bearer(&access).await.json();
    assert!(
        history.to_string().contains(ours["id"].as_str().unwrap()),
        "{history}"
    );
    // The cookie is no access token, and an access token is no cookie.
    support::contract::is_refused(&http, &secret).await;
    let opaque = Contract::Api.signs_in(&http, &ann).await.access;
    for token in [&access, &opaque] {
        let answer = http.send(own::SECURITY_PAGE).cookie("authlog", token).await;
        assert_eq!(answer.status, 303, "{answer}");
    }
    // Only a digest is stored, and nothing of it is logged.
    let stored = service.settings.stored_bytes();
    let finds = |text: &str| stored.windows(text.len()).any(|it| it == text.as_bytes());
    assert!(!finds(&secret));
    assert!(!service.output().contains(&secret));

    let id = ours["id"].as_str().unwrap();
    let end = Endpoint::at("DELETE", format!("/account/sessions/{id}").leak());
    let answer = http.send(end).bearer(&access).await;
    assert_eq!(answer.status, 204, "{answer}");
    let mut browser = browser;
    browser.open("/security").await;
    assert_eq!(browser.path, "/sign-in?next=%2Fsecurity");
}

async fn showing_a_page_writes_nothing(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (ann, mut browser) = registered(&http, "ann").await;
    for _ in 0..3 {
        for path in ["/", "/security", "/security/password", "/sign-out"] {
            browser.open(path).await;
            assert_eq!(browser.page().status, 200);
        }
    }
    // Events are listed in the order in which they were stored, so the last one is listed after all others.
    let access = Contract::Users.signs_in(&http, &ann).await.access;
    let stored = eventually("the last login is listed", async || {
        let listed = http.send(own::HISTORY).bearer(&access).await.json();
        let events = listed["events"].as_array()?.clone();
        (events.last()?["contract"] == "users").then_some(events)
    })
    .await;
    let types: Vec<_> = stored.iter().map(|event| &event["type"]).collect();
    assert_eq!(types.len(), 4, "a registration and three logins: {types:?}");
}

async fn a_session_that_ended_shows_no_page(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let root = staff::signed_in(&service, "root", "admin").await;
    let (ann, browser) = registered(&http, "ann").await;
    let profile = Contract::Users.signs_in(&http, &ann).await.access;
    let profile = http.send(own::PROFILE).bearer(&profile).await.json();
    let id = profile["id"].as_str().unwrap();
    let lock = Endpoint::at("POST", format!("/admin/users/{id}/lock").leak());
    let answer = http.send(lock).bearer(&root.access).await;
    assert_eq!(answer.status, 200, "{answer}");
    let mut locked = browser.clone();
    locked.open("/security").await;
    assert_eq!(locked.path, "/sign-in?next=%2Fsecurity");
    locked.submit("/sign-in", &credentials(&ann)).await;
    locked.shows(403, "The name or the password is wrong.");

    // An erased account, and a login in the same browser, which replaces its session.
    let (bob, first) = registered(&http, "bob").await;
    let mut second = first.clone();
    second.path.clear();
    let hidden = [("next".to_owned(), "/security".to_owned())];
    let answer = second.post("/sign-in", &hidden, &credentials(&bob)).await;
    assert_eq!(answer.status, 303, "{answer}");
    let mut replaced = first.clone();
    replaced.open("/security").await;
    assert_eq!(replaced.path, "/sign-in?next=%2Fsecurity");
    let renewed = answer.cookie("authlog").unwrap().value;
    second.cookies.insert("authlog".to_owned(), renewed);
    second.open("/security").await;
    second.shows(200, "Signed in as");
    let access = Contract::Users.signs_in(&http, &bob).await.access;
    let erase = http.send(own::ERASE).bearer(&access);
    let answer = erase.json(&json!({"password": bob.password})).await;
    assert_eq!(answer.status, 204, "{answer}");
    second.open("/security").await;
    assert_eq!(second.path, "/sign-in?next=%2Fsecurity");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_ended_on_one_node_shows_no_page_on_the_other() {
    let [first, second] = Settings::of_two_nodes();
    let first = first.with_cheap_hashing().start().await;
    let second = second.with_cheap_hashing().start().await;
    let (_, mut browser) = registered(&first.http(), "ann").await;
    let mut elsewhere = Browser::new(&second.http());
    elsewhere.cookies = browser.cookies.clone();
    elsewhere.open("/security").await;
    elsewhere.shows(200, "Signed in as");
    // A form that one node made is valid on the other.
    elsewhere.submit("/security/sessions/end-others", &[]).await;
    elsewhere.shows(200, "All other sessions have ended.");
    browser.open("/sign-out").await;
    browser.submit("/sign-out", &[]).await;
    // The cookie is looked up in the store, so there is nothing to wait for.
    elsewhere.open("/security").await;
    assert_eq!(elsewhere.path, "/sign-in?next=%2Fsecurity");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_store_the_service_says_so_on_a_page() {
    let server = Postgres::of_its_own();
    let service = Settings::on_server(&server)
        .with_cheap_hashing()
        .start()
        .await;
    let http = service.http();
    let (ann, mut browser) = registered(&http, "ann").await;
    browser.open("/security").await;
    let token = form_token(&browser);
    let mut form: Vec<_> = token
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    form.extend(credentials(&ann));
    tokio::task::block_in_place(|| server.stop());
    for (method, path) in [
        ("GET", "/sign-in"),
        ("GET", "/security"),
        ("GET", "/sign-out"),
        ("POST", "/sign-in"),
        ("POST", "/sign-up"),
        ("POST", "/sign-out"),
        ("POST", "/security/sessions/end-others"),
    ] {
        let request = browser.request(method, path);
        let request = if method == "POST" {
            request.form(&form)
        } else {
            request
        };
        let answer = request.attempt().await.unwrap();
        // A registration without an address needs no store to be refused.
        let expected = if path == "/sign-up" { 400 } else { 503 };
        assert_eq!(answer.status, expected, "{answer}");
        is_a_page(&answer);
        if expected == 503 {
            assert!(answer.retry_after() >= 1);
            assert!(answer.body.contains("temporarily unavailable"), "{answer}");
        }
        // The session may well be live, so its cookie is kept.
        assert_eq!(answer.cookie("authlog"), None, "{answer}");
    }
    let answer = browser.request("GET", "/").await;
    assert_eq!(answer.status, 200, "{answer}");
}

async fn forms_of_other_sites_and_sessions_are_refused(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (ann, mut browser) = registered(&http, "ann").await;
    let (_, mut of_bob) = registered(&http, "bob").await;
    of_bob.open("/security").await;
    browser.open("/security").await;
    let (own_token, of_bob) = (form_token(&browser), form_token(&of_bob));
    let end_others = "/security/sessions/end-others";
    let sent_from = async |headers: &[(&str, &str)], token: &[(String, String)], path| {
        let token = token
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let fields: Vec<_> = token.chain(credentials(&ann)).collect();
        let request = browser.request("POST", path).form(&fields);
        let with_headers = headers.iter().fold(request, |request, (name, value)| {
            request.header(name, value)
        });
        with_headers.await
    };
    let own_origin = format!("http://{}", service.address());
    let foreign: [&[(&str, &str)]; 5] = [
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "cross-site"), ("origin", &own_origin)],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
    ];
    for headers in foreign {
        for path in [
            end_others,
            "/sign-out",
            "/sign-in",
            "/sign-up",
            "/sign-in/code",
            "/forgotten-password",
        ] {
            let answer = sent_from(headers, &own_token, path).await;
            assert_eq!(answer.status, 403, "{headers:?} {answer}");
            assert_eq!(answer.cookie("authlog"), None, "{answer}");
        }
    }
    // A form without the token of this session, even if it seems to come from a page of the service.
    let forged = vec![("form_token".to_owned(), "AAAA".to_owned())];
    for token in [&Vec::new(), &forged, &of_bob] {
        for headers in [
            &[][..],
            &[("sec-fetch-site", "same-origin")],
            &[("origin", &own_origin)],
        ] {
            for path in [end_others, "/sign-out"] {
                let answer = sent_from(headers, token, path).await;
                assert_eq!(answer.status, 403, "{answer}");
                assert_eq!(answer.cookie("authlog"), None, "{answer}");
            }
        }
    }
    let mut still = browser.clone();
    still.open("/security").await;
    still.shows(200, "Signed in as <strong>ann</strong>");
    for headers in [
        &[][..],
        &[("sec-fetch-site", "same-origin")],
        &[("origin", &own_origin)],
    ] {
        let answer = sent_from(headers, &own_token, end_others).await;
        assert_eq!(answer.status, 303, "{answer}");
    }
}

async fn a_login_leads_to_no_other_site(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    for (next, location) in [
        ("/security/password", "/security/password"),
        ("/oauth2/authorize?a=b&c=d", "/oauth2/authorize?a=b&c=d"),
        ("//evil.example", "/security"),
        ("/\\evil.example", "/security"),
        ("/\t/evil.example", "/security"),
        ("https://evil.example/", "/security"),
        ("javascript:alert(1)", "/security"),
        ("/a\r\nSet-Cookie: a=b", "/security"),
        ("/..//evil.example", "/security"),
        ("", "/security"),
    ] {
        let mut form = credentials(&ann).to_vec();
        form.push(("next", next));
        let answer = http.send(own::SIGN_IN_FORM).form(&form).await;
        assert_eq!(answer.status, 303, "{answer}");
        assert_eq!(answer.header("location"), Some(location), "{next:?}");
        // The same in a link, for a person who is signed in.
        let encoded: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
        let cookie = answer.cookie("authlog").unwrap().value;
        let request = http.send(own::SIGN_IN_PAGE).cookie("authlog", &cookie);
        let answer = request.query(&format!("next={encoded}")).await;
        assert_eq!(answer.header("location"), Some(location), "{next:?}");
    }
}

async fn the_cookie_is_found_among_others_of_its_name(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (ann, browser) = registered(&http, "ann").await;
    let ended = signed_in(&http, &ann).await;
    let mut signing_out = ended.clone();
    signing_out.open("/sign-out").await;
    signing_out.submit("/sign-out", &[]).await;
    let (ours, ended) = (&browser.cookies["authlog"], &ended.cookies["authlog"]);
    for other in ["nonsense", ended, &"A".repeat(43), &ended[1..]] {
        for cookies in [
            format!("authlog={other}; authlog={ours}"),
            format!("authlog={ours}; a=b; authlog={other}"),
        ] {
            let request = http.send(own::SECURITY_PAGE).header("cookie", &cookies);
            let answer = request.await;
            assert_eq!(answer.status, 200, "{answer}");
        }
    }
    // Another name is another cookie.
    for name in ["__Host-authlog", "Authlog", "authlog2"] {
        let answer = http.send(own::SECURITY_PAGE).cookie(name, ours).await;
        assert_eq!(answer.status, 303, "{answer}");
    }
}

async fn the_cookie_is_for_the_host_alone_and_the_links_stay_below_the_public_url(store: Store) {
    let settings = Settings::on(store).with_cheap_hashing();
    let settings = settings.with("AUTHLOG_PUBLIC_URL", "https://example.com/login");
    let service = settings.start().await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let answer = http.send(own::SIGN_IN_FORM).form(&credentials(&ann)).await;
    assert_eq!(
        answer.header("location"),
        Some("/login/security"),
        "{answer}"
    );
    let cookie = answer.cookie("__Host-authlog").unwrap();
    assert_eq!(cookie.attribute("path"), Some("/"));
    assert_eq!(cookie.attribute("samesite"), Some("Lax"));
    assert_eq!(cookie.attribute("domain"), None);
    assert!(cookie.attribute("secure").is_some() && cookie.attribute("httponly").is_some());
    let seconds: u64 = cookie.attribute("max-age").unwrap().parse().unwrap();
    assert!((86_000..=86_400).contains(&seconds), "{seconds}");

    let mut browser = Browser::below(&http, "/login");
    browser.open("/sign-in").await;
    for attribute in ["src=\"", "data-options-at=\""] {
        let path = between(&browser.html(), attribute, "\"");
        assert!(path.starts_with("/login/"), "{path}");
    }
    browser.submit("/sign-in", &credentials(&ann)).await;
    browser.shows(200, "Signed in as");
    let html = browser.html();
    let links = html
        .split("href=\"")
        .skip(1)
        .chain(html.split("action=\"").skip(1));
    for link in links {
        assert!(link.starts_with("/login/"), "{link:.80}");
    }
    browser.submit("/security/sessions/end-others", &[]).await;
    browser.shows(200, "All other sessions have ended.");
    browser.open("/sign-out").await;
    browser.submit("/sign-out", &[]).await;
    browser.shows(200, "You are signed out.");
}

async fn every_page_is_html_for_a_visitor(store: Store) {
    let service = service(store).await;
    let form = [("a", "b")];
    for (answer, status) in [
        (service.send(own::HOME_PAGE).await, 200),
        (service.send(own::SIGN_IN_PAGE).await, 200),
        (service.send(own::SIGN_IN_FORM).form(&form).await, 400),
        (service.send(own::CODE_FORM).form(&form).await, 400),
        (service.send(own::SIGN_UP_PAGE).await, 200),
        (service.send(own::SIGN_UP_FORM).form(&form).await, 400),
        (service.send(own::SIGN_OUT_PAGE).await, 200),
        (service.send(own::SIGN_OUT_FORM).form(&form).await, 303),
        (service.send(own::SECURITY_PAGE).await, 303),
        (service.send(own::FORGOTTEN_PASSWORD_PAGE).await, 200),
        (
            service.send(own::FORGOTTEN_PASSWORD_FORM).form(&form).await,
            400,
        ),
        (
            service.send(Endpoint::at("GET", "/security/nothing")).await,
            404,
        ),
        (service.send(Endpoint::at("DELETE", "/sign-in")).await, 405),
        (service.send(own::SIGN_IN_FORM).json(&json!({})).await, 415),
    ] {
        assert_eq!(answer.status, status, "{answer}");
        if status == 303 {
            assert!(
                answer.header("location").unwrap().starts_with("/sign-"),
                "{answer}"
            );
            continue;
        }
        is_a_page(&answer);
        assert!(!answer.body.contains("<script") && !answer.body.contains("javascript:"));
        assert!(
            !answer.body.contains(" style=") && !answer.body.contains("\" on"),
            "{answer}"
        );
    }
}

/// Asserts what holds for every page.
#[track_caller]
fn is_a_page(answer: &Answer) {
    assert_eq!(
        answer.header("content-type"),
        Some("text/html; charset=utf-8"),
        "{answer}"
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer}");
    let policy = answer.header("content-security-policy").unwrap();
    for part in [
        "default-src 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "style-src 'sha256-",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("script-src"), "{policy}");
    for part in [
        "<html lang=\"en\">",
        "<title>",
        "<main>",
        "<h1>",
        "name=\"viewport\"",
    ] {
        assert!(answer.body.contains(part), "{part} is not in {answer}");
    }
}

async fn names_are_text_in_a_page(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let hostile = r#""><script>alert(1)</script><b a='"#;
    for endpoint in [
        own::SIGN_IN_FORM,
        own::SIGN_UP_FORM,
        own::FORGOTTEN_PASSWORD_FORM,
    ] {
        let form = [
            ("username", hostile),
            ("email", hostile),
            ("next", hostile),
            ("challenge", hostile),
        ];
        let answer = http.send(endpoint).form(&form).await;
        assert!(
            !answer.body.contains("<script") && !answer.body.contains("<b a"),
            "{answer}"
        );
    }
    // The user agent of a session, and an address whose local part is markup.
    let ann = Person {
        email: "<b>&ann@example.com".to_owned(),
        ..Person::called("ann")
    };
    let form = [
        ("email", ann.email.as_str()),
        ("password", &ann.password),
        ("password_confirmation", &ann.password),
    ];
    let answer = http.send(own::SIGN_UP_FORM).form(&form).await;
    if answer.status == 400 {
        // Addresses with markup are no addresses. Then the name is that of another person.
        assert!(!answer.body.contains("<b>"), "{answer}");
    }
    Contract::ApiAuth
        .registers(&http, &Person::called("bob"))
        .await;
    let bob = Person::called("bob");
    let request = http.send(own::SIGN_IN_FORM).form(&credentials(&bob));
    let answer = request.header("user-agent", hostile).await;
    let cookie = answer.cookie("authlog").unwrap().value;
    let answer = http
        .send(own::SECURITY_PAGE)
        .cookie("authlog", &cookie)
        .await;
    assert!(
        !answer.body.contains("<script") && !answer.body.contains("<b a"),
        "{answer}"
    );
    assert!(answer.body.contains("&lt;script&gt;"), "{answer}");
}

async fn strange_forms_are_refused(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let media_type = "application/x-www-form-urlencoded";
    let huge = format!("username={}", "a".repeat(70_000));
    let many = "username=ann&".repeat(5000);
    for (media_type, body, status) in [
        (media_type, huge.as_bytes(), 413),
        (media_type, many.as_bytes(), 400),
        (media_type, b"\xff=%ff%00&username=%00&password=%ff", 400),
        ("multipart/form-data; boundary=x", b"--x--", 415),
        ("text/plain", b"username=ann", 415),
    ] {
        let answer = http.send(own::SIGN_IN_FORM).body_of(media_type, body).await;
        // A name that no account can have is answered like a wrong password.
        let is_expected = answer.status == status || status == 400 && answer.status == 403;
        assert!(is_expected, "{answer}");
        is_a_page(&answer);
    }
    let (_, browser) = registered(&http, "ann").await;
    let token = {
        let mut browser = browser.clone();
        browser.open("/security").await;
        form_token(&browser)
    };
    for path in [
        "/security/sessions/nonsense/end",
        "/security/sessions/%00/end",
        "/security/sessions/00000000-0000-7000-8000-000000000000/end",
        "/security/factors/nonsense/removal",
        "/security/factors/%ff/removal",
        "/security/factors/nonsense/label",
    ] {
        let answer = browser
            .post(path, &token, &[("password", "ann-opens-sesame")])
            .await;
        assert!((400..=404).contains(&answer.status), "{path} {answer}");
        is_a_page(&answer);
    }
    let fields = [("enrolment", "nonsense"), ("code", "123456")];
    let answer = browser
        .post("/security/authenticator/confirm", &token, &fields)
        .await;
    assert_eq!(answer.status, 400, "{answer}");
    // A challenge of a contract is answered at its endpoint, not here.
    let ann = Person::called("ann");
    let access = Contract::Users.signs_in(&http, &ann).await.access;
    let mut app = enrol(&http, &access, &ann).await;
    let challenge = support::authenticator::challenge(&Contract::Api.sign_in(&http, &ann).await);
    let code = app.fresh_code().await;
    let form = [("challenge", challenge.as_str()), ("code", &code)];
    let answer = http.send(own::CODE_FORM).form(&form).await;
    assert_eq!(answer.status, 400, "{answer}");
    // And the other way round.
    let mut other = Browser::new(&http);
    other.open("/sign-in").await;
    other.submit("/sign-in", &credentials(&ann)).await;
    let hidden = other.form("/sign-in/code");
    let (_, challenge) = hidden.iter().find(|(name, _)| name == "challenge").unwrap();
    let body = json!({"challenge": challenge, "code": code});
    let answer = http.send(own::SECOND_FACTOR).json(&body).await;
    assert_eq!(answer.status, 400, "{answer}");
    other.submit("/sign-in/code", &[("code", &code)]).await;
    other.shows(200, "Signed in as");
}

async fn guesses_are_limited_with_the_time_to_wait(store: Store) {
    let settings = Settings::on(store).with_cheap_hashing();
    let service = settings.without("AUTHLOG_RATE_LIMIT").start().await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let form = [("username", "ann"), ("password", "wrong-guess")];
    for _ in 0..100 {
        let answer = http.send(own::SIGN_IN_FORM).form(&form).await;
        is_a_page(&answer);
        if answer.status == 403 {
            continue;
        }
        assert_eq!(answer.status, 429, "{answer}");
        assert!(answer.retry_after() >= 1);
        assert!(
            answer.body.contains("Too many attempts. Please wait "),
            "{answer}"
        );
        assert!(answer.body.contains("value=\"ann\""), "{answer}");
        return;
    }
    panic!("a hundred guesses were not limited");
}

async fn an_unverified_person_is_told_to_follow_the_link(store: Store) {
    let settings = Settings::on(store).with_cheap_hashing();
    let service = settings
        .with("AUTHLOG_REQUIRE_VERIFIED_EMAIL", "on")
        .start()
        .await;
    let ann = Person::called("ann");
    let mut browser = Browser::new(&service.http());
    browser.open("/sign-up").await;
    let form = [
        ("email", ann.email.as_str()),
        ("username", &ann.username),
        ("password", &ann.password),
        ("password_confirmation", &ann.password),
    ];
    browser.submit("/sign-up", &form).await;
    browser.shows(201, "A link to confirm your e-mail address is on its way");
    assert!(browser.cookies.is_empty());
    let link = mail_to(&service, &ann.email).await.link();
    browser
        .open(link.split(&service.address()).nth(1).unwrap())
        .await;
    browser
        .submit("/verify-email", &[("password", &ann.password)])
        .await;
    browser.shows(200, "Your e-mail address is confirmed.");
    signed_in(&service.http(), &ann).await;
}

async fn closed_registration_is_refused_everywhere(store: Store) {
    let settings = Settings::on(store).with_cheap_hashing();
    let service = settings
        .with("AUTHLOG_REGISTRATION", "closed")
        .start()
        .await;
    let http = service.http();
    let ann = Person::called("ann");
    for contract in Contract::ALL {
        let answer = contract.register(&http, &ann).await;
        contract.refuses(&answer, 403);
    }
    // The second document of `/api/auth` registers at the path of the login.
    let body = json!({"username": "ann", "email": ann.email, "password": ann.password, "confirm_password": ann.password, "fullname": ann.name});
    let answer = http.send(support::api_auth::LOGIN).json(&body).await;
    Contract::ApiAuth.refuses(&answer, 403);
    let answer = http.send(own::SIGN_UP_PAGE).await;
    assert_eq!(answer.status, 403, "{answer}");
    assert!(answer.body.contains("takes no registrations"), "{answer}");
    let form = [
        ("email", ann.email.as_str()),
        ("password", &ann.password),
        ("password_confirmation", &ann.password),
    ];
    let answer = http.send(own::SIGN_UP_FORM).form(&form).await;
    assert_eq!(answer.status, 403, "{answer}");
    is_a_page(&answer);
    for page in [own::HOME_PAGE, own::SIGN_IN_PAGE] {
        let answer = http.send(page).await;
        assert!(!answer.body.contains("/sign-up"), "{answer}");
    }
    // The operator still makes accounts.
    let root = staff::signed_in(&service, "root", "admin").await;
    let answer = http.send(own::PROFILE).bearer(&root.access).await;
    assert_eq!(answer.status, 200, "{answer}");
    let answer = http
        .send(users::REQUEST_RESET)
        .json(&json!({"username": "ann"}))
        .await;
    assert_eq!(answer.status, 200, "{answer}");
}

/// The hidden field that proves that a form was made for this session.
fn form_token(browser: &Browser) -> Vec<(String, String)> {
    browser.form("/security/sessions/end-others")
}

/// The id of the session of a browser.
async fn listed(http: &Http, browser: &Browser) -> String {
    let mut watching = browser.clone();
    watching.open("/security").await;
    let mine = watching.html();
    // Every other session has a button, so the one without is the browser's own.
    let ann = Person::called("ann");
    let access = Contract::Users.signs_in(http, &ann).await.access;
    let listed = http.send(own::SESSIONS).bearer(&access).await.json();
    let ids = listed["sessions"].as_array().unwrap().iter();
    let mut own: Vec<String> = ids
        .filter(|it| it["contract"] == "authlog")
        .map(|it| it["id"].as_str().unwrap().to_owned())
        .filter(|id| !mine.contains(id))
        .collect();
    assert_eq!(own.len(), 1, "{mine}");
    own.remove(0)
}
