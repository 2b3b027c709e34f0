//! Many sessions end at once: how far the services fall behind, and whether they go on accepting the tokens of others.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use hyper::{Method, StatusCode};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::observers::{Observed, ask};
use super::{Account, micros};
use crate::http::{Carried, Connection};
use crate::service::Service;

/// The number of connections over which accounts sign up and sign out.
const CONNECTIONS: usize = 32;

/// How long a service may take for the last sessions.
const PATIENCE: Duration = Duration::from_secs(60);

/// A session that has ended, and when Authlog's answer arrived.
type Ended = Option<(String, Instant)>;

/// What one service did during the flood.
pub(super) struct Kept {
    pub(super) name: String,
    /// For sessions that ended during the flood, the microseconds until the service refused their tokens.
    pub(super) lag: Vec<u32>,
    /// Answers to a valid token.
    pub(super) answers: u64,
    /// How many of these answers refused the token, because the deny list was too old.
    pub(super) refused: u64,
}

/// What a flood was.
pub(super) struct Flood {
    pub(super) per_second: f64,
    pub(super) services: Vec<Kept>,
}

/// Ends `count` sessions as fast as Authlog ends them.
pub(super) async fn flood(
    service: &Service,
    observed: &[Observed],
    count: usize,
) -> anyhow::Result<Flood> {
    let valid = Account::sign_up(service, "survivor").await?;
    let sessions = sign_up(service, count).await?;
    let (sender, ended) = watch::channel::<Ended>(None);
    let mut watching = JoinSet::new();
    for it in observed {
        let (name, address) = (it.name.clone(), it.address.clone());
        watching.spawn(watch_one(name, address, valid.token.clone(), ended.clone()));
    }
    drop(ended);
    let began = Instant::now();
    let mut running = JoinSet::new();
    for tokens in sessions {
        let (address, sender) = (service.address.clone(), sender.clone());
        running.spawn(sign_out(address, tokens, sender));
    }
    while let Some(finished) = running.join_next().await {
        finished??;
    }
    let per_second = count as f64 / began.elapsed().as_secs_f64();
    // The services are watched until they refuse the last one.
    drop(sender);
    let mut services = Vec::new();
    while let Some(finished) = watching.join_next().await {
        services.push(finished??);
    }
    services.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Flood {
        per_second,
        services,
    })
}

/// Signs up `count` accounts, and returns their tokens in as many parts as there are connections.
async fn sign_up(service: &Service, count: usize) -> anyhow::Result<Vec<Vec<String>>> {
    let mut running = JoinSet::new();
    for part in 0..CONNECTIONS {
        let mut connection = Connection::open(&service.address).await?;
        let size = count / CONNECTIONS + usize::from(part < count % CONNECTIONS);
        running.spawn(async move {
            let mut tokens = Vec::with_capacity(size);
            for number in 0..size {
                let name = format!("flood-{part}-{number}");
                tokens.push(crate::operations::sign_up(&mut connection, &name).await?.0);
            }
            anyhow::Ok(tokens)
        });
    }
    let mut parts = Vec::new();
    while let Some(finished) = running.join_next().await {
        parts.push(finished??);
    }
    Ok(parts)
}

async fn sign_out(
    address: String,
    tokens: Vec<String>,
    ended: watch::Sender<Ended>,
) -> anyhow::Result<()> {
    let mut connection = Connection::open(&address).await?;
    for token in tokens {
        let authorization = format!("Bearer {token}");
        let carried = Carried {
            authorization: Some(&authorization),
            body: None,
        };
        let answer = connection.send(Method::POST, "/api/auth/logout", carried);
        let answer = answer.await?;
        ensure!(answer.status().is_success(), "a logout: {answer:?}");
        ended.send_replace(Some((token, Instant::now())));
    }
    Ok(())
}

/// Asks a service with the token that ended last until it is refused, and then with a valid one, again and again.
async fn watch_one(
    name: String,
    address: String,
    valid: String,
    mut ended: watch::Receiver<Ended>,
) -> anyhow::Result<Kept> {
    let mut connection = Connection::open(&address).await?;
    let mut kept = Kept {
        name,
        lag: Vec::new(),
        answers: 0,
        refused: 0,
    };
    let mut watched = None;
    loop {
        // An error says that no session will end any more. The last one may have been watched already.
        let is_last = ended.changed().await.is_err();
        let newest = ended.borrow_and_update().clone();
        let (token, answered) = newest.context("a session has ended")?;
        if watched.replace(answered) == Some(answered) {
            return Ok(kept);
        }
        loop {
            let status = ask(&mut connection, &token).await?;
            match status {
                StatusCode::UNAUTHORIZED => break,
                StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE => {}
                other => bail!("{} answered with {other}", kept.name),
            }
            ensure!(
                answered.elapsed() < PATIENCE,
                "{} does not notice a logout",
                kept.name
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        kept.lag.push(micros(answered.elapsed()));
        kept.answers += 1;
        kept.refused += u64::from(ask(&mut connection, &valid).await? != StatusCode::OK);
        if is_last {
            return Ok(kept);
        }
    }
}
