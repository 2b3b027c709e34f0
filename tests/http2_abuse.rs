//! Abusive HTTP/2 clients lose their own streams and do not affect others.
//!
//! `hostile_requests.rs` has the requests that are refused over both protocols, and `api/src/tests/http2.rs` the
//! deadlines.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use std::time::Duration;

use support::contract::verifies;
use support::http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, PING, RST_STREAM,
    SETTINGS, WINDOW_UPDATE, fields, frame, head,
};
use support::{Contract, Person, Program, Settings, Store, on_both_stores, own};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

on_both_stores!(
    a_client_that_reads_no_answers_loses_its_streams,
    a_client_that_sends_endless_bodies_loses_its_streams,
    a_request_that_is_reset_is_not_executed,
    a_malformed_request_is_refused,
    floods_of_frames_harm_only_the_client_that_sends_them,
    a_few_clients_do_not_keep_others_out,
);

/// A quarter of the buffer budget, and a margin for data in flight while the test counts.
const SHARE: usize = 13 * 1024 * 1024;

async fn a_client_that_reads_no_answers_loses_its_streams(store: Store) {
    let service = Program::on(store).await;
    let size = service.send(own::ASYNC_API).await.body.len();
    let (mut clients, mut cut) = (Vec::new(), 0);
    let asked = 2000;
    for _ in 0..asked / 100 {
        let mut client = Frames::with_window(&service.address(), 0).await;
        for number in 0..100 {
            let head = head(2 * number + 1, "GET", own::ASYNC_API.path, true);
            client.write(&head).await;
        }
        clients.push(client);
    }
    let mut waiting = asked as usize * size;
    // On a busy machine, a client may hear nothing for a second although more of its streams will be cut.
    for _ in 0..10 {
        for client in &mut clients {
            let heard = client.read_to_end().await;
            assert!(heard.iter().all(|frame| frame.kind != DATA), "{heard:?}");
            let resets = heard.iter().filter(|frame| frame.kind == RST_STREAM);
            cut += resets.count();
        }
        waiting = (asked as usize - cut) * size;
        if waiting <= SHARE {
            break;
        }
    }
    assert!(waiting <= SHARE, "{cut} of {asked} were cut");
    still_serves(&service).await;
}

async fn a_client_that_sends_endless_bodies_loses_its_streams(store: Store) {
    const PIECE: usize = 16 * 1024;
    let service = Program::on(store).await;
    let (mut clients, mut refused) = (Vec::new(), 0);
    let sent = 20 * 100;
    for _ in 0..20 {
        let mut client = Frames::with_window(&service.address(), 65_535).await;
        let mut window = 65_535;
        for number in 0..100 {
            let stream = 2 * number + 1;
            client
                .write(&head(stream, "POST", "/users/login", false))
                .await;
            while window < PIECE {
                let heard = client.read_answer().await.unwrap();
                refused += usize::from(heard.kind == HEADERS);
                if (heard.kind, heard.stream) == (WINDOW_UPDATE, 0) {
                    window += usize::from(heard.payload[2]) << 8 | usize::from(heard.payload[3]);
                }
            }
            window -= PIECE;
            client.write(&frame(DATA, 0, stream, &[b' '; PIECE])).await;
        }
        clients.push(client);
    }
    for client in &mut clients {
        let heard = client.read_to_end().await;
        refused += heard.iter().filter(|frame| frame.kind == HEADERS).count();
    }
    assert!(
        (sent - refused) * PIECE <= SHARE,
        "{refused} of {sent} were refused"
    );
    still_serves(&service).await;
}

async fn a_request_that_is_reset_is_not_executed(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let access = Contract::ApiAuth.signs_in(&http, &ann).await.access;
    let authorization = format!("Bearer {access}");
    let block = fields(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/api/auth/logout"),
        (":authority", "authlog"),
        ("authorization", &authorization),
    ]);
    // NO_ERROR, CANCEL
    for reason in [0_u32, 8] {
        let mut client = Frames::with_window(&service.address(), 65_535).await;
        let whole_so_far = [
            frame(HEADERS, END_HEADERS, 1, &block),
            frame(DATA, 0, 1, b"{}"),
        ];
        client.write(&whole_so_far.concat()).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        client
            .write(&frame(RST_STREAM, 0, 1, &reason.to_be_bytes()))
            .await;
        client.read_to_end().await;
        verifies(&http, &access).await;
    }
}

