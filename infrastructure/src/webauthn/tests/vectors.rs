//! The vectors of WebAuthn Level 3 §16. `vectors.json` has their hexadecimal values, copied from the specification's source
//! (`w3c/webauthn`, `index.bs`).

use authlog_application::PasskeyRefusal;
use authlog_application::ports::{AssertionResponse, AttestationResponse, PasskeyVerifier as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::super::WebauthnVerifier;
use super::{ceremony, relying_party};

/// Algorithms that are not asked for, and ceremonies in frames of other sites.
const REFUSED: [(&str, PasskeyRefusal); 5] = [
    ("packed-es384", PasskeyRefusal::UnsupportedKey),
    ("packed-es512", PasskeyRefusal::UnsupportedKey),
    ("packed-ed448", PasskeyRefusal::UnsupportedKey),
    ("none-es256-crossOrigin", PasskeyRefusal::CrossOrigin),
    ("none-es256-topOrigin", PasskeyRefusal::CrossOrigin),
];

fn bytes(ceremony: &Value, member: &str) -> Vec<u8> {
    hex::decode(ceremony[member].as_str().unwrap()).unwrap()
}

#[test]
fn the_test_vectors_of_the_specification_are_verified() {
    let vectors: Vec<Value> = serde_json::from_str(include_str!("vectors.json")).unwrap();
    assert_eq!(vectors.len(), 15);
    let party = relying_party("example.org");
    let (mut verified, mut refused) = (0, 0);
    for vector in &vectors {
        let section = vector["section"].as_str().unwrap();
        let name = section.trim_start_matches("sctn-test-vectors-");
        let (new, used) = (&vector["registration"], &vector["authentication"]);
        let challenge = URL_SAFE_NO_PAD.encode(bytes(new, "challenge"));
        let attestation = AttestationResponse {
            credential_id: bytes(new, "credential_id"),
            client_data: bytes(new, "clientDataJSON"),
            attestation_object: bytes(new, "attestationObject"),
            transports: vec![],
            discoverable: None,
        };
        let attested =
            WebauthnVerifier.verify_attestation(&ceremony(&party, &challenge, false), &attestation);
        if let Some((_, refusal)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
            assert_eq!(attested, Err(*refusal), "{name}");
            refused += 1;
            continue;
        }
        let attested = attested.unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
        assert_eq!(attested.aaguid.as_bytes()[..], bytes(new, "aaguid"));
        // The flag decides whether the vector fits a ceremony that requires verification.
        let strict =
            WebauthnVerifier.verify_attestation(&ceremony(&party, &challenge, true), &attestation);
        let expected = if attested.user_verified {
            Ok(attested.clone())
        } else {
            Err(PasskeyRefusal::NotVerified)
        };
        assert_eq!(strict, expected, "{name}");

        let challenge = URL_SAFE_NO_PAD.encode(bytes(used, "challenge"));
        let assertion = AssertionResponse {
            credential_id: attested.credential.id.clone(),
            client_data: bytes(used, "clientDataJSON"),
            authenticator_data: bytes(used, "authenticatorData"),
            signature: bytes(used, "signature"),
            user_handle: None,
        };
        let asserted = WebauthnVerifier.verify_assertion(
            &ceremony(&party, &challenge, false),
            &attested.credential,
            &assertion,
        );
        assert!(asserted.is_ok(), "{name}: {asserted:?}");
        verified += 1;
    }
    assert_eq!((verified, refused), (10, 5));
}
