//! Passkeys on the hosted pages: a person adds one, signs in with it, and changes the account with it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use support::browser::{Browser, between, credentials, registered, signed_in};
use support::chromium::Chromium;
use support::http::Http;
use support::passkey::{Passkey, service, settings, sign_in_options, with_passkey};
use support::program::free_port;
use support::{
    Answer, Contract, Endpoint, Person, Settings, Store, authenticator, eventually, on_both_stores,
    own,
};

on_both_stores!(
    a_passkey_is_added_named_and_removed,
    a_passkey_signs_in_without_a_name,
    the_second_step_offers_what_the_account_has,
    a_form_is_confirmed_with_a_passkey,
    wrong_passkeys_are_refused_on_a_page,
    only_pages_with_passkeys_run_the_script,
    a_service_without_passkeys_says_so,
    passkeys_work_in_a_real_browser,
);

/// The options in the page that the browser shows.
fn options(browser: &Browser) -> Value {
    let options = between(&browser.html(), "data-options=\"", "\" hidden>");
    serde_json::from_str::<Value>(&options).unwrap()["publicKey"].clone()
}

/// Adds the passkey on the pages.
async fn add(browser: &mut Browser, person: &Person, passkey: &mut Passkey, label: &str) {
    browser.open("/security/passkey").await;
    let password = [("password", person.password.as_str())];
    browser.submit("/security/passkey", &password).await;
    browser.shows(200, "Create the passkey");
    let credential = passkey.create(&options(browser)).to_string();
    let fields = [("label", label), ("credential", &credential)];
    browser.submit("/security/passkey/confirm", &fields).await;
}

/// Signs in without a name.
async fn sign_in(http: &Http, passkey: &Passkey, next: &str) -> Browser {
    let mut browser = Browser::new(http);
    browser.open(&format!("/sign-in?next={next}")).await;
    browser.shows(200, "Sign in with a passkey");
    let begun = sign_in_options(http).await;
    let credential = passkey.get(&begun["publicKey"]).to_string();
    let challenge = begun["challenge"].as_str().unwrap();
    let fields = [("challenge", challenge), ("credential", &credential)];
    browser.submit("/sign-in", &fields).await;
    browser
}

async fn a_passkey_is_added_named_and_removed(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (ann, mut browser) = registered(&http, "ann").await;
    let mut elsewhere = signed_in(&http, &ann).await;
    browser.open("/security").await;
    browser.shows(200, "Add a passkey");
    browser.open("/security/passkey").await;
    browser
        .submit("/security/passkey", &[("password", "wrong-guess")])
        .await;
    browser.shows(403, "The password is wrong.");

    let mut passkey = Passkey::synced();
    add(&mut browser, &ann, &mut passkey, " Phone & <b>Watch</b> ").await;
    assert_eq!(browser.path, "/security?done=passkey-added");
    browser.shows(200, "The passkey is added.");
    browser.shows(200, "Make recovery codes");
    browser.shows(200, "Passkey, synced between devices, added");
    let label = "<strong>Phone &amp; &lt;b&gt;Watch&lt;/b&gt;</strong>";
    assert!(browser.page().body.contains(label), "{}", browser.page());
    // The first factor has ended the other sessions, which the password alone had opened.
    elsewhere.open("/security").await;
    assert_eq!(elsewhere.path, "/sign-in?next=%2Fsecurity");

    // The session is stepped up, so a second passkey and an app need the password alone. A name that is too long is not kept.
    let mut key = Passkey::new();
    add(&mut browser, &ann, &mut key, &"a".repeat(65)).await;
    browser.shows(200, "The passkey is added, but not its name.");
    browser.shows(200, "Passkey, on one device, added");
    add(&mut browser, &ann, &mut key, "").await;
    browser.shows(409, "The passkey is added already.");

    for rest in [1, 0] {
        browser.open("/security").await;
        let id = between(&browser.html(), "href=\"/security/factors/", "/");
        let path = format!("/security/factors/{id}/removal");
        browser.open(&path).await;
        let is_last = browser
            .html()
            .contains("Signing in takes the password alone");
        assert_eq!(is_last, rest == 0, "{}", browser.page());
        let password = [("password", ann.password.as_str())];
        browser.submit(&path, &password).await;
        browser.shows(200, "The second factor is removed.");
        assert_eq!(service.settings.count("passkeys"), rest);
    }
    signed_in(&http, &ann).await;
}

