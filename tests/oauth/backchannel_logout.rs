//! Logout tokens: which sessions they are about, what is in them, and what happens if a client does not take them.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use super::provider::{Provider, has_key_for_id_tokens};
use crate::support::browser::{Browser, credentials};
use crate::support::logout_receiver::{Answers, LogoutReceiver};
use crate::support::oauth::{App, Granted, Registration, completes, is_dead, userinfo};
use crate::support::{
    Contract, Person, Settings, Store, eventually, on_both_stores, own, staff, token,
};

on_both_stores!(
    oidcc_backchannel_rp_initiated_logout,
    every_way_to_end_a_session_is_sent_to_its_client,
    a_session_that_outlives_the_browser_is_sent_when_it_ends_itself,
    all_applications_of_a_browser_are_sent_its_end_within_a_second,
    tokens_are_sent_in_the_order_in_which_the_sessions_ended,
    a_client_that_fails_does_not_delay_another,
    a_token_that_a_client_refuses_does_not_delay_the_next,
    tokens_are_sent_after_a_crash_of_the_service,
    a_service_that_stops_leases_no_client_any_more,
    a_client_that_got_a_uri_later_is_sent_what_ends_from_then_on,
    a_removed_client_is_sent_nothing_more,
    another_uri_is_used_at_once,
    a_token_that_was_not_taken_for_a_day_is_recorded_and_given_up,
    an_operator_sees_which_tokens_wait,
);

fn registration(id: &str, receiver: &LogoutReceiver) -> Registration {
    Registration::confidential(id)
        .without_pkce()
        .of_first_party()
        .with("--backchannel-logout-uri", &receiver.uri())
}

/// A provider, and the endpoint of its application.
struct Scene {
    op: Provider,
    receiver: LogoutReceiver,
}

impl Scene {
    async fn on(store: Store) -> Self {
        let receiver = LogoutReceiver::start().await;
        let op = Provider::with(Settings::on(store), &registration("app", &receiver)).await;
        Self { op, receiver }
    }

    /// The person signs in to the application, in a new browser.
    async fn signs_in(&mut self) -> Granted {
        self.op.browser = Browser::new(&self.op.http());
        self.op.signs_in("openid").await.1
    }

    /// The person signs out of the browser.
    async fn signs_out(&mut self) {
        signs_out(&mut self.op.browser).await;
    }

