//! The queue of jobs for the hashing threads: one queue for each client, so that clients share the threads evenly.
//!
//! This is start-time fair queueing (Goyal, Vin and Cheng, 1996). The virtual clock shows the service that the client served
//! last had received before. Each client is charged the processor time of its jobs, and the client with the lowest charge is
//! served next. A client that begins to wait starts at the virtual clock. So it gains nothing from the time when it had no
//! jobs, and waits for at most one job of each other client.

//!
//! A place is reserved before its job exists, because the data of the job is looked up only for a client that has a place. A
//! reserved place counts as a waiting job, but no thread takes it.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use crate::limits::Network;

/// The id of a place, reserved or with a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

/// The jobs of all clients.
pub(super) struct FairQueue<T> {
    /// The clients with a place or a running job.
    clients: HashMap<Network, Backlog<T>>,
    /// The clients with places, by the number of their places.
    by_length: BTreeSet<(usize, Network)>,
    /// The clients with waiting jobs, in the order in which they are served.
    by_turn: BTreeSet<(Turn, Network)>,
    /// The number of taken places, reserved or with a job.
    places_taken: usize,
    virtual_clock: Duration,
    tickets: u64,
}

/// The state of one client in the queue.
struct Backlog<T> {
    /// Reserved places without a job.
    reserved: BTreeSet<Ticket>,
    /// The waiting jobs, in order of their tickets.
    jobs: VecDeque<(Ticket, T)>,
    running: usize,
    /// The processor time that the client was charged, on the virtual clock.
    charged: Duration,
    /// Orders clients with the same charge: the one that was served longest ago is next.
    last_turn: Ticket,
}

/// The order of service: the lowest charge first, and among equal charges the client that was served longest ago.
type Turn = (Duration, Ticket);

impl<T> Backlog<T> {
    /// The position of its next job in the order of service, if one waits.
    fn turn(&self) -> Option<Turn> {
        (!self.jobs.is_empty()).then_some((self.charged, self.last_turn))
    }

    /// The number of its places.
    fn len(&self) -> usize {
        self.reserved.len() + self.jobs.len()
    }

    fn is_idle(&self) -> bool {
        self.len() == 0 && self.running == 0
    }

    /// Removes the newest place, and returns its job. Reserved places are removed first, because no work was done for them.
    fn displace(&mut self) -> Option<T> {
        if self.reserved.pop_last().is_some() {
            return None;
        }
        self.jobs.pop_back().map(|(_, job)| job)
    }
}

/// A place that was reserved.
pub(super) struct Reserved<T> {
    pub ticket: Ticket,
    /// The job that was displaced for it.
    pub displaced: Option<T>,
}

impl<T> FairQueue<T> {
    pub fn new() -> Self {
        Self {
            clients: HashMap::new(),
            by_length: BTreeSet::new(),
            by_turn: BTreeSet::new(),
            places_taken: 0,
            virtual_clock: Duration::ZERO,
            tickets: 0,
        }
    }

