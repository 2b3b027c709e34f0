//! Limits for connections and concurrent requests: no client may hold too many.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::is_fair;
use crate::http::network_of;

/// How long an idle connection is kept: longer than proxies keep theirs (60 seconds by most defaults), so that no proxy
/// sends a request over a connection that is being closed.
const IDLE: Duration = Duration::from_secs(75);

/// The same while fewer than an eighth of the connections are free: long enough for a page to load, and short enough
/// that idle connections do not keep new clients out.
const IDLE_WHEN_SCARCE: Duration = Duration::from_secs(5);

/// Counts the connections and requests of each client. IPv6 addresses of one network are one client.
///
/// A request over HTTP/1.1 is the only one of its connection, and occupies the connection's place until it is done. A
/// client may have as many HTTP/2 streams as connections: otherwise each connection would be worth a hundred. A
/// connection of a trusted proxy belongs to no client; its requests are counted for the clients that sent them, over
/// both protocols.
pub(crate) struct Clients {
    most: usize,
    /// Changed only together with `by_client`. It can be read without the lock.
    connections: AtomicUsize,
    /// Connections of trusted proxies.
    of_proxies: AtomicUsize,
    by_client: Mutex<HashMap<IpAddr, Client>>,
    streams: AtomicUsize,
    /// Requests over HTTP/1.1 that trusted proxies forwarded.
    forwarded: AtomicUsize,
}

/// The connections and requests of one client.
#[derive(Default)]
struct Client {
    connections: usize,
    /// Requests that trusted proxies forwarded for it.
    forwarded: usize,
    requests: Arc<CountedRequests>,
}

impl Client {
    const fn is_gone(&self) -> bool {
        self.connections == 0 && self.forwarded == 0
    }
}

/// The counted requests of one client: its streams, and the requests that were forwarded for it.
#[derive(Default)]
struct CountedRequests(AtomicUsize);

