//! Sends queued logout tokens to clients (OpenID Connect Back-Channel Logout 1.0 §2.5, `docs/adr/0041`).
//!
//! A client is leased by one node, which sends it one token at a time, in the order in which the sessions ended. Clients are
//! independent of each other. A token is sent at least once: a node that crashes after sending it sends it once more. A node that
//! stops gives back the clients that it has leased.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use authlog_domain::client::{ClientChange, ClientCommand, RegisteredClient};
use authlog_domain::{ClientId, ContractName, HttpsUri, Timestamp};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Stop, Worker};
use crate::authlog::Parts;
use crate::ports::{
    Clients, Clock, DueLogout, Entropy, LogoutClaims, LogoutQueue, LogoutReceiver, LogoutSendError,
    LogoutSender, StoreError, Tokens,
};
use crate::unit_of_work::CommandExecutor;
use crate::{ClientRegistryRefusal, Refusal};

/// Clients that one node serves at a time. Each has one connection, and a page of the queue in memory.
const AT_ONCE: u32 = 64;

/// The turn of a client ends with the first token that is sent after this time, so that a client with many tokens, or a slow one,
/// does not keep its place while others wait.
const TURN: Duration = Duration::from_secs(1);

/// The longest time for which a turn records tokens that were given up.
const LONGEST_TURN: Duration = Duration::from_secs(5);

/// How long a client is leased: longer than a turn with its last exchange. Another node serves it after this time if this one
/// crashed.
const LEASE: Duration = Duration::from_secs(20);

/// How long the token that is under way when the node stops may take. A client that works answers within this time, and gets no copy
/// from the next node. The other workers wait meanwhile, and have six seconds in all.
const LAST_EXCHANGE: Duration = Duration::from_secs(1);

/// How long a node that stops tries to give back what it has leased. A store that does not answer must not delay the stop for longer.
const GIVE_BACK_WITHIN: Duration = Duration::from_secs(2);

/// Entries of one client that are read at a time.
const PAGE: u32 = 50;

/// The interval at which the queue is polled without a wake-up, for what another node left.
const IDLE: Duration = Duration::from_secs(1);

/// The first pause after a failure; each further one is twice as long, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);

/// How long a token is sent again before it is given up.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// How often a client has to refuse a token that is older than that. The pauses between so many refusals add up to more than a
/// quarter of an hour.
const REFUSALS: u32 = 10;

/// After so many refused tokens in a row, the client itself counts as failing.
const REFUSED_IN_A_ROW: u32 = 10;

/// Sends queued logout tokens.
pub(crate) struct LogoutDeliverer {
    delivery: Delivery,
    queued: Arc<Notify>,
}

/// What tokens are sent with.
#[derive(Clone)]
struct Delivery {
    queue: Arc<dyn LogoutQueue>,
    sender: Arc<dyn LogoutSender>,
    clients: Arc<dyn Clients>,
    tokens: Arc<dyn Tokens>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    executor: Arc<CommandExecutor>,
    given_up: Arc<AtomicU64>,
    /// Cancelled when the last request was answered.
    stopped: CancellationToken,
}

/// Where the tokens of a client are sent.
enum Destination {
    /// To this URI.
    At(Box<RegisteredClient>, HttpsUri),
    /// Nowhere: the client was removed, or has no URI any more.
    None,
    /// The row of the client is missing or was changed. The tokens wait until it is repaired.
    Unknown,
}

/// How the attempt to deliver a token ended.
enum Attempt {
    Delivered,
    Refused,
    Failed,
}

