//! How current a reader of the log is: heartbeats of the feed and on NATS say so, and never claim what the reader does not have.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

use crate::support;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use serde_json::Value;
use support::following::{Reader, follow_each_other, log_index};
use support::load::Load;
use support::postgres::OpenTransaction;
use support::staff::signed_in;
use support::statements::Statements;
use support::{
    Answer, Contract, Nats, Person, Postgres, Program, Settings, Store, api_auth, eventually,
    on_both_stores, own, staff,
};
use time::format_description::well_known::Rfc3339;

/// The shortest time between heartbeats that a reader may ask for.
const OFTEN: &str = "follow=true&heartbeat=250";

on_both_stores!(
    a_reader_from_an_instant_on_gets_every_event_since_then,
    a_heartbeat_names_the_last_event_and_how_long_the_reader_has_followed,
    a_heartbeat_never_claims_an_event_that_the_reader_lacks,
    a_reader_of_some_events_has_the_heartbeats_of_all,
    heartbeats_on_nats_name_the_last_event_on_the_stream,
    heartbeats_on_nats_return_with_nats_and_count_from_a_new_instant,
    how_long_a_logout_takes_to_reach_a_follower_and_a_subscriber,
);

async fn a_reader_from_an_instant_on_gets_every_event_since_then(store: Store) {
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let reader = signed_in(&service, "reader", "service").await;
    let read = async |query: String| {
        let request = service.send(own::FEED).query(&query);
        let answer = request.bearer(&reader.access).await;
        indexes(&answer)
    };
    for name in ["ann", "bob", "cleo"] {
        staff::create(&service, &Person::called(name), "service");
    }
    eventually("five events are in the log", async || {
        (read(String::new()).await.len() == 5).then_some(())
    })
    .await;
    // The first two are an hour old, and the third is two minutes old.
    let age = |index: u64, seconds: i64| {
        let recorded = if service.settings.is_sqlite() {
            format!("recorded_at - {seconds} * 1000000")
        } else {
            format!("recorded_at - interval '{seconds} seconds'")
        };
        service.settings.tamper(&format!(
            "UPDATE events SET recorded_at = {recorded} WHERE (aggregate_type, aggregate_id, sequence) IN (
                 SELECT aggregate_type, aggregate_id, sequence FROM event_log WHERE log_index = {index})"
        ));
    };
    age(1, 3600);
    age(2, 3600);
    age(3, 120);
    // The service marked the log when it was empty, after the third event, and now.
    let mark = |number: u64, index: u64| {
        let (place, of_event) = if service.settings.is_sqlite() {
            ("position", "position")
        } else {
            ("txid", "((txid::text::bigint + 1)::text::xid8)")
        };
        service.settings.tamper(&format!(
            "INSERT INTO log_marks (number, {place})
             SELECT {number}, {of_event} FROM events WHERE (aggregate_type, aggregate_id, sequence) IN (
                 SELECT aggregate_type, aggregate_id, sequence FROM event_log WHERE log_index = {index})"
        ));
    };
    mark(2, 3);
    mark(3, 5);
    let ago = |seconds: i64| {
        let instant = support::form::now() - time::Duration::seconds(seconds);
        instant.format(&Rfc3339).unwrap()
    };
    for (seconds, expected) in [
        (7200, vec![1, 2, 3, 4, 5]),
        (1800, vec![3, 4, 5]),
        // An event that is up to a minute older than the instant is read as well.
        (90, vec![3, 4, 5]),
        (0, vec![4, 5]),
        // A clock that is ahead gets the end of the log.
        (-3600, vec![]),
    ] {
        let since = ago(seconds);
        assert_eq!(read(format!("since={since}")).await, expected, "{since}");
    }
    // Events that the clock dated a season too early hide none that came before them within the last hours of service.
    let season = 90 * 24 * 3600;
    age(3, season);
    assert_eq!(
        read(format!("since={}", ago(90))).await,
        [4, 5],
        "the mark is too late"
    );
    mark(4, 1);
    mark(5, 5);
    assert_eq!(read(format!("since={}", ago(90))).await, [2, 3, 4, 5]);
    age(3, -season);
    service
        .settings
        .tamper("DELETE FROM log_marks WHERE number > 3");
    let of_type = format!("since={}&type=UserRegistered", ago(1800));
    assert_eq!(read(of_type).await, [3, 4, 5]);
    // A reader that reconnects goes on where it was.
    let query = format!("since={}", ago(1800));
    let mut stream = Reader::of_server_sent(&service, &reader.access, &query, Some(4)).await;
    assert_eq!(stream.server_sent().await.unwrap().0, 5);
    let mut stream = Reader::of_server_sent(&service, &reader.access, &query, None).await;
    assert_eq!(stream.server_sent().await.unwrap().0, 3);
}

