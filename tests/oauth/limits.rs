//! What a person or an application cannot do to others, and to the service.

use super::provider::Provider;
use crate::support::browser::Browser;
use crate::support::oauth::{Granted, Registration, is_dead, is_grant_error};
use crate::support::{Contract, Settings, Store, on_both_stores, own};

on_both_stores!(
    consents_in_a_loop_leave_the_service_ready,
    a_decision_without_a_session_begins_again_whatever_its_request_has,
    a_withdrawal_wins_over_a_code_that_is_redeemed_meanwhile,
);

/// More consents than an account may change in an hour.
const STUBBORN: usize = 70;

async fn consents_in_a_loop_leave_the_service_ready(store: Store) {
    let settings = Settings::on(store).without("AUTHLOG_RATE_LIMIT");
    let mut op = Provider::with(settings, &Registration::public("app")).await;
    // The same one appends nothing, and does not count.
    for _ in 0..STUBBORN {
        let begun = op.app.begins("openid").with("prompt", "consent");
        op.is_called_back(&begun).await.code();
    }
    let tokens = Contract::ApiAuth.signs_in(&op.http(), &op.person).await;
    for _ in 0..STUBBORN {
        let request = op.service.send(own::END_OTHER_SESSIONS);
        request.bearer(&tokens.access).await;
    }
    // The account has used up what it may change. That is no failure of the service.
    for _ in 0..STUBBORN {
        let begun = op.app.begins("openid email");
        let callback = op.is_called_back(&begun).await;
        callback.has_error("temporarily_unavailable");
    }
    let ready = op.service.send(own::READYZ).await;
    assert_eq!(ready.status, 200, "{ready}");
}

async fn a_decision_without_a_session_begins_again_whatever_its_request_has(store: Store) {
    let op = Provider::with_public_app(store).await;
    let begun = op.app.begins("openid").without("state");
    for state in ["a\nb", "a\r\nLocation: x", "\u{e4}"] {
        let request = format!("{}&state={state}", begun.query());
        let hidden = [("request".to_owned(), request)];
        let stranger = Browser::new(&op.http());
        let answer = stranger
            .post("/consent", &hidden, &[("decision", "allow")])
            .await;
        assert_eq!(answer.status, 303, "{answer}");
        let location = answer.header("location").unwrap();
        assert!(location.starts_with("/oauth2/authorize?"), "{location}");
    }
}

async fn a_withdrawal_wins_over_a_code_that_is_redeemed_meanwhile(store: Store) {
    let mut op = Provider::with_public_app(store).await;
    let withdrawal = "/security/applications/app/withdraw";
    for _ in 0..20 {
        let begun = op.app.begins("openid");
        let callback = op.is_called_back(&begun).await;
        op.browser.open("/security").await;
        let hidden = op.browser.form(withdrawal);
        let (answer, withdrawn) = tokio::join!(
            op.app.exchange(&begun, callback.code()).into_future(),
            op.browser.post(withdrawal, &hidden, &[]),
        );
        assert_eq!(withdrawn.status, 303, "{withdrawn}");
        // With the next consent, nothing of before comes back to life.
        op.is_called_back(&op.app.begins("openid")).await.code();
        if answer.status == 200 {
            let granted = Granted::of(&answer);
            is_dead(&op.http(), &granted.access).await;
            let refreshed = op.app.refreshes(granted.refresh()).await;
            is_grant_error(&refreshed, 400, "invalid_grant");
        } else {
            is_grant_error(&answer, 400, "invalid_grant");
        }
    }
}
