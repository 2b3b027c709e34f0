//! One abusive client, with one address and one account.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::{Args, ValueEnum};
use hyper::Method;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;

use super::{h2, others};
use crate::http::{Carried, Connection, JSON, connect_from};
use crate::operations::{LOGIN, login, person, sign_in};
use crate::report::print;

/// Abuse the service at an address until the standard input is closed.
#[derive(Args)]
pub(crate) struct Abuser {
    /// Where the service listens
    #[arg(long)]
    address: String,
    /// What to do
    #[arg(long)]
    kind: Abuse,
}

/// A kind of abuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Abuse {
    /// Signs in with the right password over 600 connections.
    RightPasswords,
    /// Guesses passwords of the others over 100 connections.
    WrongPasswords,
    /// Registers and changes its password with passwords that are the most expensive to score.
    ScoredPasswords,
    /// Ends its other sessions repeatedly.
    SelfService,
    /// Sends requests over HTTP/1.1 and HTTP/2 and reads no answer.
    UnreadAnswers,
    /// Sends endless bodies.
    OpenBodies,
    /// Holds 2,500 connections.
    Connections,
    /// Follows the log over as many connections as it can, half of which do not read.
    Followers,
}

impl Abuse {
    pub(super) const ALL: [Self; 8] = [
        Self::RightPasswords,
        Self::WrongPasswords,
        Self::ScoredPasswords,
        Self::SelfService,
        Self::UnreadAnswers,
        Self::OpenBodies,
        Self::Connections,
        Self::Followers,
    ];

    /// The abuser's account. Each abuse has its own, so that limits reached by one do not affect another.
    pub(super) fn account(self) -> String {
        format!("abuser-{self}")
    }

    /// The abuser's address, which no other client has.
    fn source(self) -> IpAddr {
        let number = Self::ALL.iter().take_while(|other| **other != self).count();
        Ipv4Addr::from_bits(FIRST_SOURCE.to_bits() + number as u32).into()
    }
}

impl fmt::Display for Abuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value().ok_or(fmt::Error)?;
        f.write_str(value.get_name())
    }
}

/// The first address of abusers.
const FIRST_SOURCE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A password of characters with several readings each, which takes the longest to score.
const COSTLY: &str = "({[<369!1|7%205$+24@8({[<369!1|7%205$+24@8({[<36";

/// The endpoint with the longest answer that needs no authentication.
const LONG_ANSWER: &str = "/asyncapi.json";

/// The number of open requests on a connection that reads no answers.
const STREAMS: u32 = 100;

/// Abuses the service until the standard input is closed, and prints the answers.
pub(crate) async fn run(abuser: &Abuser) -> anyhow::Result<()> {
    let answers = Answers::default();
    let mut clients = JoinSet::new();
    begin(abuser, &answers, &mut clients).await?;
    let ended = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    tokio::task::spawn_blocking(ended).await??;
    print(&format!("{answers}\n"));
    // Requests in flight are abandoned.
    std::process::exit(0)
}

async fn begin(
    abuser: &Abuser,
    answers: &Answers,
    clients: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    let address = abuser.address.as_str();
    let (source, account) = (abuser.kind.source(), abuser.kind.account());
    let connection = || Connection::from(source, address);
    let mut asking = Asking {
        source,
        clients,
        answers,
        address,
    };
    match abuser.kind {
        Abuse::RightPasswords => {
            let body = login(&account);
            asking.repeat(600, move |_| Ask::post(LOGIN, &body, None));
        }
        Abuse::WrongPasswords => asking.repeat(100, |turn| {
            let username = person(turn % others::PEOPLE);
            let form = json!({"username": username, "password": "not-the-password"});
            Ask::post(LOGIN, &form.to_string(), None)
        }),
        Abuse::ScoredPasswords => {
            let token = format!("Bearer {}", sign_in(&mut connection(), &account).await?);
            asking.repeat(10, |turn| {
                let name = format!("scored-{turn}");
                let email = format!("{name}@example.com");
                let form = json!({"name": name, "email": email, "password": COSTLY});
                Ask::post("/v1/auth/register", &form.to_string(), None)
            });
            // A wrong current password, so that the password does not change.
            let form = json!({"current_password": "not-it", "new_password": COSTLY}).to_string();
            asking.repeat(10, move |_| {
                Ask::post("/account/password", &form, Some(&token))
            });
        }
        Abuse::SelfService => {
            let token = format!("Bearer {}", sign_in(&mut connection(), &account).await?);
            asking.repeat(32, move |_| Ask {
                method: Method::DELETE,
                path: "/account/sessions".to_owned(),
                authorization: Some(token.clone()),
                body: None,
            });
        }
        Abuse::UnreadAnswers => {
            let mut requests = h2::preface_with_window_0();
            for number in 0..STREAMS {
                h2::get(&mut requests, 2 * number + 1, LONG_ANSWER);
            }
            asking.hold(100, &requests, false);
            let request = format!("GET {LONG_ANSWER} HTTP/1.1\r\nHost: localhost\r\n\r\n");
            asking.hold(100, request.repeat(STREAMS as usize).as_bytes(), false);
        }
        Abuse::OpenBodies => {
            let mut requests = h2::preface_with_window_0();
            for number in 0..STREAMS {
                h2::post_without_end(&mut requests, 2 * number + 1, LOGIN, &[b' '; 16_000]);
            }
            asking.hold(100, &requests, true);
            let head = format!(
                "POST {LOGIN} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {JSON}\r\nContent-Length: 16001\r\n\r\n"
            );
            let mut request = head.into_bytes();
            request.resize(request.len() + 16_000, b' ');
            asking.hold(400, &request, true);
        }
        Abuse::Connections => asking.hold(2500, b"GET /healthz HTTP/1.1\r\nHost: ", true),
        Abuse::Followers => {
            let token = sign_in(&mut connection(), &account).await?;
            let request = format!(
                "GET /audit/events?follow=true&after=0 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
            );
            asking.hold(600, request.as_bytes(), true);
            asking.hold(600, request.as_bytes(), false);
        }
    }
    Ok(())
}

