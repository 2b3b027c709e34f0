//! Failures around the program are contained: its log output, its store, its workers, and signals while it hangs.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

use crate::support;

use std::process::Command;

use serde_json::{Value, json};
use support::http::Request;
use support::passkey;
use support::program::{free_port, signal};
use support::{
    Answer, Contract, Nats, Person, Postgres, Program, Settings, Store, api_auth, eventually,
    on_both_stores, own, users,
};

on_both_stores!(
    an_unwritable_log_output_loses_lines_and_nothing_else,
    a_hang_up_does_not_end_the_service,
    the_state_of_every_worker_can_be_read,
);

async fn an_unwritable_log_output_loses_lines_and_nothing_else(store: Store) {
    for script in [
        r#"exec "$0" serve 2>/dev/full"#,
        r#"exec "$0" serve 2>&-"#,
        // The reader of the output has exited.
        r#"exec "$0" serve 2> >(true)"#,
        // The reader of the output reads nothing.
        r#"exec "$0" serve 2> >(exec sleep 60 >/dev/null)"#,
    ] {
        let mut service = Settings::on(store)
            .with_cheap_hashing()
            .start_by(script)
            .await;
        let http = service.http();
        let ann = Person::called("ann");
        Contract::ApiAuth.registers(&http, &ann).await;
        // More lines than a pipe holds.
        for _ in 0..600 {
            let answer = http.send(users::VERIFY).bearer("nonsense").await;
            assert_eq!(answer.status, 400, "{script}: {answer}");
        }
        Contract::ApiAuth.signs_in(&http, &ann).await;
        let answer = http.send(own::READYZ).await;
        assert_eq!(answer.status, 200, "{script}: {answer}");
        if script.contains("/dev/full") {
            let lost = metric(&service, "authlog_log_lines_lost_total").await;
            assert!(lost >= 600.0, "{lost} lines were lost");
        }
        let end = service.terminate().await;
        assert!(end.success(), "{script}: {end:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unwritable_standard_output_does_not_end_the_service() {
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let script = format!(r#"echo "listening on http://{address}"; exec "$0" serve >/dev/full"#);
    let mut service = Settings::on(Store::Sqlite)
        .with("AUTHLOG_LISTEN", &address)
        .start_by(&script)
        .await;
    eventually("it serves", async || {
        let answer = service.send(own::READYZ).attempt().await.ok()?;
        (answer.status == 200).then_some(())
    })
    .await;
    let end = service.terminate().await;
    assert!(end.success(), "{end:?}");
}

async fn a_hang_up_does_not_end_the_service(store: Store) {
    let mut service = Program::on(store).await;
    signal("HUP", service.id());
    service.has_logged("SIGHUP is ignored").await;
    Contract::ApiAuth
        .registers(&service.http(), &Person::called("ann"))
        .await;
    assert!(service.terminate().await.success());
}

#[expect(clippy::float_cmp, reason = "both metrics are whole numbers")]
async fn the_state_of_every_worker_can_be_read(store: Store) {
    let nats = Nats::start().await;
    let service = Settings::on(store)
        .with("AUTHLOG_NATS_URL", &nats.url())
        .with("AUTHLOG_RATE_LIMIT", "on")
        .start()
        .await;
    let mut expected = vec![
        "password_renewer",
        "breach_checker",
        "reset_mailer",
        "event_mailer",
        "revocation_tail",
        "housekeeper",
        "seal_upgrader",
        "claim_upgrader",
        "mail_sweeper",
        "log_feed",
        "freshness_watch",
        "log_index_finder",
        "logout_queuer",
        "logout_deliverer",
        "key_watch",
        "id_token_keys",
        "refused_login_recorder",
        "signer",
        "schema_watch",
        "auditor",
        "checkpoint_stream_exporter",
        "publisher",
    ];
    match store {
        Store::Sqlite => expected.push("sqlite_writer"),
        Store::Postgres => expected.extend([
            "sequencer",
            "guess_exchange",
            "signer_election",
            "publisher_election",
        ]),
    }
    expected.sort_unstable();
    let ready = service.send(own::READYZ).await.json();
    let workers = ready["workers"].as_object().unwrap();
    let mut names: Vec<_> = workers.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, expected);
    for (name, state) in workers {
        assert_eq!(state["up"], true, "{name}");
        assert_eq!(state["restarts"], 0, "{name}");
        let labelled = |metric: &str| format!("{metric}{{worker=\"{name}\"}}");
        assert_eq!(metric(&service, &labelled("authlog_worker_up")).await, 1.0);
        let restarts = labelled("authlog_worker_restarts_total");
        assert_eq!(metric(&service, &restarts).await, 0.0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_postgresql_takes_no_writes_the_service_is_not_ready() {
    let server = Postgres::of_its_own();
    let service = Settings::on_server(&server)
        .with_cheap_hashing()
        .start()
        .await;
    let settings = |sql: &str| {
        server.execute("postgres", sql);
        server.execute("postgres", "SELECT pg_reload_conf()");
    };
    stops_and_starts_being_ready(
        &service,
        || settings("ALTER SYSTEM SET default_transaction_read_only = on"),
        || settings("ALTER SYSTEM RESET default_transaction_read_only"),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_no_registration_can_be_stored_the_service_is_not_ready() {
    let service = Settings::on(Store::Postgres)
        .with_cheap_hashing()
        .start()
        .await;
    let database = service.settings.get("AUTHLOG_DATABASE_URL").unwrap();
    let http = service.http();
    // The account number can still be allocated, as on a full disk.
    Postgres::execute_at(
        database,
        "ALTER TABLE events ADD CONSTRAINT no_room CHECK (false) NOT VALID",
    );
    let registration = Contract::ApiAuth.registration_of(&Person::called("ann"));
    stops_being_ready(&service, || {
        http.send(api_auth::REGISTER).json(&registration)
    })
    .await;
    Postgres::execute_at(database, "ALTER TABLE events DROP CONSTRAINT no_room");
    becomes_ready(&service).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_most_requests_fail_at_the_store_the_service_is_not_ready() {
    let service = passkey::service(Store::Postgres).await;
    let database = service.settings.get("AUTHLOG_DATABASE_URL").unwrap();
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    // A login fails before it writes anything.
    Postgres::execute_at(database, "ALTER TABLE credentials RENAME TO aside");
    let login = Contract::ApiAuth.login_of(&ann.email, &ann.password);
    // Pages ask for these options, which are made without the store: their success says nothing of it.
    let asked = http.clone();
    let asking = tokio::spawn(async move {
        loop {
            passkey::sign_in_options(&asked).await;
        }
    });
    let answer = stops_being_ready(&service, || http.send(api_auth::LOGIN).json(&login)).await;
    asking.abort();
    assert!(answer.body.contains("Most requests"), "{answer}");
    Postgres::execute_at(database, "ALTER TABLE aside RENAME TO credentials");
    becomes_ready(&service).await;
    Contract::ApiAuth.signs_in(&http, &ann).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_file_cannot_grow_the_service_is_not_ready() {
    // With the signal ignored, the file size limit behaves like a full disk.
    let service = Settings::on(Store::Sqlite)
        .with_cheap_hashing()
        .start_by(r#"trap "" XFSZ; exec "$0" serve"#)
        .await;
    stops_and_starts_being_ready(
        &service,
        || limit_file_size(&service, "100"),
        || limit_file_size(&service, "unlimited"),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_starts_where_no_file_can_grow_is_not_ready_before_anything_is_written() {
    let mut service = Settings::on(Store::Sqlite)
        .with_cheap_hashing()
        .start()
        .await;
    Contract::ApiAuth
        .registers(&service.http(), &Person::called("ann"))
        .await;
    service.kill9();
    // The store can be opened: its shared memory takes 32 KiB. Its write-ahead log is longer than that already.
    let wal = service.settings.data().join("authlog.db-wal");
    assert!(std::fs::metadata(wal).unwrap().len() > 40_000);
    let service = service
        .settings
        .clone()
        .start_by(r#"trap "" XFSZ; exec prlimit --fsize=40000:unlimited "$0" serve"#)
        .await;
    is_not_ready_from_the_start(&service).await;
    limit_file_size(&service, "unlimited");
    becomes_ready(&service).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_starts_while_postgresql_takes_no_writes_is_not_ready() {
    let server = Postgres::of_its_own();
    let mut service = Settings::on_server(&server)
        .with_cheap_hashing()
        .start()
        .await;
    Contract::ApiAuth
        .registers(&service.http(), &Person::called("ann"))
        .await;
    service.terminate().await;
    server.execute(
        "postgres",
        "ALTER SYSTEM SET default_transaction_read_only = on",
    );
    server.execute("postgres", "SELECT pg_reload_conf()");
    service.restart().await;
    is_not_ready_from_the_start(&service).await;
    server.execute(
        "postgres",
        "ALTER SYSTEM RESET default_transaction_read_only",
    );
    server.execute("postgres", "SELECT pg_reload_conf()");
    becomes_ready(&service).await;
}

async fn is_not_ready_from_the_start(service: &Program) {
    let answer = service.send(own::READYZ).attempt().await.unwrap();
    assert_eq!(answer.status, 503, "{answer}");
    let detail = "Writes to the store fail now.";
    assert!(answer.body.contains(detail), "{answer}");
    service.has_logged("this node is not ready").await;
    let answer = service.send(own::HEALTHZ).await;
    assert_eq!(answer.status, 200, "{answer}");
}

fn limit_file_size(service: &Program, bytes: &str) {
    let limited = Command::new("prlimit")
        .args([
            format!("--pid={}", service.id()),
            format!("--fsize={bytes}:unlimited"),
        ])
        .status();
    assert!(limited.unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_file_is_gone_the_service_is_not_ready() {
    let service = Settings::on(Store::Sqlite)
        .with_cheap_hashing()
        .start()
        .await;
    let file = service.settings.data().join("authlog.db");
    let aside = service.settings.data().join("aside.db");
    stops_and_starts_being_ready(
        &service,
        || std::fs::rename(&file, &aside).unwrap(),
        || std::fs::rename(&aside, &file).unwrap(),
    )
    .await;
    service.has_logged("removed or replaced").await;
}

/// Sends failing requests until the service is not ready, and returns the reason that it reports.
async fn stops_being_ready(service: &Program, write: impl Fn() -> Request) -> Answer {
    eventually("the service is not ready", async || {
        let answer = write().attempt().await.unwrap();
        assert_eq!(answer.status, 503, "{answer}");
        let answer = service.send(own::READYZ).attempt().await.unwrap();
        (answer.status == 503).then_some(answer)
    })
    .await
}

async fn becomes_ready(service: &Program) {
    eventually("the service is ready", async || {
        let answer = service.send(own::READYZ).attempt().await.unwrap();
        (answer.status == 200).then_some(())
    })
    .await;
}

/// Asserts that the service is ready exactly while writes work, without a restart.
async fn stops_and_starts_being_ready(service: &Program, breaks: impl Fn(), mends: impl Fn()) {
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let answer = service.send(own::READYZ).await;
    assert_eq!(answer.status, 200, "{answer}");
    let login = Contract::ApiAuth.login_of(&ann.email, &ann.password);
    let registration = Contract::ApiAuth.registration_of(&Person::called("bob"));
    // Each of these may be the only kind of request.
    let writes: [&dyn Fn() -> Request; 3] = [
        &|| http.send(api_auth::LOGIN).json(&login),
        &|| http.send(api_auth::REGISTER).json(&registration),
        &|| {
            http.send(users::REQUEST_RESET)
                .json(&json!({"username": "ann"}))
        },
    ];
    for write in writes {
        breaks();
        // Because more of the last writes failed than succeeded.
        let answer = stops_being_ready(service, write).await;
        // Which reason is reported depends on whether a background write succeeded meanwhile.
        let details = ["Writes to the store fail now.", "Most requests"];
        let has_detail = details.iter().any(|detail| answer.body.contains(detail));
        assert!(has_detail, "{answer}");
        let answer = service.send(own::HEALTHZ).await;
        assert_eq!(answer.status, 200, "{answer}");
        mends();
        // No request writes meanwhile.
        becomes_ready(service).await;
    }
    Contract::ApiAuth.signs_in(&http, &ann).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_hangs_the_program_ends_and_a_second_signal_ends_it_at_once() {
    for signals in [1, 2] {
        let server = Postgres::of_its_own();
        let mut service = Settings::on_server(&server)
            .with_cheap_hashing()
            .start()
            .await;
        Contract::ApiAuth
            .registers(&service.http(), &Person::called("ann"))
            .await;
        let _frozen = server.freeze();
        service.ask_to_end();
        service.has_logged("finishing accepted requests").await;
        if signals == 2 {
            signal("TERM", service.id());
        }
        let end = service.end().await;
        // 143: ended by a signal; 1: unfinished work remained.
        let expected = if signals == 2 { 143 } else { 1 };
        assert_eq!(end.code(), Some(expected), "{end:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_recorded_during_the_shutdown_are_sequenced_and_published() {
    let nats = Nats::start().await;
    // On a shared server, transactions of other tests can hold up the log beyond the shutdown.
    let server = Postgres::of_its_own();
    let mut service = Settings::on_server(&server)
        .with("AUTHLOG_NATS_URL", &nats.url())
        .start()
        .await;
    let http = service.http();
    let registrations = (0..20).map(|number| {
        let http = http.clone();
        tokio::spawn(async move {
            let person = Person::called(&format!("ann{number}"));
            let registration = Contract::ApiAuth.registration_of(&person);
            let request = http
                .send(Contract::ApiAuth.registration())
                .json(&registration);
            request.attempt().await.map(|answer| answer.status)
        })
    });
    let registrations: Vec<_> = registrations.collect();
    let url = service
        .settings
        .get("AUTHLOG_DATABASE_URL")
        .unwrap()
        .to_owned();
    // The first registrations are recorded, and the others are in flight.
    eventually("some registrations are recorded", async || {
        let url = url.clone();
        let count = move || Postgres::query(&url, "SELECT count(*) FROM accounts");
        let count = tokio::task::spawn_blocking(count).await.unwrap();
        (count.trim() != "0").then_some(())
    })
    .await;
    let end = service.terminate().await;
    assert!(end.success(), "{end:?}");
    for registration in registrations {
        // A connection that is no longer accepted gets no answer. A busy machine declines registrations.
        let status = registration.await.unwrap();
        assert!(matches!(status, Ok(201 | 503) | Err(_)), "{status:?}");
    }
    let count = |table: &str| {
        let counted = Postgres::query(&url, &format!("SELECT count(*) FROM {table}"));
        counted.trim().parse::<u64>().unwrap()
    };
    let events = tokio::task::block_in_place(|| count("events"));
    assert!(events >= 2, "{events} events");
    assert_eq!(tokio::task::block_in_place(|| count("event_log")), events);
    assert_eq!(nats.stored().await, events);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_holds_up_the_log_is_named() {
    let server = Postgres::of_its_own();
    let service = Settings::on_server(&server)
        .with_cheap_hashing()
        .start()
        .await;
    // In another database of the cluster, which the warning names.
    let url = server.fresh_database();
    let database = url.rsplit('/').next().unwrap().to_owned();
    let transaction = "BEGIN; SELECT txid_current(); SELECT pg_sleep(40); COMMIT";
    let held = tokio::task::spawn_blocking(move || Postgres::ask(&url, transaction));
    eventually("the transaction is open", async || {
        let query = "SELECT count(*) FROM pg_stat_activity WHERE backend_xid IS NOT NULL";
        let url = service.settings.get("AUTHLOG_DATABASE_URL").unwrap();
        let count = tokio::task::block_in_place(|| Postgres::query(url, query));
        (count.trim() != "0").then_some(())
    })
    .await;
    Contract::ApiAuth
        .registers(&service.http(), &Person::called("ann"))
        .await;
    let held_up_by = eventually("`/readyz` names the transaction", async || {
        let ready = service.send(own::READYZ).await.json();
        let held_up_by = ready["lag"]["sequencer"]["held_up_by"].clone();
        (held_up_by != Value::Null).then_some(held_up_by)
    })
    .await;
    assert_eq!(held_up_by["database"], database);
    assert_eq!(held_up_by["state"], "active");
    let pid = held_up_by["pid"].as_u64().unwrap();
    eventually("the service logs the transaction", async || {
        let output = service.output();
        let line = output
            .lines()
            .find(|line| line.contains("the log waits for a transaction"))?;
        (line.contains(&database) && line.contains(&format!("pid={pid}"))).then_some(())
    })
    .await;
    let url = service.settings.get("AUTHLOG_DATABASE_URL").unwrap();
    let terminate = format!("SELECT pg_terminate_backend({pid})");
    tokio::task::block_in_place(|| Postgres::query(url, &terminate));
    // The client fails because its connection was terminated on purpose.
    let _ = held.await;
    eventually("sequencing resumes", async || {
        let ready = service.send(own::READYZ).await.json();
        let sequencer = &ready["lag"]["sequencer"];
        (sequencer["events"] == 0 && sequencer["held_up_by"] == Value::Null).then_some(())
    })
    .await;
}

/// A database role that may only connect can take the advisory lock that elects the node which sequences events.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_keeps_all_nodes_from_an_election_is_named() {
    let server = Postgres::of_its_own();
    let mut service = Settings::on_server(&server)
        .with_cheap_hashing()
        .start()
        .await;
    let url = service
        .settings
        .get("AUTHLOG_DATABASE_URL")
        .unwrap()
        .to_owned();
    let ask = |sql: &str| tokio::task::block_in_place(|| Postgres::query(&url, sql));
    ask("CREATE ROLE stranger LOGIN");
    let (_, address) = url.split_once('@').unwrap();
    let stranger = format!("postgres://stranger@{address}");
    let held = tokio::task::spawn_blocking(move || {
        // "auth" in ASCII.
        Postgres::ask(
            &stranger,
            "SELECT pg_advisory_lock(1635087464, 1), pg_sleep(300)",
        )
    });
    eventually("the other session waits for the lock", async || {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'stranger' AND wait_event = 'advisory'";
        (ask(waiting) == "1").then_some(())
    })
    .await;
    service.kill9();
    service.restart().await;
    let line = eventually("the session is named", async || {
        let output = service.output();
        let mut lines = output.lines();
        let line = lines.find(|line| line.contains("no node leads this election"))?;
        Some(line.to_owned())
    })
    .await;
    assert!(
        line.contains("stranger") && line.contains("Sequencer"),
        "{line}"
    );
    ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'stranger'");
    // The client fails because its connection was terminated on purpose.
    let _ = held.await;
    eventually("the node leads", async || {
        let output = service.output();
        output.contains("this node is the sequencer").then_some(())
    })
    .await;
}

/// The value of a metric. `name` includes its labels.
async fn metric(service: &Program, name: &str) -> f64 {
    let metrics = service.send(own::METRICS).await.body;
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = line.unwrap_or_default().parse();
    value.unwrap_or_else(|_| panic!("{name} is not in {metrics}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_memory_for_hashing_is_reported_at_the_start() {
    let service = Settings::on(Store::Sqlite)
        .with("AUTHLOG_ARGON2_MEMORY_KIB", "1000000")
        .start_by(r#"ulimit -v 900000; exec "$0" serve"#)
        .await;
    eventually("the log reports it", async || {
        let output = service.output();
        output
            .contains("not enough memory to hash passwords")
            .then_some(())
    })
    .await;
}
