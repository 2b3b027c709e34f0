//! Sending one message (RFC 5321 §3.3), and classifying a refusal by the refused command.

use std::error::Error as _;

use lettre::Address;
use lettre::address::Envelope;
use lettre::transport::smtp;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{Extension, MailBodyParameter, MailParameter};
use tokio::time::error::Elapsed;

use super::server::ConnectError;

/// Why a message was not accepted.
pub(super) enum Refusal {
    /// The server cannot be reached in the configured way.
    Connection(ConnectError),
    /// The server did not ask for the message in time.
    Late(Elapsed),
    /// The message was sent, but the server did not answer. It may have accepted the message.
    Unacknowledged(Option<smtp::Error>),
    /// The server refused a command.
    Command(Stage, smtp::Error),
    /// The server lacks an extension that the message needs.
    Extension(Extension, Need),
}

/// The step of the exchange that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The sender.
    Sender,
    /// The recipient or the text.
    Message,
}

/// The part of a message that needs an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// The sender's address.
    Sender,
    /// The recipient's address, or the text.
    Message,
}

impl Refusal {
    /// Whether the server will never accept this message (RFC 5321 §4.2.1), because of its recipient or its text.
    ///
    /// A refusal that concerns the sender is not permanent: refused credentials (RFC 4954 §6), a refused sender, and a refusal
    /// by policy, such as relaying (RFC 3463 §3.8). The message waits until an operator has changed the settings, the sender's
    /// domain or the server.
    pub(super) fn is_permanent(&self) -> bool {
        match self {
            Self::Command(Stage::Message, error) => error.is_permanent() && !concerns_sender(error),
            // The server is not expected to support the extension later.
            Self::Extension(_, need) => *need == Need::Message,
            Self::Command(Stage::Sender, _)
            | Self::Connection(_)
            | Self::Late(_)
            | Self::Unacknowledged(_) => false,
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Command(_, error) => error.fmt(f),
            Self::Connection(error) => error.fmt(f),
            Self::Late(error) => error.fmt(f),
            Self::Unacknowledged(None) => f.write_str("the server did not answer in time"),
            Self::Unacknowledged(Some(error)) => error.fmt(f),
            Self::Extension(extension, Need::Sender) => {
                write!(
                    f,
                    "the server lacks {extension}, which the sender's address needs"
                )
            }
            Self::Extension(extension, Need::Message) => {
                write!(f, "the server lacks {extension}, which the message needs")
            }
        }
    }
}

fn concerns_sender(error: &smtp::Error) -> bool {
    let code = error.status().map(u16::from);
    if matches!(code, Some(530 | 534 | 535 | 538)) {
        return true;
    }
    let text = error.source().map(ToString::to_string).unwrap_or_default();
    match enhanced_status(&text) {
        // RFC 3463 §3.2: details 7 and 8 concern the sender's address. §3.8: subject 7 is security and policy.
        Some((1, detail)) => matches!(detail, 7 | 8),
        Some((subject, _)) => subject == 7,
        // Servers without enhanced codes, such as Exim, only have the text: "relay not permitted".
        None => text.to_ascii_lowercase().contains("relay"),
    }
}

/// The subject and the detail of the enhanced status code at the beginning of a permanent refusal (RFC 2034 §4).
fn enhanced_status(text: &str) -> Option<(u16, u16)> {
    let mut numbers = text.split_whitespace().next()?.splitn(3, '.');
    if numbers.next()? != "5" {
        return None;
    }
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

impl From<ConnectError> for Refusal {
    fn from(error: ConnectError) -> Self {
        Self::Connection(error)
    }
}

/// Sends the commands before the message, until the server asks for it.
pub(super) async fn offer(
    connection: &mut AsyncSmtpConnection,
    envelope: &Envelope,
    message: &[u8],
) -> Result<(), Refusal> {
    let parameters = parameters(connection, envelope, message)?;
    let sender = |error| Refusal::Command(Stage::Sender, error);
    let about_message = |error| Refusal::Command(Stage::Message, error);
    let mail = Mail::new(envelope.from().cloned(), parameters);
    connection.command(mail).await.map_err(sender)?;
    for recipient in envelope.to() {
        let rcpt = Rcpt::new(recipient.clone(), vec![]);
        connection.command(rcpt).await.map_err(about_message)?;
    }
    connection.command(Data).await.map_err(about_message)?;
    Ok(())
}

/// Sends the message that the server has asked for.
pub(super) async fn send_message(
    connection: &mut AsyncSmtpConnection,
    message: &[u8],
) -> Result<(), Refusal> {
    match connection.message(message).await {
        Ok(_) => Ok(()),
        // Every refusal has a status code.
        Err(error) if error.status().is_some() => Err(Refusal::Command(Stage::Message, error)),
        Err(error) => Err(Refusal::Unacknowledged(Some(error))),
    }
}

/// The parameters of `MAIL` for the extensions that the message needs. It is an error if the server lacks one of them.
fn parameters(
    connection: &AsyncSmtpConnection,
    envelope: &Envelope,
    message: &[u8],
) -> Result<Vec<MailParameter>, Refusal> {
    let is_ascii = |address: &Address| AsRef::<str>::as_ref(address).is_ascii();
    let server = connection.server_info();
    let mut parameters = vec![];
    let to_ascii = envelope.to().iter().all(is_ascii);
    // RFC 6531: addresses.
    if !to_ascii || !envelope.from().is_none_or(is_ascii) {
        if !server.supports_feature(Extension::SmtpUtfEight) {
            let need = if to_ascii {
                Need::Sender
            } else {
                Need::Message
            };
            return Err(Refusal::Extension(Extension::SmtpUtfEight, need));
        }
        parameters.push(MailParameter::SmtpUtfEight);
    }
    // RFC 6152: text.
    if !message.is_ascii() {
        if !server.supports_feature(Extension::EightBitMime) {
            return Err(Refusal::Extension(Extension::EightBitMime, Need::Message));
        }
        parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    Ok(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_enhanced_status_is_parsed_if_there_is_one() {
        assert_eq!(enhanced_status("5.7.1 Relaying denied"), Some((7, 1)));
        assert_eq!(enhanced_status("5.1.10 null MX\nmore"), Some((1, 10)));
        for text in [
            "",
            "No such user",
            "5.7 x",
            "4.7.1 later",
            "5.x.1",
            "15.1.1",
        ] {
            assert_eq!(enhanced_status(text), None, "{text:?}");
        }
    }
}
