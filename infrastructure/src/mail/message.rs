//! The message of a mail (RFC 5322), for both mailers.

use std::sync::Arc;
use std::time::SystemTime;

use authlog_application::ports::{Clock, Mail, MailError};
use authlog_domain::{Email, Timestamp};
use aws_lc_rs::digest::{Context, SHA256};
use lettre::address::{AddressError, Envelope};
use lettre::message::header::{
    ContentTransferEncoding, ContentType, HeaderName, HeaderValue, MIME_VERSION_1_0,
};
use lettre::message::{Body, Mailbox};
use lettre::{Address, Message};
use url::Host;
use uuid::Uuid;

use super::MailerError;

/// Composes messages.
pub(super) struct Composer {
    sender: Mailbox,
    clock: Arc<dyn Clock>,
}

/// A message with its time and its id.
pub(super) struct Composed {
    pub at: Timestamp,
    pub id: Uuid,
    pub message: Message,
}

impl Composer {
    /// `sender` is an address, or a name and an address in angle brackets.
    pub fn new(sender: &str, clock: Arc<dyn Clock>) -> Result<Self, MailerError> {
        let wrong = || MailerError::Sender(sender.to_owned());
        let mut sender: Mailbox = sender.parse().map_err(|_| wrong())?;
        sender.email = with_a_label(&sender.email).ok_or_else(wrong)?;
        Ok(Self { sender, clock })
    }

    pub fn sender_domain(&self) -> &str {
        self.sender.email.domain()
    }

    /// Composes the message of `mail`.
    ///
    /// # Errors
    /// [`MailError::Permanent`] if no message can be sent to the address.
    pub fn compose(&self, mail: Mail) -> Result<Composed, MailError> {
        let at = self.clock.now();
        let id = name_of(&mail);
        let to = recipient(&mail.to).map_err(permanent)?;
        // Without an envelope, lettre parses the header, and cannot parse every character that it writes there.
        let envelope = Envelope::new(Some(self.sender.email.clone()), vec![to.clone()]);
        let message = Message::builder()
            .envelope(envelope.map_err(permanent)?)
            .from(self.sender.clone())
            .to(Mailbox::new(None, to))
            .subject(mail.subject)
            .date(since_epoch(at))
            .message_id(Some(format!("<{id}@{}>", self.sender_domain())))
            // RFC 3834 §5: automatic replies, such as holiday notices, are not wanted.
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".to_owned(),
            ))
            .header(MIME_VERSION_1_0)
            .header(ContentType::TEXT_PLAIN)
            .body(body(&mail.text))
            .map_err(permanent)?;
        Ok(Composed { at, id, message })
    }
}

/// The address with its domain in A-labels, which needs no SMTPUTF8 (RFC 6531 §3.2).
fn recipient(email: &Email) -> Result<Address, AddressError> {
    match email.for_delivery() {
        // lettre does not accept every character of RFC 6531. An `Email` is a valid address, and its parts contain no
        // character with a meaning in SMTP or in a header.
        Some((local, domain)) => Ok(Address::new_dangerous(local, domain)),
        // An address of an earlier version, which accepted quoted local parts.
        None => email.as_str().parse(),
    }
}

/// The message id (RFC 5322 §3.6.4). It is the same if the same text is sent again for the same entry, so that a mailbox can
/// recognise a duplicate. Otherwise it differs.
fn name_of(mail: &Mail) -> Uuid {
    let mut context = Context::new(&SHA256);
    for part in [
        mail.entry.as_bytes().as_slice(),
        mail.to.as_str().as_bytes(),
        mail.subject.as_bytes(),
        mail.text.as_bytes(),
    ] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let digest = context.finish();
    let mut name = [0; 16];
    name.copy_from_slice(&digest.as_ref()[..16]);
    Uuid::from_bytes(name)
}

/// The address with its domain in A-labels (RFC 5890 §2.3.2.1), which every mail server and EHLO accept.
fn with_a_label(address: &Address) -> Option<Address> {
    let domain = address.domain();
    // Address literals and ASCII domains need no conversion.
    if domain.is_ascii() {
        return Some(address.clone());
    }
    let Ok(Host::Domain(domain)) = Host::parse(domain) else {
        return None;
    };
    Address::new(address.user(), domain).ok()
}

/// The text in an encoding that leaves lines and links unchanged: 7bit for ASCII, 8bit otherwise. Another encoding is used
/// only for text that SMTP does not accept as it is. The default of lettre would encode lines of more than 76 characters.
fn body(text: &str) -> Body {
    /// RFC 5321 §4.5.3.1.6, without the CRLF.
    const LONGEST_LINE: usize = 998;
    // Some servers treat a single carriage return as the end of a line, others do not.
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let is_plain = |line: &str| line.len() <= LONGEST_LINE && !line.contains('\0');
    if !text.lines().all(is_plain) {
        return Body::new(text);
    }
    let encoding = if text.is_ascii() {
        ContentTransferEncoding::SevenBit
    } else {
        ContentTransferEncoding::EightBit
    };
    let lines = text.lines().flat_map(|line| [line, "\r\n"]);
    Body::dangerous_pre_encoded(lines.collect::<String>().into_bytes(), encoding)
}

/// The time, or 1970-01-01 if the clock shows an earlier one, which no message can have.
fn since_epoch(at: Timestamp) -> SystemTime {
    SystemTime::from(at.max(Timestamp::from_unix_millis(0)).date_time())
}