impl LogoutDeliverer {
    /// `queued` wakes it, `given_up` counts the tokens that were not delivered, and `stopped` is cancelled when it has to end.
    pub(crate) fn new(
        parts: &Parts,
        executor: Arc<CommandExecutor>,
        queued: Arc<Notify>,
        given_up: Arc<AtomicU64>,
        stopped: CancellationToken,
    ) -> Self {
        let delivery = Delivery {
            queue: Arc::clone(&parts.logout_queue),
            sender: Arc::clone(&parts.logout_sender),
            clients: Arc::clone(&parts.clients),
            tokens: Arc::clone(&parts.tokens),
            clock: Arc::clone(&parts.clock),
            entropy: Arc::clone(&parts.entropy),
            executor,
            given_up,
            stopped,
        };
        Self { delivery, queued }
    }

    /// Leases clients and serves them until the node stops, and then until all of them are given back.
    async fn serve_all(&self) {
        let stopped = &self.delivery.stopped;
        let mut in_progress = JoinSet::new();
        while !stopped.is_cancelled() {
            while in_progress.try_join_next().is_some() {}
            #[expect(clippy::cast_possible_truncation, reason = "at most `AT_ONCE`")]
            let free = AT_ONCE.saturating_sub(in_progress.len() as u32);
            if free == 0 {
                in_progress.join_next().await;
                continue;
            }
            // Not interrupted by the stop: the store may have leased clients already.
            match self.delivery.lease(free).await {
                Ok(leased) if leased.is_empty() => tokio::select! {
                    _ = tokio::time::timeout(IDLE, self.queued.notified()) => {}
                    // A client whose turn has ended may have further tokens.
                    Some(_) = in_progress.join_next() => {}
                    () = stopped.cancelled() => {}
                },
                Ok(leased) => {
                    for receiver in leased {
                        let delivery = self.delivery.clone();
                        in_progress.spawn(async move { delivery.serve(receiver).await });
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the queue of logout tokens cannot be read; they wait until it can");
                    let _ = tokio::time::timeout(IDLE, stopped.cancelled()).await;
                }
            }
        }
        while in_progress.join_next().await.is_some() {}
    }
}

impl Worker for LogoutDeliverer {
    const NAME: &'static str = "logout_deliverer";
    const STOP: Stop = Stop::Drain;

    /// Works until every [`Authlog`](crate::Authlog) is dropped, and gives back what it has leased, so that another node, or this one
    /// after its restart, need not wait until the leases expire.
    async fn run(&mut self) {
        let too_late = async {
            self.delivery.stopped.cancelled().await;
            tokio::time::sleep(GIVE_BACK_WITHIN).await;
        };
        tokio::select! {
            () = self.serve_all() => {}
            () = too_late => {
                tracing::warn!("logout tokens that are under way will be sent again when their leases expire");
            }
        }
    }
}

impl Delivery {
    async fn lease(&self, limit: u32) -> Result<Vec<LogoutReceiver>, StoreError> {
        let now = self.clock.now();
        let until = now.plus(LEASE);
        self.queue.lease_receivers(now, until, limit).await
    }

    /// Serves a client for one turn. If the store fails, the client is served again when its lease expires.
    async fn serve(&self, mut receiver: LogoutReceiver) {
        let client = receiver.client.clone();
        let served = async {
            let again_at = tokio::select! {
                again_at = self.turn(&mut receiver) => again_at?,
                () = self.last_exchange_is_over() => self.clock.now(),
            };
            self.queue.return_receiver(&receiver, again_at).await?;
            Ok::<_, Refusal>(())
        };
        if let Err(error) = served.await {
            tracing::warn!(%client, %error, "the outcome of logout tokens could not be stored; they will be sent again");
        }
    }

    /// Waits until the node stops, and then for as long as the token that is under way may take.
    async fn last_exchange_is_over(&self) {
        self.stopped.cancelled().await;
        tokio::time::sleep(LAST_EXCHANGE).await;
    }

