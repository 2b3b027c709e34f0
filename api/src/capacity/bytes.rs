//! A budget for the bytes that are buffered for clients or from them, shared fairly between clients.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::is_fair;
use crate::http::network_of;

/// The bytes that may be buffered for all clients together: request bodies that have not arrived completely, long
/// request heads, and responses that are not sent immediately. With the memory of 10,000 connections and of the program
/// itself, a node stays below 150 MiB under attack by one client, which can use a quarter of this budget.
const BUFFERED: usize = 48 * 1024 * 1024;

/// Too much is buffered for this client, or for all clients together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exhausted;

/// The budget. Only bytes that have to wait are charged: a request that arrives in one piece and a response that leaves
/// in one piece are free.
pub(crate) struct ByteBudget {
    most: usize,
    held: Mutex<Usage>,
}

#[derive(Default)]
struct Usage {
    total: usize,
    by_client: HashMap<IpAddr, usize>,
}

impl Default for ByteBudget {
    fn default() -> Self {
        Self::of(BUFFERED)
    }
}

impl ByteBudget {
    /// A budget of `bytes`.
    pub fn of(most: usize) -> Self {
        Self {
            most,
            held: Mutex::default(),
        }
    }

    /// An empty lease for the client at `address`. IPv6 addresses of one network are one client.
    pub fn lease(self: &Arc<Self>, address: IpAddr) -> Lease {
        Lease {
            budget: Arc::clone(self),
            client: network_of(address),
            bytes: 0,
        }
    }

    /// The number of leased bytes.
    #[cfg(test)]
    pub fn leased(&self) -> usize {
        self.lock().total
    }

    fn lock(&self) -> MutexGuard<'_, Usage> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leased bytes, which are returned when the lease is dropped.
pub(crate) struct Lease {
    budget: Arc<ByteBudget>,
    client: IpAddr,
    bytes: usize,
}

impl Lease {
    /// Extends the lease to `bytes`.
    ///
    /// # Errors
    /// The client may not lease that many. The lease is unchanged.
    pub fn grow_to(&mut self, bytes: usize) -> Result<(), Exhausted> {
        let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) else {
            return Ok(());
        };
        let mut held = self.budget.lock();
        let by_client = held.by_client.get(&self.client).copied();
        let free = self.budget.most.saturating_sub(held.total + more);
        if !is_fair(by_client.unwrap_or(0), more, free) {
            return Err(Exhausted);
        }
        held.total += more;
        *held.by_client.entry(self.client).or_default() += more;
        drop(held);
        self.bytes = bytes;
        Ok(())
    }

    /// Reduces the lease to `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        self.give_back(self.bytes.saturating_sub(bytes));
    }

    /// Returns all bytes, and assigns the lease to the client at `address`.
    pub fn charge_to(&mut self, address: IpAddr) {
        self.release();
        self.client = network_of(address);
    }

    /// Returns all bytes.
    pub fn release(&mut self) {
        self.give_back(self.bytes);
    }

    fn give_back(&mut self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        self.bytes -= bytes;
        let mut held = self.budget.lock();
        held.total -= bytes;
        if let Some(by_client) = held.by_client.get_mut(&self.client) {
            *by_client -= bytes;
            if *by_client == 0 {
                held.by_client.remove(&self.client);
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_leases_a_quarter_over_all_its_leases_and_returns_it() {
        let budget = Arc::new(ByteBudget::of(1000));
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let mut first = budget.lease(address("2001:db8:1:2::1"));
        let mut second = budget.lease(address("2001:db8:1:2::2"));
        let mut other = budget.lease(address("2001:db8:1:3::1"));
        first.grow_to(100).unwrap();
        second.grow_to(150).unwrap();
        first.grow_to(100).unwrap();
        assert_eq!(first.grow_to(101), Err(Exhausted));
        first.shrink_to(90);
        first.shrink_to(95);
        assert_eq!(budget.leased(), 240);
        first.grow_to(100).unwrap();
        assert_eq!(second.grow_to(151), Err(Exhausted));
        other.grow_to(180).unwrap();
        assert_eq!(budget.leased(), 430);
        drop(first);
        second.grow_to(180).unwrap();
        second.release();
        drop((second, other));
        assert_eq!(budget.leased(), 0);
        assert!(budget.lock().by_client.is_empty());
    }
}
