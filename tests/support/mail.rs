//! Received mail: files in the data directory, or messages at a real SMTP server.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

use super::eventually::within;
use super::{Program, eventually};

/// The longest time until a mail is sent again: an interrupted attempt counts as lost after two minutes, so that two
/// nodes do not send a mail twice.
const RETRY_PATIENCE: Duration = Duration::from_secs(240);

/// A message.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mail {
    pub to: String,
    pub subject: String,
    pub text: String,
}

impl Mail {
    /// The link in the text.
    #[track_caller]
    pub fn link(&self) -> String {
        let words = self.text.split_whitespace();
        let mut links = words.filter(|word| word.starts_with("http"));
        let link = links.next().expect("a link in the mail");
        assert_eq!(links.next(), None, "one link: {self:?}");
        link.to_owned()
    }

    /// The token in the link.
    #[track_caller]
    pub fn token(&self) -> String {
        let link = url::Url::parse(&self.link()).expect("a URL");
        let mut tokens = link.query_pairs().filter(|(name, _)| name == "token");
        let (_, token) = tokens.next().expect("a token in the link");
        token.into_owned()
    }

    /// Parses a message with one text part. `None` if the file is incomplete.
    fn parse(raw: &str) -> Option<Self> {
        let raw = raw.replace("\r\n", "\n");
        let (head, body) = raw.split_once("\n\n")?;
        let head = head.replace("\n ", " ").replace("\n\t", " ");
        let header = |name: &str| {
            head.lines().find_map(|line| {
                let (known, value) = line.split_once(':')?;
                known
                    .eq_ignore_ascii_case(name)
                    .then(|| value.trim().to_owned())
            })
        };
        let encoding = header("Content-Transfer-Encoding").unwrap_or_default();
        let text = match encoding.to_lowercase().as_str() {
            "quoted-printable" => from_quoted_printable(body),
            "base64" => {
                let packed: String = body.split_whitespace().collect();
                String::from_utf8(STANDARD.decode(packed).ok()?).ok()?
            }
            _ => body.to_owned(),
        };
        let to = header("To")?;
        Some(Self {
            to: to.trim_matches(['<', '>']).to_owned(),
            subject: header("Subject")?,
            text,
        })
    }
}

/// Decodes quoted-printable text (RFC 2045 §6.7).
fn from_quoted_printable(text: &str) -> String {
    let joined = text.replace("=\n", "");
    let mut bytes = Vec::new();
    let mut rest = joined.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after
            .get(..2)
            .filter(|_| *first == b'=')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Every complete message in a directory, among the files that are `finished`.
fn mails_in(directory: &Path, finished: impl Fn(&Path) -> bool) -> Vec<Mail> {
    let Ok(files) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    files
        .filter_map(|file| Some(file.ok()?.path()))
        .filter(|path| finished(path))
        .filter_map(|path| Mail::parse(&std::fs::read_to_string(path).ok()?))
        .collect()
}

/// Waits for a notice to `address` that says `words`.
pub async fn notice_to(mailbox: &impl Mailbox, address: &str, words: &str) -> Mail {
    eventually(&format!("a notice to {address}: {words}"), async || {
        let notices = mailbox.notices();
        let mut fitting = notices
            .into_iter()
            .filter(|mail| mail.to == address && mail.text.replace('\n', " ").contains(words));
        fitting.next()
    })
    .await
}

/// A place where mail arrives.
pub trait Mailbox {
    /// Every complete message so far.
    fn messages(&self) -> Vec<Mail>;

    /// The messages with a link.
    fn mails(&self) -> Vec<Mail> {
        let mut mails = self.messages();
        mails.retain(|mail| mail.text.contains("token="));
        mails
    }

    /// The messages without a link.
    fn notices(&self) -> Vec<Mail> {
        let mut mails = self.messages();
        mails.retain(|mail| !mail.text.contains("token="));
        mails
    }
}

impl Mailbox for Program {
    fn messages(&self) -> Vec<Mail> {
        // A file under another name is still being written, or its writer was killed.
        mails_in(&self.settings.data().join("mail"), |file| {
            file.extension().is_some_and(|end| end == "eml")
        })
    }
}

/// Waits for a mail to `address` that is not among those `known`.
pub async fn new_mail_to(mailbox: &impl Mailbox, address: &str, known: &[Mail]) -> Mail {
    within(
        RETRY_PATIENCE,
        &format!("a mail to {address}"),
        async || {
            mailbox
                .mails()
                .into_iter()
                .find(|mail| mail.to == address && !known.contains(mail))
        },
    )
    .await
}

/// Waits for the first mail to `address`.
pub async fn mail_to(mailbox: &impl Mailbox, address: &str) -> Mail {
    new_mail_to(mailbox, address, &[]).await
}

/// A real SMTP server, aiosmtpd, that keeps every message.
pub struct MailServer {
    child: Child,
    inbox: TempDir,
}

impl MailServer {
    /// Starts it on `port` of this machine.
    pub async fn on(port: u16) -> Self {
        let inbox = TempDir::new().expect("a directory");
        // Debian's Python has Debian's aiosmtpd; another one on the path may not.
        let child = Command::new("/usr/bin/python3")
            .args(["-m", "aiosmtpd", "--nosetuid"])
            .arg(format!("--listen=127.0.0.1:{port}"))
            .arg("--class=aiosmtpd.handlers.Mailbox")
            .arg(inbox.path().join("maildir"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("python3-aiosmtpd is not installed: run scripts/test.sh");
        eventually("the mail server listens", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .ok()
        })
        .await;
        Self { child, inbox }
    }

    fn directory(&self) -> PathBuf {
        self.inbox.path().join("maildir/new")
    }
}

impl Mailbox for MailServer {
    fn messages(&self) -> Vec<Mail> {
        mails_in(&self.directory(), |_| true)
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