async fn a_passkey_signs_in_without_a_name(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (_, passkey, _) = with_passkey(&http, "ann").await;
    let mut browser = sign_in(&http, &passkey, "/security/password").await;
    assert_eq!(browser.path, "/security/password");
    browser.shows(200, "Signed in as <strong>ann</strong>");
    // It was a second factor as well, so the account can be changed.
    browser.open("/security/recovery-codes").await;
    browser.submit("/security/recovery-codes", &[]).await;
    browser.shows(201, "They are shown only now.");

    let passkey = passkey.without_verification();
    let refused = sign_in(&http, &passkey, "/security/password").await;
    refused.shows(403, "Your device did not verify you");
    assert!(refused.cookies.is_empty());
    let next = ("next".to_owned(), "/security/password".to_owned());
    assert!(refused.form("/sign-in").contains(&next));
    let stranger = sign_in(&http, &Passkey::new(), "/").await;
    stranger.shows(403, "This passkey belongs to no account here");
}

async fn the_second_step_offers_what_the_account_has(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (ann, passkey, access) = with_passkey(&http, "ann").await;
    let step = async || {
        let mut browser = Browser::new(&http);
        browser.open("/sign-in?next=/security/password").await;
        browser.submit("/sign-in", &credentials(&ann)).await;
        browser
    };
    let offers = |browser: &Browser, expected: [bool; 3]| {
        let html = browser.html();
        let offered = ["Use a passkey", "name=\"code\"", "name=\"recovery_code\""];
        assert_eq!(offered.map(|it| html.contains(it)), expected, "{html}");
        let [passkey, code, _] = expected;
        assert_eq!(html.contains("<noscript>"), passkey && !code, "{html}");
    };
    let mut browser = step().await;
    offers(&browser, [true, false, false]);
    let asked = options(&browser);
    assert_eq!(asked["userVerification"], "discouraged");
    assert_eq!(asked["allowCredentials"].as_array().unwrap().len(), 1);
    // The password was one factor, so that the presence of the person is enough.
    let passkey = passkey.without_verification();
    let mut other = browser.clone();
    let credential = passkey.get(&asked).to_string();
    let fields = [("credential", credential.as_str())];
    browser.submit("/sign-in/code", &fields).await;
    assert_eq!(browser.path, "/security/password");
    // A passkey signs a challenge once. The person begins again.
    other.submit("/sign-in/code", &fields).await;
    other.shows(403, "This page was used before");
    other.shows(403, "Username or e-mail address");

    // What is wrong is said on the page, which offers the same once more.
    let mut browser = step().await;
    let mut wrong = passkey.get(&options(&browser));
    wrong["response"]["signature"] = json!("AAAA");
    let fields = [("credential", &*wrong.to_string())];
    browser.submit("/sign-in/code", &fields).await;
    browser.shows(403, "This passkey belongs to no account here");
    offers(&browser, [true, false, false]);

    let mut app = authenticator::enrol(&http, &access, &ann).await;
    offers(&step().await, [true, true, false]);
    let request = http.send(own::RECOVERY_CODES).bearer(&access);
    let answer = request.json(&json!({"password": ann.password})).await;
    assert_eq!(answer.status, 201, "{answer}");
    let mut browser = step().await;
    offers(&browser, [true, true, true]);
    let wrong = [("code", app.wrong_code())];
    let wrong = wrong.each_ref().map(|(name, code)| (*name, code.as_str()));
    browser.submit("/sign-in/code", &wrong).await;
    browser.shows(403, "The code is wrong.");
    offers(&browser, [true, true, true]);
    let code = app.fresh_code().await;
    browser.submit("/sign-in/code", &[("code", &code)]).await;
    assert_eq!(browser.path, "/security/password");

    // If the row of the passkey is lost, the code remains.
    service.settings.execute("DELETE FROM passkeys");
    offers(&step().await, [false, true, true]);
}