    /// The number of taken places.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.places_taken
    }

    /// Reserves one of `places` places. If all are taken, the client with the most places loses its newest one, unless it would
    /// then have fewer than the new client. So the client with the fewest places gets one while another has at least two more.
    pub fn reserve(&mut self, client: Network, places: usize) -> Option<Reserved<T>> {
        let displaced = if self.places_taken < places {
            self.places_taken += 1;
            None
        } else {
            let longest = self.longest_beyond(client)?;
            self.change(longest, Backlog::displace)?
        };
        let ticket = self.next_ticket();
        let virtual_clock = self.virtual_clock;
        self.clients.entry(client).or_insert_with(|| Backlog {
            reserved: BTreeSet::new(),
            jobs: VecDeque::new(),
            running: 0,
            charged: virtual_clock,
            last_turn: ticket,
        });
        self.change(client, |backlog| backlog.reserved.insert(ticket));
        Some(Reserved { ticket, displaced })
    }

    /// Puts a job into a reserved place, behind the other jobs of its client.
    ///
    /// # Errors
    /// The place was displaced by another client; the job is returned.
    pub fn put(&mut self, client: Network, reserved: Ticket, job: T) -> Result<Ticket, T> {
        let ticket = self.next_ticket();
        let virtual_clock = self.virtual_clock;
        let mut job = Some(job);
        self.change(client, |backlog| {
            if backlog.reserved.remove(&reserved) {
                if backlog.jobs.is_empty() {
                    backlog.charged = backlog.charged.max(virtual_clock);
                    backlog.last_turn = ticket;
                }
                backlog.jobs.extend(job.take().map(|job| (ticket, job)));
            }
        });
        match job {
            None => Ok(ticket),
            Some(job) => Err(job),
        }
    }

    /// The client with the most places, if it has more than `client` would have with one more.
    fn longest_beyond(&self, client: Network) -> Option<Network> {
        let own = self.clients.get(&client).map_or(0, Backlog::len);
        let (most, longest) = self.by_length.last()?;
        (*most > own + 1).then_some(*longest)
    }

    /// Changes the state of a client, and updates its position. A client without places and running jobs is removed.
    fn change<R>(
        &mut self,
        client: Network,
        change: impl FnOnce(&mut Backlog<T>) -> R,
    ) -> Option<R> {
        let backlog = self.clients.get_mut(&client)?;
        let (length, turn) = (backlog.len(), backlog.turn());
        let changed = change(backlog);
        let (new_length, new_turn) = (backlog.len(), backlog.turn());
        let is_idle = backlog.is_idle();
        if length != new_length {
            self.by_length.remove(&(length, client));
            if new_length > 0 {
                self.by_length.insert((new_length, client));
            }
        }
        if turn != new_turn {
            if let Some(turn) = turn {
                self.by_turn.remove(&(turn, client));
            }
            self.by_turn.extend(new_turn.map(|turn| (turn, client)));
        }
        if is_idle {
            self.clients.remove(&client);
        }
        Some(changed)
    }

    /// Takes the next job. Its client is charged `estimate` until [`Self::settle`] is called with the actual time.
    pub fn take(&mut self, estimate: Duration) -> Option<(Network, T)> {
        let ((charged, _), client) = *self.by_turn.first()?;
        self.virtual_clock = self.virtual_clock.max(charged);
        // Higher than every ticket so far.
        let last_turn = self.next_ticket();
        let job = self.change(client, |backlog| {
            backlog.charged += estimate;
            backlog.running += 1;
            backlog.last_turn = last_turn;
            backlog.jobs.pop_front()
        });
        let (_, job) = job.flatten()?;
        self.places_taken -= 1;
        Some((client, job))
    }

    /// Replaces the estimate of a finished job by its actual time.
    pub fn settle(&mut self, client: Network, estimate: Duration, took: Duration) {
        self.change(client, |backlog| {
            backlog.charged = (backlog.charged + took).saturating_sub(estimate);
            backlog.running = backlog.running.saturating_sub(1);
        });
    }

    /// Removes a place, reserved or with a waiting job, and returns the job. Its client is not charged.
    pub fn remove(&mut self, client: Network, ticket: Ticket) -> Option<T> {
        let (was_there, job) = self.change(client, |backlog| {
            if backlog.reserved.remove(&ticket) {
                return (true, None);
            }
            let at = backlog.jobs.binary_search_by_key(&ticket, |(it, _)| *it);
            let job = at.ok().and_then(|at| backlog.jobs.remove(at));
            (job.is_some(), job.map(|(_, job)| job))
        })?;
        self.places_taken -= usize::from(was_there);
        job
    }

    fn next_ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    const HASH: Duration = Duration::from_millis(10);

    fn client(number: u8) -> Network {
        Network::of(Some(IpAddr::from([203, 0, 113, number])))
    }

    /// A job that was admitted.
    struct Admitted {
        ticket: Ticket,
        displaced: Option<u8>,
    }

    /// Reserves a place and puts a job there.
    fn admit_one(
        queue: &mut FairQueue<u8>,
        number: u8,
        job: u8,
        places: usize,
    ) -> Option<Admitted> {
        let Reserved { ticket, displaced } = queue.reserve(client(number), places)?;
        let ticket = queue.put(client(number), ticket, job).unwrap();
        Some(Admitted { ticket, displaced })
    }

    /// Admits `count` jobs of a client, each named by its client.
    fn admit(queue: &mut FairQueue<u8>, number: u8, count: usize, places: usize) -> Vec<Ticket> {
        let admit = |_| admit_one(queue, number, number, places);
        (0..count).filter_map(admit).map(|it| it.ticket).collect()
    }

    /// Runs `count` jobs, one after the other, and says whose they were.
    fn serve(queue: &mut FairQueue<u8>, count: usize, took: impl Fn(u8) -> Duration) -> Vec<u8> {
        let mut served = Vec::new();
        for _ in 0..count {
            let Some((client, job)) = queue.take(HASH) else {
                break;
            };
            queue.settle(client, HASH, took(job));
            served.push(job);
        }
        served
    }

    #[test]
    fn an_ipv6_network_is_one_client_and_so_are_all_unknown_addresses() {
        let of = |address: &str| Network::of(Some(address.parse().unwrap()));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:203.0.113.7"), of("203.0.113.7"));
        assert_ne!(of("203.0.113.7"), of("203.0.113.8"));
        assert_eq!(Network::of(None), Network::of(None));
    }

    #[test]
    fn a_newcomer_waits_for_one_job_of_each_other_client() {
        let mut queue = FairQueue::new();
        for number in 1..=3 {
            admit(&mut queue, number, 500, 2000);
        }
        // This holds however long the others were served.
        serve(&mut queue, 100, |_| HASH);
        admit(&mut queue, 9, 2, 2000);
        let served = serve(&mut queue, 8, |_| HASH);
        let turns: Vec<usize> = (0..8).filter(|at| served[*at] == 9).collect();
        assert!(matches!(turns[..], [0..=3, 4..=7]), "{served:?}");
    }

    #[test]
    fn a_client_with_many_jobs_gets_no_more_than_one_with_few() {
        let mut queue = FairQueue::new();
        admit(&mut queue, 1, 500, 1000);
        admit(&mut queue, 2, 20, 1000);
        let served = serve(&mut queue, 40, |_| HASH);
        assert_eq!(served.iter().filter(|it| **it == 2).count(), 20);
        // It gets all the time that no other client needs.
        assert_eq!(serve(&mut queue, 1000, |_| HASH), vec![1; 480]);
    }

    #[test]
    fn jobs_of_one_client_are_served_in_order() {
        let mut queue = FairQueue::new();
        for number in 0..5 {
            admit_one(&mut queue, 1, number, 10);
        }
        assert_eq!(serve(&mut queue, 10, |_| HASH), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn costly_jobs_are_charged_by_their_actual_time() {
        let mut queue = FairQueue::new();
        admit(&mut queue, 1, 500, 2000);
        admit(&mut queue, 2, 500, 2000);
        let took = |job| if job == 1 { 9 * HASH } else { HASH };
        let served = serve(&mut queue, 100, took);
        let dear = served.iter().filter(|it| **it == 1).count();
        assert!((9..=11).contains(&dear), "{dear} of 100");
    }

    #[test]
    fn an_idle_client_gains_no_credit() {
        let mut queue = FairQueue::new();
        admit(&mut queue, 1, 100, 2000);
        admit(&mut queue, 2, 1, 2000);
        serve(&mut queue, 60, |_| HASH);
        admit(&mut queue, 2, 40, 2000);
        let served = serve(&mut queue, 20, |_| HASH);
        assert_eq!(served.iter().filter(|it| **it == 2).count(), 10);
    }

    #[test]
    fn a_full_queue_admits_the_client_with_the_least_at_the_cost_of_the_one_with_the_most() {
        let mut queue = FairQueue::new();
        assert_eq!(admit(&mut queue, 1, 500, 100).len(), 100);
        assert!(queue.reserve(client(1), 100).is_none());
        let admitted = admit_one(&mut queue, 2, 2, 100).unwrap();
        assert_eq!(admitted.displaced, Some(1));
        // Up to its share of the places.
        assert_eq!(admit(&mut queue, 2, 500, 100).len(), 49);
        assert_eq!(queue.len(), 100);
        assert_eq!(admit(&mut queue, 3, 500, 100).len(), 33);
        // No client has fewer places than the new one would have.
        let mut queue = FairQueue::new();
        for number in 0..100 {
            admit(&mut queue, number, 1, 100);
        }
        assert!(queue.reserve(client(200), 100).is_none());
        assert_eq!(queue.len(), 100);
    }

    #[test]
    fn the_newest_place_is_displaced() {
        let mut queue = FairQueue::new();
        for number in 0..5 {
            admit_one(&mut queue, 1, number, 5);
        }
        let admitted = admit_one(&mut queue, 2, 10, 5).unwrap();
        assert_eq!(admitted.displaced, Some(4));
        assert_eq!(serve(&mut queue, 10, |_| HASH), [0, 10, 1, 2, 3]);
    }

    #[test]
    fn reserved_places_count_like_jobs_until_they_are_given_back() {
        let mut queue = FairQueue::new();
        let mut reserve = |number: u8| {
            let reserved = queue.reserve(client(number), 4);
            reserved.map(|it| it.ticket)
        };
        let reserved: Vec<Ticket> = (0..4).filter_map(|_| reserve(1)).collect();
        assert_eq!(reserved.len(), 4);
        assert_eq!(reserve(1), None);
        // The client with the most places loses its newest one.
        let newcomers = reserve(2).unwrap();
        assert_eq!(queue.len(), 4);
        assert_eq!(queue.put(client(1), reserved[3], 1), Err(1));
        // Removing a displaced place frees nothing.
        assert_eq!(queue.remove(client(1), reserved[3]), None);
        assert!(queue.reserve(client(1), 4).is_none());
        queue.put(client(1), reserved[1], 1).unwrap();
        queue.put(client(2), newcomers, 2).unwrap();
        assert_eq!(queue.remove(client(1), reserved[0]), None);
        assert!(queue.reserve(client(1), 4).is_some());
        assert_eq!(serve(&mut queue, 10, |_| HASH), [1, 2]);
    }

    #[test]
    fn a_reserved_place_is_displaced_before_a_job() {
        let mut queue = FairQueue::new();
        admit(&mut queue, 1, 2, 4);
        let reserved = queue.reserve(client(1), 4).unwrap().ticket;
        admit(&mut queue, 1, 1, 4);
        assert_eq!(admit_one(&mut queue, 2, 2, 4).unwrap().displaced, None);
        assert_eq!(queue.put(client(1), reserved, 1), Err(1));
        assert_eq!(queue.len(), 4);
        assert_eq!(serve(&mut queue, 10, |_| HASH).len(), 4);
    }

    #[test]
    fn a_client_with_only_reservations_gains_no_credit() {
        let mut queue = FairQueue::new();
        let reserved = queue.reserve(client(2), 2000).unwrap().ticket;
        admit(&mut queue, 1, 100, 2000);
        serve(&mut queue, 60, |_| HASH);
        queue.put(client(2), reserved, 2).unwrap();
        admit(&mut queue, 2, 39, 2000);
        let served = serve(&mut queue, 20, |_| HASH);
        assert_eq!(served.iter().filter(|it| **it == 2).count(), 10);
    }

    #[test]
    fn a_removed_job_is_not_served_and_frees_its_place() {
        let mut queue = FairQueue::new();
        let tickets = admit(&mut queue, 1, 3, 3);
        assert_eq!(queue.remove(client(1), tickets[1]), Some(1));
        assert_eq!(queue.remove(client(1), tickets[1]), None);
        assert_eq!(queue.len(), 2);
        assert_eq!(admit(&mut queue, 1, 5, 3).len(), 1);
        assert_eq!(serve(&mut queue, 10, |_| HASH).len(), 3);
        assert_eq!(queue.remove(client(1), tickets[0]), None);
    }

    #[test]
    fn a_client_without_jobs_is_removed() {
        let mut queue = FairQueue::new();
        for number in 0..200 {
            let tickets = admit(&mut queue, number, 2, 1000);
            queue.remove(client(number), tickets[0]);
            serve(&mut queue, 1, |_| HASH);
        }
        for number in 0..200 {
            let tickets = admit(&mut queue, number, 1, 1000);
            queue.remove(client(number), tickets[0]);
            let reserved = queue.reserve(client(number), 1000).unwrap();
            queue.remove(client(number), reserved.ticket);
        }
        assert!(queue.clients.is_empty());
        assert!(queue.by_length.is_empty() && queue.by_turn.is_empty());
    }

    #[test]
    fn the_order_of_the_clients_is_kept_through_every_change() {
        let mut queue = FairQueue::new();
        let mut places = Vec::new();
        let mut running = Vec::new();
        // A fixed sequence without a pattern (Knuth's linear congruential generator).
        let mut random: u64 = 1;
        for _ in 0..20_000 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let number = (random >> 40) as u8 % 50;
            match (random >> 33) % 5 {
                0 | 1 => {
                    let reserved = queue.reserve(client(number), 100);
                    places.extend(reserved.map(|it| (client(number), it.ticket)));
                }
                2 if !places.is_empty() => {
                    let (client, ticket) = places.swap_remove(number as usize % places.len());
                    if let Ok(ticket) = queue.put(client, ticket, number) {
                        places.push((client, ticket));
                    }
                }
                3 if !places.is_empty() => {
                    let (client, ticket) = places.swap_remove(number as usize % places.len());
                    queue.remove(client, ticket);
                }
                _ => {
                    running.extend(queue.take(HASH).map(|(client, _)| client));
                    if running.len() > 3 {
                        queue.settle(running.remove(0), HASH, HASH * u32::from(number));
                    }
                }
            }
            let backlogs = || queue.clients.iter();
            let lengths = backlogs().map(|(client, it)| (it.len(), *client));
            let lengths: BTreeSet<_> = lengths.filter(|(length, _)| *length > 0).collect();
            let turns = backlogs().filter_map(|(client, it)| Some((it.turn()?, *client)));
            assert_eq!(queue.by_turn, turns.collect());
            assert_eq!(
                queue.len(),
                lengths.iter().map(|(length, _)| length).sum::<usize>()
            );
            assert_eq!(queue.by_length, lengths);
        }
    }
}