async fn a_heartbeat_names_the_last_event_and_how_long_the_reader_has_followed(store: Store) {
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let reader = signed_in(&service, "reader", "service").await;
    let mut lines = Following::begin(&service, &reader.access, OFTEN).await;
    let first = lines.heartbeat().await;
    assert_eq!(lines.events, 2, "the reader has everything before");
    let second = lines.heartbeat().await;
    assert_eq!((first.log_index, second.log_index), (2, 2));
    assert!(first.elapsed < second.elapsed, "{first:?} {second:?}");
    assert!(second.elapsed <= lines.sent.elapsed(), "{second:?}");
    // The same as server-sent events, which a handler may receive without their types.
    for (query, name) in [
        ("heartbeat=250", "heartbeat"),
        ("heartbeat=250&event=message", "message"),
    ] {
        let mut stream = Reader::of_server_sent(&service, &reader.access, query, None).await;
        let (mut id, mut kind, mut beats) = (None, String::new(), 0);
        while beats < 2 {
            let line = stream.try_line().await.unwrap().unwrap();
            match line.split_once(": ") {
                Some(("id", value)) => id = Some(value.to_owned()),
                Some(("event", value)) => kind = value.to_owned(),
                Some(("data", data)) => {
                    let data: Value = serde_json::from_str(data).unwrap();
                    if is_heartbeat(&data) {
                        let kind = if kind.is_empty() { "message" } else { &kind };
                        assert_eq!(kind, name);
                        assert_eq!(id, None, "a heartbeat is no position");
                        assert_eq!(log_index(&data), 2);
                        beats += 1;
                    }
                }
                _ => (id, kind) = (None, String::new()),
            }
        }
    }
    // Without the parameter there are none.
    let mut quiet = Reader::of(&service, &reader.access, "follow=true").await;
    let robot = Person::called("robot");
    staff::create(&service, &robot, "service");
    follow_each_other(0, &quiet.events(3).await);
}

async fn a_heartbeat_never_claims_an_event_that_the_reader_lacks(store: Store) {
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let reader = signed_in(&service, "reader", "service").await;
    let load = Load::on(&service.http(), "visitor");
    load.has_done(10).await;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&service.http(), &ann).await;
    let mut lines = Following::begin(&service, &reader.access, OFTEN).await;
    for _ in 0..8 {
        let index = signs_in_and_out(&service, &ann).await;
        let answered = lines.sent.elapsed();
        // Every heartbeat that speaks of a later instant comes after the event.
        loop {
            let heartbeat = lines.heartbeat().await;
            assert!(heartbeat.log_index <= lines.events, "{heartbeat:?}");
            if heartbeat.elapsed >= answered {
                assert!(lines.events >= index, "{} {index}", lines.events);
                assert!(heartbeat.log_index >= index, "{heartbeat:?} {index}");
                break;
            }
        }
    }
    load.end().await;
}

