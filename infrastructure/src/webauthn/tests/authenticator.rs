//! An authenticator in software, for each algorithm.

use authlog_application::ports::{AssertionResponse, AttestationResponse};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use serde_json::json;

/// The bits of the flags (§6.1).
pub(super) const PRESENT: u8 = 1;
pub(super) const VERIFIED: u8 = 1 << 2;
pub(super) const ELIGIBLE: u8 = 1 << 3;
pub(super) const BACKED_UP: u8 = 1 << 4;
const ATTESTED: u8 = 1 << 6;
pub(super) const EXTENSIONS: u8 = 1 << 7;

pub(super) enum Key {
    Es256(Box<EcdsaKeyPair>),
    EdDsa(Box<Ed25519KeyPair>),
    Rs256(Box<RsaKeyPair>),
}

impl Key {
    pub(super) fn all() -> [Self; 3] {
        let signing = &ECDSA_P256_SHA256_ASN1_SIGNING;
        [
            Self::Es256(Box::new(EcdsaKeyPair::generate(signing).unwrap())),
            Self::EdDsa(Box::new(Ed25519KeyPair::generate().unwrap())),
            Self::Rs256(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())),
        ]
    }

    pub(super) fn cose(&self) -> Vec<u8> {
        match self {
            Self::Es256(key) => {
                let point = key.public_key().as_ref();
                let x = [&[0x21, 0x58, 32], &point[1..33]].concat();
                let y = [&[0x22, 0x58, 32], &point[33..65]].concat();
                [&[0xa5, 1, 2, 3, 0x26, 0x20, 1][..], &x, &y].concat()
            }
            Self::EdDsa(key) => {
                let head = [0xa4, 1, 1, 3, 0x27, 0x20, 6, 0x21, 0x58, 32];
                [&head[..], key.public_key().as_ref()].concat()
            }
            Self::Rs256(key) => {
                let public = key.public_key();
                let n = public.modulus().big_endian_without_leading_zero();
                let e = public.exponent().big_endian_without_leading_zero();
                let head = [0xa4, 1, 3, 3, 0x39, 1, 0, 0x20, 0x59, 1, 0];
                [&head[..], n, &[0x21, 0x43], e].concat()
            }
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Es256(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::EdDsa(key) => key.sign(message).as_ref().to_vec(),
            Self::Rs256(key) => {
                let mut signature = vec![0; 256];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .unwrap();
                signature
            }
        }
    }
}

pub(super) const ID: [u8; 16] = [9; 16];

pub(super) fn client_data(kind: &str, challenge: &str, origin: &str) -> Vec<u8> {
    let data = json!({
        "type": kind, "challenge": challenge, "origin": origin, "crossOrigin": false,
    });
    serde_json::to_vec(&data).unwrap()
}

pub(super) fn data(rp_id: &str, flags: u8, count: u32) -> Vec<u8> {
    let hash = digest(&SHA256, rp_id.as_bytes());
    [hash.as_ref(), &[flags], &count.to_be_bytes()].concat()
}

pub(super) fn attestation(
    key: &Key,
    rp_id: &str,
    flags: u8,
    client_data: Vec<u8>,
) -> AttestationResponse {
    let attested = [&[7; 16][..], &[0, 16], &ID, &key.cose()].concat();
    let data = [data(rp_id, flags | ATTESTED, 1), attested].concat();
    let head = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x59";
    let length = u16::try_from(data.len()).unwrap().to_be_bytes();
    AttestationResponse {
        credential_id: ID.to_vec(),
        client_data,
        attestation_object: [&head[..], &length, &data].concat(),
        transports: vec![],
        discoverable: None,
    }
}

pub(super) fn assertion(
    key: &Key,
    authenticator_data: Vec<u8>,
    client_data: Vec<u8>,
) -> AssertionResponse {
    let hash = digest(&SHA256, &client_data);
    let signed = [&authenticator_data, hash.as_ref()].concat();
    AssertionResponse {
        credential_id: ID.to_vec(),
        signature: key.sign(&signed),
        client_data,
        authenticator_data,
        user_handle: None,
    }
}
