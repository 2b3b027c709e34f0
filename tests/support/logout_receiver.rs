//! The endpoint of a client for logout tokens (OpenID Connect Back-Channel Logout 1.0 §2.5), which can fail in several ways.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use url::form_urlencoded;

use super::eventually::within;
use super::token;

/// What the endpoint answers.
#[derive(Clone, Debug)]
pub enum Answers {
    /// This status, with an empty body.
    Status(u16),
    /// These statuses for the tokens of these sessions, and otherwise 200.
    RefusesSessions(Vec<(String, u16)>),
    /// A redirect to this URL.
    Redirect(String),
    /// The status 200 and a body that never ends.
    Endless,
    /// The status 200 after this time.
    After(Duration),
    /// Nothing.
    Silence,
}

/// A request that the endpoint got.
#[derive(Clone, Debug)]
pub struct Received {
    /// The request line and the header fields.
    pub head: String,
    /// The token.
    pub token: String,
}

impl Received {
    /// The claims of the token, unverified.
    pub fn claims(&self) -> Value {
        token::claims(&self.token)
    }

    /// The session of the client that has ended.
    pub fn sid(&self) -> String {
        self.claims()["sid"].as_str().expect("a session").to_owned()
    }
}

struct State {
    answers: Answers,
    received: Vec<Received>,
}

/// A running endpoint.
pub struct LogoutReceiver {
    port: u16,
    state: Arc<Mutex<State>>,
    task: AbortHandle,
}

impl LogoutReceiver {
    /// An endpoint that takes every token.
    pub async fn start() -> Self {
        Self::answering(Answers::Status(200)).await
    }

    /// An endpoint that answers so.
    pub async fn answering(answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its number").port();
        let state = Arc::new(Mutex::new(State {
            answers,
            received: vec![],
        }));
        let serving = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&serving)));
            }
        });
        Self {
            port,
            state,
            task: task.abort_handle(),
        }
    }

    /// The URI to register.
    pub fn uri(&self) -> String {
        format!("http://127.0.0.1:{}/logout?client=app", self.port)
    }

    /// Answers so from now on.
    pub fn answers(&self, answers: Answers) {
        self.state.lock().unwrap().answers = answers;
    }

    /// The requests so far.
    pub fn received(&self) -> Vec<Received> {
        self.state.lock().unwrap().received.clone()
    }

    /// The sessions of the tokens so far.
    pub fn sids(&self) -> Vec<String> {
        self.received().iter().map(Received::sid).collect()
    }

    /// Waits for this number of tokens in all.
    pub async fn has_received(&self, count: usize) -> Vec<Received> {
        let what = format!("{count} logout tokens");
        within(Duration::from_secs(60), &what, async || {
            let received = self.received();
            (received.len() >= count).then_some(received)
        })
        .await
    }

    /// Waits for the token of this session.
    pub async fn has_received_of(&self, sid: &str) -> Received {
        let what = format!("the logout token of {sid}");
        within(Duration::from_secs(60), &what, async || {
            self.received().into_iter().find(|it| it.sid() == sid)
        })
        .await
    }
}

impl Drop for LogoutReceiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves the requests of a connection, one after the other.
async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    while let Some(received) = read_request(&mut stream).await {
        let sid = received.sid();
        let answers = {
            let mut state = state.lock().unwrap();
            state.received.push(received);
            state.answers.clone()
        };
        let empty = |status: u16| format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n");
        let answer = match answers {
            Answers::Status(status) => empty(status),
            Answers::RefusesSessions(refused) => {
                let refused = refused.iter().find(|(session, _)| *session == sid);
                empty(refused.map_or(200, |(_, status)| *status))
            }
            Answers::Redirect(to) => {
                format!("HTTP/1.1 307 x\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n")
            }
            Answers::After(time) => {
                tokio::time::sleep(time).await;
                empty(200)
            }
            Answers::Endless => {
                let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n";
                if stream.write_all(head.as_bytes()).await.is_err() {
                    return;
                }
                while stream.write_all(&[b'x'; 1024]).await.is_ok() {}
                return;
            }
            Answers::Silence => std::future::pending().await,
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<Received> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    let mut body = vec![0; length?];
    stream.read_exact(&mut body).await.ok()?;
    let mut fields = form_urlencoded::parse(&body);
    let (_, token) = fields.find(|(name, _)| name == "logout_token")?;
    Some(Received {
        head,
        token: token.into_owned(),
    })
}
