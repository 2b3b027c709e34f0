//! `authlog user import`: imports accounts of another service from a file with one account per line.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;

use anyhow::{Context, bail};
use authlog_application::{Authlog, ImportForm, Imported, NotImported, Operator, Refusal};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value};

mod authenticator_apps;
mod keycloak;

use tokio_util::task::AbortOnDropHandle;

use super::{print, private_file, request_context};
use crate::cli::ImportUsers;

/// How many accounts are written concurrently. The store commits concurrent writes in batches.
const AT_ONCE: usize = 64;

/// A line that was read and is not counted yet: the import of its account, or why the line is refused.
struct Pending {
    number: u64,
    outcome: Result<AbortOnDropHandle<Result<Imported, NotImported>>, String>,
}

/// The longest line, in bytes: far longer than any account.
const LONGEST_LINE: usize = 64 * 1024;

/// The results of the lines that are counted.
#[derive(Default)]
struct Tally {
    imported: u64,
    existing: u64,
    refused: u64,
}

/// Imports the accounts in a file. A refused line is reported, and the import continues with the next one.
///
/// # Errors
/// A line was refused: the import goes on and fails at the end. A file cannot be read or written, or the store does not
/// answer: the import stops at once.
pub(crate) async fn import(
    authlog: &Authlog,
    operator: &Operator,
    command: &ImportUsers,
) -> anyhow::Result<()> {
    let (mut lines, length) = open(&command.file)?;
    let mut report: Box<dyn Write> = match &command.report {
        Some(path) => Box::new(private_file::create(path).context("the file for the report")?),
        None => Box::new(std::io::stderr()),
    };
    let bar = ProgressBar::new(length.unwrap_or(0)).with_style(ProgressStyle::with_template(
        if length.is_some() {
            "{bar:40} {bytes}/{total_bytes}, {msg}, {eta} left"
        } else {
            "{spinner} {bytes}, {msg}"
        },
    )?);
    let mut tally = Tally::default();
    // In the order of their lines, so that they are reported in that order.
    let mut under_way = VecDeque::new();
    let mut number = 0_u64;
    loop {
        let line = read_line(&mut lines).context("the accounts cannot be read")?;
        let is_end = line.is_none();
        if let Some(Line { text, length }) = line {
            number += 1;
            bar.inc(length);
            let outcome = match text.as_deref().map(parse) {
                // Blank lines are skipped.
                Some(Ok(None)) => continue,
                Some(Ok(Some(form))) => Ok(begin(authlog, *operator, form)),
                Some(Err(why)) => Err(why.to_owned()),
                None => Err(format!("is longer than {LONGEST_LINE} bytes")),
            };
            under_way.push_back(Pending { number, outcome });
        }
        while under_way.len() >= AT_ONCE || is_end {
            let Some(Pending { number, outcome }) = under_way.pop_front() else {
                break;
            };
            match outcome {
                Ok(writing) => tally.count(&bar, &mut report, number, writing.await?)?,
                Err(why) => tally.refuse(&bar, &mut report, number, &why)?,
            }
            bar.set_message(format!("{} imported", tally.imported));
        }
        if is_end {
            break;
        }
    }
    bar.finish_and_clear();
    report.flush().context("the report")?;
    let Tally {
        imported,
        existing,
        refused,
    } = tally;
    print(&format!(
        "imported {imported} accounts, skipped {existing} that exist already, refused {refused}"
    ))?;
    if refused > 0 {
        bail!("some accounts were not imported");
    }
    Ok(())
}

/// Starts a task that imports an account.
fn begin(
    authlog: &Authlog,
    operator: Operator,
    form: ImportForm,
) -> AbortOnDropHandle<Result<Imported, NotImported>> {
    let authlog = authlog.clone();
    let writing = async move {
        authlog
            .import_account(&operator, &form, &request_context())
            .await
    };
    AbortOnDropHandle::new(tokio::spawn(writing))
}

impl Tally {
    fn count(
        &mut self,
        bar: &ProgressBar,
        report: &mut dyn Write,
        number: u64,
        outcome: Result<Imported, NotImported>,
    ) -> anyhow::Result<()> {
        match outcome {
            Ok(Imported::Created) => self.imported += 1,
            Ok(Imported::AlreadyExists) => self.existing += 1,
            Err(wrong @ NotImported::Invalid(_)) => {
                self.refuse(bar, report, number, &wrong.to_string())?;
            }
            Err(NotImported::Refused(Refusal::IdentifierTaken(kinds))) => {
                let kinds: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
                let why = format!("{} is taken by another account", kinds.join(" and "));
                self.refuse(bar, report, number, &why)?;
            }
            Err(NotImported::Refused(Refusal::UnknownAccount)) => {
                self.refuse(bar, report, number, "the account was erased here")?;
            }
            Err(NotImported::Refused(refusal)) => {
                return Err(anyhow::Error::new(refusal).context(format!(
                    "stopped at line {number}; import the file again: accounts with an id that exist already are skipped"
                )));
            }
        }
        Ok(())
    }

