//! Serving, from the first look at the store to the last answer.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use authlog_api::{Api, Capacity, CookieScope, StrictTransport};
use authlog_application::ports::AttemptLimiter;
use authlog_infrastructure::claim_upgrade::ClaimUpgrader;
use authlog_infrastructure::limits::NoAttemptLimits;
use authlog_infrastructure::seal_upgrade::SealUpgrader;
use authlog_infrastructure::{Store, StoreAccess};
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::background::BackgroundWork;
use crate::logging;
use crate::parts::{self, Adapters, OpenStore};
use crate::settings::{LogFormat, Settings};
use crate::signals::Signals;
use crate::transparency;

/// How long requests that were accepted get to finish once the program is told to stop; container platforms kill after
/// thirty seconds.
const DRAIN_WITHIN: Duration = Duration::from_secs(20);

/// Serves until the program is told to stop, then finishes what was accepted.
///
/// # Errors
/// Why it cannot start, why it had to stop, or that something was not finished.
pub(crate) async fn serve(settings: &Settings) -> anyhow::Result<()> {
    let signals = Signals::receive(settings.http.shutdown_delay)?;
    let stop = signals.stop.clone();
    let connections = connections_within_limits(settings.http.max_connections);
    let OpenStore {
        store,
        publishes,
        signs,
        cluster,
    } = parts::open_store(settings, StoreAccess::Create).await?;
    let listener = TcpListener::bind(settings.http.listen)
        .await
        .with_context(|| format!("AUTHLOG_LISTEN: cannot listen on {}", settings.http.listen))?;
    let address = listener.local_addr()?;
    let reachable_at = reachable_at(settings, address)?;
    let seal_upgrader = SealUpgrader::new(
        Arc::clone(&store),
        parts::clock(),
        signs.clone(),
        settings.storage.upgrade_window,
    );
    let claim_upgrader = ClaimUpgrader::new(
        Arc::clone(&store),
        signs.clone(),
        settings.storage.upgrade_window,
    );
    let (publisher, publication) =
        parts::publisher(settings, Arc::clone(&store), publishes)?.unzip();
    let checkpoints = transparency::Checkpoints::new(settings, Arc::clone(&store), signs).await?;
    let (keys, key_watch) = parts::token_keys(settings, Arc::clone(&store)).await?;
    let limits = parts::limiter(settings, &*store).await?;
    let limiter: Arc<dyn AttemptLimiter> = match &limits {
        Some((limiter, _)) => limiter.clone(),
        None => Arc::new(NoAttemptLimits),
    };
    let adapters = Adapters {
        publication,
        integrity: checkpoints.integrity(),
        keys,
        limiter,
        mailer: parts::mailer(settings)?,
    };
    let (authlog, _, application) =
        parts::assemble(settings, Arc::clone(&store), &reachable_at, adapters).await?;
    let recorder = PrometheusBuilder::new()
        .install_recorder()
        .context("metrics cannot be recorded")?;
    let background = BackgroundWork {
        application,
        key_watch,
        seal_upgrader,
        claim_upgrader,
        checkpoints,
        publisher,
        cluster,
        limits,
    };
    let background = background.start(&*store, &stop);
    let is_https = reachable_at.scheme() == "https";
    let api = Api {
        authlog,
        clock: parts::clock(),
        entropy: parts::entropy(),
        settings: authlog_api::Settings {
            cookies: CookieScope {
                secure: is_https,
                path_prefix: reachable_at.path().trim_end_matches('/').to_owned(),
                cross_site: settings.http.allows_cross_site_cookies(),
            },
            strict_transport: if is_https {
                settings.http.hsts
            } else {
                StrictTransport::Off
            },
            event_source: parts::event_source(settings),
            public_url: reachable_at.as_str().trim_end_matches('/').to_owned(),
            connections,
            trusted_proxies: settings.http.trusted_proxies.clone(),
            allowed_origins: settings.http.cors_origins.clone(),
            ..authlog_api::Settings::default()
        },
        metrics: Arc::new(move || {
            metrics::counter!("authlog_log_lines_lost_total").absolute(logging::lost_lines());
            recorder.render()
        }),
        workers: background.workers().clone(),
        draining: signals.draining.clone(),
        stopping: stop.clone(),
        capacity: Capacity::default(),
    };
    probe(&*store).await;
    signals.is_serving();
    announce(address, settings.logging.log_format);
    let drained = serve_until_drained(listener, api, &stop).await;
    // The last copy of the façade is gone with the router.
    let finished = background.finish().await;
    anyhow::ensure!(
        drained && finished,
        "the program had to end before everything was finished"
    );
    Ok(())
}