async fn a_malformed_request_is_refused(store: Store) {
    let service = Program::on(store).await;
    let good = [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/healthz"),
        (":authority", "authlog"),
    ];
    let with = |more: &[(&'static str, &'static str)]| fields(&[&good[..], more].concat());
    for (block, body) in [
        (with(&[("content-length", "5")]), None),
        (with(&[("content-length", "5")]), Some(&b"123"[..])),
        (
            with(&[("content-length", "5"), ("content-length", "0")]),
            Some(b"12345"),
        ),
        (
            with(&[("transfer-encoding", "chunked")]),
            Some(b"0\r\n\r\n"),
        ),
        (with(&[("connection", "close")]), None),
        (with(&[("te", "gzip")]), None),
        (with(&[("X-Upper", "a")]), None),
        (with(&[("x-folded", "a\r\nx-more: b")]), None),
        (with(&[("x-nul", "a\0b")]), None),
        (with(&[(":path", "/healthz")]), None),
        (with(&[("x-first", "a"), (":status", "200")]), None),
        (fields(&good[..2]), None),
        (fields(&good[1..]), None),
        (fields(&[good[0], good[1], (":path", ""), good[3]]), None),
        (b"\xff\xff\xff\xff\xff\xff".to_vec(), None),
    ] {
        let mut client = Frames::with_window(&service.address(), 65_535).await;
        let end = if body.is_none() { END_STREAM } else { 0 };
        client
            .write(&frame(HEADERS, END_HEADERS | end, 1, &block))
            .await;
        if let Some(body) = body {
            client.write(&frame(DATA, END_STREAM, 1, body)).await;
        }
        // A head begins with its status, and 0x88 is `:status: 200` (RFC 7541, appendix A).
        for heard in client.read_to_end().await {
            let is_good = heard.kind == HEADERS && heard.payload.first() == Some(&0x88);
            assert!(!is_good, "{heard:?} to {block:?}");
        }
    }
    still_serves(&service).await;
}

async fn floods_of_frames_harm_only_the_client_that_sends_them(store: Store) {
    let service = Program::on(store).await;
    let opened = head(1, "POST", "/users/login", false);
    let reset = |stream: u32| {
        let request = head(stream, "GET", "/account", true);
        [request, frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
    };
    let long = fields(&[("x-long", &"y".repeat(16_000))]);
    let one_header = [frame(HEADERS, END_STREAM, 1, &fields(&[("x", "y")]))].concat();
    let floods = [
        (
            "PING",
            Vec::new(),
            frame(PING, 0, 0, b"12345678").repeat(100),
            500,
        ),
        (
            "SETTINGS",
            Vec::new(),
            frame(SETTINGS, 0, 0, &[]).repeat(100),
            500,
        ),
        (
            "empty DATA",
            opened,
            frame(DATA, 0, 1, &[]).repeat(100),
            500,
        ),
        (
            "CONTINUATION",
            one_header,
            frame(CONTINUATION, 0, 1, &long),
            500,
        ),
        (
            "reset",
            Vec::new(),
            (0..20_000).flat_map(|n| reset(2 * n + 1)).collect(),
            1,
        ),
        (
            "GOAWAY",
            Vec::new(),
            frame(GOAWAY, 0, 0, &[0; 8]).repeat(100),
            100,
        ),
    ];
    let mut clients = Vec::new();
    for (name, first, flood, times) in &floods {
        let mut client = Frames::with_window(&service.address(), 65_535).await;
        let flooding = async {
            client.write(first).await;
            for _ in 0..*times {
                if !client.write(flood).await {
                    break;
                }
            }
        };
        // If the service stops reading, the client has to wait.
        _ = tokio::time::timeout(Duration::from_secs(2), flooding).await;
        assert!(service.send(own::HEALTHZ).await.status == 200, "{name}");
        clients.push(client);
    }
    still_serves(&service).await;
}

async fn a_few_clients_do_not_keep_others_out(store: Store) {
    let settings = Settings::on(store).with("AUTHLOG_MAX_CONNECTIONS", "40");
    let service = settings.start().await;
    let mut held = Vec::new();
    for client in ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"] {
        let mut closed = 0;
        for _ in 0..20 {
            let mut wire = connect(&service.address(), client).await;
            let request = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
            _ = wire.write_all(request).await;
            match wire.read_u8().await {
                Ok(_) => held.push(wire),
                Err(_) => closed += 1,
            }
        }
        assert!(closed >= 10, "{client} holds {}", 20 - closed);
    }
    assert!(held.len() >= 16, "{}", held.len());
    still_serves(&service).await;
}

/// Asserts that the service still serves: a new person registers and signs in.
async fn still_serves(service: &Program) {
    let person = Person::called("a-newcomer");
    let http = service.http().calling_from("127.0.0.9");
    Contract::ApiAuth.registers(&http, &person).await;
    Contract::ApiAuth.signs_in(&http, &person).await;
}

/// A connection from another address of this machine.
async fn connect(address: &str, from: &str) -> tokio::net::TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
    socket.connect(address.parse().unwrap()).await.unwrap()
}
