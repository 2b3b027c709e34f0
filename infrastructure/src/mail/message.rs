//! The message as it is handed over, whichever way it goes (RFC 5322).

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

/// Makes messages of mail.
pub(super) struct Composer {
    sender: Mailbox,
    clock: Arc<dyn Clock>,
}

/// A message, when it was made and what it is called.
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

    /// The message that says what `mail` says.
    ///
    /// # Errors
    /// [`MailError::Permanent`] for an address that no message can be sent to.
    pub fn compose(&self, mail: Mail) -> Result<Composed, MailError> {
        let at = self.clock.now();
        let id = name_of(&mail);
        let to = recipient(&mail.to).map_err(permanent)?;
        // Otherwise it is read from the header, and lettre does not read every letter that it writes there.
        let envelope = Envelope::new(Some(self.sender.email.clone()), vec![to.clone()]);
        let message = Message::builder()
            .envelope(envelope.map_err(permanent)?)
            .from(self.sender.clone())
            .to(Mailbox::new(None, to))
            .subject(mail.subject)
            .date(since_epoch(at))
            .message_id(Some(format!("<{id}@{}>", self.sender_domain())))
            // RFC 3834 §5: nobody's holiday notice need answer it.
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

/// The address as every mail server takes it: a domain that is written in A-labels needs no SMTPUTF8 (RFC 6531 §3.2).
fn recipient(email: &Email) -> Result<Address, AddressError> {
    match email.for_delivery() {
        // lettre does not take every letter of RFC 6531. What this reads is an address, whose parts hold no character that
        // means something to SMTP or to a header.
        Some((local, domain)) => Ok(Address::new_dangerous(local, domain)),
        // One of an earlier version, which took quoted local parts.
        None => email.as_str().parse(),
    }
}

/// What the message is called (RFC 5322 §3.6.4): the same each time that the same is said for the same entry, so that a mailbox
/// that gets it twice can tell, and another for everything else.
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

/// The address with its domain as A-label (RFC 5890 §2.3.2.1), as every mail server and the name in EHLO take it.
fn with_a_label(address: &Address) -> Option<Address> {
    let domain = address.domain();
    // An address literal is none to convert, and an ASCII domain needs no conversion.
    if domain.is_ascii() {
        return Some(address.clone());
    }
    let Ok(Host::Domain(domain)) = Host::parse(domain) else {
        return None;
    };
    Address::new(address.user(), domain).ok()
}

/// The text in an encoding that leaves lines, and the links on them, as they are: 7bit where it is ASCII, 8bit where it
/// is not. Only what SMTP does not take as it is, is encoded otherwise; lettre on its own would do so from the 77th
/// character of a line on.
fn body(text: &str) -> Body {
    /// RFC 5321 §4.5.3.1.6, without the CRLF.
    const LONGEST_LINE: usize = 998;
    // A carriage return by itself would end a line for some servers and not for others.
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

/// The instant, or the epoch for a clock that shows an earlier one, which no message can have.
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
    fn a_message_has_the_headers_that_mail_needs_and_the_text_as_it_is() {
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
    fn a_message_is_called_the_same_only_if_it_says_the_same_for_the_same_entry() {
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
    fn a_link_stays_whole_beside_text_that_is_not_ascii() {
        let link = format!("https://auth.example/reset?token={}", "x".repeat(86));
        let message = composed("jo@example.com", "Пароль", &format!("Привет!\n{link}\n"));
        assert!(message.contains("Content-Transfer-Encoding: 8bit"));
        assert!(message.contains(&format!("\r\nПривет!\r\n{link}\r\n")));
        let (head, _) = message.split_once("\r\n\r\n").unwrap();
        assert!(head.is_ascii(), "{head}");
    }

    #[test]
    fn no_line_is_longer_than_smtp_takes() {
        for text in ["x".repeat(5_000), "ж".repeat(5_000)] {
            let message = composed("jo@example.com", &"long ".repeat(300), &text);
            assert!(message.split("\r\n").all(|line| line.len() <= 998));
        }
    }

    #[test]
    fn every_line_ends_alike() {
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
    fn what_is_no_sender_is_refused() {
        let sender = |text| Composer::new(text, Arc::new(StoppedClock));
        assert!(sender("no-reply@auth.example").is_ok());
        assert_eq!(
            sender("no-reply@bücher.example")
                .ok()
                .unwrap()
                .sender_domain(),
            "xn--bcher-kva.example"
        );
        let error = sender("nobody").err().unwrap();
        assert!(error.to_string().starts_with("`nobody` is no sender"));
    }
}
