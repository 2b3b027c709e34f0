//! Mail to a real SMTP server, aiosmtpd (Debian: `python3-aiosmtpd`).

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper of tests is a test; clippy.toml knows only functions that are marked as one"
)]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use authlog_application::ports::{Mail, MailError, Mailer as _};
use authlog_domain::Email;
use authlog_infrastructure::mail::SmtpMailer;
use authlog_infrastructure::system::{SystemClock, SystemEntropy};
use serde_json::Value;

struct Server {
    process: Child,
    output: BufReader<ChildStdout>,
    port: u16,
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        // Not whichever python3 comes first: the package belongs to Debian's.
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
        let url = format!("smtp://{credentials}127.0.0.1:{}{options}", self.port);
        SmtpMailer::new(
            &url,
            "Authlog <no-reply@auth.example>",
            Arc::new(SystemClock),
            Arc::new(SystemEntropy),
        )
        .unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn mail_to(address: &str, text: &str) -> Mail {
    Mail {
        user: authlog_domain::UserId::new(uuid::Uuid::from_u128(7)),
        to: Email::parse(address).unwrap(),
        subject: "Reset your password".to_owned(),
        text: text.to_owned(),
    }
}

#[tokio::test]
async fn a_message_arrives_as_it_was_written_one_connection_after_the_other() {
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
    let refused = mailer.send(mail_to("nobody@example.com", "Hi\n")).await;
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
async fn a_server_that_says_later_is_a_transient_failure() {
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
async fn a_server_that_is_away_is_a_transient_failure() {
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
async fn where_encryption_is_required_nothing_is_sent_without() {
    let server = Server::start(&[]);
    let mailer = server.mailer("", "?tls=required");
    let refused = mailer.send(mail_to("jo@example.com", "Hi\n")).await;
    assert!(
        matches!(refused, Err(MailError::Transient(_))),
        "{refused:?}"
    );
}
