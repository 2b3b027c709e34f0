//! Ordinary clients: they send requests at a fixed rate, whether or not earlier ones were answered.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::mpsc;

use super::sign_up_from;
use crate::http::{Connection, address_of_client};
use crate::load::Visitor;
use crate::operations::{Login, People, Refresh, Verify, person};

/// The number of people, each with their own address.
pub(super) const PEOPLE: u64 = 64;

/// Requests a second: a small part of the capacity of two processors, and enough for a meaningful p99.
const VERIFICATIONS: f64 = 200.0;
const REFRESHES: f64 = 50.0;
const LOGINS: f64 = 20.0;

/// The time limit of an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The people, with their connections.
pub(super) struct Others {
    verify: Vec<Verify>,
    refresh: Vec<Refresh>,
    login: Vec<Login>,
}

impl Others {
    pub(super) async fn sign_up(address: &str) -> anyhow::Result<Self> {
        let mut others = Self {
            verify: Vec::new(),
            refresh: Vec::new(),
            login: Vec::new(),
        };
        for number in 0..PEOPLE {
            let connection = || Connection::from(address_of_client(number), address);
            let (access, refresh) = sign_up_from(&mut connection(), &person(number)).await?;
            others.verify.push(Verify {
                connection: connection(),
                path: "/users/verify-token",
                token: access,
            });
            others.refresh.push(Refresh {
                connection: connection(),
                authorization: format!("Bearer {refresh}"),
            });
            others.login.push(Login {
                connection: connection(),
                people: People::one(number),
            });
        }
        Ok(others)
    }

    /// Sends their requests for a while.
    pub(super) async fn send_requests(&mut self, a_while: Duration) -> anyhow::Result<Measured> {
        let (verify, refresh, login) = tokio::join!(
            pace("verify", &mut self.verify, VERIFICATIONS, a_while),
            pace("refresh", &mut self.refresh, REFRESHES, a_while),
            pace("login", &mut self.login, LOGINS, a_while),
        );
        Ok(Measured {
            verify: verify?,
            refresh: refresh?,
            login: login?,
        })
    }
}

/// The results of each operation.
#[derive(Default)]
pub(super) struct Measured {
    verify: Paced,
    refresh: Paced,
    login: Paced,
}

impl Measured {
    pub(super) fn operations(&self) -> [&Paced; 3] {
        [&self.login, &self.verify, &self.refresh]
    }

    /// Adds the results of another period.
    pub(super) fn add(&mut self, other: Self) {
        self.verify.add(other.verify);
        self.refresh.add(other.refresh);
        self.login.add(other.login);
    }
}

/// The results of one operation at a fixed rate.
#[derive(Default)]
pub(super) struct Paced {
    pub(super) name: &'static str,
    /// The number of requests that were due.
    due: usize,
    /// The time of each success, in milliseconds since it was due.
    millis: Vec<f64>,
}

impl Paced {
    fn add(&mut self, other: Self) {
        self.name = other.name;
        self.due += other.due;
        self.millis.extend(other.millis);
    }

    /// The time within which 99 of 100 succeeded, in milliseconds.
    pub(super) fn p99(&self) -> f64 {
        let mut millis = self.millis.clone();
        millis.sort_by(f64::total_cmp);
        let place = (millis.len() as f64 * 0.99) as usize;
        let slowest = millis.len().saturating_sub(1);
        millis.get(place.min(slowest)).copied().unwrap_or(f64::NAN)
    }

    /// The share that succeeded.
    pub(super) fn share(&self) -> f64 {
        self.millis.len() as f64 / self.due as f64
    }
}

/// Lets visitors send requests at a fixed rate, each after its last one. If no visitor is free, the request waits, and
/// its time counts from when it was due.
async fn pace<V: Visitor>(
    name: &'static str,
    visitors: &mut Vec<V>,
    a_second: f64,
    a_while: Duration,
) -> anyhow::Result<Paced> {
    let count = visitors.len();
    let (back, mut idle) = mpsc::channel(count);
    for visitor in visitors.drain(..) {
        back.try_send((visitor, None)).ok().context("room")?;
    }
    let due = (a_while.as_secs_f64() * a_second) as usize;
    let mut millis = Vec::new();
    let began = Instant::now();
    for number in 0..due {
        let at = began + Duration::from_secs_f64(number as f64 / a_second);
        tokio::time::sleep_until(at.into()).await;
        let (mut visitor, took) = idle.recv().await.context("a visitor")?;
        millis.extend(took);
        let back = back.clone();
        tokio::spawn(async move {
            let visit = tokio::time::timeout(PATIENCE, visitor.visit()).await;
            let took = at.elapsed().as_secs_f64() * 1000.0;
            let succeeded = matches!(visit, Ok(Ok(())));
            if !succeeded && let Some(connection) = visitor.connection() {
                connection.close();
            }
            // The channel has room for all visitors.
            let _ = back.send((visitor, succeeded.then_some(took))).await;
        });
    }
    for _ in 0..count {
        let (visitor, took) = idle.recv().await.context("a visitor")?;
        millis.extend(took);
        visitors.push(visitor);
    }
    Ok(Paced { name, due, millis })
}
