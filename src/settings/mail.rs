//! Settings of the mail that the service sends.

use std::path::PathBuf;

use url::Url;

use super::declare::settings;
use super::format::{FILE, Format};
use super::sources::Sources;

settings! {
    /// How mail is sent.
    pub(crate) struct Mail in "Mail settings" {
        /// Mail server, smtp://… or smtps://…
        smtp_url: Option<Url> = SMTP_URL
            .holding_a_password()
            .optional("mail is written to files"),
        /// PEM file with authorities that the mail server's certificate may be signed by, in addition to Mozilla's
        smtp_ca_file: Option<PathBuf> = FILE.optional("none"),
        /// Sender of mail
        mail_from: String = SENDER.default("authlog@localhost.localdomain"),
    }
}

const SMTP_URL: Format<Url> = Format::new(
    "URL",
    "a URL such as smtp://user:password@mail.example.com:587?tls=required or smtps://…",
    |text| {
        let url = Url::parse(text).ok()?;
        let known = matches!(url.scheme(), "smtp" | "smtps") && url.has_host();
        known.then_some(url)
    },
);

const SENDER: Format<String> = Format::new(
    "ADDRESS",
    "an e-mail address, such as accounts@example.com or Example <accounts@example.com>",
    sender,
);

impl Mail {
    /// Reads the settings, and checks each by itself and all together.
    ///
    /// # Errors
    /// A setting is not valid, or two contradict each other.
    pub(super) fn from_sources(sources: &Sources) -> anyhow::Result<Self> {
        let mail = Self::read(sources)?;
        let is_encrypted =
            |url: &Url| url.scheme() == "smtps" || url.query_pairs().any(|(name, _)| name == "tls");
        anyhow::ensure!(
            mail.smtp_ca_file.is_none() || mail.smtp_url.as_ref().is_some_and(is_encrypted),
            "AUTHLOG_SMTP_CA_FILE is set, but AUTHLOG_SMTP_URL does not use TLS: write smtps://… or smtp://…?tls=required"
        );
        Ok(mail)
    }
}

/// An address, or a name and an address in angle brackets.
fn sender(text: &str) -> Option<String> {
    let address = match text.strip_suffix('>') {
        Some(named) => named.rsplit_once('<')?.1,
        None => text,
    };
    authlog_domain::Email::parse(address).ok()?;
    Some(text.to_owned())
}