/// Writes to the store once, so that readiness is known when it is first asked for. A store that cannot be written, as on a full
/// disk, does not keep the program from starting: tokens can be verified all the same.
async fn probe(store: &dyn Store) {
    if let Err(error) = store.check().await {
        let error = format!("{:#}", anyhow::Error::new(error));
        tracing::error!(error, "this node is not ready: the store cannot be used");
    }
}

/// Serves until every answer is written or the time for that is up; whether it was in time.
async fn serve_until_drained(listener: TcpListener, api: Api, stop: &CancellationToken) -> bool {
    let served = authlog_api::serve(listener, api);
    let too_late = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN_WITHIN).await;
    };
    tokio::select! {
        () = served => true,
        () = too_late => {
            tracing::warn!("some connections did not finish in time");
            false
        }
    }
}

/// File descriptors beside those of connections: the store's, the mail's, the log's.
const OTHER_DESCRIPTORS: u64 = 256;

/// Fewest connections that are worth serving.
const FEWEST_CONNECTIONS: usize = 16;

/// Has the system give the program as many file descriptors as `wanted` connections need, and returns how many connections
/// fit into what it gives. Most systems begin with a thousand and give more to a program that asks.
///
/// Connections beyond that would take the descriptors of the store, and no request could be answered, not even a probe.
fn connections_within_limits(wanted: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let needed = wanted as u64 + OTHER_DESCRIPTORS;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let Some(current) = current.filter(|current| *current < needed) else {
        return wanted;
    };
    let granted = maximum.map_or(needed, |maximum| maximum.min(needed));
    let limit = Rlimit {
        current: Some(granted),
        maximum,
    };
    let available = match setrlimit(Resource::Nofile, limit) {
        Ok(()) => granted,
        Err(_) => current,
    };
    let connections = connections_of(available, wanted);
    if connections < wanted {
        tracing::warn!(
            descriptors = available,
            needed,
            connections,
            "the system gives fewer file descriptors than AUTHLOG_MAX_CONNECTIONS needs (ulimit -n); fewer connections are accepted"
        );
    }
    connections
}

/// How many of `wanted` connections fit into so many descriptors. Where there are hardly any, the store gets half of them.
fn connections_of(descriptors: u64, wanted: usize) -> usize {
    let others = OTHER_DESCRIPTORS.min(descriptors / 2);
    let left = usize::try_from(descriptors - others).unwrap_or(wanted);
    left.max(FEWEST_CONNECTIONS).min(wanted)
}

/// The URL in mails: the public one, or else the address that was bound.
fn reachable_at(settings: &Settings, address: SocketAddr) -> anyhow::Result<Url> {
    match &settings.http.public_url {
        Some(url) => Ok(url.clone()),
        None => Url::parse(&format!("http://{address}")).context("the listening address as a URL"),
    }
}

/// Says where requests are taken from now on. It is not waited for: the reader of standard output may have ended, or may
/// not read. Collectors join standard output with the log, so the line is JSON if the log is.
fn announce(address: SocketAddr, format: LogFormat) {
    tracing::info!(%address, "listening");
    let url = format!("http://{address}");
    let line = match format {
        LogFormat::Json => serde_json::json!({ "listening": url }).to_string(),
        LogFormat::Text => format!("listening on {url}"),
    };
    let announcing = std::thread::Builder::new().name("announce".to_owned());
    let announced = announcing.spawn(move || {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{line}");
        let _ = out.flush();
    });
    if let Err(error) = announced {
        tracing::warn!(%error, "the address could not be written to standard output");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_everything_else() {
        for (descriptors, connections) in [
            (100_000, 10_000),
            (10_256, 10_000),
            (10_000, 9_744),
            (1_024, 768),
            (64, 32),
            (20, 16),
        ] {
            assert_eq!(
                connections_of(descriptors, 10_000),
                connections,
                "{descriptors} descriptors"
            );
        }
    }
}