    fn runs(&self, arguments: &[&str]) -> String {
        let output = self.op.service.settings.run(arguments, "");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Asserts that the endpoint gets the token of this session, and no other token.
    async fn is_sent(&self, granted: &Granted, how: &str) {
        let sid = sid_of(granted);
        self.receiver.has_received_of(&sid).await;
        let sids = self.receiver.sids();
        let others: Vec<_> = sids.iter().filter(|it| **it != sid).collect();
        assert!(others.is_empty(), "{how}: {others:?}");
    }
}

async fn signs_out(browser: &mut Browser) {
    browser.open("/sign-out").await;
    browser.submit("/sign-out", &[]).await;
    browser.shows(200, "You are signed out.");
}

fn sid_of(granted: &Granted) -> String {
    granted.id_claims()["sid"].as_str().unwrap().to_owned()
}

/// A person signs in to an application in this browser.
async fn signs_in_to(app: &App, browser: &mut Browser, person: &Person) -> Granted {
    let begun = app.begins("openid");
    begun.open_in(browser).await;
    let callback = completes(browser, person).await;
    app.redeems(&begun, &callback).await
}

async fn oidcc_backchannel_rp_initiated_logout(store: Store) {
    let after = "https://app.example/signed-out";
    let receiver = LogoutReceiver::start().await;
    let registration = registration("app", &receiver).with("--post-logout-redirect-uri", after);
    let mut op = Provider::with(Settings::on(store), &registration).await;
    let metadata = op.metadata().await;
    assert_eq!(metadata["backchannel_logout_supported"], true);
    assert_eq!(metadata["backchannel_logout_session_supported"], true);
    let (_, granted) = op.signs_in("openid").await;
    let id_claims = granted.id_claims();
    let path = format!(
        "{}?id_token_hint={}&post_logout_redirect_uri={after}&state=s",
        own::END_SESSION.path,
        granted.id_token()
    );
    op.browser.come_from_another_site(&path).await;
    assert_eq!(op.browser.path, format!("{after}?state=s"));

    let received = receiver.has_received(1).await.remove(0);
    assert!(
        received
            .head
            .starts_with("POST /logout?client=app HTTP/1.1\r\n"),
        "{}",
        received.head
    );
    assert!(
        received
            .head
            .contains("content-type: application/x-www-form-urlencoded\r\n")
    );
    let header = token::header(&received.token);
    assert_eq!(header["typ"], "logout+jwt");
    assert_eq!(header["alg"], "RS256");
    // The signature, `iss`, `aud` and `exp`, by the published keys.
    let claims = op.verified(&received.token).await;
    assert_eq!(claims["sub"], id_claims["sub"]);
    assert_eq!(claims["sid"], id_claims["sid"]);
    assert_eq!(
        claims["events"],
        json!({"http://schemas.openid.net/event/backchannel-logout": {}})
    );
    assert_eq!(claims.get("nonce"), None);
    let members: BTreeSet<&str> = claims
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let expected = ["aud", "events", "exp", "iat", "iss", "jti", "sid", "sub"];
    assert_eq!(members, expected.into());
    assert_eq!(token::lifetime(&received.token), 120);
    is_dead(&op.http(), &granted.access).await;
    // The token is good for nothing here.
    is_dead(&op.http(), &received.token).await;
    let path = format!("{}?id_token_hint={}", own::END_SESSION.path, received.token);
    let answer = op.browser.request("GET", &path).await;
    assert_eq!(answer.status, 400, "{answer}");
}

async fn every_way_to_end_a_session_is_sent_to_its_client(store: Store) {
    let mut scene = Scene::on(store).await;
    let person = scene.op.person.clone();
    let http = scene.op.http();
    let mut so_far = 0;
    for how in [
        "sign-out",
        "revocation",
        "code reuse",
        "refresh reuse",
        "end-others",
        "session ended by an operator's role change",
        "lock",
    ] {
        let granted = if how == "code reuse" {
            scene.op.browser = Browser::new(&http);
            let begun = scene.op.app.begins("openid");
            let callback = scene.op.is_called_back(&begun).await;
            let granted = scene.op.app.redeems(&begun, &callback).await;
            let again = scene.op.app.exchange(&begun, callback.code()).await;
            assert_eq!(again.status, 400, "{again}");
            granted
        } else {
            scene.signs_in().await
        };
        match how {
            "sign-out" => scene.signs_out().await,
            "revocation" => {
                let form = [("token", granted.access.as_str())];
                let answer = scene.op.app.authenticated(own::REVOKE, &form).await;
                assert_eq!(answer.status, 200, "{answer}");
            }
            "refresh reuse" => {
                let first = granted.refresh().to_owned();
                let second = Granted::of(&scene.op.app.refreshes(&first).await);
                Granted::of(&scene.op.app.refreshes(second.refresh()).await);
                let reused = scene.op.app.refreshes(&first).await;
                assert_eq!(reused.status, 400, "{reused}");
            }
            "end-others" => {
                let elsewhere = Contract::ApiAuth.signs_in(&http, &person).await;
                let request = scene.op.service.send(own::END_OTHER_SESSIONS);
                let answer = request.bearer(&elsewhere.access).await;
                assert_eq!(answer.status, 204, "{answer}");
            }
            "session ended by an operator's role change" => {
                staff::set_role(&scene.op.service, &person, "auditor");
            }
            "lock" => {
                scene.runs(&["user", "lock", &person.username]);
                scene.runs(&["user", "unlock", &person.username]);
            }
            _ => {}
        }
        let sid = sid_of(&granted);
        scene.receiver.has_received_of(&sid).await;
        so_far += 1;
        let sids = scene.receiver.sids();
        assert_eq!(sids.len(), so_far, "{how}: {sids:?}");
    }
    // A withdrawn consent, of an application that asks for one.
    let receiver = LogoutReceiver::start().await;
    let asking = Registration::public("asking")
        .with("--backchannel-logout-uri", &receiver.uri())
        .at(&scene.op.service);
    let mut browser = Browser::new(&http);
    let granted = signs_in_to(&asking, &mut browser, &person).await;
    browser.open("/security").await;
    browser
        .submit("/security/applications/asking/withdraw", &[])
        .await;
    receiver.has_received_of(&sid_of(&granted)).await;
    // An erased account. Its rows are gone, and its ids are enough.
    let granted = scene.signs_in().await;
    let output = scene
        .op
        .service
        .settings
        .run(&["user", "erase", &person.username, "--yes"], "");
    assert!(output.status.success(), "{output:?}");
    let received = scene.receiver.has_received_of(&sid_of(&granted)).await;
    assert_eq!(received.claims()["sub"], granted.id_claims()["sub"]);
}

async fn a_session_that_outlives_the_browser_is_sent_when_it_ends_itself(store: Store) {
    let mut scene = Scene::on(store).await;
    let (_, offline) = scene.op.signs_in("openid offline_access").await;
    let (_, online) = scene.op.signs_in("openid").await;
    scene.signs_out().await;
    scene.is_sent(&online, "sign-out").await;
    userinfo(&scene.op.http(), &offline.access).await;
    let form = [("token", offline.refresh())];
    let answer = scene.op.app.authenticated(own::REVOKE, &form).await;
    assert_eq!(answer.status, 200, "{answer}");
    let received = scene.receiver.has_received(2).await;
    let sids: Vec<_> = received.iter().map(|it| it.sid()).collect();
    assert_eq!(sids, [sid_of(&online), sid_of(&offline)]);
}

async fn all_applications_of_a_browser_are_sent_its_end_within_a_second(store: Store) {
    let mut scene = Scene::on(store).await;
    let first = scene.signs_in().await;
    let receivers = [LogoutReceiver::start().await, LogoutReceiver::start().await];
    let mut granted = Vec::new();
    for (id, receiver) in ["second", "third"].iter().zip(&receivers) {
        let app = registration(id, receiver).at(&scene.op.service);
        let person = scene.op.person.clone();
        granted.push(signs_in_to(&app, &mut scene.op.browser, &person).await);
    }
    // An application without a URI.
    let silent = Registration::public("silent")
        .of_first_party()
        .at(&scene.op.service);
    let person = scene.op.person.clone();
    signs_in_to(&silent, &mut scene.op.browser, &person).await;
    scene.signs_out().await;
    scene.is_sent(&first, "sign-out").await;
    for (receiver, granted) in receivers.iter().zip(&granted) {
        let received = receiver.has_received(1).await;
        assert_eq!(received[0].claims()["sid"], granted.id_claims()["sid"]);
        assert_ne!(received[0].claims()["aud"], "app");
    }
}

async fn tokens_are_sent_in_the_order_in_which_the_sessions_ended(store: Store) {
    let mut scene = Scene::on(store).await;
    scene.receiver.answers(Answers::Status(503));
    let mut expected = Vec::new();
    for _ in 0..6 {
        let granted = scene.signs_in().await;
        scene.signs_out().await;
        expected.push(sid_of(&granted));
    }
    // Each attempt is for the first token, until it is taken.
    scene.receiver.has_received(2).await;
    let attempts: BTreeSet<_> = scene.receiver.sids().into_iter().collect();
    assert_eq!(attempts, BTreeSet::from([expected[0].clone()]));
    scene.receiver.answers(Answers::Status(200));
    scene.receiver.has_received_of(&expected[5]).await;
    let mut sids = scene.receiver.sids();
    sids.dedup();
    assert_eq!(sids, expected);
    // A token has an id of its own for each attempt.
    let received = scene.receiver.received();
    let ids: BTreeSet<String> = received
        .iter()
        .map(|it| it.claims()["jti"].to_string())
        .collect();
    assert_eq!(ids.len(), received.len());
}

async fn a_client_that_fails_does_not_delay_another(store: Store) {
    let mut scene = Scene::on(store).await;
    let sink = LogoutReceiver::start().await;
    let failing = [
        ("silent", LogoutReceiver::answering(Answers::Silence).await),
        ("endless", LogoutReceiver::answering(Answers::Endless).await),
        (
            "broken",
            LogoutReceiver::answering(Answers::Status(503)).await,
        ),
        (
            "moved",
            LogoutReceiver::answering(Answers::Redirect(sink.uri())).await,
        ),
        (
            "slow",
            LogoutReceiver::answering(Answers::After(Duration::from_secs(3))).await,
        ),
    ];
    let person = scene.op.person.clone();
    let granted = scene.signs_in().await;
    let mut of_failing = Vec::new();
    for (id, receiver) in &failing {
        let app = registration(id, receiver).at(&scene.op.service);
        of_failing.push(signs_in_to(&app, &mut scene.op.browser, &person).await);
    }
    // Nothing listens there.
    let gone = LogoutReceiver::start().await;
    let app = registration("gone", &gone).at(&scene.op.service);
    drop(gone);
    signs_in_to(&app, &mut scene.op.browser, &person).await;
    scene.signs_out().await;
    scene.is_sent(&granted, "the living client").await;
    for (_, receiver) in &failing {
        receiver.has_received(1).await;
    }
    // A second session while the others are being waited for.
    let granted = scene.signs_in().await;
    scene.signs_out().await;
    scene.receiver.has_received_of(&sid_of(&granted)).await;
    // An endless answer begins with a status, which counts. A redirect is not followed.
    let waits = |granted| {
        let row = format!("due_logouts WHERE session_id = '{}'", sid_of(granted));
        scene.op.service.settings.count(&row) == 1
    };
    eventually("what was delivered is no longer queued", async || {
        (!waits(&of_failing[1]) && !waits(&of_failing[4])).then_some(())
    })
    .await;
    for still_waiting in [0, 2, 3] {
        assert!(waits(&of_failing[still_waiting]), "{still_waiting}");
    }
    assert!(sink.received().is_empty());
    scene
        .op
        .service
        .has_logged("could not be sent a logout token")
        .await;
    let log = scene.op.service.output();
    assert!(!log.contains("eyJ"), "a token is in the log: {log}");
    // Silent, broken, moved and gone.
    eventually("the metrics count the failing clients", async || {
        let metrics = scene.op.service.send(own::METRICS).await.body;
        let is_counted = |line: &str| metrics.contains(line);
        (is_counted("authlog_logout_clients_failing 4")
            && is_counted("authlog_logout_tokens_total{outcome=\"delivered\"}"))
        .then_some(())
    })
    .await;
}

async fn a_token_that_a_client_refuses_does_not_delay_the_next(store: Store) {
    let mut scene = Scene::on(store).await;
    // The second one is a failure of the client, as it may happen with one person's data.
    let mut refused = Vec::new();
    for status in [400, 500] {
        let sid = sid_of(&scene.signs_in().await);
        refused.push((sid.clone(), status));
        let answers = Answers::RefusesSessions(refused.clone());
        scene.receiver.answers(answers);
        scene.signs_out().await;
        scene.receiver.has_received_of(&sid).await;
    }
    let granted = scene.signs_in().await;
    scene.signs_out().await;
    scene.receiver.has_received_of(&sid_of(&granted)).await;
    let attempts = |sid: &str| {
        let sids = scene.receiver.sids();
        sids.iter().filter(|it| *it == sid).count()
    };
    // They are sent again, and the other one is not.
    for (sid, _) in &refused {
        eventually("the refused token is sent again", async || {
            (attempts(sid) >= 3).then_some(())
        })
        .await;
    }
    scene.receiver.answers(Answers::Status(200));
    eventually("the queue is empty", async || {
        (scene.op.service.settings.count("due_logouts") == 0).then_some(())
    })
    .await;
    assert_eq!(attempts(&sid_of(&granted)), 1);
}

async fn tokens_are_sent_after_a_crash_of_the_service(store: Store) {
    let mut scene = Scene::on(store).await;
    scene.receiver.answers(Answers::Status(503));
    let mut expected = Vec::new();
    for _ in 0..5 {
        let granted = scene.signs_in().await;
        expected.push(sid_of(&granted));
        scene.signs_out().await;
        // The program ends at any moment after the answer.
        scene.op.service.kill9();
        scene.op.service.restart().await;
        scene.op.app = scene.op.app.of(&scene.op.http());
    }
    scene.receiver.answers(Answers::Status(200));
    scene.receiver.has_received_of(&expected[4]).await;
    let mut sids = scene.receiver.sids();
    sids.dedup();
    assert_eq!(sids, expected);
}

async fn a_service_that_stops_leases_no_client_any_more(store: Store) {
    let mut scene = Scene::on(store).await;
    // The exchange is under way when the service stops.
    scene.receiver.answers(Answers::Silence);
    let granted = scene.signs_in().await;
    scene.signs_out().await;
    scene.receiver.has_received(1).await;
    assert_eq!(scene.op.service.settings.leased_logout_receivers(), 1);
    let status = scene.op.service.terminate().await;
    assert!(status.success(), "{status}");
    assert_eq!(scene.op.service.settings.leased_logout_receivers(), 0);
    scene.receiver.answers(Answers::Status(200));
    scene.op.service.restart().await;
    let received = scene.receiver.has_received(2).await;
    assert_eq!(received[1].sid(), sid_of(&granted));
}

async fn a_client_that_got_a_uri_later_is_sent_what_ends_from_then_on(store: Store) {
    let receiver = LogoutReceiver::start().await;
    let plain = Registration::confidential("app")
        .without_pkce()
        .of_first_party();
    let op = Provider::with(Settings::on(store), &plain).await;
    let mut scene = Scene { op, receiver };
    let before = scene.signs_in().await;
    scene.signs_out().await;
    let during = scene.signs_in().await;
    // The end of the first session is passed over.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let uri = scene.receiver.uri();
    scene.runs(&["client", "change", "app", "--backchannel-logout-uri", &uri]);
    scene.signs_out().await;
    scene.is_sent(&during, "after the change").await;
    assert!(!scene.receiver.sids().contains(&sid_of(&before)));
}

async fn a_removed_client_is_sent_nothing_more(store: Store) {
    let mut scene = Scene::on(store).await;
    scene.receiver.answers(Answers::Status(503));
    scene.signs_in().await;
    scene.signs_out().await;
    scene.receiver.has_received(1).await;
    scene.runs(&["client", "remove", "app", "--yes"]);
    eventually("the queue is empty", async || {
        (scene.op.service.settings.count("due_logouts") == 0).then_some(())
    })
    .await;
}

async fn another_uri_is_used_at_once(store: Store) {
    let mut scene = Scene::on(store).await;
    scene.receiver.answers(Answers::Status(500));
    let granted = scene.signs_in().await;
    scene.signs_out().await;
    // The pauses have grown to more than a few seconds.
    scene.receiver.has_received(4).await;
    let moved = LogoutReceiver::start().await;
    let uri = moved.uri();
    scene.runs(&["client", "change", "app", "--backchannel-logout-uri", &uri]);
    moved.has_received_of(&sid_of(&granted)).await;
    eventually("the queue is empty", async || {
        (scene.op.service.settings.count("due_logouts") == 0).then_some(())
    })
    .await;
}

async fn a_token_that_was_not_taken_for_a_day_is_recorded_and_given_up(store: Store) {
    let mut scene = Scene::on(store).await;
    scene.receiver.answers(Answers::Status(503));
    let old = scene.signs_in().await;
    scene.signs_out().await;
    scene.receiver.has_received(1).await;
    scene.op.service.settings.age_logouts_by_a_day();
    // A younger token of the same client waits on.
    let young = scene.signs_in().await;
    scene.signs_out().await;
    let event = eventually("the event", async || {
        scene.op.service.settings.age_failures_by_a_day();
        let history = scene.runs(&["history", "--client", "app", "--json"]);
        let line = history
            .lines()
            .find(|line| line.contains("LogoutNotDelivered"))?;
        Some(serde_json::from_str::<serde_json::Value>(line).unwrap())
    })
    .await;
    assert_eq!(event["data"]["session"], sid_of(&old), "{event}");
    assert_eq!(event["data"]["user"], old.id_claims()["sub"], "{event}");
    assert_eq!(event["actor"], "authlog", "{event}");
    assert!(
        event["what"]
            .as_str()
            .unwrap()
            .contains("did not take the logout token"),
        "{event}"
    );
    scene
        .op
        .service
        .has_logged("could not be delivered for a day")
        .await;
    let metrics = scene.op.service.send(own::METRICS).await.body;
    assert!(
        metrics.contains("authlog_logout_tokens_undelivered_total 1"),
        "{metrics}"
    );
    scene.receiver.answers(Answers::Status(200));
    eventually("the younger token is taken", async || {
        (scene.op.service.settings.count("due_logouts") == 0).then_some(())
    })
    .await;
    let sids = scene.receiver.sids();
    assert_eq!(sids.last(), Some(&sid_of(&young)));
}

async fn an_operator_sees_which_tokens_wait(store: Store) {
    let mut scene = Scene::on(store).await;
    let shown = scene.runs(&["client", "show", "app"]);
    assert!(!shown.contains("logout tokens"), "{shown}");
    scene.receiver.answers(Answers::Status(503));
    scene.signs_in().await;
    scene.signs_out().await;
    scene.signs_in().await;
    scene.signs_out().await;
    scene.receiver.has_received(1).await;
    eventually("the command shows what waits", async || {
        let shown = scene.runs(&["client", "show", "app"]);
        let line = shown
            .lines()
            .find(|line| line.starts_with("2 logout tokens wait"))?;
        assert!(
            line.contains("the client has not been reached since"),
            "{line}"
        );
        Some(())
    })
    .await;
    let shown = scene.runs(&["client", "show", "app", "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["waiting_logouts"]["count"], 2, "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_nodes_one_sends_each_token_and_another_continues_after_it() {
    let [first, second] = Settings::of_two_nodes();
    let mut first = first.with_cheap_hashing().start().await;
    let second = second.with_cheap_hashing().start().await;
    let receiver = LogoutReceiver::start().await;
    let app = registration("app", &receiver).at(&first);
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&first.http(), &ann).await;
    for node in [&first, &second] {
        has_key_for_id_tokens(node).await;
    }
    let mut expected = Vec::new();
    for number in 0..8 {
        let node = if number % 2 == 0 { &first } else { &second };
        let mut browser = Browser::new(&node.http());
        let granted = signs_in_to(&app.of(&node.http()), &mut browser, &ann).await;
        signs_out(&mut browser).await;
        expected.push(sid_of(&granted));
    }
    receiver.has_received_of(&expected[7]).await;
    assert_eq!(
        receiver.sids(),
        expected,
        "each token is sent once, in order"
    );
    // One node ends at any moment.
    first.kill9();
    let mut browser = Browser::new(&second.http());
    let begun = app.begins("openid");
    begun.open_in(&mut browser).await;
    browser.submit("/sign-in", &credentials(&ann)).await;
    let callback = crate::support::oauth::callback_of(&browser);
    let granted = app.of(&second.http()).redeems(&begun, &callback).await;
    signs_out(&mut browser).await;
    receiver.has_received_of(&sid_of(&granted)).await;
}
