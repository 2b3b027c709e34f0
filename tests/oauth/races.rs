//! A code works once, for the first exchange, also if the service is killed meanwhile.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinSet;

use super::provider::Provider;
use crate::support::oauth::{Granted, Registration, is_dead, is_grant_error, userinfo};
use crate::support::{Settings, Store, on_both_stores, own};

on_both_stores!(
    of_two_hundred_clients_with_one_code_one_wins,
    a_code_works_once_although_the_service_is_killed,
);

/// How many clients redeem one code concurrently.
const CROWD: usize = 200;

/// How often the service is killed, unless `AUTHLOG_KILLS` says otherwise.
const KILLS: u32 = 6;

async fn of_two_hundred_clients_with_one_code_one_wins(store: Store) {
    let registration = Registration::public("app").of_first_party();
    let mut op = Provider::with(Settings::on(store), &registration).await;
    let begun = op.app.begins("openid");
    let callback = op.is_called_back(&begun).await;
    let started = op.service.settings.count("sessions");
    let mut crowd = JoinSet::new();
    for _ in 0..CROWD {
        crowd.spawn(op.app.exchange(&begun, callback.code()).attempt());
    }
    let answers: Result<Vec<_>, _> = crowd.join_all().await.into_iter().collect();
    let answers = answers.unwrap();
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|it| it.status == 200);
    assert!(won.len() <= 1, "{} won", won.len());
    assert_eq!(won.len() + lost.len(), CROWD);
    // On a busy machine some of so many wait for the store for too long.
    for answer in lost.iter().filter(|answer| answer.status != 503) {
        is_grant_error(answer, 400, "invalid_grant");
    }
    assert_eq!(op.service.settings.count("sessions"), started + 1);
    // The others were reuses, which end the session.
    for granted in won {
        is_dead(&op.http(), &Granted::of(granted).access).await;
    }
}

async fn a_code_works_once_although_the_service_is_killed(store: Store) {
    let registration = Registration::public("app").of_first_party();
    let mut op = Provider::with(Settings::on(store), &registration).await;
    let usual = usual_exchange(&mut op).await;
    let mut outcomes = Outcomes::default();
    let kills = kills();
    for number in 0..kills {
        let begun = op.app.begins("openid");
        let callback = op.is_called_back(&begun).await;
        let before = op.service.settings.count("sessions");
        // Killed before the exchange, in the middle of it, or after it.
        let attempt = tokio::spawn(op.app.exchange(&begun, callback.code()).attempt());
        tokio::time::sleep(usual * (number % 16) / 10).await;
        op.service.kill9();
        let first = attempt.await.unwrap();
        op.service.restart().await;
        let http = op.http();
        op.app = op.app.of(&http);
        op.browser = op.browser.at(&http);
        let second = op.app.exchange(&begun, callback.code()).await;
        match first {
            Ok(first) if first.status == 200 => {
                outcomes.answered += 1;
                is_grant_error(&second, 400, "invalid_grant");
                is_dead(&http, &Granted::of(&first).access).await;
            }
            _ if second.status == 200 => {
                outcomes.repeated += 1;
                userinfo(&http, &Granted::of(&second).access).await;
            }
            // The exchange was recorded, and its answer was lost.
            _ => {
                outcomes.unanswered += 1;
                is_grant_error(&second, 400, "invalid_grant");
            }
        }
        let after = op.service.settings.count("sessions");
        assert_eq!(after, before + 1, "{outcomes:?}");
    }
    eprintln!("{store:?}: {kills} kills: {outcomes:?}");
    if kills >= 100 {
        assert!(
            outcomes.answered > 0 && outcomes.repeated > 0,
            "{outcomes:?}"
        );
    }
    each_session_has_its_event(&op, kills + 1).await;
}

/// What became of the codes.
#[derive(Debug, Default)]
struct Outcomes {
    /// The first exchange was answered, before the service was killed.
    answered: u32,
    /// The first exchange had no effect, and the second one had.
    repeated: u32,
    /// The first exchange had its effect, and its answer was lost.
    unanswered: u32,
}

/// How often the service is killed. `AUTHLOG_KILLS=1000` takes some minutes.
fn kills() -> u32 {
    let wanted = std::env::var("AUTHLOG_KILLS").ok();
    wanted.map_or(KILLS, |text| text.parse().unwrap())
}

/// How long an exchange takes.
async fn usual_exchange(op: &mut Provider) -> Duration {
    let begun = op.app.begins("openid");
    let callback = op.is_called_back(&begun).await;
    let began = Instant::now();
    op.app.redeems(&begun, &callback).await;
    began.elapsed()
}

/// Asserts that the log has the start of each session once, that `codes` of them are of the application, and that nothing else in
/// the store differs from the events.
async fn each_session_has_its_event(op: &Provider, codes: u32) {
    let reader = Registration::machine("reader").with("--scope", "events.read");
    let form = [("grant_type", "client_credentials")];
    let granted = reader.at(&op.service).token_request(&form).await;
    op.service.log_is_complete().await;
    let read = op
        .service
        .send(own::FEED)
        .bearer(&Granted::of(&granted).access);
    let log = read
        .query("type=dev.authlog.session.logged-in.v1&limit=100000")
        .await;
    assert_eq!(log.status, 200, "{log}");
    let events = log.body.lines().map(|line| {
        let event: Value = serde_json::from_str(line).unwrap();
        let is_of_application = event["data"]["client_id"] == "app";
        (event["data"]["session_id"].to_string(), is_of_application)
    });
    let events: Vec<_> = events.collect();
    let sessions: BTreeMap<_, _> = events.iter().cloned().collect();
    assert_eq!(sessions.len(), events.len());
    let counted = op.service.settings.count("sessions");
    assert_eq!(counted, i64::try_from(sessions.len()).unwrap());
    let of_application = sessions.values().filter(|it| **it).count();
    assert_eq!(of_application, usize::try_from(codes).unwrap());
    let output = op.service.settings.run(&["doctor"], "");
    assert!(output.status.success(), "{output:?}");
}
