//! Connections and requests under way, of which no client may hold too many.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::is_fair;
use crate::exchange::network_of;

/// How long a connection may be kept without a request: longer than proxies keep theirs (60 seconds by most defaults),
/// so that none sends a request into a connection that we are closing.
const IDLE: Duration = Duration::from_secs(75);

/// The same while fewer than an eighth of the connections are free: long enough for a page to load, short enough that
/// newcomers do not wait for those who have left.
const IDLE_WHEN_CROWDED: Duration = Duration::from_secs(5);

/// Who holds how many connections and requests. Neighbouring IPv6 addresses are one client.
///
/// A request of HTTP/1.1 is the only one of its connection and keeps the connection's place until it is done. A client may
/// have as many streams of HTTP/2 under way as connections: otherwise each connection would be worth a hundred.
pub(crate) struct Clients {
    most: usize,
    /// Changed with `by_client` alone, so that reading it takes no lock.
    connections: AtomicUsize,
    by_client: Mutex<HashMap<IpAddr, (usize, Arc<Streams>)>>,
    streams: AtomicUsize,
}

/// The streams under way of one client, over all its connections.
#[derive(Default)]
struct Streams(AtomicUsize);

impl Clients {
    /// Room for `most` connections and as many streams.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            connections: AtomicUsize::new(0),
            by_client: Mutex::default(),
            streams: AtomicUsize::new(0),
        })
    }

    /// One more connection for the client at this address, if it may have it.
    pub fn connect(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let client = network_of(address);
        let mut by_client = self.lock();
        let free = self.most.checked_sub(self.connections() + 1)?;
        let held = by_client.get(&client).map_or(0, |(held, _)| *held);
        if !is_fair(held, 1, free) {
            return None;
        }
        let (held, streams) = by_client.entry(client).or_default();
        *held += 1;
        let streams = Arc::clone(streams);
        self.connections.fetch_add(1, Ordering::Relaxed);
        drop(by_client);
        Some(Place {
            clients: Arc::clone(self),
            client: Some((client, streams)),
        })
    }

    /// One more connection with a trusted proxy, if any is left. Its requests are of many clients.
    pub fn connect_proxy(self: &Arc<Self>) -> Option<Place> {
        let by_client = self.lock();
        if self.connections() >= self.most {
            return None;
        }
        self.connections.fetch_add(1, Ordering::Relaxed);
        drop(by_client);
        Some(Place {
            clients: Arc::clone(self),
            client: None,
        })
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, (usize, Arc<Streams>)>> {
        self.by_client
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection of a client, until it is dropped.
pub(crate) struct Place {
    clients: Arc<Clients>,
    client: Option<(IpAddr, Arc<Streams>)>,
}

impl Place {
    /// The only request of this connection.
    pub fn only_request(self: &Arc<Self>) -> UnderWay {
        UnderWay::Connection(Arc::clone(self))
    }

    /// One more stream over this connection, if its client may have it.
    pub fn begin_stream(self: &Arc<Self>) -> Option<UnderWay> {
        let total = self.clients.streams.fetch_add(1, Ordering::Relaxed) + 1;
        let client = self.client.as_ref();
        let held = client.map(|(_, streams)| streams.0.fetch_add(1, Ordering::Relaxed));
        // Made first, so that it takes both back where it is refused.
        let counted = Counted(Arc::clone(self));
        let free = self.clients.most.checked_sub(total)?;
        held.is_none_or(|held| is_fair(held, 1, free))
            .then(|| UnderWay::Stream(Arc::new(counted)))
    }

    /// How long this connection may be kept without a request. Those of trusted proxies are few and used all the time.
    pub fn idle_time(&self) -> Duration {
        let is_crowded = self.clients.connections() > self.clients.most / 8 * 7;
        if is_crowded && self.client.is_some() {
            IDLE_WHEN_CROWDED
        } else {
            IDLE
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_client = self.clients.lock();
        self.clients.connections.fetch_sub(1, Ordering::Relaxed);
        if let Some((client, _)) = &self.client
            && let Some((held, _)) = by_client.get_mut(client)
        {
            *held -= 1;
            if *held == 0 {
                by_client.remove(client);
            }
        }
    }
}

/// A request under way, until its work is done and its answer is taken: until all clones are dropped.
#[derive(Clone)]
pub(crate) enum UnderWay {
    /// The only one of its connection.
    Connection(#[expect(dead_code, reason = "it is held, and not read")] Arc<Place>),
    /// One of many of its connection.
    Stream(#[expect(dead_code, reason = "it is held, and not read")] Arc<Counted>),
}

/// A stream that is counted.
pub(crate) struct Counted(Arc<Place>);

impl Drop for Counted {
    fn drop(&mut self) {
        let Place { clients, client } = &*self.0;
        clients.streams.fetch_sub(1, Ordering::Relaxed);
        if let Some((_, streams)) = client {
            streams.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_client_has_its_share_and_nothing_is_kept_of_who_has_gone() {
        let clients = Clients::new(8);
        let first = clients.connect(address("2001:db8:1:2::1")).unwrap();
        let second = clients.connect(address("2001:db8:1:2::2")).unwrap();
        assert!(clients.connect(address("2001:db8:1:2::3")).is_none());
        assert!(clients.connect(address("2001:db8:1:3::1")).is_some());
        drop(first);
        let third = clients.connect(address("2001:db8:1:2::3")).unwrap();
        drop((second, third));
        assert_eq!(clients.connections(), 0);
        assert!(clients.lock().is_empty());
    }

    #[test]
    fn a_handful_of_clients_cannot_take_all_connections() {
        let clients = Clients::new(400);
        let mut held = Vec::new();
        for client in 1..=8 {
            for _ in 0..100 {
                held.extend(clients.connect(address(&format!("192.0.2.{client}"))));
            }
        }
        assert!(clients.connect(address("198.51.100.1")).is_some());
        // Proxies are trusted with the rest.
        while let Some(place) = clients.connect_proxy() {
            held.push(place);
        }
        assert_eq!(held.len(), 400);
        assert!(clients.connect(address("198.51.100.1")).is_none());
    }

    #[test]
    fn a_request_keeps_the_place_of_its_connection() {
        let clients = Clients::new(8);
        let connect = || clients.connect(address("192.0.2.1")).map(Arc::new);
        let requests: Vec<_> = (0..2).map(|_| connect().unwrap().only_request()).collect();
        assert!(connect().is_none());
        drop(requests);
        assert!(connect().is_some());
    }

    #[test]
    fn streams_are_counted_over_all_connections_of_a_client() {
        let clients = Clients::new(16);
        let connections = [0, 1].map(|_| Arc::new(clients.connect(address("192.0.2.1")).unwrap()));
        let mut under_way: Vec<_> = (0..9)
            .filter_map(|number| connections[number % 2].begin_stream())
            .collect();
        assert_eq!(under_way.len(), 4);
        let other = Arc::new(clients.connect(address("192.0.2.2")).unwrap());
        assert!(other.begin_stream().is_some());
        under_way.pop();
        assert!(connections[0].begin_stream().is_some());
        // A proxy's are bounded by what there is for all.
        let proxy = Arc::new(clients.connect_proxy().unwrap());
        under_way.extend((0..50).filter_map(|_| proxy.begin_stream()));
        assert_eq!(under_way.len(), 16);
        drop(under_way);
        assert_eq!(clients.streams.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn idle_connections_are_kept_for_less_when_few_are_left() {
        let clients = Clients::new(64);
        let place = clients.connect(address("192.0.2.1")).unwrap();
        assert_eq!(place.idle_time(), IDLE);
        let proxies: Vec<_> = std::iter::from_fn(|| clients.connect_proxy()).collect();
        assert_eq!(place.idle_time(), IDLE_WHEN_CROWDED);
        assert_eq!(proxies[0].idle_time(), IDLE);
    }
}