async fn a_form_is_confirmed_with_a_passkey(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (ann, passkey, _) = with_passkey(&http, "ann").await;
    let browser = sign_in(&http, &passkey, "/security/password").await;
    browser.shows(200, "Continue with a passkey");
    browser.shows(
        200,
        "Use your passkey, unless you did in the last ten minutes.",
    );
    // The account has nothing that could be typed.
    assert!(!browser.html().contains("name=\"factor\""));
    let page = browser.form("/security/password");
    let begin = async || {
        let answer = browser.post("/security/passkey/options", &page, &[]).await;
        assert_eq!(answer.status, 200, "{answer}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let begun = answer.json();
        assert_eq!(begun["publicKey"]["userVerification"], "required");
        begun["publicKey"].clone()
    };
    let change = async |asked: &Value, credential: &Value| {
        let mut browser = browser.clone();
        let credential = credential.to_string();
        let fields = [
            ("password", ann.password.as_str()),
            ("new_password", "a-better-password"),
            ("password_confirmation", "a-better-password"),
            ("challenge", asked["challenge"].as_str().unwrap()),
            ("credential", &credential),
        ];
        browser.submit("/security/password", &fields).await;
        browser
    };
    let asked = begin().await;
    for (credential, status, words) in [
        (json!({}), 400, "sent no passkey that can be read"),
        (
            Passkey::new().get(&asked),
            403,
            "belongs to no account here",
        ),
    ] {
        change(&asked, &credential).await.shows(status, words);
    }
    let passkey = passkey.without_verification();
    let refused = change(&asked, &passkey.get(&asked)).await;
    refused.shows(403, "Your device did not verify you");
    let passkey = passkey.with_verification();
    let credential = passkey.get(&asked);
    let changed = change(&asked, &credential).await;
    changed.shows(200, "Your password is changed.");
    let answer = support::passkey::sign_in(&http, &passkey).await;
    let access = Contract::ApiAuth.tokens_in(&answer.json()).access;
    let request = http.send(own::HISTORY).query("type=SteppedUp");
    let listed = request.bearer(&access).await.json();
    // The first one is the enrolment of the passkey.
    let events = listed["events"].as_array().unwrap();
    assert_eq!(events.len(), 2, "{listed}");
    assert_eq!(events[1]["contract"], "authlog");
    assert_eq!(events[1]["data"]["factor"], json!(passkey.id));

    // Only a page of this session gets a challenge.
    let forged = [("form_token".to_owned(), "AAAA".to_owned())];
    let answer = browser
        .post("/security/passkey/options", &forged, &[])
        .await;
    refuses(&answer, 403, "This page was out of date");
    let stranger = Browser::new(&http);
    let answer = stranger.post("/security/passkey/options", &page, &[]).await;
    assert_eq!(answer.status, 303, "{answer}");
}

async fn wrong_passkeys_are_refused_on_a_page(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (_, mut passkey, _) = with_passkey(&http, "ann").await;
    let begun = sign_in_options(&http).await;
    let challenge = begun["challenge"].as_str().unwrap();
    let right = passkey.get(&begun["publicKey"]);
    passkey.origin = "https://evil.example".to_owned();
    let of_another_page = passkey.get(&begun["publicKey"]).to_string();
    let huge = format!("{{\"id\":\"{}\"}}", "A".repeat(70_000));
    let deep = "[".repeat(10_000);
    for (challenge, credential, status, words) in [
        (challenge, "", 400, "sent no passkey that can be read"),
        (challenge, "{", 400, "sent no passkey that can be read"),
        (challenge, "null", 400, "sent no passkey that can be read"),
        (challenge, &deep, 400, "sent no passkey that can be read"),
        (challenge, &huge, 413, "The form could not be read"),
        (challenge, &of_another_page, 403, "another address"),
        ("nonsense", &*right.to_string(), 400, "Please begin again"),
        ("", &*right.to_string(), 400, "Please begin again"),
    ] {
        let form = [("challenge", challenge), ("credential", credential)];
        let answer = http.send(own::SIGN_IN_FORM).form(&form).await;
        refuses(&answer, status, words);
        let answer = http.send(own::CODE_FORM).form(&form).await;
        assert!([400, 413].contains(&answer.status), "{answer}");
    }
    // A form of another site, which signs a person in to an account of the attacker.
    let form = [("challenge", challenge), ("credential", &right.to_string())];
    let request = http.send(own::SIGN_IN_FORM).form(&form);
    let answer = request.header("sec-fetch-site", "cross-site").await;
    refuses(&answer, 403, "a page of another site");

    let (bob, mut browser) = registered(&http, "bob").await;
    browser.open("/security/passkey").await;
    let password = [("password", bob.password.as_str())];
    browser.submit("/security/passkey", &password).await;
    let asked = options(&browser);
    let mut wrong = Passkey::new();
    wrong.origin = "https://evil.example".to_owned();
    let unverified = Passkey::new().without_verification().create(&asked);
    let of_another_page = wrong.create(&asked);
    for (credential, status, words) in [
        (String::new(), 400, "sent no passkey that can be read"),
        (of_another_page.to_string(), 403, "another address"),
        (
            unverified.to_string(),
            403,
            "Your device did not verify you",
        ),
    ] {
        let mut browser = browser.clone();
        let fields = [("credential", credential.as_str())];
        browser.submit("/security/passkey/confirm", &fields).await;
        browser.shows(status, words);
        // The person can begin again.
        browser.submit("/security/passkey", &password).await;
        browser.shows(200, "Create the passkey");
    }
    assert_eq!(service.settings.count("passkeys"), 1);
}

#[track_caller]
fn refuses(answer: &Answer, status: u16, words: &str) {
    assert_eq!(answer.status, status, "{answer}");
    assert!(answer.body.contains("role=\"alert\""), "{answer}");
    assert!(answer.body.contains(words), "{words} is not in {answer}");
    assert_eq!(answer.cookie("authlog"), None, "{answer}");
}

async fn only_pages_with_passkeys_run_the_script(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (ann, mut browser) = registered(&http, "ann").await;
    let mut with_script = Browser::new(&http);
    with_script.open("/sign-in").await;
    let page = with_script.page();
    let policy = page.header("content-security-policy").unwrap();
    let digest = between(policy, "script-src '", "'; connect-src 'self'");
    let path = between(
        &page.body,
        "<script type=\"module\" src=\"",
        "\" integrity=\"",
    );
    assert!(page.body.contains(&format!("integrity=\"{digest}\">")));
    let answer = http.send(Endpoint::at("GET", path.leak())).await;
    assert_eq!(answer.status, 200, "{answer}");
    let digest_of_body = digest_text(&answer.body);
    assert_eq!(digest, format!("sha256-{digest_of_body}"));
    assert_eq!(
        answer.header("content-type"),
        Some("text/javascript; charset=utf-8")
    );
    let kept = answer.header("cache-control");
    assert_eq!(kept, Some("public, max-age=31536000, immutable"));

    for path in [
        "/",
        "/security",
        "/security/passkey",
        "/security/password",
        "/sign-out",
    ] {
        browser.open(path).await;
        let page = browser.page();
        let policy = page.header("content-security-policy").unwrap();
        assert!(!policy.contains("script-src"), "{path} {policy}");
        assert!(!page.body.contains("<script"), "{path} {page}");
    }
    let password = [("password", ann.password.as_str())];
    browser.open("/security/passkey").await;
    browser.submit("/security/passkey", &password).await;
    let policy = browser.page().header("content-security-policy").unwrap();
    assert!(policy.contains(&digest), "{policy}");
}

fn digest_text(text: &str) -> String {
    STANDARD.encode(digest(&SHA256, text.as_bytes()))
}

async fn a_service_without_passkeys_says_so(store: Store) {
    let mut service = settings(store).start().await;
    let (ann, ..) = with_passkey(&service.http(), "ann").await;
    service.terminate().await;
    // The operator moves the service to an address.
    let settings = service.settings.clone();
    let service = settings.without("AUTHLOG_PUBLIC_URL").start().await;
    let http = service.http();
    let mut browser = Browser::new(&http);
    browser.open("/sign-in").await;
    assert!(!browser.html().contains("passkey"), "{}", browser.page());
    browser.submit("/sign-in", &credentials(&ann)).await;
    browser.shows(
        200,
        "this service has no passkeys, because its address has no host name",
    );
    assert!(!browser.html().contains("<script"));

    let (_, mut browser) = registered(&http, "bob").await;
    browser.open("/security").await;
    browser.shows(
        200,
        "This service has no passkeys, because its address has no host name.",
    );
    browser.open("/security/passkey").await;
    browser.shows(
        409,
        "This service has no passkeys, because its address has no host name.",
    );
}

async fn passkeys_work_in_a_real_browser(store: Store) {
    let Some(browser) = Chromium::start().await else {
        return;
    };
    let port = free_port();
    let url = format!("http://localhost:{port}");
    let settings = Settings::on(store).with_cheap_hashing();
    let settings = settings.with("AUTHLOG_LISTEN", &format!("127.0.0.1:{port}"));
    let service = settings.with("AUTHLOG_PUBLIC_URL", &url).start().await;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&service.http(), &ann).await;
    let sign_in = format!("{url}/sign-in");
    the_challenge_of_an_open_page_is_replaced(&browser, &sign_in).await;
    let authenticator = browser.with_authenticator().await;
    let type_password = async || {
        browser.open(&sign_in).await;
        browser.fill_in("username", &ann.username).await;
        browser.fill_in("password", &ann.password).await;
        browser.press("Sign in").await;
    };
    let sign_out = async || {
        browser.follow("Sign out").await;
        browser.press("Sign out").await;
        browser.shows("You are signed out.").await;
    };

    type_password().await;
    browser.follow("Add a passkey").await;
    browser.fill_in("password", &ann.password).await;
    browser.press("Continue").await;
    browser.fill_in("label", "Laptop").await;
    browser.press("Create the passkey").await;
    browser.shows("The passkey is added.").await;
    browser.shows("Laptop").await;
    sign_out().await;

    // By the button. The authenticator would answer the field for the name at once, which comes below.
    let by_button = "PublicKeyCredential.isConditionalMediationAvailable = async () => false;";
    let by_button = browser.begin_pages_with(by_button).await;
    browser.open(&sign_in).await;
    browser.press("Sign in with a passkey").await;
    browser.shows("Signed in as ann").await;
    sign_out().await;

    // Without verification, the browser refuses what the page asks for, and the service refuses what such a browser sends.
    browser.verifies(&authenticator, false).await;
    browser.open(&sign_in).await;
    browser.press("Sign in with a passkey").await;
    browser.shows("No passkey was used.").await;
    let careless = "const get = CredentialsContainer.prototype.get;
        CredentialsContainer.prototype.get = function (asked) {
          asked.publicKey.userVerification = 'discouraged';
          return get.call(this, asked);
        };";
    let careless = browser.begin_pages_with(careless).await;
    browser.open(&sign_in).await;
    browser.press("Sign in with a passkey").await;
    browser.shows("Your device did not verify you").await;
    browser.begin_pages_without(&careless).await;

    // As the second step it is enough that the person is present.
    type_password().await;
    browser.press("Use a passkey").await;
    browser.shows("Signed in as ann").await;
    sign_out().await;

    // In the field for the name, without a click.
    browser.verifies(&authenticator, true).await;
    browser.begin_pages_without(&by_button).await;
    browser.open(&sign_in).await;
    browser.shows("Signed in as ann").await;

    // To confirm a form.
    browser.follow("Add an authenticator app").await;
    browser.fill_in("password", &ann.password).await;
    browser.press("Continue with a passkey").await;
    browser.shows("Scan this code").await;
}

/// A browser that waits for a passkey in the field for the name is given a new challenge before the last one expires.
async fn the_challenge_of_an_open_page_is_replaced(browser: &Chromium, sign_in: &str) {
    let hurried = "const { now } = Date, every = setInterval;
        let ahead = 0;
        window.later = (minutes) => { ahead += minutes * 60_000; };
        Date.now = () => now() + ahead;
        window.setInterval = (look) => every(look, 20);";
    let hurried = browser.begin_pages_with(hurried).await;
    browser.open(sign_in).await;
    let challenges = async |expected: u64| {
        let script = "return performance.getEntriesByType('resource')
            .filter((it) => it.name.endsWith('/sign-in/passkey/options')).length";
        eventually("a challenge", async || {
            let asked = browser.run(script).await.as_u64()?;
            (asked == expected).then_some(())
        })
        .await;
    };
    challenges(1).await;
    browser.run("later(3)").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    challenges(1).await;
    browser.run("later(2)").await;
    challenges(2).await;
    browser.begin_pages_without(&hurried).await;
}
