//! The mailer that the settings name.

use std::sync::Arc;

use anyhow::Context;
use authlog_application::ports::Mailer;
use authlog_infrastructure::mail::{FileMailer, MailAuthorities, SmtpMailer};

use super::clock;
use crate::settings::Settings;

/// The mailer of a service: a mail server if one is set, else files in the data directory.
///
/// # Errors
/// Which setting is wrong, or that the directory cannot be created.
pub(crate) fn mailer(settings: &Settings) -> anyhow::Result<Arc<dyn Mailer>> {
    Ok(match &settings.mail.smtp_url {
        Some(url) => Arc::new(
            SmtpMailer::new(
                url.as_str(),
                &mail_authorities(settings)?,
                &settings.mail.mail_from,
                clock(),
            )
            .context("AUTHLOG_SMTP_URL with AUTHLOG_MAIL_FROM")?,
        ),
        None => Arc::new(
            FileMailer::new(
                settings.storage.data_dir.join("mail"),
                &settings.mail.mail_from,
                clock(),
            )
            .context("the folder for mail in AUTHLOG_DATA_DIR cannot be made")?,
        ),
    })
}

/// Certificate authorities for the mail server, in addition to Mozilla's.
fn mail_authorities(settings: &Settings) -> anyhow::Result<MailAuthorities> {
    let Some(path) = &settings.mail.smtp_ca_file else {
        return Ok(MailAuthorities::default());
    };
    let name = path.display();
    let pem = std::fs::read(path)
        .with_context(|| format!("AUTHLOG_SMTP_CA_FILE: the file {name} cannot be read"))?;
    MailAuthorities::from_pem(&pem).with_context(|| {
        format!("AUTHLOG_SMTP_CA_FILE: the file {name} holds no certificate in PEM")
    })
}
