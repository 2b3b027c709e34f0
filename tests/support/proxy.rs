//! A TCP proxy, by which a test decides which server a node reaches, and whether what is sent arrives.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// A proxy on a port of its own.
pub struct Proxy {
    port: u16,
    state: Arc<watch::Sender<State>>,
    _listening: AbortOnDropHandle<()>,
}

#[derive(Clone, Copy)]
struct State {
    /// Where connections lead; `None` refuses them.
    upstream: Option<u16>,
    /// Whether nothing is passed on for now.
    holds: bool,
    /// How often every connection was closed.
    cuts: u64,
}

impl Proxy {
    /// A proxy to a port of this machine.
    pub async fn to(upstream: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its number").port();
        let state = Arc::new(watch::Sender::new(State {
            upstream: Some(upstream),
            holds: false,
            cuts: 0,
        }));
        let listening = tokio::spawn({
            let state = Arc::clone(&state);
            async move {
                loop {
                    let Ok((client, _)) = listener.accept().await else {
                        continue;
                    };
                    tokio::spawn(serve(client, state.subscribe()));
                }
            }
        });
        Self {
            port,
            state,
            _listening: AbortOnDropHandle::new(listening),
        }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Passes nothing on until it is told otherwise; connections stay open.
    pub fn holds(&self, holds: bool) {
        self.state.send_modify(|state| state.holds = holds);
    }

    /// Closes every connection, and leads new ones to another port; `None` refuses them.
    pub fn leads_to(&self, upstream: Option<u16>) {
        self.state.send_modify(|state| {
            state.upstream = upstream;
            state.holds = false;
            state.cuts += 1;
        });
    }
}

async fn serve(client: TcpStream, mut state: watch::Receiver<State>) {
    let State { upstream, cuts, .. } = *state.borrow();
    let Some(upstream) = upstream else { return };
    let Ok(server) = TcpStream::connect(("127.0.0.1", upstream)).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (there, back) = (state.clone(), state.clone());
    tokio::select! {
        () = pass_on(from_client, to_server, there) => {}
        () = pass_on(from_server, to_client, back) => {}
        _ = state.wait_for(|state| state.cuts != cuts) => {}
    }
}

async fn pass_on(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<State>,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else {
            return;
        };
        if state.wait_for(|state| !state.holds).await.is_err()
            || to.write_all(&buffer[..read]).await.is_err()
        {
            return;
        }
    }
}
