//! A TCP proxy with which a test controls which server a node reaches, and whether data arrives.

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
    /// The port to which connections are forwarded; `None` refuses them.
    upstream: Option<u16>,
    /// Whether forwarding is paused.
    holds: bool,
    /// How often all connections were closed.
    cuts: u64,
    /// How many connections were opened.
    opened: u64,
    /// How many of the first connections are lost: they stay open, and nothing is forwarded, as after a firewall
    /// dropped them.
    lost: u64,
    /// The number of bytes from its client after which a connection is lost.
    most: u64,
}

impl Proxy {
    /// A proxy to a local port.
    pub async fn to(upstream: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its number").port();
        let state = Arc::new(watch::Sender::new(State {
            upstream: Some(upstream),
            holds: false,
            cuts: 0,
            opened: 0,
            lost: 0,
            most: u64::MAX,
        }));
        let listening = tokio::spawn({
            let state = Arc::clone(&state);
            async move {
                loop {
                    let Ok((client, _)) = listener.accept().await else {
                        continue;
                    };
                    let mut number = 0;
                    state.send_modify(|state| {
                        number = state.opened;
                        state.opened += 1;
                    });
                    tokio::spawn(serve(client, number, state.subscribe()));
                }
            }
        });
        Self {
            port,
            state,
            _listening: AbortOnDropHandle::new(listening),
        }
    }

    /// The port at which it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Pauses forwarding. Connections stay open.
    pub fn holds(&self, holds: bool) {
        self.state.send_modify(|state| state.holds = holds);
    }

    /// Loses every connection silently: it stays open, and nothing is forwarded. New connections work.
    pub fn loses_connections(&self) {
        self.state.send_modify(|state| state.lost = state.opened);
    }

    /// Loses every connection silently after its client has sent more than this many bytes.
    pub fn loses_connections_after(&self, bytes: u64) {
        self.state.send_modify(|state| state.most = bytes);
    }

    /// Closes every connection, and forwards new ones to another port; `None` refuses them.
    pub fn leads_to(&self, upstream: Option<u16>) {
        self.state.send_modify(|state| {
            state.upstream = upstream;
            state.holds = false;
            state.cuts += 1;
        });
    }
}

impl State {
    fn has_lost(&self, number: u64) -> bool {
        number < self.lost
    }
}

async fn serve(client: TcpStream, number: u64, mut state: watch::Receiver<State>) {
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
        () = pass_on(from_client, to_server, there, |state, sent| !state.has_lost(number) && sent <= state.most) => {}
        () = pass_on(from_server, to_client, back, |state, _| !state.has_lost(number)) => {}
        _ = state.wait_for(|state| state.cuts != cuts) => {}
    }
}

async fn pass_on(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<State>,
    passes: impl Fn(&State, u64) -> bool,
) {
    let mut sent = 0;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else {
            return;
        };
        sent += read as u64;
        if state
            .wait_for(|state| !state.holds && passes(state, sent))
            .await
            .is_err()
            || to.write_all(&buffer[..read]).await.is_err()
        {
            return;
        }
    }
}
