//! Load: visitors who register, sign in and log out, and remember every answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::task::JoinSet;

use super::contract::{Tokens, is_refused, refreshes_nothing, verifies};
use super::http::{Http, Request};
use super::{Answer, Contract, Person, api_auth, eventually};

/// The number of concurrent visitors.
const AT_ONCE: usize = 8;

/// The outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The request was not sent.
    NotAsked,
    /// The service acknowledged the request.
    Acknowledged,
    /// The service answered 503 in a contract's words.
    Declined,
    /// The service did not answer.
    Unknown,
}

/// A visitor, with the outcomes of the requests.
#[derive(Clone, Debug)]
pub struct Visitor {
    pub contract: Contract,
    pub person: Person,
    pub registration: Outcome,
    /// The tokens of the acknowledged login.
    pub tokens: Option<Tokens>,
    pub logout: Outcome,
}

impl Visitor {
    /// Registers, signs in and, every third time, logs out.
    async fn visits(http: &Http, contract: Contract, person: Person, logs_out: bool) -> Self {
        let mut visitor = Self {
            contract,
            person,
            registration: Outcome::NotAsked,
            tokens: None,
            logout: Outcome::NotAsked,
        };
        let person = &visitor.person;
        let registration = contract.registration_of(person);
        let request = http.send(contract.registration()).json(&registration);
        (visitor.registration, _) = outcome_of(contract, request).await;
        if visitor.registration != Outcome::Acknowledged {
            return visitor;
        }
        let login = contract.login_of(&person.email, &person.password);
        let request = http.send(contract.login()).json(&login);
        if let (Outcome::Acknowledged, Some(answer)) = outcome_of(contract, request).await {
            let tokens = contract.tokens_in(&answer.json());
            if logs_out {
                let request = http.send(api_auth::LOGOUT).bearer(&tokens.access);
                (visitor.logout, _) = outcome_of(Contract::ApiAuth, request).await;
            }
            visitor.tokens = Some(tokens);
        }
        visitor
    }

    /// Asserts that every acknowledged request took effect, and that every other one took effect completely or not at
    /// all.
    async fn is_whole(&self, http: &Http) {
        let person = &self.person;
        let found = Contract::ApiAuth.sign_in(http, person).await.status == 200;
        match self.registration {
            Outcome::Acknowledged => assert!(found, "{} was lost", person.email),
            Outcome::Declined => assert!(!found, "{} was declined and exists", person.email),
            Outcome::NotAsked | Outcome::Unknown => {}
        }
        if !found {
            // A partial registration would be in the way.
            self.contract.registers(http, person).await;
        }
        for contract in Contract::ALL {
            contract.signs_in(http, person).await;
        }
        if self.contract == Contract::ApiAuth {
            let body = Contract::ApiAuth.login_of(&person.username, &person.password);
            let answer = http.send(api_auth::LOGIN).json(&body).await;
            assert_eq!(answer.status, 200, "{answer}");
        }
        let Some(tokens) = &self.tokens else { return };
        match self.logout {
            Outcome::NotAsked | Outcome::Declined => verifies(http, &tokens.access).await,
            Outcome::Acknowledged => {
                is_refused(http, &tokens.access).await;
                if let Some(refresh) = &tokens.refresh {
                    refreshes_nothing(http, refresh).await;
                }
            }
            Outcome::Unknown => {}
        }
    }
}

/// Asserts of each visitor that every acknowledged request took effect, and that every other one took effect completely or not at all.
pub async fn are_whole(visitors: &[Visitor], http: &Http) {
    let checks = visitors.iter().map(|visitor| visitor.is_whole(http));
    stream::iter(checks)
        .buffer_unordered(AT_ONCE)
        .collect::<()>()
        .await;
}

/// Sends a request to a service that may be stopping, and asserts that an answer is in the words of `contract`.
async fn outcome_of(contract: Contract, request: Request) -> (Outcome, Option<Answer>) {
    match request.attempt().await {
        Ok(answer) if answer.status < 300 => (Outcome::Acknowledged, Some(answer)),
        Ok(answer) => {
            contract.refuses(&answer, 503);
            answer.retry_after();
            (Outcome::Declined, Some(answer))
        }
        Err(_) => (Outcome::Unknown, None),
    }
}

/// A load of successive visitors, several at a time.
pub struct Load {
    people: JoinSet<Vec<Visitor>>,
    done: Arc<AtomicUsize>,
    ending: Arc<AtomicBool>,
}

impl Load {
    /// Sends visitors until [`Self::end`], or until the service stops answering.
    pub fn on(http: &Http, name: &str) -> Self {
        let done = Arc::new(AtomicUsize::new(0));
        let ending = Arc::new(AtomicBool::new(false));
        let mut people = JoinSet::new();
        for lane in 0..AT_ONCE {
            let http = http.clone();
            let name = format!("{name}-{lane}").to_lowercase();
            let (done, ending) = (Arc::clone(&done), Arc::clone(&ending));
            people.spawn(async move { send_visitors(&http, &name, &done, &ending).await });
        }
        Self {
            people,
            done,
            ending,
        }
    }

    /// Waits until this many visits were acknowledged.
    pub async fn has_done(&self, visits: usize) {
        eventually(&format!("{visits} visits"), async || {
            (self.done.load(Ordering::SeqCst) >= visits).then_some(())
        })
        .await;
    }

    /// How many visits were acknowledged.
    pub fn done(&self) -> usize {
        self.done.load(Ordering::SeqCst)
    }

    /// Stops the load, and returns all visitors.
    pub async fn end(self) -> Vec<Visitor> {
        self.ending.store(true, Ordering::SeqCst);
        self.people.join_all().await.into_iter().flatten().collect()
    }
}

/// Sends one visitor after the other until `ending`, or until the service stops answering. Returns all of them.
async fn send_visitors(
    http: &Http,
    name: &str,
    done: &AtomicUsize,
    ending: &AtomicBool,
) -> Vec<Visitor> {
    let mut visitors = Vec::new();
    for number in 0.. {
        let contract = Contract::ALL[number % 4];
        let person = Person::called(&format!("{name}-{number}"));
        let visitor = Visitor::visits(http, contract, person, number % 3 == 0).await;
        let answered = visitor.registration != Outcome::Unknown;
        if visitor.registration == Outcome::Declined {
            // Visitors whom the service asks to retry later do so.
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        done.fetch_add(usize::from(visitor.tokens.is_some()), Ordering::SeqCst);
        visitors.push(visitor);
        if !answered || ending.load(Ordering::SeqCst) {
            break;
        }
    }
    visitors
}