    /// Reports the number of a refused line and the reason. The report does not repeat the line, which is personal data.
    fn refuse(
        &mut self,
        bar: &ProgressBar,
        report: &mut dyn Write,
        number: u64,
        why: &str,
    ) -> anyhow::Result<()> {
        self.refused += 1;
        bar.suspend(|| writeln!(report, "line {number}: {why}"))
            .context("the report")
    }
}

type Lines = Box<dyn BufRead>;

/// The lines of the file, or of standard input for `-`, and their length in bytes if it is known.
fn open(path: &Path) -> anyhow::Result<(Lines, Option<u64>)> {
    if path.as_os_str() == "-" {
        return Ok((Box::new(std::io::stdin().lock()), None));
    }
    let file = File::open(path).with_context(|| path.display().to_string())?;
    let length = file.metadata().ok().map(|metadata| metadata.len());
    Ok((Box::new(BufReader::new(file)), length))
}

/// A line of the file.
struct Line {
    /// `None` if it is longer than [`LONGEST_LINE`].
    text: Option<Vec<u8>>,
    /// In bytes, with the line break.
    length: u64,
}

/// Reads the next line, or `None` at the end. A line that is too long is skipped without keeping it in memory.
fn read_line(lines: &mut dyn BufRead) -> std::io::Result<Option<Line>> {
    let mut text = Vec::new();
    let mut length = lines
        .take(LONGEST_LINE as u64 + 1)
        .read_until(b'\n', &mut text)? as u64;
    if length == 0 {
        return Ok(None);
    }
    let is_whole = text.last() == Some(&b'\n') || text.len() <= LONGEST_LINE;
    if !is_whole {
        length += lines.skip_until(b'\n')? as u64;
    }
    let text = is_whole.then_some(text);
    Ok(Some(Line { text, length }))
}

/// The account that a line describes; `None` for a blank line. The error does not repeat the line.
fn parse(line: &[u8]) -> Result<Option<ImportForm>, &'static str> {
    if line.trim_ascii().is_empty() {
        return Ok(None);
    }
    let Ok(Value::Object(members)) = serde_json::from_slice(line) else {
        return Err("is not a JSON object");
    };
    let mut password_hash =
        text(&members, "password_hash").ok_or("password_hash is not a string")?;
    let mut totp = authenticator_apps::parse(members.get("totp"))?;
    if let Some(credentials) = members.get("credentials") {
        let exported = keycloak::parse(credentials)?;
        if password_hash.is_some() && exported.password_hash.is_some() {
            return Err("password_hash and a password in credentials are both given");
        }
        password_hash = password_hash.or(exported.password_hash);
        totp.extend(exported.totp);
    }
    Ok(Some(ImportForm {
        id: text(&members, "id").ok_or("id is not a string")?,
        username: text(&members, "username").ok_or("username is not a string")?,
        email: text(&members, "email").ok_or("email is not a string")?,
        name: text(&members, "name").ok_or("name is not a string")?,
        phone: text(&members, "phone").ok_or("phone is not a string")?,
        role: text(&members, "role").ok_or("role is not a string")?,
        created_at: text(&members, "created_at").ok_or("created_at is not a string")?,
        password_hash,
        totp,
    }))
}

/// The string in a field; `Some(None)` if the field is absent or null, `None` if it is not a string.
#[expect(clippy::option_option, reason = "an absent member is a valid answer")]
fn text(members: &Map<String, Value>, name: &str) -> Option<Option<String>> {
    match members.get(name) {
        None | Some(Value::Null) => Some(None),
        Some(Value::String(text)) => Some(Some(text.clone())),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_that_is_too_long_is_skipped_and_the_next_one_is_read() {
        let long = "x".repeat(3 * LONGEST_LINE);
        let text = format!("one\n{long}\n\nlast");
        let mut lines = text.as_bytes();
        let mut read = Vec::new();
        while let Some(line) = read_line(&mut lines).unwrap() {
            read.push((line.text.map(|text| text.len()), line.length));
        }
        let long = long.len() as u64 + 1;
        assert_eq!(
            read,
            [(Some(4), 4), (None, long), (Some(1), 1), (Some(4), 4)]
        );
    }

    #[test]
    fn a_line_is_an_object_of_strings() {
        let form = parse(br#" {"email": "a@b.example", "phone": null, "more": [1]} "#).unwrap();
        assert_eq!(form.unwrap().email.as_deref(), Some("a@b.example"));
        assert!(parse(b" \r\n").unwrap().is_none());
        assert_eq!(parse(br#"{"id": 7}"#).err(), Some("id is not a string"));
        for wrong in [&b"[]"[..], b"{", b"null", b"\xff", b"{} {}"] {
            assert_eq!(parse(wrong).err(), Some("is not a JSON object"));
        }
        assert!(parse("[".repeat(60_000).as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_lines(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            shaped in r#"\{("(id|email|role|password_hash)":("[^"]{0,9}"|[0-9]{1,3}|null|\{\})[,}]?){0,5}\}?"#,
        ) {
            for bytes in [bytes.as_slice(), shaped.as_bytes()] {
                let mut lines = bytes;
                while let Ok(Some(line)) = read_line(&mut lines) {
                    let _ = parse(&line.text.unwrap_or_default());
                }
            }
        }
    }
}
