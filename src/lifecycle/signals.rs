//! Signals: SIGTERM and SIGINT end the program even if it hangs, and SIGHUP is ignored.
//!
//! A thread with its own runtime receives them, which works even while every thread that serves requests is blocked.

use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::END_WITHIN;
use crate::logging;

/// Exit code of a program that did not finish the requests that it had accepted.
const UNFINISHED: i32 = 1;

/// The state of the shutdown, as signals set it.
pub(super) struct Signals {
    /// Cancelled by the first SIGTERM or SIGINT, before [`Self::stop`].
    pub(super) draining: CancellationToken,
    /// Cancelled when requests and workers have to finish.
    pub(super) stop: CancellationToken,
    is_serving: Arc<AtomicBool>,
}

impl Signals {
    /// Starts to receive signals. Until [`Self::mark_serving`] is called, a signal ends the program at once. After that, the
    /// program serves for another `delay` when the first signal comes.
    ///
    /// # Errors
    /// The thread cannot be started, or signals cannot be received.
    pub(super) fn receive(delay: Duration) -> anyhow::Result<Self> {
        let signals = Self {
            draining: CancellationToken::new(),
            stop: CancellationToken::new(),
            is_serving: Arc::default(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("signals cannot be received")?;
        let received = {
            let _runtime = runtime.enter();
            Received::open().context("signals cannot be received")?
        };
        let shutdown = Shutdown {
            draining: signals.draining.clone(),
            delay,
            stop: signals.stop.clone(),
            is_serving: Arc::clone(&signals.is_serving),
        };
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || runtime.block_on(received.handle(&shutdown)))
            .context("signals cannot be received")?;
        Ok(signals)
    }

    /// Notes that requests are accepted from now on, so that a signal has to let them finish.
    pub(super) fn mark_serving(&self) {
        self.is_serving.store(true, Ordering::Release);
    }
}

/// What the first signal does.
struct Shutdown {
    draining: CancellationToken,
    /// The time between `draining` and `stop`.
    delay: Duration,
    stop: CancellationToken,
    is_serving: Arc<AtomicBool>,
}

/// The signals that the program handles.
struct Received {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Received {
    fn open() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn handle(mut self, shutdown: &Shutdown) {
        self.end_signal().await;
        if !shutdown.is_serving.load(Ordering::Acquire) {
            tracing::info!("stopping: no request was accepted yet");
            end_now(0);
        }
        shutdown.draining.cancel();
        if !shutdown.delay.is_zero() {
            let seconds = shutdown.delay.as_secs();
            tracing::info!(
                seconds,
                "stopping soon: /readyz answers 503, and requests are accepted until the delay ends"
            );
            self.end_at_once_or_after(shutdown.delay).await;
        }
        tracing::info!("stopping: finishing accepted requests");
        shutdown.stop.cancel();
        self.end_at_once_or_after(END_WITHIN).await;
        tracing::error!("stopping at once: the shutdown did not finish in time");
        end_now(UNFINISHED);
    }

    /// Waits for this long. A second signal ends the program at once.
    async fn end_at_once_or_after(&mut self, wait: Duration) {
        tokio::select! {
            signal = self.end_signal() => {
                tracing::warn!("stopping at once: received a second signal");
                // The exit code by which shells report a signal.
                end_now(128 + signal.as_raw_value());
            }
            () = tokio::time::sleep(wait) => {}
        }
    }

    /// Waits for SIGTERM or SIGINT.
    async fn end_signal(&mut self) -> SignalKind {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return SignalKind::terminate(),
                _ = self.interrupt.recv() => return SignalKind::interrupt(),
                _ = self.hang_up.recv() => {
                    tracing::info!("SIGHUP is ignored: settings are read at the start, and no file needs to be reopened");
                }
            }
        }
    }
}

fn end_now(code: i32) -> ! {
    logging::flush();
    exit(code);
}
