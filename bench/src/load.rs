//! Many clients at once, each sending one request after the other, for a while.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::http::Connection;

/// One client.
pub(crate) trait Visitor: Send + 'static {
    /// What it comes over, if it comes over a connection.
    fn connection(&mut self) -> Option<&mut Connection> {
        None
    }

    /// Does once what is measured; an answer that is no success is an error.
    fn visit(&mut self) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// What was done in a while.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    /// How often it was done.
    pub(crate) count: u64,
    /// How long that took altogether.
    pub(crate) seconds: f64,
    /// Each answer's time in microseconds, in order of size.
    pub(crate) micros: Vec<u32>,
    /// The processor time that the service took for it, in seconds.
    pub(crate) processor: f64,
    /// The most memory that the service had meanwhile, in MiB.
    pub(crate) peak: f64,
    /// The memory that it had when a third, two thirds and all of the time were over, in MiB.
    pub(crate) memory: Vec<f64>,
}

impl Sample {
    /// A sample of which only the number and the time are known.
    pub(crate) fn counted(count: u64, took: Duration) -> Self {
        Self {
            count,
            seconds: took.as_secs_f64(),
            ..Self::default()
        }
    }

    /// How often it is done in a second.
    pub(crate) fn per_second(&self) -> f64 {
        self.count as f64 / self.seconds
    }

    /// The time within which this share of the answers came, in milliseconds.
    pub(crate) fn quantile(&self, share: f64) -> Option<f64> {
        let place = (self.micros.len() as f64 * share) as usize;
        let micros = self
            .micros
            .get(place.min(self.micros.len().checked_sub(1)?))?;
        Some(f64::from(*micros) / 1000.0)
    }
}

/// Lets the visitors come for `a_while`, over new connections, which are closed afterwards: the service has the memory of
/// this load's connections alone. Otherwise the visitors stay as they are for the next time.
///
/// # Errors
/// The first of theirs.
pub(crate) async fn load<V: Visitor>(
    visitors: &mut Vec<V>,
    a_while: Duration,
) -> anyhow::Result<Sample> {
    for connection in visitors.iter_mut().filter_map(Visitor::connection) {
        connection.open_anew().await?;
    }
    let began = Instant::now();
    let ends = began + a_while;
    let mut coming = JoinSet::new();
    for mut visitor in visitors.drain(..) {
        coming.spawn(async move {
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
    while let Some(came) = coming.join_next().await {
        let (visitor, mut of_one) = came??;
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
