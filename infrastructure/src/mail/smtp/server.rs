//! The mail server that a URL names: connecting to it, and verifying its certificate.

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use lettre::transport::smtp;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::{SMTP_PORT, SUBMISSION_PORT, SUBMISSIONS_PORT};
use percent_encoding::percent_decode_str;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use url::{Host, Url};

use super::super::MailerError;
use super::bounded::Bounded;
use super::tls::Encrypted;

/// The time limit for connecting to one address.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Why the server cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("the mail server cannot be reached: {0}")]
    Unreachable(#[from] io::Error),
    #[error(transparent)]
    Smtp(#[from] smtp::Error),
}

/// A server, and how to begin a session with it.
pub(super) struct SmtpServer {
    host: String,
    port: u16,
    tls: Tls,
    hello_name: ClientId,
    credentials: Option<Credentials>,
}

/// Why the URL of a server is not valid.
#[derive(Debug, thiserror::Error)]
enum UrlError {
    #[error("it names no host")]
    NoHost,
    #[error(
        "it begins with neither smtp:// nor smtps://, or `tls` is neither `required` nor `opportunistic`"
    )]
    Scheme,
    #[error("its host, or the name after it, is no domain")]
    Name,
    #[error("its user or its password is not UTF-8")]
    Credentials(#[from] std::str::Utf8Error),
    #[error("TLS cannot be set up")]
    Tls(#[from] smtp::Error),
}

impl SmtpServer {
    /// The server at `url`. Its certificate is verified against Mozilla's roots and `authorities`. The client's name in EHLO is
    /// the path of the URL, or `default_name`.
    ///
    /// # Errors
    /// The URL is malformed, or one of the certificates is.
    pub(super) fn parse(
        url: &str,
        roots: &[Certificate],
        default_name: &str,
    ) -> Result<Self, MailerError> {
        let url = Url::parse(url).map_err(|error| MailerError::Url(error.into()))?;
        Self::of(&url, roots, default_name).map_err(|error| MailerError::Url(error.into()))
    }

    fn of(url: &Url, roots: &[Certificate], default_name: &str) -> Result<Self, UrlError> {
        let host = match url.host().ok_or(UrlError::NoHost)? {
            Host::Domain(name) => with_a_labels(name).ok_or(UrlError::Name)?,
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        let mode = url.query_pairs().find(|(name, _)| name == "tls");
        let mode = mode.as_ref().map(|(_, mode)| mode.as_ref());
        let (default_port, tls) = match (url.scheme(), mode) {
            ("smtp", None) => (SMTP_PORT, Tls::None),
            ("smtp", Some("required")) => (SUBMISSION_PORT, Tls::Required(trust(&host, roots)?)),
            ("smtp", Some("opportunistic")) => {
                (SUBMISSION_PORT, Tls::Opportunistic(trust(&host, roots)?))
            }
            ("smtps", _) => (SUBMISSIONS_PORT, Tls::Wrapper(trust(&host, roots)?)),
            _ => return Err(UrlError::Scheme),
        };
        let name = match url.path().trim_matches('/') {
            "" => default_name.to_owned(),
            path => with_a_labels(path).ok_or(UrlError::Name)?,
        };
        Ok(Self {
            host,
            port: url.port().unwrap_or(default_port),
            tls,
            hello_name: ClientId::Domain(name),
            credentials: url
                .password()
                .map(|password| {
                    let decoded =
                        |text| percent_decode_str(text).decode_utf8().map(Cow::into_owned);
                    let user = decoded(url.username())?;
                    Ok::<_, UrlError>(Credentials::new(user, decoded(password)?))
                })
                .transpose()?,
        })
    }

    /// A connection that is ready for a message: greeted, encrypted and authenticated as the URL requires.
    pub(super) async fn connect(&self) -> Result<AsyncSmtpConnection, ConnectError> {
        let stream = Box::new(Bounded::new(self.reach().await?));
        let name = &self.hello_name;
        let mut connection = match &self.tls {
            Tls::Wrapper(parameters) => {
                let stream = Encrypted::begin(stream, parameters.clone()).await?;
                AsyncSmtpConnection::connect_with_transport(Box::new(stream), name).await?
            }
            _ => AsyncSmtpConnection::connect_with_transport(stream, name).await?,
        };
        match &self.tls {
            Tls::Required(parameters) => connection.starttls(parameters.clone(), name).await?,
            Tls::Opportunistic(parameters) if connection.can_starttls() => {
                connection.starttls(parameters.clone(), name).await?;
            }
            _ => {}
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials).await?;
        }
        Ok(connection)
    }

    /// A connection to the first address of the host that accepts one.
    async fn reach(&self) -> io::Result<TcpStream> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in lookup_host((self.host.as_str(), self.port)).await? {
            match timeout(CONNECT_WITHIN, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = error,
                Err(late) => last = late.into(),
            }
        }
        Err(last)
    }
}

/// The host name of a URL. The `url` crate leaves it percent-encoded for schemes like `smtp`.
fn with_a_labels(name: &str) -> Option<String> {
    let decoded = percent_decode_str(name).decode_utf8().ok()?;
    if decoded.is_ascii() {
        return Some(decoded.into_owned());
    }
    Host::parse(&decoded).ok().map(|host| host.to_string())
}

/// The TLS parameters for verifying that a server is `host`.
fn trust(host: &str, roots: &[Certificate]) -> Result<TlsParameters, smtp::Error> {
    let builder = TlsParameters::builder(host.to_owned());
    roots
        .iter()
        .cloned()
        .fold(builder, |builder, root| builder.add_root_certificate(root))
        .build()
}
