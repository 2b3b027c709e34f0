//! The log over HTTP: complete and in order, for permitted roles, and only while the permission lasts.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use support::following::{Reader, follow_each_other, log_index};
use support::form::{NOW_RFC3339, RFC3339, UUID, assert_fits};
use support::load::Load;
use support::passkey;
use support::staff::{self, signed_in};
use support::statements::Statements;
use support::story::everything_happens;
use support::{
    Answer, Contract, Person, Postgres, Program, Settings, Store, api_auth, eventually,
    on_both_stores, own, users,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;

on_both_stores!(
    the_log_is_read_as_lines_of_cloud_events,
    server_sent_events_carry_their_position_and_resume_from_it,
    a_handler_without_event_types_receives_every_server_sent_event,
    only_services_auditors_and_admins_may_read,
    a_bad_query_is_refused_with_the_name_of_the_wrong_parameter,
    reading_from_beyond_the_end_is_refused,
    a_reader_can_filter_by_account_and_by_type,
    followers_get_every_event_in_order_as_it_comes,
    a_follower_whose_session_ends_is_cut_off,
    a_follower_that_loses_its_role_is_cut_off,
    a_stalled_reader_costs_little_and_harms_no_other,
    one_account_cannot_take_every_connection_of_the_feed,
    a_truncated_answer_does_not_look_complete,
    a_program_that_stops_disconnects_its_followers_at_once,
    the_feed_has_no_personal_data,
    after_a_crash_the_log_reads_as_before,
    an_unreadable_event_is_named_and_the_reader_may_skip_it,
);

async fn the_log_is_read_as_lines_of_cloud_events(store: Store) {
    let service = Program::on(store).await;
    let reader = signed_in(&service, "reader", "service").await;
    log_has(&service, &reader.access, 2).await;
    let answer = read(&service, &reader.access, "").await;
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    let events = lines(&answer);
    follow_each_other(0, &events);
    assert_eq!(events.len(), 2);
    let [registered, logged_in] = [&events[0], &events[1]];
    let account = registered["subject"].as_str().unwrap();
    assert_fits(
        &serde_json::json!({
            "specversion": "1.0",
            "id": format!("user/{account}/1"),
            "source": "authlog",
            "type": "dev.authlog.user.registered.v1",
            "subject": UUID,
            "time": NOW_RFC3339,
            "datacontenttype": "application/json",
            "sequence": "00000000000000000001",
            "logindex": "1",
            "data": { "number": 1, "role": "service" },
        }),
        registered,
        "a registration",
    );
    let session = logged_in["data"]["session_id"].as_str().unwrap();
    assert_fits(
        &serde_json::json!({
            "specversion": "1.0",
            "id": format!("session/{session}/1"),
            "source": "authlog",
            "type": "dev.authlog.session.logged-in.v1",
            "subject": account,
            "time": NOW_RFC3339,
            "datacontenttype": "application/json",
            "sequence": "00000000000000000001",
            "logindex": "2",
            "data": {
                "session_id": UUID,
                "session_epoch": 0,
                "contract": "api-auth",
                "expires_at": RFC3339,
                "amr": ["pwd"],
                "acr": "urn:authlog:aal1",
                "auth_time": NOW_RFC3339,
            },
        }),
        logged_in,
        "a login",
    );
    for (query, places) in [
        ("after=1", 2..=2),
        ("after=0&limit=1", 1..=1),
        ("limit=2&after=0", 1..=2),
    ] {
        let read = lines(&read(&service, &reader.access, query).await);
        let read: Vec<u64> = read.iter().map(log_index).collect();
        assert_eq!(read, places.collect::<Vec<_>>(), "{query}");
    }
    assert!(
        lines(&read(&service, &reader.access, "after=2").await).is_empty(),
        "the end of the log is an empty answer"
    );
}

async fn server_sent_events_carry_their_position_and_resume_from_it(store: Store) {
    let service = Program::on(store).await;
    let reader = signed_in(&service, "reader", "auditor").await;
    log_has(&service, &reader.access, 2).await;
    let mut stream = Reader::of_server_sent(&service, &reader.access, "after=1", None).await;
    assert_eq!(stream.header("content-type"), "text/event-stream");
    assert_eq!(stream.header("cache-control"), "no-store");
    let (id, kind, event) = stream.server_sent().await.unwrap();
    assert_eq!((id, log_index(&event)), (2, 2));
    assert_eq!(kind, "dev.authlog.session.logged-in.v1");
    assert_eq!(event["type"], kind);
    // It follows without the parameter, which an EventSource cannot set.
    Contract::ApiAuth
        .registers(&service.http(), &Person::called("ann"))
        .await;
    let (id, ..) = stream.server_sent().await.unwrap();
    assert_eq!(id, 3);
    // `Last-Event-ID` has priority over the position that a reconnecting EventSource still has in its URL.
    let mut again = Reader::of_server_sent(&service, &reader.access, "after=1", Some(2)).await;
    let (id, ..) = again.server_sent().await.unwrap();
    assert_eq!(id, 3);
    let mut limited =
        Reader::of_server_sent(&service, &reader.access, "after=0&limit=2", None).await;
    assert_eq!(limited.server_sent().await.unwrap().0, 1);
    assert_eq!(limited.server_sent().await.unwrap().0, 2);
    assert_eq!(limited.server_sent().await, None);
}

async fn a_handler_without_event_types_receives_every_server_sent_event(store: Store) {
    let service = Program::on(store).await;
    let reader = signed_in(&service, "reader", "auditor").await;
    log_has(&service, &reader.access, 2).await;
    let mut stream = Reader::of_server_sent(&service, &reader.access, "event=message", None).await;
    for place in 1..=2 {
        let (id, kind, event) = stream.server_sent().await.unwrap();
        assert_eq!(
            (id, kind.as_str(), log_index(&event)),
            (place, "message", place)
        );
    }
    let mut named = Reader::of_server_sent(&service, &reader.access, "event=type", None).await;
    let (_, kind, event) = named.server_sent().await.unwrap();
    assert_eq!(event["type"], kind);
}

async fn only_services_auditors_and_admins_may_read(store: Store) {
    let service = Program::on(store).await;
    let answer = service.send(own::FEED).await;
    assert_eq!(answer.status, 401, "{answer}");
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    is_a_problem(&answer);
    let answer = service.send(own::FEED).bearer("no.such.token").await;
    assert_eq!(answer.status, 401, "{answer}");
    assert_eq!(
        answer.header("www-authenticate"),
        Some("Bearer error=\"invalid_token\"")
    );
    is_a_problem(&answer);
    for (role, status) in [
        ("user", 403),
        ("service", 200),
        ("auditor", 200),
        ("admin", 200),
    ] {
        let tokens = signed_in(&service, role, role).await;
        let answer = read(&service, &tokens.access, "").await;
        assert_eq!(answer.status, status, "{role}: {answer}");
        if status != 200 {
            is_a_problem(&answer);
        }
        // A refresh token is no access token.
        let answer = read(&service, tokens.refresh(), "").await;
        assert_eq!(answer.status, 401, "{role}: {answer}");
    }
    // The token of any contract works.
    staff::create(&service, &Person::called("robot"), "service");
    for contract in Contract::ALL {
        let tokens = contract
            .signs_in(&service.http(), &Person::called("robot"))
            .await;
        let answer = read(&service, &tokens.access, "limit=1").await;
        assert_eq!(lines(&answer).len(), 1, "{contract:?}");
    }
}

async fn a_bad_query_is_refused_with_the_name_of_the_wrong_parameter(store: Store) {
    let service = Program::on(store).await;
    let reader = signed_in(&service, "reader", "admin").await;
    for query in [
        "after=-1",
        "after=",
        "after=1.5",
        "after=9223372036854775808",
        "limit=0",
        "limit=-3",
        "limit=all",
        "follow=maybe",
        "event=all",
        "user=jo",
        "type=LoggedIn,Unheard",
        "type=",
        "since=yesterday",
        "since=",
        "since=2026-11-30T06:00:00Z&after=1",
        "heartbeat=1000",
        "heartbeat=1000&follow=false",
        "heartbeat=249&follow=true",
        "heartbeat=15001&follow=true",
        "heartbeat=often&follow=true",
        "heartbeat=&follow=true",
    ] {
        let answer = read(&service, &reader.access, query).await;
        assert_eq!(answer.status, 400, "{answer}");
        let member = query.split('=').next().unwrap();
        let detail = is_a_problem(&answer);
        assert!(detail.contains(member), "{query}: {detail}");
    }
    let request = service.send(own::FEED).bearer(&reader.access);
    let answer = request
        .header("accept", "text/event-stream")
        .header("last-event-id", "yesterday")
        .await;
    assert_eq!(answer.status, 400, "{answer}");
    assert!(is_a_problem(&answer).contains("Last-Event-ID"));
}

async fn reading_from_beyond_the_end_is_refused(store: Store) {
    let service = Program::on(store).await;
    let reader = signed_in(&service, "reader", "service").await;
    log_has(&service, &reader.access, 2).await;
    for query in ["after=3", "after=3&follow=true"] {
        let answer = read(&service, &reader.access, query).await;
        assert_eq!(answer.status, 409, "{answer}");
        let detail = is_a_problem(&answer);
        assert!(detail.contains("The log ends at 2"), "{detail}");
    }
}

async fn a_reader_can_filter_by_account_and_by_type(store: Store) {
    let service = passkey::settings(store)
        .with_a_breached_password()
        .start()
        .await;
    let reader = signed_in(&service, "reader", "service").await;
    let first = everything_happens(&service, "ann").await;
    let second = everything_happens(&service, "bob").await;
    let count = 2 + first.events.len() + second.events.len();
    log_has(&service, &reader.access, count).await;
    let everything = lines(&read(&service, &reader.access, "").await);
    follow_each_other(0, &everything);
    assert_eq!(everything.len(), count);
    let ann = everything[2]["subject"].as_str().unwrap();
    let logged_in = "dev.authlog.session.logged-in.v1";
    let reused = "dev.authlog.session.refresh-token-reused.v1";
    let of_ann = |event: &&Value| event["subject"] == ann;
    let of_types = |event: &&Value| event["type"] == logged_in || event["type"] == reused;
    let chosen = |wanted: &dyn Fn(&&Value) -> bool| -> Vec<Value> {
        everything
            .iter()
            .filter(|event| wanted(event))
            .cloned()
            .collect()
    };
    for (query, expected) in [
        (format!("user={ann}"), chosen(&of_ann)),
        (format!("type={logged_in},{reused}"), chosen(&of_types)),
        (
            "type=LoggedIn&type=RefreshTokenReused".to_owned(),
            chosen(&of_types),
        ),
        (
            format!("type={logged_in},{reused}&user={ann}"),
            chosen(&|event| of_ann(event) && of_types(event)),
        ),
        (
            format!("user={ann}&after={}", log_index(&everything[6])),
            chosen(&|event| of_ann(event) && log_index(event) > log_index(&everything[6])),
        ),
        (
            "user=019c0000-0000-7000-8000-000000000001".to_owned(),
            Vec::new(),
        ),
    ] {
        assert_eq!(
            lines(&read(&service, &reader.access, &query).await),
            expected,
            "{query}"
        );
    }
    // A follower of a rare type receives no other events, and receives the next one of its type.
    let query = format!("follow=true&after={}&type=RoleChanged", everything.len());
    let mut follower = Reader::of(&service, &reader.access, &query).await;
    let story = everything_happens(&service, "cleo").await;
    staff::set_role(&service, &story.person, "user");
    let changes = follower.events(2).await;
    let [first, second] = [&changes[0], &changes[1]];
    assert_eq!(first["data"]["role"], "auditor", "{changes:?}");
    assert_eq!(second["data"]["role"], "user", "{changes:?}");
}

async fn followers_get_every_event_in_order_as_it_comes(store: Store) {
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let reader = signed_in(&service, "reader", "service").await;
    log_has(&service, &reader.access, 2).await;
    let load = Load::on(&service.http(), "visitor");
    let mut following = JoinSet::new();
    for number in 0..20 {
        let (after, server_sent) = (number % 3, number % 2 == 1);
        let query = format!("follow=true&after={after}");
        let mut stream = if server_sent {
            Reader::of_server_sent(&service, &reader.access, &query, None).await
        } else {
            Reader::of(&service, &reader.access, &query).await
        };
        following.spawn(async move {
            let mut events = Vec::new();
            loop {
                let event = if server_sent {
                    stream.server_sent().await.map(|(_, _, event)| event)
                } else {
                    stream.event().await
                };
                let event = event.unwrap();
                let is_last = is_the_end(&event);
                events.push(event);
                if is_last {
                    return (after, events);
                }
            }
        });
    }
    load.has_done(60).await;
    load.end().await;
    the_end(&service);
    let query = "follow=true&type=UserRegistered";
    let mut registrations = Reader::of(&service, &reader.access, query).await;
    registrations.events_until(is_the_end).await;
    let everything = whole(&service, &reader.access).await;
    follow_each_other(0, &everything);
    for (after, events) in following.join_all().await {
        follow_each_other(after, &events);
        assert_eq!(
            events,
            everything[usize::try_from(after).unwrap()..events.len() + after as usize]
        );
        assert!(events.last().is_some_and(is_the_end));
    }
}

async fn a_follower_whose_session_ends_is_cut_off(store: Store) {
    let service = Program::on(store).await;
    let reader = signed_in(&service, "reader", "service").await;
    let stays = Contract::ApiAuth
        .signs_in(&service.http(), &Person::called("reader"))
        .await;
    let mut cut_off = Reader::of(&service, &reader.access, "follow=true").await;
    let mut goes_on = Reader::of(&service, &stays.access, "follow=true").await;
    cut_off.events(3).await;
    let answer = service.send(api_auth::LOGOUT).bearer(&reader.access).await;
    assert_eq!(answer.status, 200, "{answer}");
    cut_off.ends().await;
    the_end(&service);
    goes_on.events_until(is_the_end).await;
    let answer = read(&service, &reader.access, "").await;
    assert_eq!(answer.status, 401, "{answer}");
}

async fn a_follower_that_loses_its_role_is_cut_off(store: Store) {
    let service = Program::on(store).await;
    let reader = signed_in(&service, "reader", "service").await;
    let other = signed_in(&service, "other", "auditor").await;
    let mut cut_off = Reader::of(&service, &reader.access, "follow=true").await;
    let mut goes_on = Reader::of(&service, &other.access, "follow=true").await;
    cut_off.events(4).await;
    // Other events of the account do not end the connection.
    ask_for_a_reset(&service, "reader").await;
    cut_off.events(1).await;
    staff::set_role(&service, &Person::called("reader"), "user");
    // The reader does not even receive the event that ends its session.
    assert_eq!(cut_off.event().await, None);
    the_end(&service);
    goes_on.events_until(is_the_end).await;
    let answer = read(&service, &reader.access, "").await;
    assert_eq!(answer.status, 401, "{answer}");
    let person = Person::called("reader");
    let newest = Contract::ApiAuth.signs_in(&service.http(), &person).await;
    let answer = read(&service, &newest.access, "").await;
    assert_eq!(answer.status, 403, "{answer}");
}

async fn a_stalled_reader_costs_little_and_harms_no_other(store: Store) {
    const STALLED: usize = 10;
    let service = Program::on(store).await;
    let reader = signed_in(&service, "reader", "service").await;
    much_happens(&service, &reader.access).await;
    let everything = whole(&service, &reader.access).await;
    let size = everything
        .iter()
        .map(|event| event.to_string().len())
        .sum::<usize>();
    let before = memory(&service);
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        stalled.push(Stalled::reader(&service, &reader.access, "follow=true").await);
    }
    // Other clients are served, and other followers receive new events.
    let query = format!("follow=true&after={}", everything.len());
    let mut follower = Reader::of(&service, &reader.access, &query).await;
    the_end(&service);
    let news = follower.events_until(is_the_end).await;
    follow_each_other(everything.len() as u64, &news);
    let grown = memory(&service).saturating_sub(before);
    assert!(
        grown < STALLED * size / 2,
        "{STALLED} readers who stall cost {grown} bytes; each was to get {size}"
    );
}

