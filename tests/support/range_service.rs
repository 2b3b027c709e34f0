//! A range service for breached passwords, which can fail in several ways.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// What the service answers.
#[derive(Clone)]
pub enum Answers {
    /// These hashes, in hexadecimal digits, and padding.
    List(Vec<String>),
    /// This status without a list.
    Status(u16),
    /// A redirect to this URL.
    Redirect(String),
    /// Text that is no list.
    Page,
    /// More than any list has.
    Endless,
    /// Nothing.
    Silence,
}

struct State {
    answers: Answers,
    requests: Vec<String>,
}

/// A running service.
pub struct RangeService {
    port: u16,
    state: Arc<Mutex<State>>,
    task: AbortHandle,
}

impl RangeService {
    pub async fn start(answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State {
            answers,
            requests: vec![],
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

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/range", self.port)
    }

    /// The heads of the requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.state.lock().unwrap().requests.clone()
    }
}

impl Drop for RangeService {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut head = Vec::new();
    while let Ok(byte) = stream.read_u8().await {
        head.push(byte);
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        let request = String::from_utf8(std::mem::take(&mut head)).unwrap();
        let answers = {
            let mut state = state.lock().unwrap();
            state.requests.push(request.clone());
            state.answers.clone()
        };
        let path = request.split(' ').nth(1).unwrap();
        let prefix = path.strip_prefix("/range/").unwrap_or_default();
        let answer = match answers {
            Answers::List(hashes) => with_body(&list(&hashes, prefix)),
            Answers::Status(status) => {
                format!("HTTP/1.1 {status} Failed\r\nContent-Length: 0\r\n\r\n")
            }
            Answers::Redirect(url) => {
                format!(
                    "HTTP/1.1 302 Found\r\nLocation: {url}/{prefix}\r\nContent-Length: 0\r\n\r\n"
                )
            }
            Answers::Page => with_body("<html>Sign in to this network</html>"),
            Answers::Endless => {
                with_body(&"0018A45C4D1DEF81644B54AB7F969B88D65:1\r\n".repeat(100_000))
            }
            Answers::Silence => continue,
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn with_body(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The rest of the hashes with this prefix, and an entry that was added as padding.
fn list(hashes: &[String], prefix: &str) -> String {
    let rests = hashes.iter().filter_map(|hash| hash.strip_prefix(prefix));
    let mut lines: Vec<_> = rests.map(|rest| format!("{rest}:37")).collect();
    lines.push(format!("{}:0", "0".repeat(35)));
    lines.join("\r\n")
}
