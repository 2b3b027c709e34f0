//! Logout that an application asks for: one story for each module of the plan "RP-Initiated Logout" of the `OpenID` conformance suite,
//! by the names of the modules, and what an attacker could try.

use super::provider::Provider;
use crate::support::browser::{Browser, signed_in};
use crate::support::oauth::{Granted, Registration, is_dead, userinfo};
use crate::support::{Answer, Person, Settings, Store, on_both_stores, own, token};

on_both_stores!(
    oidcc_rp_initiated_logout,
    oidcc_rp_initiated_logout_no_params,
    oidcc_rp_initiated_logout_no_id_token_hint,
    oidcc_rp_initiated_logout_no_post_logout_redirect_uri,
    oidcc_rp_initiated_logout_no_state,
    oidcc_rp_initiated_logout_only_state,
    oidcc_rp_initiated_logout_bad_id_token_hint,
    oidcc_rp_initiated_logout_modified_id_token_hint,
    oidcc_rp_initiated_logout_bad_post_logout_redirect_uri,
    oidcc_rp_initiated_logout_query_added_to_post_logout_redirect_uri,
    a_form_of_another_site_is_answered_with_the_same_request_as_a_link,
    a_logout_ends_the_session_of_the_browser_and_of_its_applications,
    an_id_token_of_another_session_or_person_has_to_be_confirmed,
    the_id_token_of_a_session_that_outlives_the_browser_has_to_be_confirmed,
    a_redirect_leads_to_a_uri_of_the_client_that_is_named_and_to_no_other,
    a_malformed_request_changes_nothing,
);

/// Where the application wants people to come back to.
const AFTER: &str = "https://app.example/signed-out";

const STATE: &str = "a state/with?odd&characters=";

/// A provider with a person who is signed in to an application.
struct Scene {
    op: Provider,
    granted: Granted,
}

impl Scene {
    async fn on(store: Store) -> Self {
        Self::with_scope(store, "openid").await
    }

    async fn with_scope(store: Store, scope: &str) -> Self {
        let registration = Registration::confidential("app")
            .without_pkce()
            .with("--post-logout-redirect-uri", AFTER);
        let mut op = Provider::with(Settings::on(store), &registration).await;
        let (_, granted) = op.signs_in(scope).await;
        Self { op, granted }
    }

    fn hint(&self) -> &str {
        self.granted.id_token()
    }

    /// The application sends the browser to the endpoint with these parameters.
    async fn asks(&mut self, parameters: &[(&str, &str)]) {
        let path = path_with(parameters);
        self.op.browser.come_from_another_site(&path).await;
    }

    /// Where the browser was sent.
    #[track_caller]
    fn leads_to(&self, expected: &str) {
        assert_eq!(
            self.op.browser.page().status,
            303,
            "{}",
            self.op.browser.page()
        );
        assert_eq!(self.op.browser.path, expected);
    }

    /// The application is asked for a code without a page, and gets none, because no person is signed in.
    async fn is_signed_out(&mut self) {
        let begun = self.op.app.begins("openid").with("prompt", "none");
        let callback = self.op.is_answered_at_once(&begun).await;
        callback.has_error("login_required");
        is_dead(&self.op.http(), &self.granted.access).await;
    }

    /// The person is signed in as before, and so is the application.
    async fn is_still_signed_in(&mut self) {
        let begun = self.op.app.begins("openid").with("prompt", "none");
        let callback = self.op.is_answered_at_once(&begun).await;
        callback.code();
        userinfo(&self.op.http(), &self.granted.access).await;
    }

    /// The person sees a page that says what is wrong, and nothing else has happened.
    async fn is_refused(&mut self, words: &str) {
        self.op.browser.shows(400, words);
        self.op.browser.shows(400, "You were not signed out here.");
        self.is_still_signed_in().await;
    }

    /// The person is asked, and confirms.
    async fn confirms(&mut self) {
        self.op
            .browser
            .shows(200, "asks whether you want to sign out here");
        self.is_still_asked().await;
        self.op.browser.submit("/sign-out", &[]).await;
    }

    /// Nothing has happened while the page is open.
    async fn is_still_asked(&self) {
        userinfo(&self.op.http(), &self.granted.access).await;
    }
}

fn path_with(parameters: &[(&str, &str)]) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(parameters)
        .finish();
    format!("{}?{query}", own::END_SESSION.path)
}

/// `AFTER` with the state.
fn after_with_state() -> String {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("state", STATE)
        .finish();
    format!("{AFTER}?{query}")
}

