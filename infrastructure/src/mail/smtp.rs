//! Mail to a server that delivers it (RFC 5321).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use authlog_application::ports::{Clock, Entropy, Mail, MailError, Mailer};
use lettre::transport::smtp;
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use url::Url;

use super::MailerError;
use super::message::Composer;

/// How long a connection may take to be made.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// How long the whole exchange may take. Whoever sends the mail tries again later, and meanwhile has the request to
/// itself for longer than this.
const SEND_WITHIN: Duration = Duration::from_secs(30);

/// Hands each message to a mail server, over a connection of its own: an exchange that is given up midway then leaves
/// nothing behind that the next one would have to make sense of.
pub struct SmtpMailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    composer: Composer,
}

impl SmtpMailer {
    /// A mailer for the server at `url`:
    ///
    /// - `smtps://user:password@host` speaks TLS from the start (port 465),
    /// - `smtp://user:password@host?tls=required` insists on STARTTLS (port 587),
    /// - `smtp://host` does not encrypt (port 25): for a server on the same machine or network.
    ///
    /// User and password are percent-encoded. Certificates are checked against the roots of Mozilla. The client calls
    /// itself by the path of the URL (`smtps://host/auth.example`), or else by the sender's domain. `sender` is an
    /// address, or a name and an address in angle brackets.
    ///
    /// # Errors
    /// The URL or the sender cannot be read. Whether the server is there is found out with the first message.
    pub fn new(
        url: &str,
        sender: &str,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, MailerError> {
        let composer = Composer::new(sender, clock, entropy)?;
        let parsed = Url::parse(url).map_err(|error| MailerError::Url(error.into()))?;
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(url)
            .map_err(|error| MailerError::Url(error.into()))?
            .timeout(Some(CONNECT_WITHIN));
        if parsed.path().len() <= 1 {
            let name = composer.sender_domain().to_owned();
            builder = builder.hello_name(ClientId::Domain(name));
        }
        Ok(Self {
            transport: builder.build(),
            composer,
        })
    }
}

#[async_trait]
impl Mailer for SmtpMailer {
    async fn send(&self, mail: Mail) -> Result<(), MailError> {
        let message = self.composer.compose(mail)?.message;
        let envelope = message.envelope();
        let bytes = message.formatted();
        let sending = self.transport.send_raw(envelope, &bytes);
        match tokio::time::timeout(SEND_WITHIN, sending).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => {
                let failure = Failure::new(&error, envelope.to());
                Err(if is_permanent(&error, &bytes) {
                    MailError::Permanent(failure.into())
                } else {
                    MailError::Transient(failure.into())
                })
            }
            Err(too_late) => Err(MailError::Transient(too_late.into())),
        }
    }
}

/// Whether the same message will never be taken (RFC 5321 §4.2.1).
///
/// Refused credentials (RFC 4954 §6) say nothing about the message: it waits until somebody mends them. A server
/// without the extensions that text or an address beyond ASCII need will hardly learn them.
fn is_permanent(error: &smtp::Error, message: &[u8]) -> bool {
    let Some(code) = error.status() else {
        return error.is_client() && !message.is_ascii();
    };
    error.is_permanent() && !matches!(u16::from(code), 530 | 534 | 535 | 538)
}

/// What went wrong, less what it says about people: servers repeat the address in their answers, and the reason gets
/// logged.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Failure(String);

impl Failure {
    fn new(error: &smtp::Error, recipients: &[Address]) -> Self {
        const LONGEST: usize = 300;
        let is_personal = |word: &str| {
            let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
            word.contains('@')
                || recipients
                    .iter()
                    .any(|address| bare.eq_ignore_ascii_case(address.user()))
        };
        let words: Vec<String> = error
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
    use crate::system::{SystemClock, SystemEntropy};

    fn mailer(url: &str) -> Result<SmtpMailer, MailerError> {
        SmtpMailer::new(
            url,
            "no-reply@auth.example",
            Arc::new(SystemClock),
            Arc::new(SystemEntropy),
        )
    }

    #[test]
    fn a_server_is_named_by_a_url() {
        for url in [
            "smtp://127.0.0.1:2525",
            "smtp://user:pass%40word@mail.example:587?tls=required",
            "smtps://user:password@mail.example",
            "smtps://mail.example/auth.example",
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
