//! A mailer that sends mail by SMTP (RFC 5321).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use authlog_application::ports::{Clock, Mail, MailError, Mailer};
use lettre::Address;
use lettre::address::Envelope;
use lettre::transport::smtp::client::{Certificate, TlsParameters};
use tokio::time::timeout;

use self::exchange::{Refusal, offer, send_message};
use self::server::SmtpServer;
use super::MailerError;
use super::message::Composer;

mod bounded;
mod exchange;
mod server;
mod tls;

/// The time limit until the server asks for the message.
const OFFER_WITHIN: Duration = Duration::from_secs(30);

/// The time limit for the acknowledgement of the message. The server may filter it first, and giving up too early makes
/// duplicates (RFC 5321 §4.5.3.2.6).
const ACKNOWLEDGE_WITHIN: Duration = Duration::from_secs(120);

/// The time limit for closing a connection.
const QUIT_WITHIN: Duration = Duration::from_secs(1);

/// Sends each message over its own connection, so an exchange that is aborted cannot disturb the next one.
pub struct SmtpMailer {
    server: SmtpServer,
    composer: Composer,
}

/// Additional certificate authorities for mail servers, besides Mozilla's roots.
#[derive(Clone, Default)]
pub struct MailAuthorities(Vec<Certificate>);

impl MailAuthorities {
    /// Parses the authorities in a PEM file; `None` if it contains no certificate, or a malformed one.
    pub fn from_pem(pem: &[u8]) -> Option<Self> {
        const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
        let has_any = pem.windows(BEGIN.len()).any(|part| part == BEGIN);
        let certificates = Certificate::from_pem(pem).ok()?;
        let trusted = TlsParameters::builder("localhost".to_owned())
            .add_root_certificate(certificates.clone())
            .build();
        (has_any && trusted.is_ok()).then(|| Self(vec![certificates]))
    }
}

impl SmtpMailer {
    /// A mailer for the server at `url`:
    ///
    /// - `smtps://user:password@host` speaks TLS from the start (port 465),
    /// - `smtp://user:password@host?tls=required` insists on STARTTLS (port 587),
    /// - `smtp://host` does not encrypt (port 25), for a server on the same machine or network.
    ///
    /// User and password are percent-encoded. Certificates are checked against the roots of Mozilla and `authorities`. The client calls
    /// itself by the path of the URL (`smtps://host/auth.example`), or else by the sender's domain. `sender` is an
    /// address, or a name and an address in angle brackets.
    ///
    /// # Errors
    /// The URL or the sender is malformed. The server is first contacted with the first message.
    pub fn new(
        url: &str,
        authorities: &MailAuthorities,
        sender: &str,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, MailerError> {
        let composer = Composer::new(sender, clock)?;
        Ok(Self {
            server: SmtpServer::parse(url, &authorities.0, composer.sender_domain())?,
            composer,
        })
    }

    async fn deliver(&self, envelope: &Envelope, message: &[u8]) -> Result<(), Refusal> {
        let mut connection = None;
        let offering = async {
            let connection = connection.insert(self.server.connect().await?);
            offer(connection, envelope, message).await
        };
        let offered = match timeout(OFFER_WITHIN, offering).await {
            Ok(offered) => offered,
            Err(late) => Err(Refusal::Late(late)),
        };
        let Some(mut connection) = connection else {
            return offered;
        };
        let taken = match offered {
            Ok(()) => timeout(ACKNOWLEDGE_WITHIN, send_message(&mut connection, message))
                .await
                .unwrap_or(Err(Refusal::Unacknowledged(None))),
            refused => refused,
        };
        // The result does not depend on whether the server answers the end of the connection.
        let _ = timeout(QUIT_WITHIN, connection.abort()).await;
        taken
    }
}

#[async_trait]
impl Mailer for SmtpMailer {
    async fn send(&self, mail: Mail) -> Result<(), MailError> {
        let message = self.composer.compose(mail)?.message;
        let envelope = message.envelope();
        let sent = self.deliver(envelope, &message.formatted()).await;
        sent.map_err(|refusal| {
            let failure = SmtpError::new(&refusal, envelope.to()).into();
            match refusal {
                Refusal::Unacknowledged(_) => MailError::Unacknowledged(failure),
                refusal if refusal.is_permanent() => MailError::Permanent(failure),
                _ => MailError::Transient(failure),
            }
        })
    }
}

/// The reason of an error without personal data. It is logged, and servers repeat addresses in their answers.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct SmtpError(String);

impl SmtpError {
    fn new(refusal: &Refusal, recipients: &[Address]) -> Self {
        const LONGEST: usize = 300;
        let is_personal = |word: &str| {
            let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
            word.contains('@')
                || recipients
                    .iter()
                    .any(|address| bare.eq_ignore_ascii_case(address.user()))
        };
        let words: Vec<String> = refusal
            .to_string()
            .split_whitespace()
            .map(|word| if is_personal(word) { "…" } else { word }.to_owned())
            .collect();
        Self(words.join(" ").chars().take(LONGEST).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::SystemClock;

    fn mailer(url: &str) -> Result<SmtpMailer, MailerError> {
        SmtpMailer::new(
            url,
            &MailAuthorities::default(),
            "no-reply@auth.example",
            Arc::new(SystemClock),
        )
    }

    #[test]
    fn a_server_is_named_by_a_url() {
        for url in [
            "smtp://127.0.0.1:2525",
            "smtp://user:pass%40word@mail.example:587?tls=required",
            "smtps://user:password@mail.example",
            "smtps://mail.example/auth.example",
            "smtps://b\u{fc}cher.example/auth.b\u{fc}cher.example",
        ] {
            assert!(mailer(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn a_url_that_cannot_be_read_is_refused_without_showing_its_password() {
        for url in [
            "",
            "mail.example:25",
            "http://user:hunter2@mail.example",
            "smtp://user:hunter2@mail.example?tls=maybe",
            "smtp://user:hunter2@mail.example:port",
        ] {
            let error = mailer(url).err().unwrap();
            assert!(matches!(error, MailerError::Url(_)), "{url}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{url}");
        }
    }
}
