//! The client data (WebAuthn §5.8.1): what the browser says of the ceremony. The signature covers its hash.

use authlog_application::PasskeyRefusal;
use authlog_application::ports::Ceremony;
use serde::Deserialize;

use super::MAX_RESPONSE;

const CLIENT_DATA: PasskeyRefusal = PasskeyRefusal::Malformed("clientDataJSON");

/// The type of a ceremony.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    /// A passkey is created.
    Create,
    /// A passkey signs.
    Get,
}

impl Type {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "webauthn.create",
            Self::Get => "webauthn.get",
        }
    }
}

/// The members that are verified. Browsers may add others.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClientData {
    r#type: String,
    challenge: String,
    origin: String,
    #[serde(default)]
    cross_origin: Option<bool>,
    #[serde(default)]
    top_origin: Option<String>,
}

impl ClientData {
    /// Reads the JSON text. A byte order mark before it is ignored (§7.1-5: "UTF-8 decode").
    pub(super) fn parse(json: &[u8]) -> Result<Self, PasskeyRefusal> {
        let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
        if json.len() > MAX_RESPONSE || json.first() != Some(&b'{') {
            return Err(CLIENT_DATA);
        }
        serde_json::from_slice(json).map_err(|_| CLIENT_DATA)
    }

    /// §7.1-7 to §7.1-11, §7.2-10 to §7.2-14. Pages in frames of other sites are not expected.
    pub(super) fn check(&self, kind: Type, ceremony: &Ceremony<'_>) -> Result<(), PasskeyRefusal> {
        if self.r#type != kind.as_str() {
            return Err(PasskeyRefusal::WrongType);
        }
        if self.challenge != ceremony.challenge {
            return Err(PasskeyRefusal::WrongChallenge);
        }
        if self.origin != ceremony.relying_party.origin {
            return Err(PasskeyRefusal::WrongOrigin);
        }
        if self.cross_origin == Some(true) || self.top_origin.is_some() {
            return Err(PasskeyRefusal::CrossOrigin);
        }
        Ok(())
    }
}
