//! Fills a store with as many events as years of use produce.
//!
//! Every event is real: it is built from the domain's types, sealed under its account's key, and stored with claims,
//! rows and log entry through `EventStore::append`. The people are `person0`, `person1` and so on. They share one
//! password and its hash, because a million hashes would take hours.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use authlog_application::ports::RecordedEvent;
use authlog_application::ports::{
    Append, Base, CredentialRecord, Entropy, HashingClient, PasswordHash, PasswordHasher as _,
    StagedStream, StreamId,
};
use authlog_application::{NewPassword, Password};
use authlog_domain::refused_logins::{LoginRefusalReason, LoginRefused, RefusedLoginsEvent};
use authlog_domain::session::{LoggedIn, LoggedOut, SessionEvent, TokenRefreshed};
use authlog_domain::user::{RoleChanged, UserEvent, UserRegistered};
use authlog_domain::{
    AccountNumber, AggregateKind, CredentialId, Email, PersonName, Personal, RefusedLogins, Role,
    Rotation, SessionId, Timestamp, UserId, Username,
};
use authlog_infrastructure::Store;
use authlog_infrastructure::hashing::{Argon2PasswordHasher, Argon2Settings};
use authlog_infrastructure::postgres::PostgresStore;
use authlog_infrastructure::sealing::MasterKey;
use authlog_infrastructure::sqlite::SqliteStore;
use authlog_infrastructure::system::SystemEntropy;
use clap::Args;
use cqrs_es::DomainEvent;
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::operations::{PASSWORD, person};
use crate::service::memory;

/// Options of `fill`.
#[derive(Args)]
pub(crate) struct Fill {
    /// Approximate number of events to write
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// Number of accounts
    #[arg(long, default_value_t = 20_000)]
    accounts: u64,
    /// Data directory; its master key is used, or created
    #[arg(long, default_value = "data")]
    data_dir: PathBuf,
    /// PostgreSQL database, instead of the SQLite file in the data directory
    #[arg(long)]
    database_url: Option<String>,
    /// Password of every person
    #[arg(long, default_value = PASSWORD)]
    password: String,
    /// Number of concurrent appends
    #[arg(long, default_value_t = 64)]
    at_once: usize,
}

