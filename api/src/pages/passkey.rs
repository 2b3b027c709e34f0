//! The part of a form that takes the answer of a passkey. The script of the page fills it in.

use authlog_application::{PasskeyRefusal, Refusal};
use serde::Serialize;
use serde_json::Value;

use super::form::Form;
use super::frame::Frame;
use super::html::{Escaped, hidden};

/// The field with the answer, as JSON text.
pub(super) const CREDENTIAL: &str = "credential";

/// The attribute of the second button of a form or of a page.
pub(super) const QUIET: &str = " class=\"quiet\"";

/// Where the script of the page finds what the browser has to know.
pub(super) enum Options<'a> {
    /// In the page.
    Here(String),
    /// In the answer to a POST to this path.
    At(&'a str),
}

impl Options<'_> {
    /// The options in the page.
    pub(super) fn here(options: &impl Serialize) -> Self {
        Self::Here(serde_json::to_string(options).unwrap_or_default())
    }
}

/// The button that uses a passkey, with these attributes, and the field for the answer. Without script it is not shown.
pub(super) fn passkey_button(
    frame: &Frame<'_>,
    options: &Options<'_>,
    attributes: &str,
    label: &str,
) -> String {
    let options = match options {
        Options::Here(json) => format!("data-options=\"{}\"", Escaped(json)),
        Options::At(path) => format!("data-options-at=\"{}{path}\"", frame.base()),
    };
    let field = hidden(CREDENTIAL, "");
    format!("{field}\n<button type=\"submit\"{attributes} {options} hidden>{label}</button>")
}

/// What a page says to a browser without script if there is nothing else to do on it.
pub(super) const WITHOUT_SCRIPT: &str =
    "<noscript><p>Passkeys need JavaScript, which is off in this browser.</p></noscript>";

/// The answer of the passkey.
///
/// # Errors
/// [`PasskeyRefusal::Malformed`].
pub(super) fn answer<T>(
    form: &Form,
    read: fn(&Value) -> Result<T, PasskeyRefusal>,
) -> Result<T, Refusal> {
    let malformed = |_| PasskeyRefusal::Malformed(CREDENTIAL);
    let sent = serde_json::from_str(form.text(CREDENTIAL)).map_err(malformed);
    Ok(sent.and_then(|sent| read(&sent))?)
}