async fn one_account_cannot_take_every_connection_of_the_feed(store: Store) {
    const PLACES_OF_AN_ACCOUNT: usize = 100;
    let service = Program::on(store).await;
    let greedy = signed_in(&service, "greedy", "service").await;
    let other = signed_in(&service, "other", "service").await;
    let mut streams = Vec::new();
    for _ in 0..PLACES_OF_AN_ACCOUNT {
        streams.push(Reader::of(&service, &greedy.access, "follow=true").await);
    }
    // All sessions of an account share its connections.
    let again = Contract::ApiAuth
        .signs_in(&service.http(), &Person::called("greedy"))
        .await;
    for token in [&greedy.access, &again.access] {
        for query in ["follow=true", "limit=1"] {
            let answer = read(&service, token, query).await;
            assert_eq!(answer.status, 429, "{answer}");
            assert!(answer.retry_after() > 0);
            is_a_problem(&answer);
        }
    }
    let mut follower = Reader::of(&service, &other.access, "follow=true").await;
    follower.events(1).await;
    // A reader that disconnects frees its place.
    streams.pop();
    eventually("a new connection is accepted", async || {
        let answer = read(&service, &greedy.access, "limit=1").await;
        (answer.status == 200).then_some(())
    })
    .await;
}

async fn a_truncated_answer_does_not_look_complete(store: Store) {
    let service = Program::on(store).await;
    let reader = signed_in(&service, "reader", "service").await;
    let other = signed_in(&service, "other", "service").await;
    much_happens(&service, &reader.access).await;
    let cut_short = Stalled::reader(&service, &reader.access, "limit=100000").await;
    let goes_on = Stalled::reader(&service, &other.access, "limit=100000").await;
    let query = "follow=true&type=RoleChanged";
    let mut changes = Reader::of(&service, &other.access, query).await;
    staff::set_role(&service, &Person::called("reader"), "user");
    changes.events(1).await;
    // RFC 9112 §7.1: without its last chunk a message is not complete.
    assert!(goes_on.reads_on().await.ends_with("\r\n0\r\n\r\n"));
    assert!(!cut_short.reads_on().await.ends_with("\r\n0\r\n\r\n"));
}