/// Fills a store.
pub(crate) async fn run(arguments: &Fill) -> anyhow::Result<()> {
    std::fs::create_dir_all(&arguments.data_dir)?;
    let master = MasterKey::load_or_create(&arguments.data_dir.join("master.key"), &SystemEntropy)?;
    let stop = CancellationToken::new();
    let store: Arc<dyn Store> = match &arguments.database_url {
        None => Arc::new(SqliteStore::open(
            &arguments.data_dir.join("authlog.db"),
            master,
            Arc::new(SystemEntropy),
        )?),
        Some(url) => {
            let store = PostgresStore::open(url, true, master, Arc::new(SystemEntropy)).await?;
            let (sequencer, stop) = (store.sequencer(), stop.clone());
            tokio::spawn(async move { sequencer.run(stop).await });
            Arc::new(store)
        }
    };
    let began = Instant::now();
    let written = fill(&store, arguments).await?;
    let took = began.elapsed();
    loop {
        let head = store.log_head().await?;
        if head.unsequenced == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stop.cancel();
    eprintln!(
        "{written} events in {:.1} s, {:.0} a second; in the log after {:.1} s; peak memory {:.0} MiB",
        took.as_secs_f64(),
        written as f64 / took.as_secs_f64(),
        began.elapsed().as_secs_f64(),
        memory(Path::new("/proc/self"))?.1,
    );
    Ok(())
}

async fn fill(store: &Arc<dyn Store>, arguments: &Fill) -> anyhow::Result<u64> {
    let each = arguments.events.div_ceil(arguments.accounts.max(1));
    let hash = hash(&arguments.password).await?;
    let written = Arc::new(AtomicU64::new(0));
    let mut under_way = JoinSet::new();
    for number in 0..arguments.accounts {
        if under_way.len() >= arguments.at_once
            && let Some(done) = under_way.join_next().await
        {
            done??;
        }
        let (store, written) = (Arc::clone(store), Arc::clone(&written));
        let hash = hash.clone();
        under_way.spawn(async move {
            let number_of_account = store.next_account_number().await?;
            for append in history_of_account(number, number_of_account, each, hash)? {
                let events: usize = append.streams.iter().map(|stream| stream.new.len()).sum();
                if let Err(error) = store.append(append).await {
                    bail!("account {number}: {error}: was this store filled before?");
                }
                let before = written.fetch_add(events as u64, Ordering::Relaxed);
                let now = before + events as u64;
                if before / 100_000 != now / 100_000 {
                    eprintln!("{now} events");
                }
            }
            Ok(())
        });
    }
    while let Some(done) = under_way.join_next().await {
        done??;
    }
    Ok(written.load(Ordering::Relaxed))
}

pub(crate) async fn hash(password: &str) -> anyhow::Result<PasswordHash> {
    let hasher = Argon2PasswordHasher::start(Argon2Settings::default(), Arc::new(SystemEntropy))?;
    let Ok(password) = Password::parse(password) else {
        bail!("the service would refuse this password");
    };
    let password = NewPassword::already_in_use(password);
    let hash = hasher.hash(password, &HashingClient::default()).await?;
    hash.map_err(|flaw| anyhow::anyhow!("the password {flaw}"))
}

fn flawed(flaw: authlog_domain::Flaw) -> anyhow::Error {
    anyhow::anyhow!("a name {flaw}")
}

/// The number of sessions in one append, which bounds the size of a statement.
const SESSIONS_AT_ONCE: usize = 50;

/// The appends of an account with about `events` events: a registration, sessions of eight events each, occasional
/// wrong passwords, and a change of role.
fn history_of_account(
    number: u64,
    account: AccountNumber,
    events: u64,
    hash: PasswordHash,
) -> anyhow::Result<Vec<Append>> {
    let user = UserId::new(SystemEntropy.random_uuid());
    let credential = CredentialId::new(SystemEntropy.random_uuid());
    // Registrations began three years ago, with one every few minutes.
    let registered = Timestamp::parse("2022-01-01T00:00:00Z")
        .context("the calendar has this day")?
        .plus(MINUTE * 5 * number as u32);
    let name = person(number);
    let mut person = Staging::new(AggregateKind::User, user.to_string(), user);
    person.add(&UserEvent::UserRegistered(UserRegistered {
        at: registered,
        number: account,
        username: Some(Personal::Known(Username::parse(&name).map_err(flawed)?)),
        email: Some(Personal::Known(
            Email::parse(&format!("{name}@example.com")).map_err(flawed)?,
        )),
        name: Some(Personal::Known(
            PersonName::parse(&format!("Person {number}")).map_err(flawed)?,
        )),
        phone: None,
        role: Role::User,
        credential,
    }))?;
    if number.is_multiple_of(10) {
        let at = registered.plus(MINUTE);
        let role = Role::Service;
        person.add(&UserEvent::RoleChanged(RoleChanged {
            at,
            role,
            session_epoch: None,
        }))?;
    }
    let mut streams = vec![person.staged()];
    let mut left = events.saturating_sub(1);
    let mut day = 1;
    while left > 0 {
        let began = registered.plus(MINUTE * 60 * 24 * day);
        let refreshes = left.min(8).saturating_sub(2) as u32;
        streams.push(session(user, began, refreshes, left > 1)?);
        left = left.saturating_sub(8);
        if day % 7 == 0 && left > 0 {
            let id = RefusedLogins::stream_of(user, began);
            let mut refused = Staging::new(AggregateKind::RefusedLogins, id, user);
            let reason = LoginRefusalReason::WrongPassword;
            let event = LoginRefused { at: began, reason };
            refused.add(&RefusedLoginsEvent::LoginRefused(event))?;
            streams.push(refused.staged());
            left -= 1;
        }
        day += 1;
    }
    let mut appends: Vec<Append> = streams
        .chunks(SESSIONS_AT_ONCE)
        .map(|streams| Append {
            streams: streams.to_vec(),
            ..Append::default()
        })
        .collect();
    if let Some(first) = appends.first_mut() {
        first.credential = Some(CredentialRecord {
            user,
            credential,
            hash,
        });
    }
    Ok(appends)
}

const MINUTE: Duration = Duration::from_secs(60);

/// A session with a login, refreshes and, if `ends`, a logout.
fn session(
    user: UserId,
    began: Timestamp,
    refreshes: u32,
    ends: bool,
) -> anyhow::Result<StagedStream> {
    let session = SessionId::new(SystemEntropy.time_ordered_uuid(began));
    let mut staging = Staging::new(AggregateKind::Session, session.to_string(), user);
    let expiry = |at: Timestamp| at.plus(MINUTE * 60 * 24);
    staging.add(&SessionEvent::LoggedIn(LoggedIn {
        at: began,
        user,
        epoch: 0,
        rotation: Some(Rotation::Rotating),
        expires_at: expiry(began),
        amr: None,
        acr: None,
        auth_time: None,
        factor: None,
        client: None,
        scopes: None,
        audience: vec![],
        parent: None,
        dpop_jkt: None,
    }))?;
    for generation in 1..=refreshes {
        let at = began.plus(MINUTE * 15 * generation);
        staging.add(&SessionEvent::TokenRefreshed(TokenRefreshed {
            at,
            generation,
            expires_at: expiry(at),
        }))?;
    }
    if ends {
        let at = began.plus(MINUTE * 15 * (refreshes + 1));
        staging.add(&SessionEvent::LoggedOut(LoggedOut { at }))?;
    }
    Ok(staging.staged())
}

/// An event stream under construction.
struct Staging {
    stream: StreamId,
    user: UserId,
    new: Vec<RecordedEvent>,
}

impl Staging {
    fn new(kind: AggregateKind, id: String, user: UserId) -> Self {
        Self {
            stream: StreamId { kind, id },
            user,
            new: vec![],
        }
    }

    /// Adds an event with the metadata that the use cases record.
    fn add(&mut self, event: &impl DomainEvent) -> anyhow::Result<()> {
        let metadata = json!({
            "user_id": self.user.to_string(),
            "actor": format!("user:{}", self.user),
            "request_id": SystemEntropy.random_uuid().to_string(),
            "contract": "api-auth",
            "ip": format!("198.51.100.{}", self.new.len() % 250),
            "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        });
        self.new.push(RecordedEvent {
            aggregate_id: self.stream.id.clone(),
            sequence: self.new.len() as u64 + 1,
            aggregate_type: self.stream.kind.as_str().to_owned(),
            event_type: event.event_type(),
            event_version: event.event_version(),
            payload: serde_json::to_value(event)?,
            metadata,
        });
        Ok(())
    }

    fn staged(self) -> StagedStream {
        StagedStream {
            stream: self.stream,
            base: Base::Nothing,
            new: self.new,
        }
    }
}
