//! A code works once, for the first exchange, also if the service is killed meanwhile.

use tokio::task::JoinSet;

use super::provider::Provider;
use crate::support::oauth::{Granted, Registration, is_dead, is_grant_error, userinfo};
use crate::support::{Settings, Store, on_both_stores};

on_both_stores!(
    of_two_hundred_clients_with_one_code_one_wins,
    a_code_works_once_although_the_service_is_killed,
);

/// How many clients redeem one code concurrently.
const CROWD: usize = 200;

/// How often the service is killed.
const KILLS: usize = 6;

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
    for number in 0..KILLS {
        let begun = op.app.begins("openid");
        let callback = op.is_called_back(&begun).await;
        let exchange = || op.app.exchange(&begun, callback.code());
        let before = op.service.settings.count("sessions");
        // Killed before the exchange, in the middle of it, or after it.
        let attempt = tokio::spawn(exchange().attempt());
        tokio::time::sleep(std::time::Duration::from_millis(number as u64)).await;
        op.service.kill9();
        let first = attempt.await.unwrap();
        op.service.restart().await;
        let http = op.http();
        op.app = op.app.of(&http);
        op.browser = op.browser.at(&http);
        let second = op.app.exchange(&begun, callback.code()).await;
        let after = op.service.settings.count("sessions");
        match first {
            Ok(first) if first.status == 200 => {
                is_grant_error(&second, 400, "invalid_grant");
                is_dead(&http, &Granted::of(&first).access).await;
                assert_eq!(after, before + 1);
            }
            _ if second.status == 200 => {
                userinfo(&http, &Granted::of(&second).access).await;
                assert_eq!(after, before + 1);
            }
            // The exchange was recorded, and its answer was lost.
            _ => {
                is_grant_error(&second, 400, "invalid_grant");
                assert_eq!(after, before + 1);
            }
        }
    }
}
