//! An approval starts one session: with many polls at once, after a kill, and on two nodes.

use tokio::task::JoinSet;

use super::devices::{an_interval_passes, with_tv};
use super::provider::Provider;
use crate::support::devices::{approves, decides};
use crate::support::oauth::{Granted, Registration, is_dead, is_grant_error, userinfo};
use crate::support::{Settings, Store, eventually, on_both_stores};

on_both_stores!(
    of_fifty_polls_at_once_one_starts_the_session,
    of_many_decisions_about_a_device_one_counts,
    of_many_first_approvals_of_an_application_at_once_all_count,
    an_approval_survives_a_kill,
    a_device_gets_one_session_although_the_service_is_killed,
);

/// How many times the service is killed.
const KILLS: u64 = 4;

async fn of_fifty_polls_at_once_one_starts_the_session(store: Store) {
    let mut op = with_tv(store).await;
    let codes = op.approves_a_device("openid").await;
    let before = op.service.settings.count("sessions");
    let mut polling = JoinSet::new();
    for _ in 0..50 {
        polling.spawn(op.app.poll(&codes).into_future());
    }
    let answers = polling.join_all().await;
    let (granted, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|it| it.status == 200);
    assert_eq!((granted.len(), refused.len()), (1, 49));
    for answer in refused {
        is_grant_error(answer, 400, "slow_down");
    }
    assert_eq!(op.service.settings.count("sessions"), before + 1);
    // The session lives: no other poll came through.
    userinfo(&op.http(), &Granted::of(granted[0]).access).await;
}

async fn of_many_decisions_about_a_device_one_counts(store: Store) {
    let mut op = with_tv(store).await;
    let codes = op.app.begins_on_a_device("openid").await;
    decides(&mut op.browser, &op.person, &codes, "perhaps").await;
    let hidden = op.browser.form("/device/decision");
    let mut deciding = JoinSet::new();
    for number in 0..20 {
        let (browser, hidden) = (op.browser.clone(), hidden.clone());
        deciding.spawn(async move {
            let decision = ["allow", "deny"][number % 2];
            let fields = [("decision", decision)];
            let answer = browser.post("/device/decision", &hidden, &fields).await;
            (decision, answer)
        });
    }
    let decided = deciding.join_all().await;
    // Repetitions of the one that counts are confirmed.
    let won: Vec<_> = decided.iter().filter(|it| it.1.status == 303).collect();
    assert_eq!(won.len(), 10);
    assert!(won.iter().all(|it| it.0 == won[0].0));
    for (_, answer) in decided.iter().filter(|it| it.1.status != 303) {
        assert_eq!(answer.status, 400, "{answer}");
    }
    let answer = op.app.poll(&codes).await;
    match won[0].0 {
        "allow" => drop(Granted::of(&answer)),
        _ => is_grant_error(&answer, 400, "access_denied"),
    }
}

async fn of_many_first_approvals_of_an_application_at_once_all_count(store: Store) {
    let mut op = with_tv(store).await;
    let mut devices = Vec::new();
    for _ in 0..8 {
        let codes = op.app.begins_on_a_device("openid").await;
        decides(&mut op.browser, &op.person, &codes, "perhaps").await;
        devices.push((codes, op.browser.form("/device/decision")));
    }
    let mut approving = JoinSet::new();
    for (codes, hidden) in devices {
        let browser = op.browser.clone();
        approving.spawn(async move {
            let allow = [("decision", "allow")];
            let answer = browser.post("/device/decision", &hidden, &allow).await;
            assert_eq!(answer.status, 303, "{answer}");
            codes
        });
    }
    for codes in approving.join_all().await {
        Granted::of(&op.app.poll(&codes).await);
    }
}

async fn an_approval_survives_a_kill(store: Store) {
    let mut op = with_tv(store).await;
    let codes = op.app.begins_on_a_device("openid").await;
    kill(&mut op).await;
    approves(&mut op.browser, &op.person, &codes).await;
    kill(&mut op).await;
    let granted = Granted::of(&op.app.poll(&codes).await);
    userinfo(&op.http(), &granted.access).await;
    kill(&mut op).await;
    // The node has forgotten when the device polled, and knows that the code was used.
    is_grant_error(&op.app.poll(&codes).await, 400, "invalid_grant");
    is_dead(&op.http(), &granted.access).await;
}

async fn a_device_gets_one_session_although_the_service_is_killed(store: Store) {
    let mut op = with_tv(store).await;
    for number in 0..KILLS {
        let codes = op.approves_a_device("openid").await;
        let before = op.service.settings.count("sessions");
        // Killed before the poll, in the middle of it, or after it.
        let attempt = tokio::spawn(op.app.poll(&codes).attempt());
        tokio::time::sleep(std::time::Duration::from_millis(2 * number)).await;
        op.service.kill9();
        let first = attempt.await.unwrap();
        restart(&mut op).await;
        let second = op.app.poll(&codes).await;
        assert_eq!(op.service.settings.count("sessions"), before + 1);
        let first = first.ok().filter(|answer| answer.status == 200);
        if let Some(first) = first {
            is_grant_error(&second, 400, "invalid_grant");
            is_dead(&op.http(), &Granted::of(&first).access).await;
        } else if second.status == 200 {
            userinfo(&op.http(), &Granted::of(&second).access).await;
        } else {
            // The session started, and the answer was lost. The device begins again.
            is_grant_error(&second, 400, "invalid_grant");
        }
    }
}

async fn kill(op: &mut Provider) {
    op.service.kill9();
    restart(op).await;
}

async fn restart(op: &mut Provider) {
    op.service.restart().await;
    let http = op.http();
    op.app = op.app.of(&http);
    op.browser = op.browser.at(&http);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_asks_one_node_and_its_person_approves_at_the_other() {
    let [first, second] = Settings::of_two_nodes();
    let mut op = Provider::with(first, &Registration::device("tv")).await;
    let other = second.with_cheap_hashing().start().await;
    let elsewhere = op.app.of(&other.http());
    for _ in 0..2 {
        let codes = op.app.begins_on_a_device("openid").await;
        is_grant_error(&op.app.poll(&codes).await, 400, "authorization_pending");
        op.browser = op.browser.at(&other.http());
        approves(&mut op.browser, &op.person, &codes).await;
        an_interval_passes().await;
        let granted = Granted::of(&op.app.poll(&codes).await);
        userinfo(&other.http(), &granted.access).await;
        // The other node knows that the code was used, and the session ends on both.
        is_grant_error(&elsewhere.poll(&codes).await, 400, "invalid_grant");
        is_dead(&other.http(), &granted.access).await;
        eventually("the session has ended on both nodes", async || {
            let answer = op.http().send(crate::support::own::USERINFO);
            (answer.bearer(&granted.access).await.status == 401).then_some(())
        })
        .await;
    }
}
