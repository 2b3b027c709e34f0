//! What was granted to the application of a session, as columns of the session's row.

use authlog_application::ports::SessionRecord;
use authlog_domain::session::ClientGrant;
use authlog_domain::{ClientId, KeyThumbprint, Scopes, SessionId};

/// The columns. They are NULL for a session of a person, as in the rows of versions before them.
pub(crate) struct GrantColumns<'a> {
    pub(crate) client: Option<&'a str>,
    /// Separated by spaces.
    pub(crate) scopes: Option<&'a str>,
    /// A list in JSON; NULL for an empty one.
    pub(crate) audience: Option<&'a str>,
    pub(crate) parent: Option<SessionId>,
    pub(crate) dpop_jkt: Option<&'a str>,
}

impl GrantColumns<'_> {
    /// What the columns say.
    ///
    /// # Errors
    /// The column of the audience holds something else.
    pub(crate) fn grant(self) -> Result<Option<ClientGrant>, serde_json::Error> {
        let Some(client) = self.client else {
            return Ok(None);
        };
        Ok(Some(ClientGrant {
            client: ClientId::from_stored(client),
            scopes: Scopes::from_stored(self.scopes.unwrap_or_default()),
            audience: self.audience.map_or(Ok(vec![]), serde_json::from_str)?,
            parent: self.parent,
            dpop_jkt: self.dpop_jkt.map(KeyThumbprint::from_stored),
        }))
    }
}

/// The text of the column of the key.
pub(crate) fn key_text(session: &SessionRecord) -> Option<&str> {
    let key = session.grant.as_ref()?.dpop_jkt.as_ref()?;
    Some(key.as_str())
}

/// The text of the column of the audience.
pub(crate) fn audience_text(session: &SessionRecord) -> Option<String> {
    let audience = &session.grant.as_ref()?.audience;
    (!audience.is_empty())
        // Serialisation of a list of texts does not fail.
        .then(|| serde_json::to_string(audience).unwrap_or_default())
}
