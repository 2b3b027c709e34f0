//! Mail to a real SMTP server, aiosmtpd (Debian: `python3-aiosmtpd`).

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of tests is a test; clippy.toml knows only functions that are marked as one"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use authlog_application::ports::{Mail, MailError, Mailer as _};
use authlog_domain::Email;
use authlog_infrastructure::mail::{MailAuthorities, SmtpMailer};
use authlog_infrastructure::system::SystemClock;
use serde_json::Value;

struct Server {
    process: Child,
    output: BufReader<ChildStdout>,
    port: u16,
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        // Debian's python3, to which the package belongs, not the first one in the path.
        let mut process = Command::new("/usr/bin/python3")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/smtp/server.py"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let mut server = Self {
            process,
            output,
            port: 0,
        };
        let line = server.next_line();
        let port = serde_json::from_str(&line);
        server.port = port.expect("the mail server starts: apt-get install python3-aiosmtpd");
        server
    }

    fn next_line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line
    }

    fn next_message(&mut self) -> Value {
        serde_json::from_str(&self.next_line()).unwrap()
    }

    fn mailer(&self, credentials: &str, options: &str) -> SmtpMailer {
        self.mailer_from("Authlog <no-reply@auth.example>", credentials, options)
    }

    fn mailer_from(&self, sender: &str, credentials: &str, options: &str) -> SmtpMailer {
        let url = format!("smtp://{credentials}127.0.0.1:{}{options}", self.port);
        mailer_at(&url, &MailAuthorities::default(), sender)
    }
}

