//! The answers of authenticators: `RegistrationResponseJSON` and `AuthenticationResponseJSON` (WebAuthn Level 3 §5.1.3).

use authlog_application::PasskeyRefusal;
use authlog_application::ports::{AssertionResponse, AttestationResponse};
use authlog_domain::PasskeyTransport;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// The answer to the creation of a passkey.
///
/// # Errors
/// [`PasskeyRefusal::Malformed`] with the name of the member. Members that are not needed are not looked at.
pub(crate) fn attestation(credential: &Value) -> Result<AttestationResponse, PasskeyRefusal> {
    let credential_id = credential_id(credential)?;
    let response = &credential["response"];
    let transports = response["transports"].as_array().map(Vec::as_slice);
    let transports = transports.unwrap_or_default().iter();
    Ok(AttestationResponse {
        credential_id,
        client_data: bytes(response, "clientDataJSON")?,
        attestation_object: bytes(response, "attestationObject")?,
        transports: PasskeyTransport::known(transports.filter_map(Value::as_str)),
        discoverable: credential["clientExtensionResults"]["credProps"]["rk"].as_bool(),
    })
}

/// The answer to a challenge.
///
/// # Errors
/// [`PasskeyRefusal::Malformed`] with the name of the member.
pub(crate) fn assertion(credential: &Value) -> Result<AssertionResponse, PasskeyRefusal> {
    let credential_id = credential_id(credential)?;
    let response = &credential["response"];
    let has_handle = !response["userHandle"].is_null();
    Ok(AssertionResponse {
        credential_id,
        client_data: bytes(response, "clientDataJSON")?,
        authenticator_data: bytes(response, "authenticatorData")?,
        signature: bytes(response, "signature")?,
        user_handle: has_handle
            .then(|| bytes(response, "userHandle"))
            .transpose()?,
    })
}

/// A member that holds the answer to a challenge. Reading it never fails, so that a wrong value is refused like any other
/// invalid member.
#[derive(Default)]
pub(super) struct AssertionIn(Option<Result<AssertionResponse, PasskeyRefusal>>);

impl AssertionIn {
    /// The answer; `None` if the member is missing or `null`.
    ///
    /// # Errors
    /// As for [`assertion`].
    pub(super) fn response(&self) -> Result<Option<&AssertionResponse>, PasskeyRefusal> {
        match &self.0 {
            None => Ok(None),
            Some(Ok(response)) => Ok(Some(response)),
            Some(Err(refusal)) => Err(*refusal),
        }
    }

    /// Whether the client sent a value other than `null`.
    pub(super) const fn was_sent(&self) -> bool {
        self.0.is_some()
    }
}

impl<'de> Deserialize<'de> for AssertionIn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let sent = Option::<Value>::deserialize(deserializer)?;
        Ok(Self(sent.as_ref().map(assertion)))
    }
}

/// `rawId`, which `id` repeats.
fn credential_id(credential: &Value) -> Result<Vec<u8>, PasskeyRefusal> {
    if credential["type"] != "public-key" {
        return Err(PasskeyRefusal::Malformed("type"));
    }
    let raw = bytes(credential, "rawId")?;
    if credential["id"] != credential["rawId"] {
        return Err(PasskeyRefusal::Malformed("id"));
    }
    Ok(raw)
}

/// The bytes of a member in base64url without padding.
fn bytes(value: &Value, member: &'static str) -> Result<Vec<u8>, PasskeyRefusal> {
    let text = value[member].as_str();
    let decoded = text.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    decoded.ok_or(PasskeyRefusal::Malformed(member))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::http::parse_object;
    use crate::tests::a_body;

    fn right() -> Value {
        json!({
            "id": "AQ", "rawId": "AQ", "type": "public-key",
            "response": {
                "clientDataJSON": "e30", "attestationObject": "oA", "transports": ["usb", "smoke", 7],
                "authenticatorData": "AA", "signature": "AA", "userHandle": "AA",
            },
            "clientExtensionResults": {"credProps": {"rk": false}},
        })
    }

    #[test]
    fn an_answer_is_read_and_the_malformed_member_named() {
        let made = attestation(&right()).unwrap();
        assert_eq!(made.credential_id, [1]);
        assert_eq!(made.transports, [PasskeyTransport::Usb]);
        assert_eq!(made.discoverable, Some(false));
        assert_eq!(assertion(&right()).unwrap().user_handle, Some(vec![0]));
        for (pointer, wrong, member) in [
            ("/type", json!("password"), "type"),
            ("/id", json!("AA"), "id"),
            ("/rawId", json!(7), "rawId"),
            ("/response", json!([]), "clientDataJSON"),
            ("/response/clientDataJSON", json!("e30="), "clientDataJSON"),
            (
                "/response/authenticatorData",
                json!("a+/b"),
                "authenticatorData",
            ),
            ("/response/signature", json!("AB"), "signature"),
            ("/response/userHandle", json!("é"), "userHandle"),
        ] {
            let mut sent = right();
            *sent.pointer_mut(pointer).unwrap() = wrong;
            let refusal = assertion(&sent).unwrap_err();
            assert_eq!(refusal, PasskeyRefusal::Malformed(member), "{pointer}");
        }
        let mut sent = right();
        sent["response"]["attestationObject"] = Value::Null;
        let refusal = attestation(&sent).unwrap_err();
        assert_eq!(refusal, PasskeyRefusal::Malformed("attestationObject"));
    }

    proptest! {
        #[test]
        fn any_body_is_read_or_refused(body in a_body()) {
            if let Ok(sent) = parse_object::<Value>(&body) {
                let _ = (attestation(&sent), assertion(&sent));
            }
        }
    }
}