async fn oidcc_rp_initiated_logout(store: Store) {
    let mut scene = Scene::on(store).await;
    let hint = scene.hint().to_owned();
    scene
        .asks(&[
            ("id_token_hint", &hint),
            ("post_logout_redirect_uri", AFTER),
            ("state", STATE),
        ])
        .await;
    scene.leads_to(&after_with_state());
    assert!(scene.op.browser.cookies.is_empty());
    scene.is_signed_out().await;
    // Once more, when no person is signed in.
    scene
        .asks(&[
            ("id_token_hint", &hint),
            ("post_logout_redirect_uri", AFTER),
        ])
        .await;
    scene.leads_to(AFTER);
}

async fn oidcc_rp_initiated_logout_no_params(store: Store) {
    let mut scene = Scene::on(store).await;
    scene.asks(&[]).await;
    scene.confirms().await;
    scene.op.browser.shows(200, "You are signed out.");
    scene.is_signed_out().await;
    scene.asks(&[]).await;
    scene.op.browser.shows(200, "You are signed out.");
}

async fn oidcc_rp_initiated_logout_no_id_token_hint(store: Store) {
    let mut scene = Scene::on(store).await;
    // Nothing says who registered the URI.
    scene
        .asks(&[("post_logout_redirect_uri", AFTER), ("state", STATE)])
        .await;
    scene.confirms().await;
    scene.op.browser.shows(200, "You are signed out.");
    scene.is_signed_out().await;
}

async fn oidcc_rp_initiated_logout_no_post_logout_redirect_uri(store: Store) {
    let mut scene = Scene::on(store).await;
    let hint = scene.hint().to_owned();
    scene
        .asks(&[("id_token_hint", &hint), ("state", STATE)])
        .await;
    scene.op.browser.shows(200, "You are signed out.");
    scene.is_signed_out().await;
}

async fn oidcc_rp_initiated_logout_no_state(store: Store) {
    let mut scene = Scene::on(store).await;
    let hint = scene.hint().to_owned();
    scene
        .asks(&[
            ("id_token_hint", &hint),
            ("post_logout_redirect_uri", AFTER),
        ])
        .await;
    scene.leads_to(AFTER);
    scene.is_signed_out().await;
}

async fn oidcc_rp_initiated_logout_only_state(store: Store) {
    let mut scene = Scene::on(store).await;
    scene.asks(&[("state", STATE)]).await;
    scene.confirms().await;
    scene.op.browser.shows(200, "You are signed out.");
    scene.is_signed_out().await;
}

async fn oidcc_rp_initiated_logout_bad_id_token_hint(store: Store) {
    let mut scene = Scene::on(store).await;
    let access = scene.granted.access.clone();
    for bad in ["nonsense", "a.b.c", &access] {
        scene
            .asks(&[("id_token_hint", bad), ("post_logout_redirect_uri", AFTER)])
            .await;
        scene.is_refused("its ID token is not valid").await;
    }
}

async fn oidcc_rp_initiated_logout_modified_id_token_hint(store: Store) {
    let mut scene = Scene::on(store).await;
    let hint = scene.hint().to_owned();
    for modified in [token::forged(&hint), token::unsigned(&hint)] {
        scene
            .asks(&[
                ("id_token_hint", &modified),
                ("post_logout_redirect_uri", AFTER),
            ])
            .await;
        scene.is_refused("its ID token is not valid").await;
    }
}

async fn oidcc_rp_initiated_logout_bad_post_logout_redirect_uri(store: Store) {
    let mut scene = Scene::on(store).await;
    let hint = scene.hint().to_owned();
    for bad in [
        "https://evil.example/",
        "https://app.example/callback",
        "https://app.example/signed-out/",
        "https://APP.example/signed-out",
        "javascript:alert(1)",
        "//evil.example",
    ] {
        scene
            .asks(&[("id_token_hint", &hint), ("post_logout_redirect_uri", bad)])
            .await;
        scene.is_refused("an address that is not registered").await;
    }
}

async fn oidcc_rp_initiated_logout_query_added_to_post_logout_redirect_uri(store: Store) {
    let mut scene = Scene::on(store).await;
    let hint = scene.hint().to_owned();
    let with_query = format!("{AFTER}?foo=bar");
    scene
        .asks(&[
            ("id_token_hint", &hint),
            ("post_logout_redirect_uri", &with_query),
        ])
        .await;
    scene.is_refused("an address that is not registered").await;
}

