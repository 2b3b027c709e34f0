//! `authlog user import`: accounts of another service, from a file with one a line.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;

use anyhow::{Context, bail};
use authlog_application::{Authlog, ImportForm, Imported, NotImported, Operator, Refusal};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value};
use tokio_util::task::AbortOnDropHandle;

use super::{by_operator, print, private_file};
use crate::cli::ImportUsers;

/// How many accounts are written at a time: the store commits together what comes together.
const AT_ONCE: usize = 64;

/// A line that was read: its number, and what becomes of it.
struct Pending {
    number: u64,
    outcome: Result<AbortOnDropHandle<Result<Imported, NotImported>>, String>,
}

/// The longest line, in bytes: far longer than any account.
const LONGEST_LINE: usize = 64 * 1024;

/// What became of the lines so far.
#[derive(Default)]
struct Tally {
    made: u64,
    were_here: u64,
    refused: u64,
}

/// Takes over the accounts in a file. It goes on after a line that is refused, and ends badly if there was one.
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
            bar.set_message(format!("{} made", tally.made));
        }
        if is_end {
            break;
        }
    }
    bar.finish_and_clear();
    report.flush().context("the report")?;
    let Tally {
        made,
        were_here,
        refused,
    } = tally;
    print(&format!(
        "made {made} accounts, passed over {were_here} that were here before, refused {refused}"
    ))?;
    if refused > 0 {
        bail!("not every account was taken over");
    }
    Ok(())
}

/// Begins to write an account.
fn begin(
    authlog: &Authlog,
    operator: Operator,
    form: ImportForm,
) -> AbortOnDropHandle<Result<Imported, NotImported>> {
    let authlog = authlog.clone();
    let writing = async move {
        authlog
            .import_account(&operator, &form, &by_operator())
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
            Ok(Imported::Made) => self.made += 1,
            Ok(Imported::WasHere) => self.were_here += 1,
            Err(wrong @ NotImported::Wrong(_)) => {
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
                    "stopped at line {number}: import the file again, and accounts with an id go on where they were"
                )));
            }
        }
        Ok(())
    }

    /// Says which line and why, and nothing of what is in it.
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

/// What to read, and its length if that is known.
fn open(path: &Path) -> anyhow::Result<(Lines, Option<u64>)> {
    if path.as_os_str() == "-" {
        return Ok((Box::new(std::io::stdin().lock()), None));
    }
    let file = File::open(path).with_context(|| path.display().to_string())?;
    let length = file.metadata().ok().map(|metadata| metadata.len());
    Ok((Box::new(BufReader::new(file)), length))
}

/// A line of the file; `None` in place of one that is too long.
struct Line {
    text: Option<Vec<u8>>,
    length: u64,
}

/// The next line; a long one is read past, not kept.
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

/// The account that a line describes; `None` for a blank one. What is wrong is said without repeating any of it.
fn parse(line: &[u8]) -> Result<Option<ImportForm>, &'static str> {
    if line.trim_ascii().is_empty() {
        return Ok(None);
    }
    let Ok(Value::Object(members)) = serde_json::from_slice(line) else {
        return Err("is no JSON object");
    };
    Ok(Some(ImportForm {
        id: text(&members, "id").ok_or("id is no text")?,
        username: text(&members, "username").ok_or("username is no text")?,
        email: text(&members, "email").ok_or("email is no text")?,
        name: text(&members, "name").ok_or("name is no text")?,
        phone: text(&members, "phone").ok_or("phone is no text")?,
        role: text(&members, "role").ok_or("role is no text")?,
        created_at: text(&members, "created_at").ok_or("created_at is no text")?,
        password_hash: text(&members, "password_hash").ok_or("password_hash is no text")?,
    }))
}

/// The member, `Some(None)` if it is not there or null, `None` if it is something else than a text.
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
    fn long_lines_are_passed_over_and_the_next_is_read() {
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
    fn a_line_is_an_object_of_texts() {
        let form = parse(br#" {"email": "a@b.example", "phone": null, "more": [1]} "#).unwrap();
        assert_eq!(form.unwrap().email.as_deref(), Some("a@b.example"));
        assert!(parse(b" \r\n").unwrap().is_none());
        assert_eq!(parse(br#"{"id": 7}"#).err(), Some("id is no text"));
        for wrong in [&b"[]"[..], b"{", b"null", b"\xff", b"{} {}"] {
            assert_eq!(parse(wrong).err(), Some("is no JSON object"));
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
