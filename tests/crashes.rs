//! The service is killed under load and restarted: acknowledged changes are there, and no other change is partial.

use crate::support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use support::contract::{Tokens, is_refused, refreshes_nothing, verifies};
use support::http::Http;
use support::load::{Load, Outcome, Visitor, are_whole};
use support::mail::mail_to;
use support::{
    Contract, Person, Program, Settings, Store, api_auth, eventually, on_both_stores, users,
};
use tokio::task::JoinSet;

on_both_stores!(
    acknowledged_changes_survive_and_no_change_is_partial,
    an_acknowledged_reset_survives_and_an_interrupted_one_is_atomic,
    an_acknowledged_request_for_mail_survives,
    an_acknowledged_refresh_survives,
);

async fn acknowledged_changes_survive_and_no_change_is_partial(store: Store) {
    let settings = Settings::on(store).with_cheap_hashing();
    let mut service = settings.start().await;
    let mut visitors = Vec::new();
    for round in 0..3 {
        let load = Load::on(&service.http(), &format!("round-{round}"));
        load.has_done(100).await;
        service.kill9();
        visitors.extend(load.end().await);
        service.restart().await;
        are_whole(&visitors, &service.http()).await;
    }
    let interrupted = |visitor: &Visitor| visitor.registration == Outcome::Unknown;
    assert!(
        visitors.iter().any(interrupted),
        "the program was not killed under load"
    );
}

async fn an_acknowledged_reset_survives_and_an_interrupted_one_is_atomic(store: Store) {
    let settings = Settings::on(store).with_cheap_hashing();
    let mut service = settings.start().await;
    let mut forgetful = Vec::new();
    for number in 0..40 {
        let person = Person::called(&format!("person-{number}"));
        Contract::Users.registers(&service.http(), &person).await;
        let session = Contract::Users.signs_in(&service.http(), &person).await;
        ask_for_a_reset(&service.http(), &person).await;
        forgetful.push((person, session));
    }
    let mut resets = Vec::new();
    for (person, session) in forgetful {
        let token = mail_to(&service, &person.email).await.token();
        resets.push(Reset {
            person,
            session,
            token,
        });
    }

    let acknowledged = Arc::new(AtomicUsize::new(0));
    let mut running = JoinSet::new();
    for reset in resets {
        let http = service.http();
        let acknowledged = Arc::clone(&acknowledged);
        running.spawn(async move {
            let request = http
                .send(users::UPDATE_PASSWORD)
                .authorization(&reset.token);
            let body = json!({"password": reset.remembered().password});
            let answer = request.json(&body).attempt().await;
            if let Ok(answer) = &answer {
                assert_eq!(answer.status, 200, "{answer}");
                acknowledged.fetch_add(1, Ordering::SeqCst);
            }
            (reset, answer.is_ok())
        });
    }
    eventually("some resets are acknowledged", async || {
        (acknowledged.load(Ordering::SeqCst) >= 5).then_some(())
    })
    .await;
    service.kill9();
    let resets = running.join_all().await;
    service.restart().await;
    let http = service.http();
    for (reset, acknowledged) in resets {
        let happened = Contract::Users
            .sign_in(&http, &reset.remembered())
            .await
            .status
            == 200;
        assert!(happened || !acknowledged, "{} was lost", reset.person.email);
        if happened {
            reset.happened(&http).await;
        } else {
            reset.did_not_happen(&http).await;
        }
    }
}

async fn an_acknowledged_request_for_mail_survives(store: Store) {
    let settings = Settings::on(store).with_cheap_hashing();
    let mut service = settings.start().await;
    let people: Vec<_> = (0..30)
        .map(|number| Person::called(&format!("person-{number}")))
        .collect();
    for person in &people {
        Contract::Users.registers(&service.http(), person).await;
    }
    for person in &people {
        ask_for_a_reset(&service.http(), person).await;
    }
    service.kill9();
    service.restart().await;
    for person in &people {
        let token = mail_to(&service, &person.email).await.token();
        let answer = service
            .send(users::VERIFY_RESET)
            .authorization(&token)
            .await;
        assert_eq!(answer.status, 200, "{answer}");
    }
}

async fn an_acknowledged_refresh_survives(store: Store) {
    let mut service = Program::on(store).await;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&service.http(), &ann).await;
    let old = Contract::ApiAuth.signs_in(&service.http(), &ann).await;
    let answer = service.send(api_auth::REFRESH).bearer(old.refresh()).await;
    let new = Contract::ApiAuth.tokens_in(&answer.json());
    service.kill9();
    service.restart().await;
    verifies(&service.http(), &new.access).await;
    let answer = service.send(api_auth::REFRESH).bearer(new.refresh()).await;
    assert_eq!(answer.status, 200, "{answer}");
    // The old token is two generations old.
    refreshes_nothing(&service.http(), old.refresh()).await;
}

/// A person who forgot the password and has received the mail.
struct Reset {
    person: Person,
    session: Tokens,
    token: String,
}

impl Reset {
    /// The person with the new password.
    fn remembered(&self) -> Person {
        let password = format!("new-{}", self.person.password);
        self.person.with_password(&password)
    }

    /// Asserts that the reset happened completely.
    async fn happened(&self, http: &Http) {
        let old = Contract::ApiAuth.sign_in(http, &self.person).await;
        Contract::ApiAuth.says_wrong_credentials(&old);
        is_refused(http, &self.session.access).await;
        refreshes_nothing(http, self.session.refresh()).await;
        let request = http.send(users::VERIFY_RESET).authorization(&self.token);
        assert_eq!(request.await.status, 400, "the token is used up");
    }

    /// Asserts that no part of the reset happened.
    async fn did_not_happen(&self, http: &Http) {
        Contract::ApiAuth.signs_in(http, &self.person).await;
        verifies(http, &self.session.access).await;
        let request = http.send(users::VERIFY_RESET).authorization(&self.token);
        assert_eq!(request.await.status, 200, "the token is still valid");
    }
}

/// Requests a reset of the person's password.
async fn ask_for_a_reset(http: &Http, person: &Person) {
    let request = http.send(users::REQUEST_RESET);
    let answer = request.json(&json!({"username": person.email})).await;
    assert_eq!(answer.status, 200, "{answer}");
}
