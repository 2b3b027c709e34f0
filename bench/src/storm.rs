//! A storm of logins, many times more than can be hashed, that does not wait for answers before it sends more.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use hyper::header::RETRY_AFTER;
use hyper::{Method, StatusCode};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

use crate::http::{Carried, Connection, JSON};
use crate::load::Sample;
use crate::operations::{LOGIN, People, login};

/// How many connections it has at the most.
const MOST: usize = 2000;

/// A storm that goes on.
pub(crate) struct Storm {
    end: oneshot::Sender<()>,
    task: JoinHandle<anyhow::Result<Outcome>>,
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Outcome {
    /// Logins that were answered with a session.
    pub(crate) admitted: Sample,
    /// Logins that were told to come again later.
    pub(crate) refused: Sample,
}

struct Answer {
    connection: Connection,
    admitted: bool,
    micros: u32,
}

impl Storm {
    /// Begins one of so many logins a second.
    pub(crate) fn begin(address: &str, people: People, a_second: f64) -> Self {
        let (end, ended) = oneshot::channel();
        let task = tokio::spawn(blow(address.to_owned(), people, a_second, ended));
        Self { end, task }
    }

    /// Sends no more, and waits for all answers.
    pub(crate) async fn end(self) -> anyhow::Result<Outcome> {
        // If it ended by itself, its error tells why.
        let _ = self.end.send(());
        self.task.await?
    }
}

async fn blow(
    address: String,
    mut people: People,
    a_second: f64,
    mut ended: oneshot::Receiver<()>,
) -> anyhow::Result<Outcome> {
    let began = Instant::now();
    let mut outcome = Outcome::default();
    let mut idle: Vec<Connection> = Vec::new();
    let mut under_way = JoinSet::new();
    let mut sent = 0_u64;
    let mut ticks = tokio::time::interval(Duration::from_millis(2));
    loop {
        tokio::select! {
            _ = &mut ended => break,
            Some(answer) = under_way.join_next() => idle.push(outcome.add(answer??)),
            _ = ticks.tick() => {
                let due = (began.elapsed().as_secs_f64() * a_second) as u64;
                while sent < due {
                    sent += 1;
                    if idle.is_empty() && under_way.len() >= MOST {
                        bail!("{MOST} logins wait for their answers");
                    }
                    let (idle, address) = (idle.pop(), address.clone());
                    let body = login(&people.next());
                    under_way.spawn(async move {
                        let connection = match idle {
                            Some(connection) => connection,
                            None => Connection::open(&address).await?,
                        };
                        send(connection, &body).await
                    });
                }
            }
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    while let Some(answer) = under_way.join_next().await {
        outcome.add(answer??);
    }
    for sample in [&mut outcome.admitted, &mut outcome.refused] {
        sample.count = sample.micros.len() as u64;
        sample.seconds = seconds;
        sample.micros.sort_unstable();
    }
    Ok(outcome)
}

async fn send(mut connection: Connection, body: &str) -> anyhow::Result<Answer> {
    let carried = Carried {
        authorization: None,
        body: Some((body, JSON)),
    };
    let began = Instant::now();
    let answer = connection.send(Method::POST, LOGIN, carried).await?;
    let micros = u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX);
    let admitted = match answer.status() {
        StatusCode::OK => true,
        StatusCode::SERVICE_UNAVAILABLE => {
            let after = answer.headers().get(RETRY_AFTER);
            after.context("a refusal that does not say when to come again")?;
            false
        }
        status => bail!("a login was answered with {status}"),
    };
    Ok(Answer {
        connection,
        admitted,
        micros,
    })
}

impl Outcome {
    fn add(&mut self, answer: Answer) -> Connection {
        let sample = if answer.admitted {
            &mut self.admitted
        } else {
            &mut self.refused
        };
        sample.micros.push(answer.micros);
        answer.connection
    }
}