fn permanent(error: impl std::error::Error + Send + Sync + 'static) -> MailError {
    MailError::Permanent(Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct StoppedClock;

    impl Clock for StoppedClock {
        fn now(&self) -> Timestamp {
            Timestamp::parse("2024-07-24T16:34:05.337Z").unwrap()
        }
    }

    fn composed(to: &str, subject: &str, text: &str) -> String {
        let composer =
            Composer::new("Authlog <no-reply@auth.example>", Arc::new(StoppedClock)).unwrap();
        let mail = Mail {
            entry: Uuid::from_u128(9),
            user: authlog_domain::UserId::new(Uuid::from_u128(7)),
            to: Email::parse(to).unwrap(),
            subject: subject.to_owned(),
            text: text.to_owned(),
        };
        let composed = composer.compose(mail).ok().unwrap();
        let text = String::from_utf8(composed.message.formatted()).unwrap();
        text.replace(&composed.id.to_string(), "ID")
    }

    #[test]
    fn a_message_has_the_required_headers_and_the_unchanged_text() {
        let link = format!("https://auth.example/reset?token={}", "x".repeat(86));
        let text = format!("Open this link:\n\n{link}\n");
        let message = composed("jo@example.com", "Reset your password", &text);
        let (head, body) = message.split_once("\r\n\r\n").unwrap();
        let mut headers: Vec<&str> = head.split("\r\n").collect();
        headers.sort_unstable();
        assert_eq!(
            headers,
            [
                "Auto-Submitted: auto-generated",
                "Content-Transfer-Encoding: 7bit",
                "Content-Type: text/plain; charset=utf-8",
                "Date: Wed, 24 Jul 2024 16:34:05 +0000",
                "From: Authlog <no-reply@auth.example>",
                "MIME-Version: 1.0",
                "Message-ID: <ID@auth.example>",
                "Subject: Reset your password",
                "To: jo@example.com",
            ]
        );
        assert_eq!(body, format!("Open this link:\r\n\r\n{link}\r\n"));
    }

    #[test]
    fn an_internationalised_domain_is_written_in_a_labels() {
        let message = composed("Mo@B\u{fc}cher.example", "Hi", "Hi\n");
        assert!(
            message.contains("\r\nTo: Mo@xn--bcher-kva.example\r\n"),
            "{message}"
        );
        assert!(message.is_ascii());
        let message = composed(
            "\u{938}\u{902}\u{92a}\u{930}\u{94d}\u{915}@example.com",
            "Hi",
            "Hi\n",
        );
        assert!(
            message.contains("\r\nTo: \u{938}\u{902}\u{92a}\u{930}\u{94d}\u{915}@example.com\r\n"),
            "{message}"
        );
    }

    #[test]
    fn the_message_id_is_the_same_only_for_the_same_text_and_entry() {
        let mail = |entry, to: &str, text: &str| Mail {
            entry: Uuid::from_u128(entry),
            user: authlog_domain::UserId::new(Uuid::from_u128(7)),
            to: Email::parse(to).unwrap(),
            subject: "Hi".to_owned(),
            text: text.to_owned(),
        };
        let name = name_of(&mail(1, "jo@example.com", "once"));
        assert_eq!(name, name_of(&mail(1, "jo@example.com", "once")));
        for other in [
            mail(2, "jo@example.com", "once"),
            mail(1, "al@example.com", "once"),
            mail(1, "jo@example.com", "twice"),
        ] {
            assert_ne!(name, name_of(&other));
        }
    }

    #[test]
    fn a_link_is_unchanged_in_text_that_is_not_ascii() {
        let link = format!("https://auth.example/reset?token={}", "x".repeat(86));
        let message = composed("jo@example.com", "Пароль", &format!("Привет!\n{link}\n"));
        assert!(message.contains("Content-Transfer-Encoding: 8bit"));
        assert!(message.contains(&format!("\r\nПривет!\r\n{link}\r\n")));
        let (head, _) = message.split_once("\r\n\r\n").unwrap();
        assert!(head.is_ascii(), "{head}");
    }

    #[test]
    fn no_line_is_longer_than_smtp_allows() {
        for text in ["x".repeat(5_000), "ж".repeat(5_000)] {
            let message = composed("jo@example.com", &"long ".repeat(300), &text);
            assert!(message.split("\r\n").all(|line| line.len() <= 998));
        }
    }

    #[test]
    fn every_line_ends_with_the_same_characters() {
        let message = composed("jo@example.com", "Hi", "a\nb\r\nc\rd");
        assert!(message.ends_with("\r\n\r\na\r\nb\r\nc\r\nd\r\n"));
    }

    #[test]
    fn a_subject_cannot_add_a_header() {
        let message = composed("jo@example.com", "Hi\r\nBcc: all@example.com", "Hi\n");
        let (head, _) = message.split_once("\r\n\r\n").unwrap();
        assert!(
            head.split("\r\n").all(|line| !line.starts_with("Bcc")),
            "{head}"
        );
    }

    #[test]
    fn a_malformed_sender_is_refused() {
        let sender = |text| Composer::new(text, Arc::new(StoppedClock));
        assert!(sender("no-reply@auth.example").is_ok());
        assert_eq!(
            sender("no-reply@bücher.example")
                .ok()
                .unwrap()
                .sender_domain(),
            "xn--bcher-kva.example"
        );
        let error = sender("unknown").err().unwrap();
        assert!(error.to_string().starts_with("`unknown` is no sender"));
    }
}
