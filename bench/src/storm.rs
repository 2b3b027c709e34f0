//! A storm of logins: many times more than the service can hash, sent without waiting for answers.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use hyper::header::RETRY_AFTER;
use hyper::{Method, StatusCode};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

use crate::http::{Carried, Connection, JSON, address_of_client};
use crate::load::Sample;
use crate::operations::{LOGIN, People, login};

/// The limit of unanswered logins: those that the service has accepted, and those that it is about to refuse.
const MOST: usize = 10_000;

/// A running storm.
pub(crate) struct Storm {
    end: oneshot::Sender<()>,
    task: JoinHandle<anyhow::Result<Outcome>>,
}

/// The result of a storm.
#[derive(Default)]
pub(crate) struct Outcome {
    answers: Vec<Answer>,
}

/// The answer to one login.
#[derive(Clone, Copy)]
struct Answer {
    /// Whether the login succeeded. Otherwise the client was asked to retry later.
    admitted: bool,
    /// The time of the answer.
    at: Instant,
    micros: u32,
}

impl Outcome {
    /// The numbers of successful and of refused logins between two times.
    pub(crate) fn between(&self, from: Instant, to: Instant, admitted: bool) -> Sample {
        let answers = self
            .answers
            .iter()
            .filter(|answer| answer.admitted == admitted && (from..to).contains(&answer.at));
        let mut micros: Vec<u32> = answers.map(|answer| answer.micros).collect();
        micros.sort_unstable();
        Sample {
            count: micros.len() as u64,
            seconds: to.duration_since(from).as_secs_f64(),
            micros,
            ..Sample::default()
        }
    }
}

impl Storm {
    /// Starts a storm of this many logins a second.
    pub(crate) fn begin(address: &str, people: People, a_second: f64) -> Self {
        let (end, ended) = oneshot::channel();
        let task = tokio::spawn(send_logins(address.to_owned(), people, a_second, ended));
        Self { end, task }
    }

    /// Stops sending, and waits for all answers.
    pub(crate) async fn end(self) -> anyhow::Result<Outcome> {
        // If the task has ended by itself, its error gives the reason.
        let _ = self.end.send(());
        self.task.await?
    }
}

/// Sends `a_second` logins a second until `ended`, and returns the answers.
async fn send_logins(
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
            Some(answered) = under_way.join_next() => {
                let (connection, answer) = answered??;
                idle.push(connection);
                outcome.answers.push(answer);
            }
            _ = ticks.tick() => {
                let due = (began.elapsed().as_secs_f64() * a_second) as u64;
                while sent < due {
                    sent += 1;
                    if idle.is_empty() && under_way.len() >= MOST {
                        bail!("{MOST} logins wait for their answers");
                    }
                    // People have different addresses, so that limits may treat them separately.
                    let connection = idle.pop().unwrap_or_else(|| {
                        Connection::from(address_of_client(sent), &address)
                    });
                    let body = login(&people.next());
                    under_way.spawn(async move { send(connection, &body).await });
                }
            }
        }
    }
    while let Some(answered) = under_way.join_next().await {
        outcome.answers.push(answered??.1);
    }
    Ok(outcome)
}

async fn send(mut connection: Connection, body: &str) -> anyhow::Result<(Connection, Answer)> {
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
            after.context("a refusal without `Retry-After`")?;
            false
        }
        status => bail!("a login was answered with {status}"),
    };
    let answer = Answer {
        admitted,
        at: Instant::now(),
        micros,
    };
    Ok((connection, answer))
}