async fn a_program_that_stops_disconnects_its_followers_at_once(store: Store) {
    let mut service = Program::on(store).await;
    let reader = signed_in(&service, "reader", "service").await;
    much_happens(&service, &reader.access).await;
    let mut streams = JoinSet::new();
    for number in 0..10 {
        let mut stream = if number % 2 == 0 {
            Reader::of(&service, &reader.access, "follow=true&after=2").await
        } else {
            Reader::of_server_sent(&service, &reader.access, "after=2", None).await
        };
        stream.try_line().await.unwrap();
        streams.spawn(stream.ends());
    }
    let _stalled = Stalled::reader(&service, &reader.access, "follow=true").await;
    let _stalled_too = Stalled::reader(&service, &reader.access, "limit=100000").await;
    assert!(service.terminate().await.success());
    streams.join_all().await;
    let output = service.output();
    assert!(!output.contains("did not finish in time"), "{output}");
}

async fn the_feed_has_no_personal_data(store: Store) {
    let service = passkey::settings(store)
        .with_a_breached_password()
        .start()
        .await;
    let reader = signed_in(&service, "reader", "service").await;
    let canary = "canary-of-the-tests";
    let story = everything_happens(&service, canary).await;
    let (person, tokens) = (&story.person, &story.tokens);
    let request = service
        .send(api_auth::LOGIN)
        .header("user-agent", "planted-agent");
    let body = Contract::ApiAuth.login_of(&person.email, &person.password);
    assert_eq!(request.json(&body).await.status, 200);
    log_has(&service, &reader.access, 2 + story.events.len() + 1).await;
    let text = read(&service, &reader.access, "").await.body;
    let missing: Vec<_> = story
        .types()
        .into_iter()
        .filter(|kind| !text.contains(kind))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    for planted in [
        canary,
        &person.password,
        "not-the-password",
        "example.com",
        "of Example",
        "planted-agent",
        "127.0.0.1",
        &tokens.access,
        tokens.refresh(),
    ] {
        assert!(!text.contains(planted), "{planted} is in the feed");
    }
    // The events have no unexpected member.
    let mut members = BTreeSet::new();
    for event in lines(&read(&service, &reader.access, "").await) {
        members.extend(event["data"].as_object().unwrap().keys().cloned());
    }
    // `name` and the URIs are those of clients.
    let meant = [
        "acr",
        "amr",
        "audiences",
        "auth_method",
        "auth_time",
        "backchannel_logout_uri",
        "backup_eligible",
        "client_id",
        "contract",
        "dpop_bound",
        "ended_at",
        "expires_at",
        "factor_id",
        "first_party",
        "generation",
        "grants",
        "id_token_alg",
        "kept_session_id",
        "left",
        "name",
        "number",
        "parent_session_id",
        "post_logout_redirect_uris",
        "reason",
        "redirect_uris",
        "require_pkce",
        "role",
        "rp_id",
        "scope",
        "scopes",
        "secret_id",
        "session_epoch",
        "session_id",
        "user_id",
    ];
    assert_eq!(members, meant.map(str::to_owned).into());
}

