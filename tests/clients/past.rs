//! The history of a client and its state at earlier moments, and its events as others read them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use serde_json::{Value, json};
use support::{
    Answer, Endpoint, Nats, Program, Settings, Store, eventually, on_both_stores, own, staff, token,
};

use super::{about, registered};

on_both_stores!(
    an_auditor_sees_which_redirect_uris_a_client_had_and_who_added_one,
    a_long_history_of_a_client_is_read_in_pages,
    events_of_clients_are_in_the_feed_and_belong_to_no_account,
    events_of_clients_are_published_to_their_own_subjects,
    an_erasure_of_the_administrator_leaves_the_clients,
);

async fn audit(service: &Program, token: &str, path: &str, query: &str) -> Answer {
    let endpoint = Endpoint::at("GET", path.to_owned().leak());
    service.send(endpoint).query(query).bearer(token).await
}

/// The history of the client, once its last event has a log index.
async fn history(service: &Program, auditor: &str, client: &str) -> Vec<Value> {
    let path = format!("/audit/clients/{client}/events");
    eventually("every event has a log index", async || {
        let page = audit(service, auditor, &path, "").await.json();
        let events = page["events"].as_array().unwrap().clone();
        events.last().unwrap()["log_index"]
            .is_u64()
            .then_some(events)
    })
    .await
}