async fn a_reader_of_some_events_has_the_heartbeats_of_all(store: Store) {
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let reader = signed_in(&service, "reader", "service").await;
    let query = format!("{OFTEN}&type=LoggedOut");
    let mut lines = Following::begin(&service, &reader.access, &query).await;
    assert_eq!(lines.heartbeat().await.log_index, 2);
    for name in ["ann", "bob"] {
        staff::create(&service, &Person::called(name), "service");
    }
    let answered = lines.sent.elapsed();
    lines.is_current(answered).await;
    assert_eq!(lines.last.unwrap().log_index, 4);
    assert_eq!(lines.events, 0, "no event matches");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_transaction_of_others_holds_up_heartbeats_only_with_an_event() {
    let server = Postgres::of_its_own();
    let (service, mut lines) = followed_on(&server).await;
    let url = service.settings.get("AUTHLOG_DATABASE_URL").unwrap();
    let open = OpenTransaction::begin(url);
    // Nothing was committed since, so the reader has everything.
    let began = lines.sent.elapsed();
    lines.is_current(began).await;
    let answered = registers(&service, &lines, "ann").await;
    lines.claims_nothing_after(answered).await;
    assert_eq!(lines.events, 2);
    drop(open);
    lines.is_current(answered).await;
    // The registration also signed in.
    assert_eq!((lines.events, lines.last.unwrap().log_index), (4, 4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_sequencer_no_heartbeat_speaks_of_events_that_wait() {
    let server = Postgres::of_its_own();
    let (service, mut lines) = followed_on(&server).await;
    let frozen = freeze_sequencer(&service);
    let answered = registers(&service, &lines, "ann").await;
    lines.claims_nothing_after(answered).await;
    drop(frozen);
    lines.is_current(answered).await;
    assert!(lines.last.unwrap().log_index >= 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heartbeats_stop_while_the_database_is_away_and_return_with_it() {
    let server = Postgres::of_its_own();
    let (_service, mut lines) = followed_on(&server).await;
    tokio::task::block_in_place(|| server.stop());
    let stopped = lines.sent.elapsed();
    lines.claims_nothing_after(stopped).await;
    tokio::task::block_in_place(|| server.start());
    lines.is_current(stopped).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_share_the_queries_for_their_heartbeats() {
    const FOLLOWERS: u64 = 20;
    const HEARTBEATS: u64 = 8;
    let service = Program::on(Store::Postgres).await;
    let reader = signed_in(&service, "reader", "service").await;
    let statements = Statements::of(&service);
    let asked = |calls: &support::statements::Calls| calls.with("newest_position");
    let mut without = Reader::of(&service, &reader.access, "follow=true").await;
    without.events(2).await;
    assert_eq!(asked(&statements.so_far().await), 0);
    let mut followers = Vec::new();
    for _ in 0..FOLLOWERS {
        followers.push(Following::begin(&service, &reader.access, OFTEN).await);
    }
    for _ in 0..HEARTBEATS {
        for lines in &mut followers {
            lines.heartbeat().await;
        }
    }
    let queries = asked(&statements.so_far().await);
    assert!(queries < FOLLOWERS * HEARTBEATS / 2, "{queries}");
    drop(followers);
    // Without followers that want them, nothing is found out.
    eventually("the queries end", async || {
        let before = statements.so_far().await;
        tokio::time::sleep(Duration::from_millis(600)).await;
        (asked(&statements.since(&before).await) == 0).then_some(())
    })
    .await;
}

async fn heartbeats_on_nats_name_the_last_event_on_the_stream(store: Store) {
    let nats = Nats::start().await;
    let service = publishing(Settings::on(store), &nats).await;
    let mut heartbeats = OnNats::of(&nats).await;
    let first = heartbeats.next().await;
    let members: BTreeSet<_> = first.as_object().unwrap().keys().cloned().collect();
    let expected = ["elapsed_ms", "logindex", "publisher"];
    assert_eq!(members, expected.map(str::to_owned).into());
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&service.http(), &ann).await;
    for _ in 0..4 {
        let index = signs_in_and_out(&service, &ann).await;
        let heartbeat = heartbeats.reaches(index).await;
        assert!(nats.stored().await >= log_index(&heartbeat));
        assert_eq!(heartbeat["publisher"], first["publisher"]);
    }
    let [one, two] = [heartbeats.next().await, heartbeats.next().await];
    assert!(elapsed(&one) < elapsed(&two), "{one} {two}");
    // They are not part of the stream.
    let subjects: Vec<_> = nats
        .messages()
        .await
        .into_iter()
        .map(|it| it.subject)
        .collect();
    assert!(
        subjects.iter().all(|it| it.starts_with("auth.v1.")),
        "{subjects:?}"
    );
}

async fn heartbeats_on_nats_return_with_nats_and_count_from_a_new_instant(store: Store) {
    let mut nats = Nats::start().await;
    let service = publishing(Settings::on(store), &nats).await;
    let before = OnNats::of(&nats).await.next().await;
    nats.stop();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&service.http(), &ann).await;
    nats.restart().await;
    let mut heartbeats = OnNats::of(&nats).await;
    let after = heartbeats.reaches(1).await;
    assert_ne!(after["publisher"], before["publisher"]);
}

async fn how_long_a_logout_takes_to_reach_a_follower_and_a_subscriber(store: Store) {
    const LOGOUTS: usize = 100;
    let nats = Nats::start().await;
    let service = publishing(Settings::on(store), &nats).await;
    let reader = signed_in(&service, "reader", "service").await;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&service.http(), &ann).await;
    let query = "follow=true&type=LoggedOut";
    let mut follower = Reader::of(&service, &reader.access, query).await;
    let followed = tokio::spawn(async move {
        let mut arrivals = Vec::new();
        while arrivals.len() < LOGOUTS {
            follower.event().await.expect("an event");
            arrivals.push(Instant::now());
        }
        arrivals
    });
    let client = async_nats::connect(nats.url()).await.expect("NATS");
    let subject = "auth.v1.session.*.logged-out";
    let subscriber = client.subscribe(subject).await.expect("a subscription");
    client.flush().await.expect("NATS");
    let subscribed = tokio::spawn(async move {
        let arrivals = subscriber.take(LOGOUTS).map(|_| Instant::now());
        arrivals.collect::<Vec<_>>().await
    });
    let mut answers = Vec::new();
    for _ in 0..LOGOUTS {
        let access = Contract::ApiAuth
            .signs_in(&service.http(), &ann)
            .await
            .access;
        let answer = service.send(api_auth::LOGOUT).bearer(&access).await;
        assert_eq!(answer.status, 200, "{answer}");
        answers.push(Instant::now());
    }
    for (name, arrivals) in [("feed", followed), ("NATS", subscribed)] {
        let arrivals = arrivals.await.expect("every logout arrives");
        let delays = arrivals.iter().zip(&answers);
        let mut delays: Vec<_> = delays
            .map(|(arrived, answered)| arrived.saturating_duration_since(*answered))
            .collect();
        delays.sort();
        eprintln!(
            "{store:?}: a logout reaches a reader of {name} after {:?} in the middle of {LOGOUTS}, after {:?} at the latest",
            delays[LOGOUTS / 2],
            delays[LOGOUTS - 1],
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_gets_no_heartbeat_while_events_wait_for_their_index() {
    let server = Postgres::of_its_own();
    let nats = Nats::start().await;
    let service = publishing(Settings::on_server(&server), &nats).await;
    let mut heartbeats = OnNats::of(&nats).await;
    heartbeats.next().await;
    let url = service.settings.get("AUTHLOG_DATABASE_URL").unwrap();
    let open = OpenTransaction::begin(url);
    heartbeats.next().await;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&service.http(), &ann).await;
    // One may have been on its way.
    let meanwhile = heartbeats.within(Duration::from_secs(2)).await;
    assert!(meanwhile.len() <= 1, "{meanwhile:?}");
    assert!(meanwhile.iter().all(|it| log_index(it) == 0));
    drop(open);
    heartbeats.reaches(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_goes_on_with_the_heartbeats_under_a_name_of_its_own() {
    let nats = Nats::start().await;
    let nodes = Settings::of_two_nodes();
    let [first, second] = nodes.map(|it| it.with("AUTHLOG_NATS_URL", &nats.url()));
    let mut first = first.start().await;
    let mut heartbeats = OnNats::of(&nats).await;
    let before = heartbeats.next().await;
    let second = second.start().await;
    first.kill9();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&second.http(), &ann).await;
    let after = heartbeats.reaches(1).await;
    assert_ne!(after["publisher"], before["publisher"]);
}

/// A heartbeat of the feed.
#[derive(Clone, Copy, Debug)]
struct Heartbeat {
    log_index: u64,
    elapsed: Duration,
}

/// A reader of the feed in NDJSON with heartbeats.
struct Following {
    reader: Reader,
    /// An instant before the request was sent.
    sent: Instant,
    /// The number of events so far.
    events: u64,
    last: Option<Heartbeat>,
}

impl Following {
    async fn begin(service: &Program, token: &str, query: &str) -> Self {
        let sent = Instant::now();
        Self {
            reader: Reader::of(service, token, query).await,
            sent,
            events: 0,
            last: None,
        }
    }

    /// The next heartbeat. Counts the events before it.
    async fn heartbeat(&mut self) -> Heartbeat {
        loop {
            let line = self.reader.event().await.expect("a line");
            if !is_heartbeat(&line) {
                self.events += 1;
                continue;
            }
            let heartbeat = Heartbeat {
                log_index: log_index(&line),
                elapsed: elapsed(&line),
            };
            assert_eq!(line.as_object().unwrap().len(), 2, "{line}");
            self.last = Some(heartbeat);
            return heartbeat;
        }
    }

    /// Reads until the reader is current as of `elapsed` after its request.
    async fn is_current(&mut self, elapsed: Duration) {
        while self.heartbeat().await.elapsed < elapsed {}
    }

    /// Reads for two seconds, in which no heartbeat may speak of a later instant than `elapsed` after the request.
    async fn claims_nothing_after(&mut self, elapsed: Duration) {
        let until = tokio::time::Instant::now() + Duration::from_secs(2);
        while let Ok(heartbeat) = tokio::time::timeout_at(until, self.heartbeat()).await {
            assert!(heartbeat.elapsed < elapsed, "{heartbeat:?} {elapsed:?}");
        }
    }
}

/// The heartbeats on NATS.
struct OnNats(async_nats::Subscriber);

impl OnNats {
    async fn of(nats: &Nats) -> Self {
        let client = async_nats::connect(nats.url()).await.expect("NATS");
        let subscribed = client.subscribe("auth-heartbeat.v1").await;
        Self(subscribed.expect("a subscription"))
    }

    async fn next(&mut self) -> Value {
        let next = tokio::time::timeout(Duration::from_secs(60), self.0.next()).await;
        let message = next.expect("a heartbeat in time").expect("a heartbeat");
        serde_json::from_slice(&message.payload).expect("JSON")
    }

    /// The first heartbeat that names this index or a later one.
    async fn reaches(&mut self, index: u64) -> Value {
        loop {
            let heartbeat = self.next().await;
            if log_index(&heartbeat) >= index {
                return heartbeat;
            }
        }
    }

    /// The heartbeats of this time.
    async fn within(&mut self, time: Duration) -> Vec<Value> {
        let until = tokio::time::Instant::now() + time;
        let mut found = Vec::new();
        while let Ok(heartbeat) = tokio::time::timeout_at(until, self.next()).await {
            found.push(heartbeat);
        }
        found
    }
}

fn is_heartbeat(line: &Value) -> bool {
    line.get("specversion").is_none()
}

fn elapsed(heartbeat: &Value) -> Duration {
    Duration::from_millis(heartbeat["elapsed_ms"].as_u64().expect("a number"))
}

/// The log indexes of an answer in NDJSON.
fn indexes(answer: &Answer) -> Vec<u64> {
    assert_eq!(answer.status, 200, "{answer}");
    let lines = answer.body.lines();
    let events = lines.map(|line| serde_json::from_str(line).unwrap());
    events.map(|event: Value| log_index(&event)).collect()
}

/// A service on this server, and a reader that has had its first heartbeat.
async fn followed_on(server: &Postgres) -> (Program, Following) {
    let settings = Settings::on_server(server).with_cheap_hashing();
    let service = settings.start().await;
    let reader = signed_in(&service, "reader", "service").await;
    let mut lines = Following::begin(&service, &reader.access, OFTEN).await;
    lines.heartbeat().await;
    (service, lines)
}

/// A service that publishes to this server.
async fn publishing(settings: Settings, nats: &Nats) -> Program {
    let settings = settings.with_cheap_hashing();
    settings.with("AUTHLOG_NATS_URL", &nats.url()).start().await
}

/// Registers a person, and returns when that was answered, as a time after the request of the reader.
async fn registers(service: &Program, lines: &Following, name: &str) -> Duration {
    let person = Person::called(name);
    Contract::ApiAuth.registers(&service.http(), &person).await;
    lines.sent.elapsed()
}

/// Signs a person in and out, and returns the log index of the logout.
async fn signs_in_and_out(service: &Program, person: &Person) -> u64 {
    let http = service.http();
    // Under load the log may take an event later than an answer waits for it.
    eventually("an answer has the index", async || {
        let access = Contract::ApiAuth.signs_in(&http, person).await.access;
        let request = http.send(api_auth::LOGOUT).bearer(&access);
        let answer = request.header("prefer", "log-index").await;
        assert_eq!(answer.status, 200, "{answer}");
        answer.header("authlog-log-index")?.parse().ok()
    })
    .await
}

/// Stops the connection of the sequencer.
fn freeze_sequencer(service: &Program) -> support::postgres::FrozenPostgres {
    let url = service.settings.get("AUTHLOG_DATABASE_URL").unwrap();
    let leader = "SELECT pid FROM pg_stat_activity \
                  WHERE datname = current_database() AND query LIKE 'SELECT sequence_batch(%'";
    Postgres::freeze_backend(Postgres::ask(url, leader)[0].parse().unwrap())
}