async fn after_a_crash_the_log_reads_as_before(store: Store) {
    let mut service = Settings::on(store).with_cheap_hashing().start().await;
    let reader = signed_in(&service, "reader", "service").await;
    let mut seen = Vec::new();
    for round in 0..2 {
        let query = format!("follow=true&after={}", seen.len());
        let mut follower = Reader::of(&service, &reader.access, &query).await;
        let load = Load::on(&service.http(), &format!("round-{round}"));
        seen.extend(follower.events(120).await);
        service.kill9();
        // Requests that were still in flight count, too.
        while let Ok(Some(line)) = follower.try_line().await {
            seen.push(serde_json::from_str(&line).unwrap());
        }
        load.end().await;
        follow_each_other(0, &seen);
        service.restart().await;
        let now = whole(&service, &reader.access).await;
        follow_each_other(0, &now);
        assert_eq!(now[..seen.len()], seen);
        for after in [1, seen.len() / 2, seen.len() - 1] {
            let query = format!("limit=100000&after={after}");
            let rest = lines(&read(&service, &reader.access, &query).await);
            assert_eq!(rest[..seen.len() - after], seen[after..]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_of_one_node_receives_the_events_of_the_other() {
    let [first, second] = Settings::of_two_nodes().map(Settings::with_cheap_hashing);
    let nodes = [first.start().await, second.start().await];
    let reader = signed_in(&nodes[0], "reader", "service").await;
    let mut streams = Vec::new();
    for node in &nodes {
        streams.push(Reader::of(node, &reader.access, "follow=true").await);
    }
    for round in 0..10 {
        let person = Person::called(&format!("person-{round}"));
        Contract::ApiAuth
            .registers(&nodes[round % 2].http(), &person)
            .await;
    }
    the_end(&nodes[1]);
    let mut received = Vec::new();
    for stream in &mut streams {
        let events = stream.events_until(is_the_end).await;
        follow_each_other(0, &events);
        received.push(events);
    }
    assert_eq!(received[0], received[1]);
    // The permission is checked across nodes, too.
    staff::set_role(&nodes[0], &Person::called("reader"), "user");
    for stream in streams {
        stream.ends().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checking_the_rights_of_followers_does_not_query_the_database() {
    /// Followers are checked every second.
    const A_CHECK_OF_EACH: Duration = Duration::from_millis(1500);
    let service = Program::on(Store::Postgres).await;
    let reader = signed_in(&service, "reader", "service").await;
    let mut streams = Vec::new();
    for _ in 0..90 {
        let mut stream = Reader::of(&service, &reader.access, "follow=true").await;
        stream.events(2).await;
        streams.push(stream);
    }
    let statements = Statements::of(&service);
    // If the revocation feed is half a second late, the node queries the database instead; then the test counts again.
    eventually("checks of followers query nothing", async || {
        let before = statements.so_far().await;
        tokio::time::sleep(A_CHECK_OF_EACH).await;
        let asked = statements.since(&before).await.of_operations();
        asked.is_empty().then_some(())
    })
    .await;
    let before = statements.so_far().await;
    ask_for_a_reset(&service, "reader").await;
    for stream in &mut streams {
        stream.events(1).await;
    }
    tokio::time::sleep(A_CHECK_OF_EACH).await;
    // One event removed the account from the cache, so the first follower that is checked looks it up for all of them.
    // The request itself reads the account's row, and sending the mail may check that the account still exists.
    let asked = statements.since(&before).await;
    let lookups = asked.with("FROM accounts a WHERE a.user_id");
    assert!((1..=3).contains(&lookups), "{lookups}: {asked:?}");
}

/// Adds an event to the account that ends none of its sessions.
async fn ask_for_a_reset(service: &Program, username: &str) {
    let request = service.send(users::REQUEST_RESET);
    let answer = request
        .json(&serde_json::json!({"username": username}))
        .await;
    assert_eq!(answer.status, 200, "{answer}");
}

/// Reads the log.
async fn read(service: &Program, token: &str, query: &str) -> Answer {
    service.send(own::FEED).query(query).bearer(token).await
}

/// Waits until the log has this many events.
async fn log_has(service: &Program, token: &str, count: usize) {
    let query = format!("follow=true&limit={count}");
    Reader::of(service, token, &query).await.ends().await;
}

/// The whole log.
async fn whole(service: &Program, token: &str) -> Vec<Value> {
    lines(&read(service, token, "limit=1000000").await)
}

/// The events of an answer in NDJSON.
#[track_caller]
fn lines(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{answer}");
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    let lines = answer.body.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Asserts that the answer is a problem document (RFC 9457), and returns its detail.
#[track_caller]
fn is_a_problem(answer: &Answer) -> String {
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    let problem: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(problem["status"], answer.status);
    problem["detail"].as_str().unwrap().to_owned()
}

/// A unique marker.
fn the_end(service: &Program) {
    staff::create(service, &Person::called("the-end"), "admin");
}

fn is_the_end(event: &Value) -> bool {
    event["type"] == "dev.authlog.user.registered.v1" && event["data"]["role"] == "admin"
}

/// The number of events that [`much_happens`] adds.
const MUCH: usize = 12_000;

/// Adds more events than the kernel buffers for a reader that reads nothing: copies of the first login, inserted with
/// SQL because that many logins would take minutes.
async fn much_happens(service: &Program, token: &str) {
    const COPIES: &str = "
        INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
        SELECT aggregate_type, 'copy-' || n, 1, event_type, event_version, payload, metadata
          FROM (SELECT * FROM events WHERE event_type = 'LoggedIn' ORDER BY position LIMIT 1) AS login,";
    log_has(service, token, 1).await;
    if let Some(database) = service.settings.get("AUTHLOG_DATABASE_URL") {
        let copies = format!("{COPIES} generate_series(1, {MUCH}) AS n");
        Postgres::query(database, &copies);
    } else {
        let copies = format!(
            "BEGIN IMMEDIATE;
             {COPIES} (WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {MUCH}) SELECT n FROM n);
             INSERT INTO event_log
             SELECT position, aggregate_type, aggregate_id, sequence, zeroblob(32)
               FROM events WHERE aggregate_id LIKE 'copy-%';
             COMMIT"
        );
        let file = service.settings.data().join("authlog.db");
        let database = rusqlite::Connection::open(file).unwrap();
        database.busy_timeout(Duration::from_secs(60)).unwrap();
        database.execute_batch(&copies).unwrap();
    }
    log_has(service, token, MUCH).await;
}

/// The resident memory of the program, in bytes.
fn memory(service: &Program) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.id())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    let kilobytes: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes * 1024
}

/// A reader that stops reading right after the head of the answer.
struct Stalled {
    stream: tokio::net::TcpStream,
    read: Vec<u8>,
}

impl Stalled {
    async fn reader(service: &Program, token: &str, query: &str) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // A small buffer, so that the kernel does not read on.
        socket.set_recv_buffer_size(4096).unwrap();
        let address = service.address().parse().unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        let request = format!(
            "GET /audit/events?{query} HTTP/1.1\r\nHost: authlog\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut read = vec![0; 200];
        stream.read_exact(&mut read).await.unwrap();
        assert!(
            read.starts_with(b"HTTP/1.1 200"),
            "{}",
            String::from_utf8_lossy(&read)
        );
        Self { stream, read }
    }

    /// Reads to the end of the answer, complete or not.
    async fn reads_on(mut self) -> String {
        // The caller checks how it ended.
        let _ = self.stream.read_to_end(&mut self.read).await;
        String::from_utf8_lossy(&self.read).into_owned()
    }
}

/// An attacker with write access cannot stop a reader for ever: the answer names the log index at which it ends and the
/// reason, and the reader can continue after it.
async fn an_unreadable_event_is_named_and_the_reader_may_skip_it(store: Store) {
    let service = Program::on(store).await;
    let reader = signed_in(&service, "reader", "service").await;
    log_has(&service, &reader.access, 2).await;
    let mut follower = Reader::of(&service, &reader.access, "after=2&follow=true").await;
    for (place, kind, event_type, payload) in [
        (3, "no-such-kind", "UserLocked", "{}"),
        (4, "user", "NoSuchType", "{}"),
        (5, "user", "UserLocked", "[]"),
    ] {
        let name = format!("'{kind}', 'p{place}', 1");
        service.settings.execute(&format!(
            "INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
             VALUES ({name}, '{event_type}', '1', '{payload}', '{{}}')"
        ));
        if store == Store::Sqlite {
            service.settings.execute(&format!(
                "INSERT INTO event_log SELECT {place}, {name}, leaf_hash FROM event_log WHERE log_index = 1"
            ));
        }
    }
    Contract::ApiAuth
        .registers(&service.http(), &Person::called("ann"))
        .await;
    for place in 3..=5 {
        let end = follower.event().await.unwrap();
        assert_eq!(end["status"], 501, "{end}");
        let detail = end["detail"].as_str().unwrap();
        assert!(
            detail.contains(&format!("the event at {place}:")),
            "{detail}"
        );
        follower.ends().await;
        let query = format!("after={place}&follow=true");
        follower = Reader::of(&service, &reader.access, &query).await;
    }
    assert_eq!(log_index(&follower.event().await.unwrap()), 6);
    assert!(
        service
            .output()
            .contains("the event at 4 cannot be published")
    );
}