impl Clients {
    /// A limit of `most` connections and as many streams.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            connections: AtomicUsize::new(0),
            of_proxies: AtomicUsize::new(0),
            by_client: Mutex::default(),
            streams: AtomicUsize::new(0),
            forwarded: AtomicUsize::new(0),
        })
    }

    /// Admits a connection of the client at this address, if its share allows it.
    pub fn connect(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let address = network_of(address);
        let mut by_client = self.lock();
        let free = self.most.checked_sub(self.connections() + 1)?;
        let held = by_client.get(&address).map_or(0, |held| held.connections);
        if !is_fair(held, 1, free) {
            return None;
        }
        let client = by_client.entry(address).or_default();
        client.connections += 1;
        let requests = Arc::clone(&client.requests);
        self.connections.fetch_add(1, Ordering::Relaxed);
        drop(by_client);
        Some(Place {
            clients: Arc::clone(self),
            client: Some((address, requests)),
        })
    }

    /// Admits a connection of a trusted proxy, if one is free. It carries requests of many clients.
    pub fn connect_proxy(self: &Arc<Self>) -> Option<Place> {
        let by_client = self.lock();
        if self.connections() >= self.most {
            return None;
        }
        self.connections.fetch_add(1, Ordering::Relaxed);
        self.of_proxies.fetch_add(1, Ordering::Relaxed);
        drop(by_client);
        Some(Place {
            clients: Arc::clone(self),
            client: None,
        })
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// The connections in use. A proxy's connection over HTTP/1.1 is in use while it carries a request.
    fn busy_connections(&self) -> usize {
        let of_proxies = self.of_proxies.load(Ordering::Relaxed);
        let forwarded = self.forwarded.load(Ordering::Relaxed);
        self.connections().saturating_sub(of_proxies) + forwarded
    }

    /// Whether fewer than an eighth of the places are free if `held` are taken.
    const fn is_crowded(&self, held: usize) -> bool {
        held > self.most / 8 * 7
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Client>> {
        self.by_client
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection, which is counted until it is dropped.
pub(crate) struct Place {
    clients: Arc<Clients>,
    /// `None` for a trusted proxy.
    client: Option<(IpAddr, Arc<CountedRequests>)>,
}

impl Place {
    /// Whether this is a connection of a trusted proxy.
    pub const fn is_of_proxy(&self) -> bool {
        self.client.is_none()
    }

    /// Admits the only request of this connection, sent by `client`. On a direct connection it is always admitted.
    pub fn begin_request(self: &Arc<Self>, client: IpAddr) -> Option<UnderWay> {
        if !self.is_of_proxy() {
            return Some(UnderWay::Connection(Arc::clone(self)));
        }
        self.clients.forwarded.fetch_add(1, Ordering::Relaxed);
        let (request, held) = self.count(client, Protocol::Http1);
        let free = self
            .clients
            .most
            .checked_sub(self.clients.busy_connections());
        is_fair(held, 1, free?).then(|| UnderWay::Counted(Arc::new(request)))
    }

    /// Admits a stream over this connection, sent by `client`, if that client's share allows it.
    pub fn begin_stream(self: &Arc<Self>, client: IpAddr) -> Option<UnderWay> {
        let total = self.clients.streams.fetch_add(1, Ordering::Relaxed) + 1;
        let (request, held) = self.count(client, Protocol::Http2);
        let free = self.clients.most.checked_sub(total);
        is_fair(held, 1, free?).then(|| UnderWay::Counted(Arc::new(request)))
    }

    /// Counts a request for its client until it is dropped, and returns how many others the client has.
    fn count(self: &Arc<Self>, client: IpAddr, protocol: Protocol) -> (CountedRequest, usize) {
        let forwarded = self.is_of_proxy().then(|| {
            let client = network_of(client);
            let mut by_client = self.clients.lock();
            let held = by_client.entry(client).or_default();
            held.forwarded += 1;
            (client, Arc::clone(&held.requests))
        });
        let request = CountedRequest {
            place: Arc::clone(self),
            forwarded,
            protocol,
        };
        let requests = request.of_client();
        let held = requests.map_or(0, |requests| requests.0.fetch_add(1, Ordering::Relaxed));
        (request, held)
    }

    /// How long this connection may be idle. Connections of trusted proxies are few and in constant use.
    pub fn idle_time(&self) -> Duration {
        let is_crowded = self.clients.is_crowded(self.clients.connections());
        if is_crowded && !self.is_of_proxy() {
            IDLE_WHEN_SCARCE
        } else {
            IDLE
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_client = self.clients.lock();
        self.clients.connections.fetch_sub(1, Ordering::Relaxed);
        let Some((address, _)) = &self.client else {
            self.clients.of_proxies.fetch_sub(1, Ordering::Relaxed);
            return;
        };
        if let Some(client) = by_client.get_mut(address) {
            client.connections -= 1;
            if client.is_gone() {
                by_client.remove(address);
            }
        }
    }
}

/// A request under way. It ends when its work is done and its response has been sent, that is when all clones are
/// dropped.
#[derive(Clone)]
pub(crate) enum UnderWay {
    /// The only request of its connection.
    Connection(#[expect(dead_code, reason = "it is held, and not read")] Arc<Place>),
    /// A request that is counted for its client.
    Counted(Arc<CountedRequest>),
}

impl UnderWay {
    /// Whether the response may be delayed although its request keeps its place: always on a direct connection over
    /// HTTP/1.1, otherwise while at least an eighth of the places are free.
    pub fn can_be_delayed(&self) -> bool {
        let Self::Counted(request) = self else {
            return true;
        };
        let clients = &request.place.clients;
        !clients.is_crowded(match request.protocol {
            Protocol::Http1 => clients.busy_connections(),
            Protocol::Http2 => clients.streams.load(Ordering::Relaxed),
        })
    }
}

/// How a counted request arrived.
#[derive(Clone, Copy)]
enum Protocol {
    /// Over HTTP/1.1, forwarded by a proxy.
    Http1,
    Http2,
}

/// A request that is counted for its client.
pub(crate) struct CountedRequest {
    place: Arc<Place>,
    /// The client of a forwarded request.
    forwarded: Option<(IpAddr, Arc<CountedRequests>)>,
    protocol: Protocol,
}

impl CountedRequest {
    fn of_client(&self) -> Option<&CountedRequests> {
        let client = self.forwarded.as_ref().or(self.place.client.as_ref());
        client.map(|(_, requests)| &**requests)
    }
}

impl Drop for CountedRequest {
    fn drop(&mut self) {
        let clients = &self.place.clients;
        let total = match self.protocol {
            Protocol::Http1 => &clients.forwarded,
            Protocol::Http2 => &clients.streams,
        };
        total.fetch_sub(1, Ordering::Relaxed);
        if let Some(requests) = self.of_client() {
            requests.0.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some((address, _)) = &self.forwarded {
            let mut by_client = clients.lock();
            if let Some(client) = by_client.get_mut(address) {
                client.forwarded -= 1;
                if client.is_gone() {
                    by_client.remove(address);
                }
            }
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
    fn one_client_has_its_share_and_is_forgotten_when_it_has_gone() {
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
    fn a_few_clients_cannot_take_all_connections() {
        let clients = Clients::new(400);
        let mut held = Vec::new();
        for client in 1..=8 {
            for _ in 0..100 {
                held.extend(clients.connect(address(&format!("192.0.2.{client}"))));
            }
        }
        assert!(clients.connect(address("198.51.100.1")).is_some());
        // Proxies may use the rest.
        while let Some(place) = clients.connect_proxy() {
            held.push(place);
        }
        assert_eq!(held.len(), 400);
        assert!(clients.connect(address("198.51.100.1")).is_none());
    }

    #[test]
    fn a_request_keeps_the_place_of_its_connection() {
        let clients = Clients::new(8);
        let client = address("192.0.2.1");
        let connect = || clients.connect(client).map(Arc::new);
        let requests: Vec<_> = (0..2)
            .map(|_| connect().unwrap().begin_request(client).unwrap())
            .collect();
        assert!(connect().is_none());
        drop(requests);
        assert!(connect().is_some());
    }

    #[test]
    fn streams_are_counted_over_all_connections_of_a_client() {
        let clients = Clients::new(16);
        let client = address("192.0.2.1");
        let connections = [0, 1].map(|_| Arc::new(clients.connect(client).unwrap()));
        let mut under_way: Vec<_> = (0..9)
            .filter_map(|number| connections[number % 2].begin_stream(client))
            .collect();
        assert_eq!(under_way.len(), 4);
        let neighbour = address("192.0.2.2");
        let other = Arc::new(clients.connect(neighbour).unwrap());
        assert!(other.begin_stream(neighbour).is_some());
        under_way.pop();
        assert!(connections[0].begin_stream(client).is_some());
        drop(under_way);
        assert_eq!(clients.streams.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn requests_through_proxies_are_counted_for_each_client_over_both_protocols() {
        let clients = Clients::new(400);
        let proxies: Vec<_> = std::iter::from_fn(|| clients.connect_proxy())
            .map(Arc::new)
            .collect();
        assert_eq!(proxies.len(), 400);
        let greedy = address("2001:db8:1:2::1");
        let mut under_way: Vec<_> = proxies
            .iter()
            .filter_map(|proxy| proxy.begin_request(greedy))
            .collect();
        assert_eq!(under_way.len(), 100);
        // An address in the same network is the same client, and the other protocol gives it no second share.
        let same = address("2001:db8:1:2::2");
        under_way.extend(proxies.iter().filter_map(|proxy| proxy.begin_stream(same)));
        assert!(
            (100..=134).contains(&under_way.len()),
            "{}",
            under_way.len()
        );
        for number in 2..=9 {
            let client = address(&format!("192.0.2.{number}"));
            let one_more = |proxy: &Arc<Place>| proxy.begin_request(client);
            under_way.extend(proxies.iter().filter_map(one_more));
        }
        let newcomer = address("198.51.100.1");
        assert!(proxies[0].begin_request(newcomer).is_some());
        assert!(proxies[0].begin_stream(newcomer).is_some());
        drop(under_way);
        assert_eq!(clients.busy_connections(), 0);
        assert_eq!(clients.streams.load(Ordering::Relaxed), 0);
        assert!(clients.lock().is_empty());
    }

    #[test]
    fn a_client_has_one_share_of_requests_whether_it_comes_directly_or_through_a_proxy() {
        let clients = Clients::new(16);
        let client = address("192.0.2.1");
        let direct = Arc::new(clients.connect(client).unwrap());
        let proxy = Arc::new(clients.connect_proxy().unwrap());
        let streams: Vec<_> = (0..9).filter_map(|_| direct.begin_stream(client)).collect();
        assert!(proxy.begin_stream(client).is_none());
        drop(direct);
        // Its connection has ended, and its requests still count.
        assert!(proxy.begin_stream(client).is_none());
        drop(streams);
        assert!(proxy.begin_stream(client).is_some());
        assert!(clients.lock().is_empty());
    }

    #[test]
    fn a_response_is_delayed_only_while_its_place_can_be_spared() {
        let clients = Clients::new(80);
        let connect = |client| Arc::new(clients.connect(client).unwrap());
        let (client, other) = (address("192.0.2.1"), address("192.0.2.2"));
        let own = connect(client).begin_request(client).unwrap();
        let stream = connect(other).begin_stream(other).unwrap();
        let proxies: Vec<_> = std::iter::from_fn(|| clients.connect_proxy())
            .map(Arc::new)
            .collect();
        let forwarded = proxies[0].begin_request(other).unwrap();
        assert!(stream.can_be_delayed() && forwarded.can_be_delayed());
        let mut crowd = Vec::new();
        for (number, proxy) in (0_u8..).zip(&proxies) {
            let client = IpAddr::from([198, 51, 100, number]);
            crowd.extend(proxy.begin_stream(client));
            crowd.extend(proxy.begin_request(client));
        }
        assert!(!stream.can_be_delayed() && !forwarded.can_be_delayed());
        assert!(own.can_be_delayed());
    }

    #[test]
    fn idle_connections_are_closed_sooner_when_few_are_free() {
        let clients = Clients::new(64);
        let place = clients.connect(address("192.0.2.1")).unwrap();
        assert_eq!(place.idle_time(), IDLE);
        let proxies: Vec<_> = std::iter::from_fn(|| clients.connect_proxy()).collect();
        assert_eq!(place.idle_time(), IDLE_WHEN_SCARCE);
        assert_eq!(proxies[0].idle_time(), IDLE);
    }
}
