//! Ordinary people: they come at a fixed rate, whether or not those before them were answered.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::mpsc;

use super::sign_up_from;
use crate::http::{Connection, address_of_client};
use crate::load::Visitor;
use crate::operations::{Login, People, Refresh, Verify, person};

/// How many people there are, each at an address of their own.
pub(super) const PEOPLE: u64 = 64;

/// How often a second they come: a small part of what two processors can do, and often enough that the slowest of a
/// hundred says something.
const VERIFICATIONS: f64 = 200.0;
const REFRESHES: f64 = 50.0;
const LOGINS: f64 = 20.0;

/// How long an answer is waited for.
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

    /// Lets them come for a while.
    pub(super) async fn come(&mut self, a_while: Duration) -> anyhow::Result<Measured> {
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

/// How each operation went.
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

    /// Takes those of another while together with these.
    pub(super) fn add(&mut self, other: Self) {
        self.verify.add(other.verify);
        self.refresh.add(other.refresh);
        self.login.add(other.login);
    }
}

/// How one operation went that was due at a fixed rate.
#[derive(Default)]
pub(super) struct Paced {
    pub(super) name: &'static str,
    /// How often it was due.
    due: usize,
    /// How long each took that succeeded, from when it was due, in milliseconds.
    millis: Vec<f64>,
}

impl Paced {
    fn add(&mut self, other: Self) {
        self.name = other.name;
        self.due += other.due;
        self.millis.extend(other.millis);
    }

    /// Within how many milliseconds 99 of 100 succeeded.
    pub(super) fn p99(&self) -> f64 {
        let mut millis = self.millis.clone();
        millis.sort_by(f64::total_cmp);
        let place = (millis.len() as f64 * 0.99) as usize;
        let slowest = millis.len().saturating_sub(1);
        millis.get(place.min(slowest)).copied().unwrap_or(f64::NAN)
    }

    /// Which share succeeded.
    pub(super) fn share(&self) -> f64 {
        self.millis.len() as f64 / self.due as f64
    }
}

/// Lets visitors come at a fixed rate, each after its last visit. One for whom there is nobody left to come waits, and its
/// time counts from when it was due.
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
            // There is room for all of them.
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
