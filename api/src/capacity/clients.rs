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
/// A client may have as many requests under way as connections, over HTTP/2 as over HTTP/1.1: otherwise each connection
/// would be worth a hundred.
pub(crate) struct Clients {
    most: usize,
    /// Changed with `by_client` alone, so that reading it takes no lock.
    connections: AtomicUsize,
    by_client: Mutex<HashMap<IpAddr, (usize, Arc<Requests>)>>,
    requests: AtomicUsize,
}

/// The requests under way of one client, over all its connections.
#[derive(Default)]
struct Requests(AtomicUsize);

impl Clients {
    /// Room for `most` connections and as many requests.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            connections: AtomicUsize::new(0),
            by_client: Mutex::default(),
            requests: AtomicUsize::new(0),
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
        let (held, requests) = by_client.entry(client).or_default();
        *held += 1;
        let requests = Arc::clone(requests);
        self.connections.fetch_add(1, Ordering::Relaxed);
        drop(by_client);
        Some(Place {
            clients: Arc::clone(self),
            client: Some((client, requests)),
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

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, (usize, Arc<Requests>)>> {
        self.by_client
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection of a client, until it is dropped.
pub(crate) struct Place {
    clients: Arc<Clients>,
    client: Option<(IpAddr, Arc<Requests>)>,
}

impl Place {
    /// One more request over this connection, if its client may have it.
    pub fn begin_request(&self) -> Option<UnderWay> {
        let total = self.clients.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let client = self.client.as_ref().map(|(_, requests)| {
            let held = requests.0.fetch_add(1, Ordering::Relaxed);
            (held, Arc::clone(requests))
        });
        // Made first, so that it takes both back where it is refused.
        let (held, requests) = client.unzip();
        let under_way = UnderWay {
            clients: Arc::clone(&self.clients),
            requests,
        };
        let free = self.clients.most.checked_sub(total)?;
        held.is_none_or(|held| is_fair(held, 1, free))
            .then_some(under_way)
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

/// A request under way, until its work is done and its answer is taken.
pub(crate) struct UnderWay {
    clients: Arc<Clients>,
    requests: Option<Arc<Requests>>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.clients.requests.fetch_sub(1, Ordering::Relaxed);
        if let Some(requests) = &self.requests {
            requests.0.fetch_sub(1, Ordering::Relaxed);
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
    fn requests_are_counted_over_all_connections_of_a_client() {
        let clients = Clients::new(16);
        let connections = [0, 1].map(|_| clients.connect(address("192.0.2.1")).unwrap());
        let mut under_way: Vec<_> = (0..9)
            .filter_map(|number| connections[number % 2].begin_request())
            .collect();
        assert_eq!(under_way.len(), 4);
        let other = clients.connect(address("192.0.2.2")).unwrap();
        assert!(other.begin_request().is_some());
        under_way.pop();
        assert!(connections[0].begin_request().is_some());
        // A proxy's are bounded by what there is for all.
        let proxy = clients.connect_proxy().unwrap();
        under_way.extend((0..50).filter_map(|_| proxy.begin_request()));
        assert_eq!(under_way.len(), 16);
        drop(under_way);
        assert_eq!(clients.requests.load(Ordering::Relaxed), 0);
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
