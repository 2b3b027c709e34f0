//! Several servers: PostgreSQL with a standby, PostgreSQL behind PgBouncer, and a cluster of NATS servers.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

use crate::support;

use support::events::{Auditor, lag};
use support::failover::url_at;
use support::pgbouncer::PgBouncer;
use support::program::free_port;
use support::{
    Contract, Nats, Person, Postgres, Program, Settings, Store, api_auth, eventually, own,
};
use tokio::task::block_in_place;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_writable_one_of_several_hosts_is_used_also_after_a_failover() {
    let primary = block_in_place(Postgres::of_its_own);
    let settings = Settings::on_server(&primary).with_cheap_hashing();
    let database = database_of(&settings);
    let upstream = primary.port();
    let standby = block_in_place(|| Postgres::standby_of(upstream));
    // The first host does not answer, and the second one takes no writes yet.
    let (dead, second, third) = (free_port(), standby.port(), primary.port());
    let url = format!(
        "postgres://postgres@127.0.0.1:{dead},127.0.0.1:{second},127.0.0.1:{third}/{database}?target_session_attrs=read-write"
    );
    let mut service = settings.with("AUTHLOG_DATABASE_URL", &url).start().await;
    let http = service.http();
    let (ann, bob) = (Person::called("ann"), Person::called("bob"));
    Contract::ApiAuth.registers(&http, &ann).await;
    let before = Contract::ApiAuth.signs_in(&http, &ann).await;
    let events = |server: &Postgres| {
        let url = url_at(server.port(), &database);
        block_in_place(|| Postgres::query(&url, "SELECT count(*) FROM events"))
    };
    eventually("the standby has replicated everything", async || {
        (events(&standby) == events(&primary)).then_some(())
    })
    .await;

    block_in_place(|| {
        primary.crash();
        standby.promote();
    });
    eventually("the service writes to the new primary", async || {
        let registration = Contract::ApiAuth.registration_of(&bob);
        let answer = http
            .send(api_auth::REGISTER)
            .json(&registration)
            .attempt()
            .await;
        let answer = answer.expect("an answer");
        // An attempt that was answered 503 was not executed.
        assert!(matches!(answer.status, 201 | 503), "{answer}");
        (answer.status == 201).then_some(())
    })
    .await;
    let after = Contract::ApiAuth.signs_in(&http, &ann).await;
    for token in [&before.access, &after.access] {
        support::contract::verifies(&http, token).await;
    }
    eventually(
        "the service is ready, and every event is sequenced",
        async || (lag(&service).await?["sequencer"]["events"] == 0).then_some(()),
    )
    .await;
    assert!(service.is_running());
    is_sound(&service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_pgbouncer_in_session_mode_the_settings_of_connections_are_kept() {
    let server = block_in_place(Postgres::of_its_own);
    let settings = Settings::on_server(&server).with_cheap_hashing();
    let database = database_of(&settings);
    let pooler = block_in_place(|| PgBouncer::to(server.port(), "session"));
    let url = url_at(pooler.port(), &database);
    let service = settings.with("AUTHLOG_DATABASE_URL", &url).start().await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    Contract::ApiAuth.signs_in(&http, &ann).await;
    eventually("every event is sequenced", async || {
        (lag(&service).await?["sequencer"]["events"] == 0).then_some(())
    })
    .await;

    // The lock timeout is a setting of the connection.
    let refused = "canceling statement due to lock timeout";
    assert!(!server.log().contains(refused));
    let hold = "BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(60); COMMIT";
    let direct = url_at(server.port(), &database);
    let holder = std::thread::spawn(move || Postgres::runs(&direct, hold));
    let login = Contract::ApiAuth.login_of(&ann.username, &ann.password);
    eventually("a statement times out at its lock", async || {
        let _answer = http.send(api_auth::LOGIN).json(&login).attempt().await;
        server.log().contains(refused).then_some(())
    })
    .await;
    let end =
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN; LOCK%'";
    block_in_place(|| server.execute("postgres", end));
    assert!(
        !holder.join().expect("psql"),
        "the connection was not closed"
    );
    eventually("a login", async || {
        let answer = http
            .send(api_auth::LOGIN)
            .json(&login)
            .attempt()
            .await
            .ok()?;
        (answer.status == 200).then_some(())
    })
    .await;
    is_sound(&service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_shares_sessions_is_refused_at_the_start() {
    let settings = Settings::on(Store::Postgres);
    let database = database_of(&settings);
    let server = Postgres::shared().port();
    let pooler = block_in_place(|| PgBouncer::to(server, "transaction"));
    let url = url_at(pooler.port(), &database);
    let settings = settings.with("AUTHLOG_DATABASE_URL", &url);
    let run = block_in_place(|| settings.run(&["serve"], ""));
    assert!(!run.status.success());
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(said.contains("pool_mode = session"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_one_of_several_nats_servers_is_skipped() {
    let (dead, nats) = (Nats::that_is_away(), Nats::start().await);
    let servers = format!("{},{}", dead.url(), nats.address());
    let settings = Settings::on(Store::Sqlite).with_cheap_hashing();
    let service = settings.with("AUTHLOG_NATS_URL", &servers).start().await;
    let auditor = Auditor::of(&service).await;
    Contract::ApiAuth
        .registers(&service.http(), &Person::called("ann"))
        .await;
    assert!(auditor.finds_the_log_on(&nats, &service).await.len() >= 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_of_nats_loses_a_server_and_no_event() {
    let mut cluster = Nats::cluster().await;
    let servers = cluster.each_ref().map(Nats::url).join(",");
    let service = Settings::on(Store::Sqlite)
        .with_cheap_hashing()
        .with("AUTHLOG_NATS_URL", &servers)
        .with("AUTHLOG_NATS_REPLICAS", "3")
        .start()
        .await;
    let http = service.http();
    let auditor = Auditor::of(&service).await;
    Contract::ApiAuth
        .registers(&http, &Person::called("ann"))
        .await;
    let leader = eventually("the stream exists and has a leader", async || {
        let stream = cluster[0].stream().await?;
        let info = stream.cached_info();
        assert_eq!(info.config.num_replicas, 3);
        let leader = info.cluster.as_ref()?.leader.as_deref()?;
        cluster.iter().position(|server| server.name() == leader)
    })
    .await;
    auditor.finds_the_log_on(&cluster[0], &service).await;

    cluster[leader].kill9();
    for number in 0..20 {
        let person = Person::called(&format!("person-{number}"));
        Contract::ApiAuth.registers(&http, &person).await;
    }
    let other = &cluster[(leader + 1) % cluster.len()];
    let messages = auditor.finds_the_log_on(other, &service).await;
    assert!(messages.len() >= 42, "{}", messages.len());
    let answer = service.send(own::READYZ).await;
    assert_eq!(answer.status, 200, "{answer}");
}

fn database_of(settings: &Settings) -> String {
    let url = settings.get("AUTHLOG_DATABASE_URL").expect("a database");
    let (_, database) = url.rsplit_once('/').expect("its name");
    database.to_owned()
}

/// Asserts that `authlog doctor` finds no problem.
fn is_sound(service: &Program) {
    let examined = block_in_place(|| service.settings.run(&["doctor"], ""));
    let said = String::from_utf8_lossy(&examined.stdout);
    assert!(examined.status.success(), "{said}");
}