async fn a_form_of_another_site_is_answered_with_the_same_request_as_a_link(store: Store) {
    let mut scene = Scene::on(store).await;
    let hint = scene.hint().to_owned();
    let form = [
        ("id_token_hint", hint.as_str()),
        ("post_logout_redirect_uri", AFTER),
        ("state", STATE),
    ];
    // The browser sends the form without the cookie.
    let request = scene.op.service.send(own::END_SESSION_BY_POST).form(&form);
    let answer = request.header("sec-fetch-site", "cross-site").await;
    assert_eq!(answer.status, 303, "{answer}");
    assert_eq!(answer.header("location"), Some(path_with(&form).as_str()));
    scene.is_still_signed_in().await;
    let path = answer.header("location").unwrap().to_owned();
    scene.op.browser.come_from_another_site(&path).await;
    scene.leads_to(&after_with_state());
    scene.is_signed_out().await;
    // Without a cookie, as from a hidden image of another site, nothing ends.
    let (_, other) = scene.op.signs_in("openid").await;
    let request = scene
        .op
        .service
        .send(own::END_SESSION)
        .query(&format!("id_token_hint={}", other.id_token()));
    let answer = request.await;
    assert_eq!(answer.status, 200, "{answer}");
    userinfo(&scene.op.http(), &other.access).await;
}

async fn a_logout_ends_the_session_of_the_browser_and_of_its_applications(store: Store) {
    let mut scene = Scene::on(store).await;
    let other = Registration::public("other").at(&scene.op.service);
    let begun = other.begins("openid");
    begun.open_in(&mut scene.op.browser).await;
    let callback = crate::support::oauth::completes(&mut scene.op.browser, &scene.op.person).await;
    let in_other = other.redeems(&begun, &callback).await;
    // Another browser of the same person.
    let elsewhere = signed_in(&scene.op.http(), &scene.op.person).await;
    let hint = scene.hint().to_owned();
    scene.asks(&[("id_token_hint", &hint)]).await;
    scene.is_signed_out().await;
    is_dead(&scene.op.http(), &in_other.access).await;
    let answer = elsewhere.request("GET", "/security").await;
    assert_eq!(answer.status, 200, "{answer}");
}

async fn an_id_token_of_another_session_or_person_has_to_be_confirmed(store: Store) {
    let mut scene = Scene::on(store).await;
    let of_first_browser = scene.hint().to_owned();
    // The same person in another browser, where the application was not used.
    let mut other = Browser::new(&scene.op.http());
    std::mem::swap(&mut scene.op.browser, &mut other);
    let (_, granted) = scene.op.signs_in("openid").await;
    let first = std::mem::replace(&mut scene.granted, granted);
    scene
        .asks(&[
            ("id_token_hint", &of_first_browser),
            ("post_logout_redirect_uri", AFTER),
        ])
        .await;
    scene.confirms().await;
    scene.leads_to(AFTER);
    scene.is_signed_out().await;
    // The session in the first browser continues.
    userinfo(&scene.op.http(), &first.access).await;

    // Another person.
    let bob = Person::called("bob");
    crate::support::Contract::ApiAuth
        .registers(&scene.op.http(), &bob)
        .await;
    scene.op.person = bob;
    let (_, granted) = scene.op.signs_in("openid").await;
    scene.granted = granted;
    scene.asks(&[("id_token_hint", &of_first_browser)]).await;
    scene.confirms().await;
    scene.op.browser.shows(200, "You are signed out.");
    scene.is_signed_out().await;
    userinfo(&scene.op.http(), &first.access).await;
}

async fn the_id_token_of_a_session_that_outlives_the_browser_has_to_be_confirmed(store: Store) {
    let mut scene = Scene::with_scope(store, "openid offline_access").await;
    let hint = scene.hint().to_owned();
    scene
        .asks(&[
            ("id_token_hint", &hint),
            ("post_logout_redirect_uri", AFTER),
        ])
        .await;
    // The session did not begin in any browser in particular, so its ID token says nothing about this one.
    scene.confirms().await;
    scene.leads_to(AFTER);
    let begun = scene.op.app.begins("openid").with("prompt", "none");
    let callback = scene.op.is_answered_at_once(&begun).await;
    callback.has_error("login_required");
    // `offline_access` is what the person allowed (OpenID Connect Back-Channel Logout 1.0 §2.7).
    userinfo(&scene.op.http(), &scene.granted.access).await;
    let answer = scene.op.app.refreshes(scene.granted.refresh()).await;
    assert_eq!(answer.status, 200, "{answer}");
}