/// A request.
struct Ask {
    method: Method,
    path: String,
    authorization: Option<String>,
    body: Option<String>,
}

impl Ask {
    fn post(path: &str, body: &str, authorization: Option<&str>) -> Self {
        Self {
            method: Method::POST,
            path: path.to_owned(),
            authorization: authorization.map(str::to_owned),
            body: Some(body.to_owned()),
        }
    }
}

/// Starts the clients of an abuse.
struct Asking<'a> {
    clients: &'a mut JoinSet<()>,
    answers: &'a Answers,
    source: IpAddr,
    address: &'a str,
}

impl Asking<'_> {
    /// Sends the requests of `ask` over this many connections, each right after the answer to the one before.
    fn repeat(&mut self, connections: u64, ask: impl Fn(u64) -> Ask + Send + Sync + 'static) {
        let ask = Arc::new(ask);
        for number in 0..connections {
            let mut connection = Connection::from(self.source, self.address);
            let (ask, answers) = (Arc::clone(&ask), self.answers.clone());
            self.clients.spawn(async move {
                for turn in 0.. {
                    let asked = ask(turn * connections + number);
                    let carried = Carried {
                        authorization: asked.authorization.as_deref(),
                        body: asked.body.as_deref().map(|body| (body, JSON)),
                    };
                    match connection.send(asked.method, &asked.path, carried).await {
                        Ok(answer) => answers.count(answer.status().as_str()),
                        Err(_) => {
                            connection.close();
                            answers.broken().await;
                        }
                    }
                }
            });
        }
    }

    /// Sends the same bytes over this many connections and holds them, with or without reading. Closed connections are
    /// reopened.
    fn hold(&mut self, connections: usize, request: &[u8], reads: bool) {
        for _ in 0..connections {
            let (address, request) = (self.address.to_owned(), request.to_vec());
            let (source, answers) = (self.source, self.answers.clone());
            self.clients.spawn(async move {
                loop {
                    // The way in which it ended does not matter.
                    let _ = send_and_hold(source, &address, &request, reads, &answers).await;
                    answers.broken().await;
                }
            });
        }
    }
}

async fn send_and_hold(
    source: IpAddr,
    address: &str,
    request: &[u8],
    reads: bool,
    answers: &Answers,
) -> anyhow::Result<()> {
    let mut stream = connect_from(Some(source), address).await?;
    stream.write_all(request).await?;
    answers.count("sent");
    if reads {
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
        return Ok(());
    }
    // Without reading, only sending shows that the connection has ended.
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if stream.take_error()?.is_some() {
            return Ok(());
        }
    }
}

/// The number of answers by status.
#[derive(Clone, Default)]
struct Answers(Arc<Mutex<BTreeMap<String, u64>>>);

impl Answers {
    fn count(&self, answer: &str) {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counted.entry(answer.to_owned()).or_default() += 1;
    }

    /// Counts a closed or refused connection, and waits for a moment.
    async fn broken(&self) {
        self.count("closed");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (answer, count) in counted.iter() {
            write!(f, "{count} × {answer}  ")?;
        }
        Ok(())
    }
}
