//! The second factors of an account, as a column of its row.

use authlog_application::ports::Account;
use authlog_domain::user::SecondFactors;

/// The column's text: JSON. `None` for an account without second factors, as in the rows of versions before the column.
pub(crate) fn second_factors_text(account: &Account) -> Option<String> {
    let factors = &account.second_factors;
    (*factors != SecondFactors::default())
        // Serialisation of ids, times and numbers does not fail.
        .then(|| serde_json::to_string(factors).unwrap_or_default())
}

/// What the column says.
///
/// # Errors
/// The column holds something else.
pub(crate) fn second_factors_from(text: Option<&str>) -> Result<SecondFactors, serde_json::Error> {
    text.map_or(Ok(SecondFactors::default()), serde_json::from_str)
}