async fn a_redirect_leads_to_a_uri_of_the_client_that_is_named_and_to_no_other(store: Store) {
    let mut scene = Scene::on(store).await;
    let elsewhere = "https://other.example/";
    Registration::public("other")
        .with("--post-logout-redirect-uri", elsewhere)
        .at(&scene.op.service);
    let hint = scene.hint().to_owned();
    // The ID token and `client_id` name different clients.
    scene
        .asks(&[
            ("id_token_hint", &hint),
            ("client_id", "other"),
            ("post_logout_redirect_uri", elsewhere),
        ])
        .await;
    scene.is_refused("its ID token is not valid").await;
    for (client, uri) in [("app", elsewhere), ("other", AFTER)] {
        scene
            .asks(&[("client_id", client), ("post_logout_redirect_uri", uri)])
            .await;
        scene.is_refused("an address that is not registered").await;
    }
    for unknown in ["nobody", "a b", &"x".repeat(1000)] {
        scene.asks(&[("client_id", unknown)]).await;
        scene.is_refused("is not known to this service").await;
    }
    // A client that is named without an ID token: the person confirms, and goes there.
    let request = [
        ("client_id", "other"),
        ("post_logout_redirect_uri", elsewhere),
        ("state", "s"),
    ];
    scene.asks(&request).await;
    let policy = scene.op.browser.page().header("content-security-policy");
    assert!(
        policy
            .unwrap()
            .contains("form-action 'self' https://other.example;")
    );
    // A form of another site, or without the text that belongs to the session, confirms nothing.
    let hidden = scene.op.browser.form("/sign-out");
    let forged = scene.op.browser.request("POST", "/sign-out").form(&[
        ("form_token", hidden[0].1.as_str()),
        ("request", hidden[1].1.as_str()),
    ]);
    let answer = forged.header("sec-fetch-site", "cross-site").await;
    assert_eq!(answer.status, 403, "{answer}");
    let forged = [("form_token", "forged")];
    let answer = scene.op.browser.post("/sign-out", &hidden, &forged).await;
    assert_eq!(answer.status, 403, "{answer}");
    // What the form carries is checked again.
    let elsewhere_form = [(
        "request",
        "client_id=other&post_logout_redirect_uri=https://evil.example/",
    )];
    let answer = scene
        .op
        .browser
        .post("/sign-out", &hidden, &elsewhere_form)
        .await;
    is_page(&answer, 400);
    scene.is_still_signed_in().await;
    scene.asks(&request).await;
    scene.confirms().await;
    scene.leads_to("https://other.example/?state=s");
    scene.is_signed_out().await;
    // A locked client is not known.
    let locked = scene
        .op
        .service
        .settings
        .run(&["client", "lock", "other"], "");
    assert!(locked.status.success(), "{locked:?}");
    crate::support::eventually("the lock has an effect", async || {
        let answer = scene
            .op
            .service
            .send(own::END_SESSION)
            .query("client_id=other");
        (answer.await.status == 400).then_some(())
    })
    .await;
}

async fn a_malformed_request_changes_nothing(store: Store) {
    let mut scene = Scene::on(store).await;
    let hint = scene.hint().to_owned();
    let long = "x".repeat(9 * 1024);
    for (parameters, words) in [
        (
            vec![("id_token_hint", hint.as_str()), ("id_token_hint", &hint)],
            "The parameter id_token_hint occurs more than once.",
        ),
        (
            vec![("state", "a"), ("state", "b")],
            "The parameter state occurs more than once.",
        ),
        (vec![("state", long.as_str())], "is too long"),
        (vec![("x", "y"); 65], "There are too many parameters."),
    ] {
        scene.asks(&parameters).await;
        scene.is_refused(words).await;
    }
    let answer = scene
        .op
        .service
        .send(own::END_SESSION)
        .query("state=%ff")
        .await;
    is_page(&answer, 400);
    let request = scene.op.service.send(own::END_SESSION_BY_POST);
    let answer = request
        .form(&[("state", "x".repeat(20_000).as_str())])
        .await;
    is_page(&answer, 400);
    let request = scene.op.service.send(own::END_SESSION_BY_POST);
    let answer = request.json(&serde_json::json!({"state": "s"})).await;
    is_page(&answer, 415);
    // Parameters that this service does not use are ignored.
    scene
        .asks(&[
            ("id_token_hint", &hint),
            ("logout_hint", "ann"),
            ("ui_locales", "de fr"),
            ("post_logout_redirect_uri", AFTER),
        ])
        .await;
    scene.leads_to(AFTER);
    scene.is_signed_out().await;
}

#[track_caller]
fn is_page(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{answer}");
    let media_type = answer.header("content-type");
    assert_eq!(media_type, Some("text/html; charset=utf-8"), "{answer}");
}
