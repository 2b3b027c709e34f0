//! Signals: SIGTERM and SIGINT end the program whatever hangs in it, and SIGHUP does not.
//!
//! They are received on a thread with a runtime of its own, which works even while every thread that serves is blocked.

use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::logging;

/// How long the program has to end after the first signal. Container platforms kill after thirty seconds; before that it
/// ends by itself and says so.
const END_WITHIN: Duration = Duration::from_secs(28);

/// Exit code of a program that did not finish what it had accepted.
const UNFINISHED: i32 = 1;

/// What signals ask of the service.
pub(crate) struct Signals {
    /// Cancelled by the first SIGTERM or SIGINT, before [`Self::stop`].
    pub(crate) draining: CancellationToken,
    /// Cancelled when the program has to end.
    pub(crate) stop: CancellationToken,
    is_serving: Arc<AtomicBool>,
}

impl Signals {
    /// Receives signals from now on. Until [`Self::is_serving`] SIGTERM ends the program at once, and afterwards the program
    /// serves on for `delay`.
    ///
    /// # Errors
    /// The operating system gives no thread, or signals cannot be received.
    pub(crate) fn receive(delay: Duration) -> anyhow::Result<Self> {
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
        let orders = Orders {
            draining: signals.draining.clone(),
            delay,
            stop: signals.stop.clone(),
            is_serving: Arc::clone(&signals.is_serving),
        };
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || runtime.block_on(received.obey(&orders)))
            .context("signals cannot be received")?;
        Ok(signals)
    }

    /// From now on requests are accepted, which have to be finished before the end.
    pub(crate) fn is_serving(&self) {
        self.is_serving.store(true, Ordering::Release);
    }
}

/// What the first signal sets off.
struct Orders {
    draining: CancellationToken,
    /// How long the program serves on between the two.
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

    async fn obey(mut self, orders: &Orders) {
        self.told_to_end().await;
        if !orders.is_serving.load(Ordering::Acquire) {
            tracing::info!("stopping: no request was accepted yet");
            end_now(0);
        }
        orders.draining.cancel();
        if !orders.delay.is_zero() {
            let seconds = orders.delay.as_secs();
            tracing::info!(
                seconds,
                "stopping soon: /readyz answers 503, and requests are accepted until the delay ends"
            );
            self.end_at_once_or_after(orders.delay).await;
        }
        tracing::info!("stopping: finishing accepted requests");
        orders.stop.cancel();
        self.end_at_once_or_after(END_WITHIN).await;
        tracing::error!("stopping at once: the shutdown did not finish in time");
        end_now(UNFINISHED);
    }

    /// Waits for that long, unless a second signal ends the program.
    async fn end_at_once_or_after(&mut self, wait: Duration) {
        tokio::select! {
            signal = self.told_to_end() => {
                tracing::warn!("stopping at once: received a second signal");
                // As a shell reports a program that a signal ended.
                end_now(128 + signal.as_raw_value());
            }
            () = tokio::time::sleep(wait) => {}
        }
    }

    /// Waits for a signal to end.
    async fn told_to_end(&mut self) -> SignalKind {
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
