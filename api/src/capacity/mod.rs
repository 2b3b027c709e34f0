//! Limits for what clients may use of a node at a time (connections, requests, buffered bytes, places in the feed,
//! pages), and the outcomes of their latest requests.

mod bytes;
mod clients;
mod outages;
mod pages;
mod readers;

use std::sync::Arc;

use crate::http::Refusals;

pub(crate) use bytes::{ByteBudget, Exhausted, Lease};
pub(crate) use clients::{Clients, Place, UnderWay};
pub(crate) use outages::Outages;
pub(crate) use pages::{PagePlace, PagePlaces};
pub(crate) use readers::{NoPlace, ReaderPlace, ReaderPlaces};

/// What clients may use of a node, in addition to connections and requests, whose limit is a setting.
#[derive(Clone, Default)]
pub struct Capacity {
    pub(crate) bytes: Arc<ByteBudget>,
    pub(crate) readers: Arc<ReaderPlaces>,
    pub(crate) pages: Arc<PagePlaces>,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) outages: Arc<Outages>,
}

/// Whether a client that holds `held` of a resource may take `more` of it while `free` are left.
///
/// The limit is a third of what is free. So one client takes at most a quarter of everything, two take a fifth each,
/// and *n* clients leave 3/(n+3) free: a new client is admitted regardless of how many clients hold as much as they can
/// (dynamic queue thresholds; Choudhury and Hahne, IEEE/ACM Transactions on Networking 6(2), 1998).
const fn is_fair(held: usize, more: usize, free: usize) -> bool {
    held.saturating_add(more) <= free / 3 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greedy_clients_leave_room_for_the_next_one() {
        for (clients, each) in [(1, 2500), (2, 2000), (4, 1428), (30, 303), (1000, 10)] {
            let mut held = vec![0_usize; clients];
            let mut free = 10_000;
            let mut grows = true;
            while grows {
                grows = false;
                for held in &mut held {
                    if free > 0 && is_fair(*held, 1, free - 1) {
                        *held += 1;
                        free -= 1;
                        grows = true;
                    }
                }
            }
            let most = held.iter().max().unwrap();
            assert!(most.abs_diff(each) <= 1, "{clients} clients: {most} each");
            assert!(is_fair(0, 1, free - 1), "{clients} clients leave {free}");
        }
    }
}
