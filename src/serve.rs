//! Serving requests: bind, assemble, start, serve, drain.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use authlog_api::{Api, Capacity, CookieScope, StrictTransport};
use authlog_application::Authlog;
use authlog_application::ports::AttemptLimiter;
use authlog_infrastructure::claim_upgrade::ClaimUpgrader;
use authlog_infrastructure::limits::NoAttemptLimits;
use authlog_infrastructure::seal_upgrade::SealUpgrader;
use authlog_infrastructure::tokens::IdTokenKeys;
use authlog_infrastructure::{Store, StoreAccess};
use futures_util::FutureExt as _;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use url::Url;

use crate::background::BackgroundWork;
use crate::composition::{self, Adapters, OpenStore};
use crate::connections;
use crate::lifecycle::Lifecycle;
use crate::logging;
use crate::settings::{LogFormat, Settings};
use crate::transparency;

/// Serves until a signal ends the program, then finishes the accepted requests.
///
/// # Errors
/// Why it cannot start, why it had to stop, or that something was not finished in time.
pub(crate) async fn serve(settings: &Settings) -> anyhow::Result<()> {
    let mut lifecycle = Lifecycle::begin(settings.http.shutdown_delay)?;
    let connections = connections::within_limits(settings.http.max_connections);
    composition::check_breached_passwords(settings)?;
    let opened = composition::open_store(settings, StoreAccess::Create).await?;
    let store = Arc::clone(&opened.store);
    let listener = TcpListener::bind(settings.http.listen)
        .await
        .with_context(|| format!("AUTHLOG_LISTEN: cannot listen on {}", settings.http.listen))?;
    let address = listener.local_addr()?;
    let public_url = public_url(settings, address)?;
    if composition::relying_party(&public_url).is_none() {
        tracing::info!(
            %public_url,
            "passkeys are off: the host of the public URL is an address. To have them, set AUTHLOG_PUBLIC_URL to a URL with a \
             host name, such as http://localhost:8080"
        );
    }

    let (authlog, background, id_token_keys) = assemble(settings, opened, &public_url).await?;
    let recorder = PrometheusBuilder::new()
        .install_recorder()
        .context("metrics cannot be recorded")?;
    background.start(&*store, lifecycle.tasks());

    let api = Api {
        authlog,
        clock: composition::clock(),
        entropy: composition::entropy(),
        settings: api_settings(settings, &public_url, connections),
        metrics: Arc::new(move || render_metrics(&recorder)),
        workers: lifecycle.workers().clone(),
        draining: lifecycle.draining(),
        stopping: lifecycle.stopping(),
        capacity: Capacity::default(),
    };
    probe(&*store).await;
    lifecycle.mark_serving();
    announce(address, settings.logging.log_format);
    lifecycle
        .tasks()
        .abort("id_token_keys", id_token_keys, |it| it.run().boxed());
    lifecycle.run(authlog_api::serve(listener, api)).await
}

/// Writes to the store once, so that readiness is known when it is first asked for. A store that cannot be written, as on a
/// full disk, does not keep the program from starting: it can still verify tokens.
async fn probe(store: &dyn Store) {
    if let Err(error) = store.check().await {
        let error = format!("{:#}", anyhow::Error::new(error));
        tracing::error!(error, "this node is not ready: the store cannot be used");
    }
}

/// The application over an open store, its background workers, and the worker that starts once the node serves.
async fn assemble(
    settings: &Settings,
    opened: OpenStore,
    public_url: &Url,
) -> anyhow::Result<(Authlog, BackgroundWork, IdTokenKeys)> {
    let OpenStore {
        store,
        publishes,
        signs,
        cluster,
    } = opened;
    let window = settings.storage.upgrade_window;
    let seal_upgrader = SealUpgrader::new(
        Arc::clone(&store),
        composition::clock(),
        signs.clone(),
        window,
    );
    let claim_upgrader = ClaimUpgrader::new(Arc::clone(&store), signs.clone(), window);
    let (publisher, publication) =
        composition::publisher(settings, Arc::clone(&store), publishes)?.unzip();
    let checkpoints = transparency::Checkpoints::new(settings, Arc::clone(&store), signs).await?;
    let (keys, key_watch) = composition::token_keys(settings, Arc::clone(&store)).await?;
    let id_token_keys = IdTokenKeys::new(Arc::clone(&store), composition::clock(), keys.clone());
    let limits = composition::limiter(settings, &*store).await?;
    let limiter: Arc<dyn AttemptLimiter> = match &limits {
        Some((limiter, _)) => limiter.clone(),
        None => Arc::new(NoAttemptLimits),
    };
    let adapters = Adapters {
        publication,
        integrity: checkpoints.integrity(),
        keys,
        limiter,
        mailer: composition::mailer(settings)?,
    };
    let (authlog, _, application) =
        composition::assemble(settings, store, public_url, adapters).await?;
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
    Ok((authlog, background, id_token_keys))
}

fn api_settings(
    settings: &Settings,
    public_url: &Url,
    connections: usize,
) -> authlog_api::ApiSettings {
    let is_https = public_url.scheme() == "https";
    authlog_api::ApiSettings {
        cookies: CookieScope {
            secure: is_https,
            path_prefix: public_url.path().trim_end_matches('/').to_owned(),
            cross_site: settings.http.allows_cross_site_cookies(),
        },
        strict_transport: if is_https {
            settings.http.hsts
        } else {
            StrictTransport::Off
        },
        event_source: composition::event_source(settings),
        public_url: public_url.as_str().trim_end_matches('/').to_owned(),
        connections,
        trusted_proxies: settings.http.trusted_proxies.clone(),
        allowed_origins: settings.http.cors_origins.clone(),
        ..authlog_api::ApiSettings::default()
    }
}

fn render_metrics(recorder: &PrometheusHandle) -> String {
    metrics::counter!("authlog_log_lines_lost_total").absolute(logging::lost_lines());
    recorder.render()
}

/// The URL of links in mails: the configured public URL, or the bound address.
fn public_url(settings: &Settings, address: SocketAddr) -> anyhow::Result<Url> {
    match &settings.http.public_url {
        Some(url) => Ok(url.clone()),
        None => Url::parse(&format!("http://{address}")).context("the listening address as a URL"),
    }
}

/// Writes the listening address to the log and to standard output. A thread of its own writes to standard output, because a
/// pipe that is not read would block it. The line is JSON if the log is, because collectors join both streams.
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