    /// Sends the tokens of a client, until its turn ends or the node stops. Returns when its next turn is due.
    async fn turn(&self, receiver: &mut LogoutReceiver) -> Result<Timestamp, Refusal> {
        let (begun, mut refused_in_a_row) = (Instant::now(), 0);
        loop {
            let now = self.clock.now();
            if self.stopped.is_cancelled() {
                return Ok(now);
            }
            let page = self.queue.due_logouts(&receiver.client, now, PAGE).await?;
            if page.is_empty() {
                return Ok(now);
            }
            let (client, uri) = match self.destination(&receiver.client).await? {
                Destination::At(client, uri) => (client, uri),
                Destination::Unknown => return self.failed(receiver, begun).await,
                Destination::None => {
                    self.forget_all(&receiver.client, begun).await?;
                    return Ok(self.clock.now());
                }
            };
            for logout in &page {
                match self.attempt(&client, &uri, logout).await? {
                    Attempt::Delivered => {
                        self.queue.complete_logout(logout.session).await?;
                        (receiver.failures, receiver.failing_since) = (0, None);
                        refused_in_a_row = 0;
                    }
                    Attempt::Refused => {
                        self.refused(&client, logout).await?;
                        refused_in_a_row += 1;
                    }
                    Attempt::Failed => return self.failed(receiver, begun).await,
                }
                if refused_in_a_row >= REFUSED_IN_A_ROW {
                    return self.failed(receiver, begun).await;
                }
                if begun.elapsed() >= TURN || self.stopped.is_cancelled() {
                    return Ok(self.clock.now());
                }
            }
        }
    }

    /// Where the tokens of a client are sent. A locked client gets them, too: they end sessions.
    async fn destination(&self, id: &ClientId) -> Result<Destination, Refusal> {
        let Some(record) = self.clients.record(id).await? else {
            return Ok(Destination::Unknown);
        };
        let client = record.registered();
        let uri = client.as_ref();
        let uri = uri.and_then(|client| client.settings.backchannel_logout_uri.clone());
        Ok(match (client, uri) {
            (Some(client), Some(uri)) => Destination::At(Box::new(client), uri),
            _ => Destination::None,
        })
    }

    async fn attempt(
        &self,
        client: &RegisteredClient,
        uri: &HttpsUri,
        logout: &DueLogout,
    ) -> Result<Attempt, Refusal> {
        let claims = LogoutClaims {
            token: self.entropy.random_uuid(),
            client: client.id.clone(),
            user: logout.user,
            session: logout.session,
        };
        let (algorithm, now) = (client.settings.id_token_alg, self.clock.now());
        let token = self.tokens.sign_logout_token(&claims, algorithm, now);
        let token = token.map_err(|error| Refusal::Unavailable(Box::new(error)))?;
        let (id, session) = (&client.id, logout.session);
        Ok(match self.sender.send_logout(uri, &token).await {
            Ok(()) => {
                tracing::debug!(client = %id, %session, "a logout token was delivered");
                Attempt::Delivered
            }
            Err(LogoutSendError::Refused(status)) => {
                tracing::warn!(client = %id, %session, status, "a client refused a logout token; it will be sent again");
                Attempt::Refused
            }
            Err(LogoutSendError::Failed(why)) => {
                tracing::warn!(client = %id, %why, "a client could not be sent a logout token; it will be sent again");
                Attempt::Failed
            }
        })
    }

    /// A token that the client refused does not delay later ones.
    async fn refused(&self, client: &RegisteredClient, logout: &DueLogout) -> Result<(), Refusal> {
        let now = self.clock.now();
        if logout.refusals >= REFUSALS && is_over(logout.ended_at, now) {
            return self.give_up(&client.id, logout).await;
        }
        let again_at = now.plus(pause_after(logout.refusals.saturating_add(1)));
        Ok(self.queue.postpone_logout(logout.session, again_at).await?)
    }

