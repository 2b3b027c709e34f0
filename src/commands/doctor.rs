//! `authlog doctor`: checks that everything in the store agrees with its log.

use std::io::Write;

use anyhow::bail;
use authlog_application::ports::{Check, Diagnosis};
use authlog_infrastructure::StoreAccess;
use authlog_infrastructure::nats::compare_stream;
use indicatif::{ProgressBar, ProgressStyle};

use super::terminal::plain;
use super::{buffered_stdout, open};
use crate::cli::DoctorCommand;
use crate::composition;
use crate::settings::Settings;

/// The checks, in the order in which their results are printed.
const CHECKS: [Check; 18] = [
    Check::Sequences,
    Check::LogDense,
    Check::LogComplete,
    Check::LogOrder,
    Check::Leaves,
    Check::Events,
    Check::SubjectKeys,
    Check::Accounts,
    Check::Places,
    Check::Sessions,
    Check::Clients,
    Check::Claims,
    Check::Credentials,
    Check::SecondFactors,
    Check::OpaqueTokens,
    Check::Schema,
    Check::SigningKeys,
    Check::Stream,
];

/// Examines the store, compares the stream on NATS if one is set, and prints the result of each check.
///
/// # Errors
/// There is a divergence that was not repaired, or the store or NATS does not answer.
pub(crate) async fn doctor(command: DoctorCommand, settings: &Settings) -> anyhow::Result<()> {
    let access = if command.repair {
        StoreAccess::Change
    } else {
        StoreAccess::Read
    };
    let store = open(settings, access).await?;
    let bar = ProgressBar::new(store.examination_steps().await?).with_style(
        ProgressStyle::with_template("{bar:40} {percent}%, {per_sec}, {eta} left")?,
    );
    let mut diagnosis = store
        .examine(command.repair, composition::clock().now(), &|steps| {
            bar.set_position(steps);
        })
        .await?;
    bar.finish_and_clear();
    if let Some(nats) = &settings.nats {
        compare_stream(&nats.access, &*store, &mut diagnosis).await?;
    }
    let mut out = buffered_stdout();
    write!(out, "{}", in_text(&diagnosis, settings.nats.is_some()))?;
    out.flush()?;
    if !diagnosis.is_well() {
        bail!("the store does not agree with its log");
    }
    Ok(())
}

fn in_text(diagnosis: &Diagnosis, with_stream: bool) -> String {
    let mut text = String::new();
    for check in CHECKS {
        let words = check.in_words();
        match diagnosis.divergences.get(&check) {
            Some(found) => {
                let state = if found.repaired == found.count {
                    "REPAIRED"
                } else {
                    "WRONG"
                };
                text.push_str(&format!(
                    "{state:<8}  {words}: {} divergences, {} repaired; the first is {}: {}\n",
                    found.count,
                    found.repaired,
                    plain(&found.first.place),
                    plain(&found.first.detail),
                ));
            }
            None if check == Check::Stream && !with_stream => {
                text.push_str(&format!("skipped   {words}: AUTHLOG_NATS_URL is not set\n"));
            }
            None if check == Check::OpaqueTokens && diagnosis.unsealed => {
                text.push_str(&format!(
                    "skipped   {words}: the upgrade is not finished, and seals are not required yet\n"
                ));
            }
            None => text.push_str(&format!("ok        {words}\n")),
        }
    }
    for (account, holder) in &diagnosis.shared_mailboxes {
        text.push_str(&format!(
            "note      accounts {account} and {holder} share a mailbox: their addresses are two spellings of one address, and \
             any other spelling means the second account. Give one of them another address, or erase it\n"
        ));
    }
    if diagnosis.more_shared_mailboxes > 0 {
        text.push_str(&format!(
            "note      {} more pairs of accounts share a mailbox\n",
            diagnosis.more_shared_mailboxes
        ));
    }
    text.push_str(&format!("{} events examined", diagnosis.events));
    if diagnosis.waiting > 0 {
        text.push_str(&format!(
            ", {} of which wait for their place in the log",
            diagnosis.waiting
        ));
    }
    text.push('\n');
    text
}
