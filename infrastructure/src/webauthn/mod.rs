//! Verification of passkeys (WebAuthn Level 3 §7.1 and §7.2): a pure function of the answer and of what was asked for.
//!
//! | file | contents |
//! |---|---|
//! | `client_data` | what the browser signed with: type, challenge and origin |
//! | `authenticator_data` | what the authenticator signed: RP ID, flags, counter, and a new key |
//! | `public_key` | keys and signatures |
//! | `cbor` | maps of a bounded size |
//!
//! Comments of the form §7.1-9 cite a step of these sections. Attestation is not asked for, and statements are not looked at
//! (`docs/adr/0028`).

mod authenticator_data;
mod cbor;
mod client_data;
mod public_key;
#[cfg(test)]
mod tests;

use authlog_application::PasskeyRefusal;
use authlog_application::ports::{
    AssertionResponse, AttestationResponse, Ceremony, PasskeyCredential, PasskeyVerifier,
    VerifiedAssertion, VerifiedAttestation,
};
use aws_lc_rs::digest::{SHA256, digest};

use authenticator_data::AuthenticatorData;
use cbor::MapReader;
use client_data::{ClientData, Type};
use public_key::PublicKey;

/// The longest client data and attestation objects that are read, in bytes. Those of authenticators have a few hundred; an
/// attestation statement with certificates has some thousand.
const MAX_RESPONSE: usize = 16 * 1024;

/// The longest credential id, in bytes (§7.1-25).
const MAX_CREDENTIAL_ID: usize = 1023;

/// The longest signature, in bytes: RSA with 8192 bits.
const MAX_SIGNATURE: usize = 1024;

/// [`PasskeyVerifier`] for ES256, EdDSA and RS256.
pub struct WebauthnVerifier;

impl PasskeyVerifier for WebauthnVerifier {
    fn verify_attestation(
        &self,
        ceremony: &Ceremony<'_>,
        response: &AttestationResponse,
    ) -> Result<VerifiedAttestation, PasskeyRefusal> {
        // §7.1-5 to §7.1-11.
        ClientData::parse(&response.client_data)?.check(Type::Create, ceremony)?;
        // §7.1-13.
        let encoded = authenticator_data_of(&response.attestation_object)?;
        let data = AuthenticatorData::parse(encoded)?;
        // §7.1-14 to §7.1-19.
        data.check(ceremony)?;
        let new = data.attested.ok_or(AUTHENTICATOR_DATA)?;
        // §7.1-20.
        PublicKey::parse(new.public_key)?;
        // §7.1-21 to §7.1-24 are left out, as for an attestation of the type "none".
        // §7.1-25. The caller looks for another passkey with the id (§7.1-26).
        let id = new.credential_id;
        if id.is_empty() || id.len() > MAX_CREDENTIAL_ID || id != response.credential_id {
            return Err(PasskeyRefusal::Malformed("rawId"));
        }
        // §7.1-27.
        Ok(VerifiedAttestation {
            credential: PasskeyCredential {
                id: id.to_vec(),
                public_key: new.public_key.to_vec(),
                transports: response.transports.clone(),
                backup_eligible: data.flags.backup_eligible(),
            },
            aaguid: new.aaguid,
            user_verified: data.flags.user_verified(),
            backed_up: data.flags.backed_up(),
            sign_count: data.sign_count,
        })
    }

    fn verify_assertion(
        &self,
        ceremony: &Ceremony<'_>,
        credential: &PasskeyCredential,
        response: &AssertionResponse,
    ) -> Result<VerifiedAssertion, PasskeyRefusal> {
        // §7.2-8 to §7.2-14.
        ClientData::parse(&response.client_data)?.check(Type::Get, ceremony)?;
        let data = AuthenticatorData::parse(&response.authenticator_data)?;
        // §7.2-15 to §7.2-18.
        data.check(ceremony)?;
        // §7.2-19.
        if data.flags.backup_eligible() != credential.backup_eligible {
            return Err(PasskeyRefusal::WrongFlags);
        }
        // §7.2-20 and §7.2-21.
        if response.signature.len() > MAX_SIGNATURE {
            return Err(PasskeyRefusal::Malformed("signature"));
        }
        let hash = digest(&SHA256, &response.client_data);
        let signed = [&response.authenticator_data, hash.as_ref()].concat();
        PublicKey::parse(&credential.public_key)?.verify(&signed, &response.signature)?;
        Ok(VerifiedAssertion {
            backed_up: data.flags.backed_up(),
            sign_count: data.sign_count,
        })
    }
}

const ATTESTATION_OBJECT: PasskeyRefusal = PasskeyRefusal::Malformed("attestationObject");
const AUTHENTICATOR_DATA: PasskeyRefusal = PasskeyRefusal::Malformed("authenticatorData");

/// `authData` of an attestation object (§6.5.4): a map with this member, `fmt` and `attStmt`.
fn authenticator_data_of(object: &[u8]) -> Result<&[u8], PasskeyRefusal> {
    if object.len() > MAX_RESPONSE {
        return Err(ATTESTATION_OBJECT);
    }
    let (mut data, mut format, mut is_empty) = (None, None, None);
    let mut map = MapReader::begin(object).ok_or(ATTESTATION_OBJECT)?;
    while let Some(key) = map.next_text_key().ok_or(ATTESTATION_OBJECT)? {
        let is_new = match key {
            "authData" => data
                .replace(map.bytes().ok_or(ATTESTATION_OBJECT)?)
                .is_none(),
            "fmt" => format
                .replace(map.text().ok_or(ATTESTATION_OBJECT)?)
                .is_none(),
            "attStmt" => is_empty
                .replace(map.skip_map().ok_or(ATTESTATION_OBJECT)?)
                .is_none(),
            _ => false,
        };
        if !is_new {
            return Err(ATTESTATION_OBJECT);
        }
    }
    let (Some(data), Some(format), Some(is_empty)) = (data, format, is_empty) else {
        return Err(ATTESTATION_OBJECT);
    };
    // §8.7: the statement of the format "none" is empty. Statements of other formats are not looked at.
    if !map.is_at_end() || (format == "none" && !is_empty) {
        return Err(ATTESTATION_OBJECT);
    }
    Ok(data)
}
