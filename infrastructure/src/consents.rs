//! The consents of an account, as a column of its row.

use authlog_application::ports::Account;
use authlog_domain::user::Consents;

/// The column's text: JSON. `None` for an account without consents, as in the rows of versions before the column.
pub(crate) fn consents_text(account: &Account) -> Option<String> {
    let consents = &account.consents;
    (!consents.is_empty())
        // Serialisation of texts and times does not fail.
        .then(|| serde_json::to_string(consents).unwrap_or_default())
}

/// What the column says.
///
/// # Errors
/// The column holds something else.
pub(crate) fn consents_from(text: Option<&str>) -> Result<Consents, serde_json::Error> {
    text.map_or(Ok(Consents::default()), serde_json::from_str)
}
