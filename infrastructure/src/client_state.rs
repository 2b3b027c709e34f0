//! The state of a client, as a column of its row.

use authlog_domain::client::Registered;
use authlog_projections::ClientRecord;

/// The column's text: JSON. `None` for a client that was removed.
pub(crate) fn client_state_text(client: &ClientRecord) -> Option<String> {
    let state = client.state.as_ref();
    // Serialisation of texts, ids and times does not fail.
    state.map(|state| serde_json::to_string(state).unwrap_or_default())
}

/// What the column says.
///
/// # Errors
/// The column holds something else.
pub(crate) fn client_state_from(
    text: Option<&str>,
) -> Result<Option<Registered>, serde_json::Error> {
    text.map(serde_json::from_str).transpose()
}