#[expect(clippy::too_many_lines, reason = "one story of one client")]
async fn an_auditor_sees_which_redirect_uris_a_client_had_and_who_added_one(store: Store) {
    let service = Program::on(store).await;
    let admin = staff::signed_in(&service, "root", "admin").await.access;
    let auditor = staff::signed_in(&service, "ida", "auditor").await.access;
    registered(&service, &admin, "shop").await;
    let added = [
        "https://shop.example/callback",
        "https://new.example/callback",
    ];
    let request = service.send(about("PATCH", "shop", "")).bearer(&admin);
    assert_eq!(
        request
            .json(&json!({ "redirect_uris": added }))
            .await
            .status,
        200
    );
    let removed = service
        .settings
        .run(&["client", "remove", "shop", "--yes"], "");
    assert!(removed.status.success(), "{removed:?}");

    let events = history(&service, &auditor, "shop").await;
    let told: Vec<_> = events
        .iter()
        .map(|it| it["what"].as_str().unwrap())
        .collect();
    assert_eq!(told[0], "was registered as Shop");
    assert!(told[1].starts_with("was given the secret "), "{told:?}");
    assert_eq!(told[2..], ["got other settings", "was removed for good"]);
    let root = format!("user:{}", token::claims(&admin)["sub"].as_str().unwrap());
    for event in &events[..3] {
        assert_eq!(event["actor"], root.as_str());
        assert_eq!(event["actor_session"], token::claims(&admin)["sid"]);
        assert_eq!(
            (&event["ip"], &event["user_agent"]),
            (&Value::Null, &Value::Null)
        );
    }
    assert_eq!(events[2]["data"]["settings"]["redirect_uris"], json!(added));
    assert_eq!(
        (&events[3]["actor"], &events[3]["contract"]),
        (&json!("operator"), &json!("cli"))
    );

    for (event, uris) in [(1, Some(&added[..1])), (2, Some(&added[..])), (3, None)] {
        for member in ["log_index", "recorded_at"] {
            let at = events[event][member].to_string().replace('"', "");
            let answer = audit(
                &service,
                &auditor,
                "/audit/clients/shop",
                &format!("at={at}"),
            )
            .await;
            assert_eq!(answer.status, 200, "{answer}");
            let state = answer.json();
            assert_eq!(state["client"]["redirect_uris"], json!(uris), "at {at}");
            assert_eq!(state["as_of"]["events"], json!(event + 1));
        }
    }
    let before = events[0]["log_index"].as_u64().unwrap() - 1;
    for (query, status, word) in [
        (format!("at={before}"), 404, "had not been registered"),
        ("at=4711".to_owned(), 404, "ends at"),
        ("at=2999-01-01T00:00:00Z".to_owned(), 400, "in the future"),
        ("at=noon".to_owned(), 400, "at must be"),
    ] {
        let answer = audit(&service, &auditor, "/audit/clients/shop", &query).await;
        assert_eq!(answer.status, status, "{answer}");
        assert!(answer.body.contains(word), "{answer}");
    }
    for path in [
        "/audit/clients/unknown",
        "/audit/clients/unknown/events",
        "/audit/clients/a.b",
    ] {
        let answer = audit(&service, &auditor, path, "").await;
        assert_eq!(answer.status, 404, "{answer}");
    }

    let mut paged = Vec::new();
    let mut query = "limit=1".to_owned();
    loop {
        let page = audit(&service, &auditor, "/audit/clients/shop/events", &query)
            .await
            .json();
        paged.extend(page["events"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_u64() else {
            break;
        };
        query = format!("limit=1&after={next}");
    }
    assert_eq!(paged, events);
    let query = "type=ClientChanged";
    let changes = audit(&service, &auditor, "/audit/clients/shop/events", query)
        .await
        .json();
    assert_eq!(changes["events"], json!([events[2]]));

    let run = |arguments: &[&str]| {
        let output = service.settings.run(arguments, "");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let timeline = run(&["history", "--client", "shop"]);
    assert!(
        timeline.contains("client shop") && timeline.contains("was removed for good"),
        "{timeline}"
    );
    assert!(
        timeline.contains(&root) && timeline.contains("operator"),
        "{timeline}"
    );
    let lines = run(&["history", "--client", "shop", "--json"]);
    assert_eq!(lines.lines().count(), 4);
    let [first, second] = [1, 2].map(|it| events[it]["log_index"].to_string());
    let then = run(&["state", "--client", "shop", "--at", &second]);
    assert!(then.contains("https://new.example/callback"), "{then}");
    let changed = run(&[
        "state", "--client", "shop", "--at", &first, "--diff", &second,
    ]);
    assert!(changed.contains("client.redirect_uris"), "{changed}");
    assert!(run(&["state", "--client", "shop"]).contains("removed"));
}

async fn a_long_history_of_a_client_is_read_in_pages(store: Store) {
    let service = Program::on(store).await;
    let admin = staff::signed_in(&service, "root", "admin").await.access;
    let auditor = staff::signed_in(&service, "ida", "auditor").await.access;
    registered(&service, &admin, "shop").await;
    // Two events more than are read at a time.
    for number in 1..=50 {
        let request = service.send(about("PATCH", "shop", "")).bearer(&admin);
        let body = json!({ "name": format!("Shop {number}") });
        assert_eq!(request.json(&body).await.status, 200);
    }
    let path = "/audit/clients/shop/events";
    let all = eventually("every event has a log index", async || {
        let mut all = Vec::new();
        let mut after = Some(0);
        while let Some(from) = after {
            let query = format!("limit=1000&after={from}");
            let page = audit(&service, &auditor, path, &query).await.json();
            assert_eq!(page["client_id"], "shop");
            let events = page["events"].as_array().unwrap();
            assert!(events.len() <= 50, "{}", events.len());
            all.extend(events.clone());
            after = page["next"].as_u64();
        }
        all.last().unwrap()["log_index"].is_u64().then_some(all)
    })
    .await;
    assert_eq!(all.len(), 52);
    let rare = "limit=1&type=ClientSecretIssued";
    let page = audit(&service, &auditor, path, rare).await.json();
    assert_eq!(page["events"], json!([all[1]]));
    let rare = "type=ClientLocked";
    let page = audit(&service, &auditor, path, rare).await.json();
    assert_eq!((&page["events"], &page["next"]), (&json!([]), &Value::Null));
    for (event, name) in [(1, "Shop"), (49, "Shop 48"), (51, "Shop 50")] {
        let at = format!("at={}", all[event]["log_index"]);
        let state = audit(&service, &auditor, "/audit/clients/shop", &at).await;
        let state = state.json();
        assert_eq!(state["client_id"], "shop");
        assert_eq!(state["client"]["name"], name);
        assert_eq!(state["as_of"]["events"], json!(event + 1));
    }
}

async fn events_of_clients_are_in_the_feed_and_belong_to_no_account(store: Store) {
    let service = Program::on(store).await;
    let admin = staff::signed_in(&service, "root", "admin").await.access;
    let auditor = staff::signed_in(&service, "ida", "auditor").await.access;
    let created = registered(&service, &admin, "shop").await;
    history(&service, &auditor, "shop").await;
    let query = "type=dev.authlog.client.registered.v1,ClientSecretIssued";
    service.log_is_complete().await;
    let request = service.send(own::FEED).query(query).bearer(&auditor);
    let answer = request.await;
    let events: Vec<Value> = answer
        .body
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    assert_eq!(events.len(), 2, "{answer}");
    assert_eq!(events[0]["subject"], "shop");
    assert_eq!(events[0]["id"], "client/shop/1");
    assert_eq!(events[0]["data"]["redirect_uris"], created["redirect_uris"]);
    assert_eq!(events[1]["data"]["secret_id"], created["secrets"][0]["id"]);
    let secret = created["secret"].as_str().unwrap();
    assert!(!answer.body.contains(secret), "{answer}");
    let root = token::claims(&admin)["sub"].as_str().unwrap().to_owned();
    let path = format!("/audit/users/{root}/events");
    let of_root = audit(&service, &auditor, &path, "").await;
    assert!(!of_root.body.contains("ClientRegistered"), "{of_root}");
}

async fn events_of_clients_are_published_to_their_own_subjects(store: Store) {
    let nats = Nats::start().await;
    let settings = Settings::on(store).with("AUTHLOG_NATS_URL", &nats.url());
    let service = settings.start().await;
    let admin = staff::signed_in(&service, "root", "admin").await.access;
    registered(&service, &admin, "shop").await;
    let path = about("POST", "shop", "/lock");
    assert_eq!(service.send(path).bearer(&admin).await.status, 200);
    let messages = eventually("every event is published", async || {
        let messages = nats.messages().await;
        (messages.len() == 5).then_some(messages)
    })
    .await;
    let subjects: Vec<_> = messages.iter().map(|it| it.subject.as_str()).collect();
    assert_eq!(
        subjects[2..],
        [
            "auth.v1.client.shop.registered",
            "auth.v1.client.shop.secret-issued",
            "auth.v1.client.shop.locked",
        ]
    );
    eventually("the log is signed and verifies", async || {
        let proved = service.settings.run(&["log", "verify"], "");
        proved.status.success().then_some(())
    })
    .await;
    let well = service.settings.run(&["doctor"], "");
    assert!(well.status.success(), "{well:?}");
}

async fn an_erasure_of_the_administrator_leaves_the_clients(store: Store) {
    let service = Program::on(store).await;
    let admin = staff::signed_in(&service, "root", "admin").await.access;
    let other = staff::signed_in(&service, "vera", "admin").await.access;
    let created = registered(&service, &admin, "shop").await;
    let root = token::claims(&admin)["sub"].as_str().unwrap().to_owned();
    let erased = Endpoint::at("DELETE", format!("/admin/users/{root}").leak());
    let answer = service.send(erased).bearer(&other).await;
    assert_eq!(answer.status, 204, "{answer}");
    let shown = service.send(about("GET", "shop", "")).bearer(&other).await;
    assert_eq!(shown.json()["redirect_uris"], created["redirect_uris"]);
    let events = history(&service, &other, "shop").await;
    assert_eq!(events[0]["actor"], format!("user:{root}"));
    for command in ["rebuild", "doctor"] {
        let output = service.settings.run(&[command], "");
        assert!(output.status.success(), "{output:?}");
    }
    let shown = service.send(about("GET", "shop", "")).bearer(&other).await;
    assert_eq!(shown.status, 200, "{shown}");
}