fn mailer_at(url: &str, authorities: &MailAuthorities, sender: &str) -> SmtpMailer {
    SmtpMailer::new(url, authorities, sender, Arc::new(SystemClock)).unwrap()
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn mail_to(address: &str, text: &str) -> Mail {
    Mail {
        entry: uuid::Uuid::from_u128(9),
        user: authlog_domain::UserId::new(uuid::Uuid::from_u128(7)),
        to: Email::parse(address).unwrap(),
        subject: "Reset your password".to_owned(),
        text: text.to_owned(),
    }
}

#[tokio::test]
async fn messages_arrive_unchanged_each_over_its_own_connection() {
    let mut server = Server::start(&[]);
    let mailer = server.mailer("", "");
    let link = format!("https://auth.example/reset?token={}", "x".repeat(86));
    for greeting in ["Hello", "Привет"] {
        let text = format!("{greeting}!\n\n{link}\n.\n.. dots at the start\n");
        mailer.send(mail_to("jo@example.com", &text)).await.unwrap();
        let message = server.next_message();
        assert_eq!(message["host"], "auth.example");
        assert_eq!(message["from"], "no-reply@auth.example");
        assert_eq!(message["to"], serde_json::json!(["jo@example.com"]));
        let content = message["content"].as_str().unwrap();
        let (head, body) = content.split_once("\r\n\r\n").unwrap();
        for header in [
            "From: Authlog <no-reply@auth.example>",
            "To: jo@example.com",
            "Subject: Reset your password",
            "Content-Type: text/plain; charset=utf-8",
        ] {
            assert!(head.split("\r\n").any(|line| line == header), "{head}");
        }
        assert!(head.contains("\r\nDate: ") && head.contains("\r\nMessage-ID: <"));
        assert_eq!(body.trim_end(), text.replace('\n', "\r\n").trim_end());
    }
}

#[tokio::test]
async fn a_refused_recipient_is_a_permanent_failure_that_does_not_name_the_person() {
    let mut server = Server::start(&[]);
    let mailer = server.mailer("", "");
    let refused = mailer.send(mail_to("unknown@example.com", "Hi\n")).await;
    let Err(MailError::Permanent(reason)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(
        reason.to_string(),
        "permanent error (550): 5.1.1 … no mailbox of … here"
    );
    assert!(reason.source().is_none());
    mailer
        .send(mail_to("jo@example.com", "Hi\n"))
        .await
        .unwrap();
    assert_eq!(server.next_message()["to"][0], "jo@example.com");
}

#[tokio::test]
async fn a_temporary_refusal_is_a_transient_failure() {
    let server = Server::start(&[]);
    let refused = server
        .mailer("", "")
        .send(mail_to("busy@example.com", "Hi\n"))
        .await;
    assert!(
        matches!(refused, Err(MailError::Transient(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn an_unreachable_server_is_a_transient_failure() {
    let server = Server::start(&[]);
    let mailer = server.mailer("", "");
    drop(server);
    let refused = mailer.send(mail_to("jo@example.com", "Hi\n")).await;
    assert!(
        matches!(refused, Err(MailError::Transient(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn credentials_are_presented_and_wrong_ones_are_a_transient_failure() {
    let mut server = Server::start(&["--auth"]);
    let mail = || mail_to("jo@example.com", "Hi\n");
    server
        .mailer("user:pass%40word@", "")
        .send(mail())
        .await
        .unwrap();
    assert_eq!(server.next_message()["to"][0], "jo@example.com");
    for (credentials, code) in [("user:wrong@", "535"), ("", "530")] {
        let refused = server.mailer(credentials, "").send(mail()).await;
        let Err(MailError::Transient(reason)) = refused else {
            panic!("{refused:?}");
        };
        assert!(reason.to_string().contains(code), "{reason}");
    }
}

#[tokio::test]
async fn nothing_is_sent_without_required_encryption() {
    let server = Server::start(&[]);
    let mailer = server.mailer("", "?tls=required");
    let refused = mailer.send(mail_to("jo@example.com", "Hi\n")).await;
    assert!(
        matches!(refused, Err(MailError::Transient(_))),
        "{refused:?}"
    );
}

/// A mail server that answers correctly first, and then sends endless digits or closes the connection.
struct CrookedServer {
    port: u16,
    sent: Arc<AtomicU64>,
}

#[derive(Clone, Copy, PartialEq)]
enum Crooked {
    EndlessGreeting,
    EndlessAnswer(&'static str),
    Closes(&'static str),
}

impl CrookedServer {
    fn start(how: Crooked) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let sent = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&sent);
        std::thread::spawn(move || {
            let (client, _) = listener.accept().unwrap();
            // The client closes the connection at some point.
            let _ = converse(&client, how, &count);
        });
        Self { port, sent }
    }
}

fn converse(mut client: &TcpStream, how: Crooked, sent: &AtomicU64) -> std::io::Result<()> {
    let endless = |mut client: &TcpStream| -> std::io::Result<()> {
        loop {
            let written = client.write(&[b'2'; 65_536])?;
            sent.fetch_add(written as u64, Ordering::Relaxed);
        }
    };
    if how == Crooked::EndlessGreeting {
        return endless(client);
    }
    client.write_all(b"220 mail.example\r\n")?;
    let mut lines = BufReader::new(client);
    let mut in_message = false;
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let verb = if in_message {
            line.trim_end()
        } else {
            line.get(..4).unwrap_or_default()
        };
        match how {
            Crooked::EndlessAnswer(to) if to == verb => return endless(client),
            Crooked::Closes(at) if at == verb => return Ok(()),
            _ if in_message => {}
            _ if verb == "DATA" => {
                in_message = true;
                client.write_all(b"354 Go on\r\n")?;
            }
            _ => client.write_all(b"250 OK\r\n")?,
        }
    }
}

#[tokio::test]
async fn an_endless_answer_is_aborted_before_it_fills_the_memory() {
    for how in [
        Crooked::EndlessGreeting,
        Crooked::EndlessAnswer("EHLO"),
        Crooked::EndlessAnswer("MAIL"),
        Crooked::EndlessAnswer("."),
    ] {
        let server = CrookedServer::start(how);
        let url = format!("smtp://127.0.0.1:{}", server.port);
        let mailer = mailer_at(&url, &MailAuthorities::default(), "no-reply@auth.example");
        let refused = mailer.send(mail_to("jo@example.com", "Hi\n")).await;
        match how {
            Crooked::EndlessAnswer(".") => assert!(
                matches!(refused, Err(MailError::Unacknowledged(_))),
                "{refused:?}"
            ),
            _ => is_kept(&refused, ""),
        }
        // Only as much as the socket buffers hold.
        let sent = server.sent.load(Ordering::Relaxed);
        assert!(sent < 64 * 1024 * 1024, "{sent} bytes");
    }
}

#[tokio::test]
async fn a_message_that_is_not_acknowledged_may_have_been_delivered() {
    for (verb, may_be_delivered) in [
        ("EHLO", false),
        ("MAIL", false),
        ("RCPT", false),
        ("DATA", false),
        (".", true),
    ] {
        let server = CrookedServer::start(Crooked::Closes(verb));
        let url = format!("smtp://127.0.0.1:{}", server.port);
        let mailer = mailer_at(&url, &MailAuthorities::default(), "no-reply@auth.example");
        let outcome = mailer.send(mail_to("jo@example.com", "Hi\n")).await;
        match outcome {
            Err(MailError::Unacknowledged(_)) => assert!(may_be_delivered, "{verb}"),
            Err(MailError::Transient(_)) => assert!(!may_be_delivered, "{verb}"),
            other => panic!("{verb}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn the_same_mail_is_the_same_message_each_time() {
    let mut server = Server::start(&[]);
    let mailer = server.mailer("", "");
    let mut names = Vec::new();
    for text in ["once\n", "once\n", "twice\n"] {
        mailer.send(mail_to("jo@example.com", text)).await.unwrap();
        let message = server.next_message();
        let content = message["content"].as_str().unwrap();
        let name = content.lines().find(|line| line.starts_with("Message-ID:"));
        names.push(name.unwrap().to_owned());
    }
    assert_eq!(names[0], names[1]);
    assert_ne!(names[0], names[2]);
}

/// Checks that the mail is kept for another attempt.
#[track_caller]
fn is_kept(refused: &Result<(), MailError>, words: &str) {
    let Err(MailError::Transient(reason)) = refused else {
        panic!("{refused:?}");
    };
    assert!(reason.to_string().contains(words), "{reason}");
}

/// Checks that the mail is given up.
#[track_caller]
fn is_given_up(refused: &Result<(), MailError>) {
    assert!(
        matches!(refused, Err(MailError::Permanent(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_refusal_of_the_sender_keeps_the_mail() {
    for refusal in [
        "553 Sender address rejected",
        "550 5.1.8 Unknown domain",
        "501 Syntax",
    ] {
        let server = Server::start(&["--refuse-sender", refusal]);
        let mailer = server.mailer("", "");
        let refused = mailer.send(mail_to("jo@example.com", "Hi\n")).await;
        is_kept(&refused, &refusal[..3]);
    }
    for refusal in [
        "550 5.7.1 Relaying denied",
        "550 relay not permitted",
        "530 5.7.0 Sign in",
    ] {
        let server = Server::start(&["--refuse-relaying", refusal]);
        let mailer = server.mailer("", "");
        let refused = mailer.send(mail_to("relayed@example.com", "Hi\n")).await;
        is_kept(&refused, &refusal[..3]);
    }
    let server = Server::start(&[
        "--refuse-message",
        "550 5.7.26 The sender is not authenticated",
    ]);
    let refused = server
        .mailer("", "")
        .send(mail_to("jo@example.com", "Hi\n"))
        .await;
    is_kept(&refused, "5.7.26");
}

#[tokio::test]
async fn a_refused_text_and_a_refused_recipient_without_an_enhanced_status_end_the_mail() {
    let server = Server::start(&["--refuse-message", "554 5.6.0 The message is malformed"]);
    is_given_up(
        &server
            .mailer("", "")
            .send(mail_to("jo@example.com", "Hi\n"))
            .await,
    );
    let server = Server::start(&["--refuse-relaying", "550 No such user"]);
    is_given_up(
        &server
            .mailer("", "")
            .send(mail_to("relayed@example.com", "Hi\n"))
            .await,
    );
}

#[tokio::test]
async fn a_sender_of_an_international_domain_is_sent_as_an_a_label() {
    let mut server = Server::start(&["--ascii"]);
    let mailer = server.mailer_from("Bücher <no-reply@bücher.example>", "", "");
    mailer
        .send(mail_to("jo@example.com", "Hi\n"))
        .await
        .unwrap();
    let message = server.next_message();
    assert_eq!(message["host"], "xn--bcher-kva.example");
    assert_eq!(message["from"], "no-reply@xn--bcher-kva.example");
    let content = message["content"].as_str().unwrap();
    assert!(
        content.contains("<no-reply@xn--bcher-kva.example>"),
        "{content}"
    );
    let mailer = server.mailer("", "/auth.b\u{fc}cher.example");
    mailer
        .send(mail_to("jo@example.com", "Hi\n"))
        .await
        .unwrap();
    assert_eq!(server.next_message()["host"], "auth.xn--bcher-kva.example");
}

#[tokio::test]
async fn a_recipient_of_an_international_domain_is_sent_as_an_a_label() {
    let mut server = Server::start(&["--ascii"]);
    let mailer = server.mailer("", "");
    for (address, taken) in [
        ("mo@b\u{fc}cher.example", "mo@xn--bcher-kva.example"),
        (
            "mo@\u{921}\u{93e}\u{91f}\u{93e}\u{92e}\u{947}\u{932}.\u{92d}\u{93e}\u{930}\u{924}",
            "mo@xn--c2bd4bq1db8d.xn--h2brj9c",
        ),
    ] {
        mailer.send(mail_to(address, "Hi\n")).await.unwrap();
        assert_eq!(server.next_message()["to"][0], taken);
    }
}

#[tokio::test]
async fn an_address_with_combining_marks_is_sent_to_a_server_with_smtputf8() {
    let mut server = Server::start(&[]);
    let address = "\u{938}\u{902}\u{92a}\u{930}\u{94d}\u{915}@b\u{fc}cher.example";
    let mailer = server.mailer("", "");
    mailer.send(mail_to(address, "Hi\n")).await.unwrap();
    let message = server.next_message();
    let taken = "\u{938}\u{902}\u{92a}\u{930}\u{94d}\u{915}@xn--bcher-kva.example";
    assert_eq!(message["to"][0], taken);
    let content = message["content"].as_str().unwrap();
    assert!(content.contains(&format!("To: {taken}\r\n")), "{content}");
}

#[tokio::test]
async fn a_server_without_smtputf8_keeps_the_mail_of_a_sender_that_needs_it() {
    let server = Server::start(&["--ascii"]);
    let mailer = server.mailer_from("büro@auth.example", "", "");
    let refused = mailer.send(mail_to("jo@example.com", "Hi\n")).await;
    is_kept(&refused, "SMTPUTF8");
    let mailer = server.mailer("", "");
    is_given_up(&mailer.send(mail_to("jö@example.com", "Hi\n")).await);
}

#[tokio::test]
async fn a_server_with_a_certificate_of_a_private_authority_is_trusted_by_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let authority = certificates(folder.path());
    let pem = folder.path().join("server.pem").display().to_string();
    let authorities = MailAuthorities::from_pem(&authority).unwrap();
    for (scheme, options, mode) in [
        ("smtps", "", vec!["--certificate", &pem]),
        (
            "smtp",
            "?tls=required",
            vec!["--certificate", &pem, "--starttls"],
        ),
    ] {
        let mut server = Server::start(&mode);
        let url = format!("{scheme}://localhost:{}{options}", server.port);
        let mailer = mailer_at(&url, &authorities, "no-reply@auth.example");
        mailer
            .send(mail_to("jo@example.com", "Hi\n"))
            .await
            .unwrap();
        assert_eq!(server.next_message()["to"][0], "jo@example.com");
        let stranger = mailer_at(&url, &MailAuthorities::default(), "no-reply@auth.example");
        let refused = stranger.send(mail_to("jo@example.com", "Hi\n")).await;
        is_kept(&refused, "UnknownIssuer");
        // The name in the certificate is checked as well.
        let url = url.replace("localhost", "127.0.0.1");
        let other = mailer_at(&url, &authorities, "no-reply@auth.example");
        let refused = other.send(mail_to("jo@example.com", "Hi\n")).await;
        is_kept(&refused, "certificate");
    }
}

#[test]
fn a_file_without_a_certificate_is_refused() {
    for pem in [
        "",
        "nonsense",
        "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
    ] {
        assert!(MailAuthorities::from_pem(pem.as_bytes()).is_none(), "{pem}");
    }
}

/// Makes an authority, whose certificate this is, and with it `server.pem`, the key and the certificate of `localhost`.
fn certificates(folder: &Path) -> Vec<u8> {
    let script = "
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=Authority \\
            -keyout ca.key -out ca.pem &&
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost \\
            -keyout server.key -out server.csr &&
        printf 'subjectAltName=DNS:localhost\\nbasicConstraints=CA:FALSE\\n' >extensions &&
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions \\
            -out server.crt && cat server.key server.crt >server.pem";
    let made = Command::new("sh")
        .args(["-c", script])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    std::fs::read(folder.join("ca.pem")).unwrap()
}
