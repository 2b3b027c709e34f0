//! An authenticator in software with a P-256 key, and the browser in front of it (WebAuthn Level 3).

use anyhow::Context as _;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::Method;
use serde_json::{Value, json};

use crate::http::{Carried, Connection, JSON};
use crate::operations::{PASSWORD, sign_up};

/// The public URL of a service with passkeys, and so the origin of its pages. An address is no RP ID.
pub(crate) const ORIGIN: &str = "http://localhost:8080";

const RP_ID: &str = "localhost";

/// The flags of an authenticator that verified the person (§6.1).
const PRESENT_AND_VERIFIED: u8 = 1 | 1 << 2;

/// Attested credential data follows.
const ATTESTED: u8 = 1 << 6;

/// An authenticator with one passkey.
pub(crate) struct Passkey {
    key: EcdsaKeyPair,
    credential_id: String,
    user_handle: Value,
}

impl Passkey {
    /// Registers an account with this name, and enrols a passkey for it.
    pub(crate) async fn enrol(connection: &mut Connection, name: &str) -> anyhow::Result<Self> {
        let (access, _) = sign_up(connection, name).await?;
        let authorization = format!("Bearer {access}");
        let body = json!({"password": PASSWORD}).to_string();
        let carried = Carried {
            authorization: Some(&authorization),
            body: Some((&body, JSON)),
        };
        let path = "/account/factors/passkeys/options";
        let begun = connection.succeed(Method::POST, path, carried).await?;
        let options = &begun["publicKey"];
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)?;
        // The public key is random and unique.
        let credential_id = digest(&SHA256, key.public_key().as_ref());
        let passkey = Self {
            credential_id: URL_SAFE_NO_PAD.encode(credential_id),
            user_handle: options["user"]["id"].clone(),
            key,
        };
        let response = json!({
            "clientDataJSON": URL_SAFE_NO_PAD.encode(client_data("webauthn.create", options)?),
            "attestationObject": URL_SAFE_NO_PAD.encode(passkey.attestation_object()?),
        });
        let credential = passkey.credential(&response);
        let body = json!({"enrolment": begun["enrolment"], "credential": credential}).to_string();
        let carried = Carried {
            authorization: Some(&authorization),
            body: Some((&body, JSON)),
        };
        let path = "/account/factors/passkeys";
        connection.succeed(Method::POST, path, carried).await?;
        Ok(passkey)
    }

    /// The answer to request options (`AuthenticationResponseJSON`).
    pub(crate) fn sign(&self, options: &Value) -> anyhow::Result<Value> {
        let data = authenticator_data(PRESENT_AND_VERIFIED);
        let client_data = client_data("webauthn.get", options)?;
        let hash = digest(&SHA256, &client_data);
        let signed = [&data, hash.as_ref()].concat();
        let signature = self.key.sign(&SystemRandom::new(), &signed)?;
        Ok(self.credential(&json!({
            "clientDataJSON": URL_SAFE_NO_PAD.encode(client_data),
            "authenticatorData": URL_SAFE_NO_PAD.encode(data),
            "signature": URL_SAFE_NO_PAD.encode(signature),
            "userHandle": self.user_handle,
        })))
    }

    fn credential(&self, response: &Value) -> Value {
        json!({
            "id": self.credential_id, "rawId": self.credential_id, "type": "public-key",
            "response": response, "clientExtensionResults": {},
        })
    }

    /// An attestation object without a statement (§6.5.4), with a key in the form of §6.5.1.1.
    fn attestation_object(&self) -> anyhow::Result<Vec<u8>> {
        let id = URL_SAFE_NO_PAD.decode(&self.credential_id)?;
        let point = self.key.public_key().as_ref();
        let data = [
            &authenticator_data(PRESENT_AND_VERIFIED | ATTESTED)[..],
            &[0; 16],
            &u16::try_from(id.len())?.to_be_bytes(),
            &id,
            &[0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32],
            point.get(1..33).context("the first coordinate")?,
            &[0x22, 0x58, 32],
            point.get(33..65).context("the second coordinate")?,
        ]
        .concat();
        let length = u16::try_from(data.len())?.to_be_bytes();
        let head = &b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x59"[..];
        Ok([head, &length, &data].concat())
    }
}

/// The authenticator data of a passkey without a counter (§6.1).
fn authenticator_data(flags: u8) -> Vec<u8> {
    let hash = digest(&SHA256, RP_ID.as_bytes());
    [hash.as_ref(), &[flags], &[0; 4]].concat()
}

/// What the browser says of the ceremony (§5.8.1).
fn client_data(kind: &str, options: &Value) -> anyhow::Result<Vec<u8>> {
    let challenge = options["challenge"].as_str().context("a challenge")?;
    let data =
        json!({"type": kind, "challenge": challenge, "origin": ORIGIN, "crossOrigin": false});
    Ok(serde_json::to_vec(&data)?)
}
