//! Concurrent clients, each of which sends one request after the other.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::http::Connection;

/// A client.
pub(crate) trait Visitor: Send + 'static {
    /// Its connection, if it has one.
    fn connection(&mut self) -> Option<&mut Connection> {
        None
    }

    /// Performs the measured operation once.
    ///
    /// # Errors
    /// The operation did not succeed, or the connection failed.
    fn visit(&mut self) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// The result of a load.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    /// The number of operations.
    pub(crate) count: u64,
    /// The total time.
    pub(crate) seconds: f64,
    /// The sorted times of the answers, in microseconds.
    pub(crate) micros: Vec<u32>,
    /// The service's processor time, in seconds.
    pub(crate) processor: f64,
    /// The peak memory of the service during the load, in MiB.
    pub(crate) peak: f64,
    /// The memory after a third, two thirds and all of the time, in MiB.
    pub(crate) memory: Vec<f64>,
}

impl Sample {
    /// A sample with only a number of operations and their total time.
    pub(crate) fn counted(count: u64, took: Duration) -> Self {
        Self {
            count,
            seconds: took.as_secs_f64(),
            ..Self::default()
        }
    }

    /// Operations a second.
    pub(crate) fn per_second(&self) -> f64 {
        self.count as f64 / self.seconds
    }

    /// The time within which this share of the answers arrived, in milliseconds.
    pub(crate) fn quantile(&self, share: f64) -> Option<f64> {
        let place = (self.micros.len() as f64 * share) as usize;
        let micros = self
            .micros
            .get(place.min(self.micros.len().checked_sub(1)?))?;
        Some(f64::from(*micros) / 1000.0)
    }
}

/// Runs the visitors for `a_while` over new connections, which are closed afterwards, so that the service has only the
/// connections of this load in memory. The visitors keep their other state for the next load.
///
/// # Errors
/// The first error of a visitor.
pub(crate) async fn load<V: Visitor>(
    visitors: &mut Vec<V>,
    a_while: Duration,
) -> anyhow::Result<Sample> {
    for connection in visitors.iter_mut().filter_map(Visitor::connection) {
        connection.reopen().await?;
    }
    let began = Instant::now();
    let ends = began + a_while;
    let mut running = JoinSet::new();
    for mut visitor in visitors.drain(..) {
        running.spawn(async move {
            let mut micros = Vec::new();
            let mut now = Instant::now();
            while now < ends {
                visitor.visit().await?;
                let answered = Instant::now();
                let took = answered.duration_since(now).as_micros();
                micros.push(u32::try_from(took).unwrap_or(u32::MAX));
                now = answered;
            }
            anyhow::Ok((visitor, micros))
        });
    }
    let mut micros = Vec::new();
    while let Some(finished) = running.join_next().await {
        let (visitor, mut of_one) = finished??;
        visitors.push(visitor);
        micros.append(&mut of_one);
    }
    let seconds = began.elapsed().as_secs_f64();
    for connection in visitors.iter_mut().filter_map(Visitor::connection) {
        connection.close();
    }
    micros.sort_unstable();
    Ok(Sample {
        count: micros.len() as u64,
        seconds,
        micros,
        ..Sample::default()
    })
}