    /// The client was not reached. Tokens that are too old are given up, and the others wait for its next turn.
    async fn failed(
        &self,
        receiver: &mut LogoutReceiver,
        begun: Instant,
    ) -> Result<Timestamp, Refusal> {
        let now = self.clock.now();
        receiver.failures = receiver.failures.saturating_add(1);
        let since = *receiver.failing_since.get_or_insert(now);
        let again_at = now.plus(pause_after(receiver.failures));
        while is_over(since, now) && begun.elapsed() < LONGEST_TURN {
            let page = self.queue.due_logouts(&receiver.client, now, PAGE).await?;
            let old: Vec<_> = page
                .iter()
                .filter(|logout| is_over(logout.ended_at, now))
                .collect();
            for logout in &old {
                // Another node gets the client after the lease, and would record the same.
                if begun.elapsed() >= LONGEST_TURN {
                    return Ok(again_at);
                }
                self.give_up(&receiver.client, logout).await?;
            }
            // The page begins with the oldest.
            if old.len() < PAGE as usize {
                return Ok(again_at);
            }
        }
        Ok(again_at)
    }

    /// Records that a token was not delivered, and removes it. A crash in between records it twice.
    async fn give_up(&self, client: &ClientId, logout: &DueLogout) -> Result<(), Refusal> {
        let change = ClientChange::ReportUndeliveredLogout {
            session: logout.session,
            user: logout.user,
            ended_at: logout.ended_at,
        };
        let command = &ClientCommand {
            at: self.clock.now(),
            change,
        };
        let metadata = &self.metadata();
        let recorded = self
            .executor
            .execute(client.as_str(), |work| async move {
                let row = work.client(client).await?;
                work.execute_on_client(client, row, command.clone(), metadata.clone())
                    .await?;
                work.commit().await
            })
            .await;
        match recorded {
            // The client was removed meanwhile.
            Ok(()) | Err(Refusal::Client(ClientRegistryRefusal::Unknown)) => {}
            Err(refusal) => return Err(refusal),
        }
        self.given_up.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(
            %client,
            session = %logout.session,
            ended_at = %logout.ended_at,
            "a logout token could not be delivered for a day and is not sent any more; the client may not know that the session has ended"
        );
        Ok(self.queue.complete_logout(logout.session).await?)
    }

    /// The metadata of an event that this service caused by itself and that belongs to no account.
    fn metadata(&self) -> HashMap<String, String> {
        let request = self.entropy.random_uuid().to_string();
        let contract = ContractName::Authlog.as_str();
        HashMap::from([
            ("actor".to_owned(), contract.to_owned()),
            ("request_id".to_owned(), request),
            ("contract".to_owned(), contract.to_owned()),
        ])
    }

    /// Removes what waits for a client that gets no tokens any more.
    async fn forget_all(&self, client: &ClientId, begun: Instant) -> Result<(), Refusal> {
        const AT_ONCE: u32 = 1000;
        while self.queue.forget_logouts(client, AT_ONCE).await? == u64::from(AT_ONCE)
            && begun.elapsed() < LONGEST_TURN
        {}
        tracing::info!(%client, "logout tokens were discarded: the client has no URI for them any more");
        Ok(())
    }
}

/// Whether a day has passed.
fn is_over(since: Timestamp, now: Timestamp) -> bool {
    since.plus(GIVEN_UP_AFTER) <= now
}

/// How long to wait after the `attempts`-th attempt failed.
fn pause_after(attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(1).min(16);
    FIRST_PAUSE
        .saturating_mul(1 << doublings)
        .min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_an_hour() {
        let pauses = [1, 2, 3, 12, 13, 1000].map(|attempts| pause_after(attempts).as_secs());
        assert_eq!(pauses, [1, 2, 4, 2048, 3600, 3600]);
    }

    #[test]
    fn a_turn_ends_long_before_its_lease() {
        // An exchange takes five seconds at most, and so may the answer of the store.
        let last = Duration::from_secs(10);
        assert!(LONGEST_TURN + TURN + last < LEASE);
    }

    #[test]
    fn there_is_time_to_give_clients_back_after_the_last_exchange() {
        assert!(LAST_EXCHANGE < GIVE_BACK_WITHIN);
    }
}
