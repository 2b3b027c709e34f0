//! Serving, from the first look at the store to the last answer.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use authlog_api::{Api, Capacity};
use authlog_application::Background;
use authlog_application::ports::AttemptLimiter;
use authlog_infrastructure::limits::NoAttemptLimits;
use authlog_infrastructure::seal_upgrade::SealUpgrader;
use authlog_infrastructure::system::SystemClock;
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use crate::parts::{self, OpenStore};
use crate::proofs;
use crate::settings::Settings;

/// How long requests that were accepted get to finish once the program is told to stop; container platforms kill after
/// thirty seconds.
const DRAIN_WITHIN: Duration = Duration::from_secs(20);

/// How long what was put aside for later gets to be written down after that.
const WRITE_DOWN_WITHIN: Duration = Duration::from_secs(5);

/// Serves until the program is told to stop, then finishes what was accepted.
///
/// # Errors
/// Why it cannot start, or why it had to stop.
pub(crate) async fn serve(settings: &Settings) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    make_room_for(settings.max_connections);
    let OpenStore {
        store,
        publishes,
        signs,
        offices,
    } = parts::open_store(settings, settings.migrate).await?;
    let listener = TcpListener::bind(settings.listen)
        .await
        .with_context(|| format!("AUTHLOG_LISTEN: cannot listen on {}", settings.listen))?;
    let address = listener.local_addr()?;
    let reachable_at = reachable_at(settings, address)?;
    let seal_upgrader = SealUpgrader::new(
        Arc::clone(&store),
        Arc::new(SystemClock),
        signs.clone(),
        settings.upgrade_window,
    );
    let (publisher, publication) =
        parts::publisher(settings, Arc::clone(&store), publishes).unzip();
    let checkpoints = proofs::Checkpoints::new(settings, Arc::clone(&store), signs).await?;
    let (keys, key_watch) = parts::token_keys(settings, Arc::clone(&store)).await?;
    let limits = parts::limiter(settings, &*store).await?;
    let limiter: Arc<dyn AttemptLimiter> = match &limits {
        Some((limiter, _)) => limiter.clone(),
        None => Arc::new(NoAttemptLimits),
    };
    let (authlog, background) = parts::assemble(
        settings,
        store,
        &reachable_at,
        publication,
        checkpoints.integrity(),
        keys,
        limiter,
    )
    .await?;
    let Background {
        refused_logins,
        password_renewer,
        reset_mailer,
        event_mailer,
        revocation_tail,
        housekeeper,
        mail_sweeper,
        feed,
    } = background;
    // These can be left at any moment: what they had not finished is taken up again from the store.
    let _interruptible = [
        AbortOnDropHandle::new(tokio::spawn(password_renewer.run())),
        AbortOnDropHandle::new(tokio::spawn(reset_mailer.run())),
        AbortOnDropHandle::new(tokio::spawn(event_mailer.run())),
        AbortOnDropHandle::new(tokio::spawn(revocation_tail.run())),
        AbortOnDropHandle::new(tokio::spawn(housekeeper.run())),
        AbortOnDropHandle::new(tokio::spawn(mail_sweeper.run())),
        AbortOnDropHandle::new(tokio::spawn(feed.run())),
        AbortOnDropHandle::new(tokio::spawn(key_watch.run())),
        AbortOnDropHandle::new(tokio::spawn(seal_upgrader.run())),
    ];
    let recorder = tokio::spawn(refused_logins.run());
    let mut elections = vec![];
    let mut _exchange = None;
    let mut sequencer = None;
    if let Some(offices) = offices {
        sequencer = Some(tokio::spawn(offices.sequencer.run(stop.clone())));
        _exchange = limits.map(|(limiter, told)| {
            AbortOnDropHandle::new(tokio::spawn(offices.guesses.run(limiter, told)))
        });
        elections.push(tokio::spawn(offices.signer.run(stop.clone())));
        if publisher.is_some() {
            elections.push(tokio::spawn(offices.publisher.run(stop.clone())));
        }
    }
    let checkpoints = checkpoints.spawn(&stop);
    let publisher = publisher.map(|it| tokio::spawn(it.run(stop.clone())));
    let metrics = PrometheusBuilder::new()
        .install_recorder()
        .context("metrics cannot be recorded")?;
    let api = Api {
        authlog,
        clock: parts::clock(),
        entropy: parts::entropy(),
        settings: authlog_api::Settings {
            secure_cookies: reachable_at.scheme() == "https",
            https_only: reachable_at.scheme() == "https",
            event_source: parts::event_source(settings),
            public_url: reachable_at.as_str().trim_end_matches('/').to_owned(),
            connections: settings.max_connections,
            trusted_proxies: settings.trusted_proxies.clone(),
            allowed_origins: settings.cors_origins.clone(),
            ..authlog_api::Settings::default()
        },
        metrics: Arc::new(move || metrics.render()),
        stopping: stop.clone(),
        capacity: Capacity::default(),
    };
    announce(address)?;
    let stopping = stop.clone();
    tokio::spawn(async move {
        wait_for_signal().await;
        tracing::info!("stopping: finishing what was accepted");
        stopping.cancel();
    });
    serve_until_drained(listener, api, &stop).await;
    // The last copy of the façade is gone with the router, so the recorder ends once its queue is empty.
    finish("recording refused logins", Some(recorder)).await;
    finish("sequencing the log", sequencer).await;
    finish("publishing events", publisher).await;
    for task in checkpoints {
        finish("checkpoints", Some(task)).await;
    }
    for election in elections {
        finish("standing for election", Some(election)).await;
    }
    Ok(())
}

async fn serve_until_drained(listener: TcpListener, api: Api, stop: &CancellationToken) {
    let served = authlog_api::serve(listener, api);
    let too_late = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN_WITHIN).await;
    };
    tokio::select! {
        () = served => {}
        () = too_late => tracing::warn!("some connections did not finish in time"),
    }
}

/// File descriptors beside those of connections: the store's, the mail's, the log's.
const OTHER_DESCRIPTORS: u64 = 256;

/// Has the system give the program as many file descriptors as it will need. Most systems begin with a thousand and give
/// more to whoever asks.
fn make_room_for(connections: usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let needed = connections as u64 + OTHER_DESCRIPTORS;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return;
    }
    let granted = maximum.map_or(needed, |maximum| maximum.min(needed));
    let limit = Rlimit {
        current: Some(granted),
        maximum,
    };
    let raised = setrlimit(Resource::Nofile, limit).is_ok();
    if !raised || granted < needed {
        tracing::warn!(
            needed,
            "the system gives fewer file descriptors than AUTHLOG_MAX_CONNECTIONS needs (ulimit -n)"
        );
    }
}

/// The URL in mails: the public one, or else the address that was bound.
fn reachable_at(settings: &Settings, address: SocketAddr) -> anyhow::Result<Url> {
    match &settings.public_url {
        Some(url) => Ok(url.clone()),
        None => Url::parse(&format!("http://{address}")).context("the listening address as a URL"),
    }
}

/// Tells whoever started the program that requests are taken from now on.
fn announce(address: SocketAddr) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "listening on http://{address}")?;
    out.flush()?;
    Ok(())
}

/// Waits until the program is told to stop: SIGTERM, or SIGINT from a terminal.
async fn wait_for_signal() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        tracing::warn!("signals cannot be received; the program stops only when it is killed");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

async fn finish(what: &str, task: Option<JoinHandle<()>>) {
    let Some(task) = task else { return };
    if tokio::time::timeout(WRITE_DOWN_WITHIN, task).await.is_err() {
        tracing::warn!(what, "not finished in time");
    }
}
