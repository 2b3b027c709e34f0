//! Public keys of passkeys: COSE keys (RFC 9052 §7, RFC 9053) in the canonical form that WebAuthn §6.5.1.1 asks for.

use std::ops::RangeInclusive;

use authlog_application::PasskeyRefusal;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RsaPublicKeyComponents,
};

use super::cbor::MapReader;

/// The lengths of the modulus of an RSA key, in bytes: 2048 to 8192 bits.
const MODULUS: RangeInclusive<usize> = 256..=1024;

/// The longest exponent of an RSA key, in bytes. Nearly all have three.
const MAX_EXPONENT: usize = 4;

/// A public key of an algorithm that is asked for: ES256, EdDSA with Ed25519, or RS256 (§5.8.5).
pub(super) struct PublicKey(ParsedPublicKey);

/// The members of a COSE key, by their labels.
#[derive(Default)]
struct Members<'b> {
    /// 1: kty.
    kind: Option<i64>,
    /// 3: alg.
    algorithm: Option<i64>,
    /// -1: the curve of an elliptic key, or the modulus of an RSA key.
    curve: Option<i64>,
    modulus: Option<&'b [u8]>,
    /// -2: the first coordinate, or the exponent.
    x: Option<&'b [u8]>,
    /// -3: the second coordinate.
    y: Option<&'b [u8]>,
}

impl PublicKey {
    /// Reads a key.
    ///
    /// # Errors
    /// [`PasskeyRefusal::UnsupportedKey`].
    pub(super) fn parse(cose: &[u8]) -> Result<Self, PasskeyRefusal> {
        read(cose)
            .and_then(|members| members.to_key())
            .map(Self)
            .ok_or(PasskeyRefusal::UnsupportedKey)
    }

    /// Verifies a signature of `message`.
    ///
    /// # Errors
    /// [`PasskeyRefusal::WrongSignature`].
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), PasskeyRefusal> {
        self.0
            .verify_sig(message, signature)
            .map_err(|_| PasskeyRefusal::WrongSignature)
    }
}

fn read(cose: &[u8]) -> Option<Members<'_>> {
    let mut map = MapReader::begin(cose)?;
    let mut members = Members::default();
    while let Some(label) = map.next_integer_key()? {
        let is_new = match label {
            1 => members.kind.replace(map.integer()?).is_none(),
            3 => members.algorithm.replace(map.integer()?).is_none(),
            // Canonical CBOR puts the key type first, which says what the label -1 means.
            -1 if members.kind == Some(3) => members.modulus.replace(map.bytes()?).is_none(),
            -1 => members.curve.replace(map.integer()?).is_none(),
            -2 => members.x.replace(map.bytes()?).is_none(),
            -3 => members.y.replace(map.bytes()?).is_none(),
            _ => false,
        };
        if !is_new {
            return None;
        }
    }
    map.is_at_end().then_some(members)
}

impl Members<'_> {
    fn to_key(&self) -> Option<ParsedPublicKey> {
        match (self.kind?, self.algorithm?) {
            // ES256 on P-256, without point compression.
            (2, -7) if self.curve == Some(1) => {
                let x = <[u8; 32]>::try_from(self.x?).ok()?;
                let y = <[u8; 32]>::try_from(self.y?).ok()?;
                let point = [&[4], x.as_slice(), y.as_slice()].concat();
                ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).ok()
            }
            // EdDSA on Ed25519.
            (1, -8) if self.curve == Some(6) && self.y.is_none() => {
                ParsedPublicKey::new(&ED25519, <[u8; 32]>::try_from(self.x?).ok()?).ok()
            }
            // RS256.
            (3, -257) if self.y.is_none() => {
                let components = RsaPublicKeyComponents {
                    n: self.modulus.filter(|n| MODULUS.contains(&n.len()))?,
                    e: self.x.filter(|e| e.len() <= MAX_EXPONENT)?,
                };
                let key = components.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256);
                key.ok()
            }
            _ => None,
        }
    }
}
