//! The keys that sign tokens.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RsaKeyPair, RsaPublicKeyComponents,
};
use aws_lc_rs::{digest, hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::JwtAlgorithm;

/// Why a key cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// The secret of an HS256 key is shorter than the hash (RFC 7518 §3.2).
    #[error(
        "a secret for HS256 needs at least {least} bytes, this one has {len}",
        least = SigningKey::MIN_SECRET_BYTES
    )]
    SecretTooShort {
        /// Its length in bytes.
        len: usize,
    },
    /// The stored bytes are not a key of this algorithm.
    #[error("the stored bytes are no {0} key")]
    Unreadable(JwtAlgorithm),
    /// The cryptographic library could not generate a key.
    #[error("no {0} key could be made")]
    NotGenerated(JwtAlgorithm),
}

/// A key that signs and verifies tokens. It has no `Debug` and no `Serialize`. Its memory is wiped on drop.
pub struct SigningKey {
    kid: String,
    public_jwk: Option<Value>,
    access: Signer,
    refresh: Signer,
    stored: Zeroizing<Vec<u8>>,
}

/// A private key, and the public key that verifies its signatures.
pub(super) struct Signer {
    algorithm: JwtAlgorithm,
    pair: KeyPair,
    verifying: DecodingKey,
}

enum KeyPair {
    Ed(Ed25519KeyPair),
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Shared(Box<hmac::Key>),
}

impl SigningKey {
    /// The minimum length of the secret of an HS256 key, in bytes.
    pub const MIN_SECRET_BYTES: usize = 32;

    /// Generates a key. An RSA key has 3072 bits, for the same 128 bits of security as the other algorithms (NIST SP 800-57
    /// part 1, §5.6.1). Its generation takes up to two seconds.
    ///
    /// # Errors
    /// [`SigningKeyError::NotGenerated`].
    pub fn generate(algorithm: JwtAlgorithm) -> Result<Self, SigningKeyError> {
        let stored =
            new_key_bytes(algorithm).map_err(|_| SigningKeyError::NotGenerated(algorithm))?;
        Self::from_stored(algorithm, &stored)
    }

    /// Generates an RS256 key of ID tokens. It has 2048 bits, as the keys of all common providers (112 bits of security). Signing
    /// costs less than half of what a longer key costs, and every sign-in of an application pays it. An ID token is believed
    /// for minutes, so a longer key has to replace this one only when such keys become weak, and not decades before.
    ///
    /// # Errors
    /// [`SigningKeyError::NotGenerated`].
    pub(super) fn generate_for_id_tokens() -> Result<Self, SigningKeyError> {
        let algorithm = JwtAlgorithm::Rs256;
        let stored = new_rsa_key_bytes(KeySize::Rsa2048)
            .map_err(|_| SigningKeyError::NotGenerated(algorithm))?;
        Self::from_stored(algorithm, &stored)
    }

    /// The key from the result of [`Self::to_stored`], or from any unencrypted PKCS#8 key in DER of the same algorithm.
    ///
    /// # Errors
    /// [`SigningKeyError::Unreadable`]; for HS256 [`SigningKeyError::SecretTooShort`].
    pub fn from_stored(algorithm: JwtAlgorithm, bytes: &[u8]) -> Result<Self, SigningKeyError> {
        let unreadable = |_| SigningKeyError::Unreadable(algorithm);
        match algorithm {
            JwtAlgorithm::EdDsa => {
                let pair = Ed25519KeyPair::from_pkcs8(bytes).map_err(unreadable)?;
                let public = pair.public_key().as_ref();
                let jwk = json!({ "crv": "Ed25519", "kty": "OKP", "x": base64(public) });
                let verifying = DecodingKey::from_ed_der(public);
                let access = Signer {
                    algorithm,
                    pair: KeyPair::Ed(pair),
                    verifying,
                };
                Ok(Self::asymmetric(jwk, access, bytes))
            }
            JwtAlgorithm::Es256 => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, bytes)
                    .map_err(unreadable)?;
                // SEC 1 §2.3.3: 0x04, then both coordinates of 32 bytes.
                let point = pair.public_key().as_ref();
                let (Some(x), Some(y)) = (point.get(1..33), point.get(33..65)) else {
                    return Err(SigningKeyError::Unreadable(algorithm));
                };
                let jwk = json!({ "crv": "P-256", "kty": "EC", "x": base64(x), "y": base64(y) });
                let verifying = DecodingKey::from_ec_der(point);
                let access = Signer {
                    algorithm,
                    pair: KeyPair::Ec(pair),
                    verifying,
                };
                Ok(Self::asymmetric(jwk, access, bytes))
            }
            JwtAlgorithm::Rs256 => {
                let pair = RsaKeyPair::from_pkcs8(bytes).map_err(unreadable)?;
                let public = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                let jwk = json!({ "e": base64(&public.e), "kty": "RSA", "n": base64(&public.n) });
                let verifying = DecodingKey::from_rsa_raw_components(&public.n, &public.e);
                let access = Signer {
                    algorithm,
                    pair: KeyPair::Rsa(pair),
                    verifying,
                };
                Ok(Self::asymmetric(jwk, access, bytes))
            }
            JwtAlgorithm::Hs256 => Self::from_secret(bytes),
        }
    }

    /// The HS256 key with this secret.
    ///
    /// # Errors
    /// [`SigningKeyError::SecretTooShort`] for less than [`Self::MIN_SECRET_BYTES`].
    pub fn from_secret(secret: &[u8]) -> Result<Self, SigningKeyError> {
        if secret.len() < Self::MIN_SECRET_BYTES {
            return Err(SigningKeyError::SecretTooShort { len: secret.len() });
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        // A thumbprint would be a plain hash of the secret (RFC 7638 §7). An HMAC reveals no more than any signature.
        let tag = hmac::sign(&key, b"authlog.v1.kid");
        Ok(Self {
            kid: base64(tag.as_ref().get(..16).unwrap_or_default()),
            public_jwk: None,
            access: Signer::of_secret(secret),
            // Clients that share the secret may verify both kinds of tokens.
            refresh: Signer::of_secret(secret),
            stored: Zeroizing::new(secret.to_vec()),
        })
    }

    /// `members` are those that RFC 7638 §3.2 and RFC 8037 §2 require, in the order of their names.
    fn asymmetric(members: Value, access: Signer, stored: &[u8]) -> Self {
        let thumbprint = digest::digest(&digest::SHA256, members.to_string().as_bytes());
        let kid = base64(thumbprint.as_ref());
        let mut jwk = members;
        jwk["alg"] = access.algorithm.as_str().into();
        jwk["use"] = "sig".into();
        jwk["kid"] = kid.as_str().into();
        Self {
            kid,
            public_jwk: Some(jwk),
            access,
            refresh: Signer::of_refresh_tokens(stored),
            stored: Zeroizing::new(stored.to_vec()),
        }
    }

    /// Whether a published key may have this name: 32 bytes in base64url without padding.
    pub(super) fn may_be_called(kid: &str) -> bool {
        let is_url_safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        kid.len() == 43 && kid.bytes().all(is_url_safe)
    }

    /// The bytes to store, sealed: a PKCS#8 key in DER, or the secret of an HS256 key.
    pub fn to_stored(&self) -> Zeroizing<Vec<u8>> {
        self.stored.clone()
    }

    /// The algorithm of access tokens.
    pub const fn algorithm(&self) -> JwtAlgorithm {
        self.access.algorithm
    }

    /// The key id: the thumbprint of the public key (RFC 7638), or for HS256 a name that is derived from the secret.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public key as a JSON Web Key (RFC 7517); `None` for HS256, which has none.
    pub const fn public_jwk(&self) -> Option<&Value> {
        self.public_jwk.as_ref()
    }

    /// The signer of access tokens. Every holder of the public key can verify them.
    pub(super) const fn access(&self) -> &Signer {
        &self.access
    }

    /// The signer of refresh tokens, which only their issuer reads (RFC 6749 §1.5).
    pub(super) const fn refresh(&self) -> &Signer {
        &self.refresh
    }
}

impl Signer {
    fn of_secret(secret: &[u8]) -> Self {
        Self {
            algorithm: JwtAlgorithm::Hs256,
            pair: KeyPair::Shared(Box::new(hmac::Key::new(hmac::HMAC_SHA256, secret))),
            verifying: DecodingKey::from_secret(secret),
        }
    }

    /// An HMAC under a separate secret that is derived from the private key. Signing costs a tenth and verifying a thirtieth of
    /// Ed25519.
    fn of_refresh_tokens(private: &[u8]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, private);
        Self::of_secret(hmac::sign(&key, b"authlog.v1.refresh").as_ref())
    }

    /// The only algorithm that a token header may name.
    pub(super) const fn algorithm(&self) -> JwtAlgorithm {
        self.algorithm
    }

    pub(super) const fn verifying(&self) -> &DecodingKey {
        &self.verifying
    }

    /// The signature of `message`, as RFC 7518 §3 lays it out.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, aws_lc_rs::error::Unspecified> {
        let random = SystemRandom::new();
        match &self.pair {
            KeyPair::Ed(pair) => Ok(pair.try_sign(message)?.as_ref().to_vec()),
            KeyPair::Ec(pair) => Ok(pair.sign(&random, message)?.as_ref().to_vec()),
            KeyPair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)?;
                Ok(signature)
            }
            KeyPair::Shared(key) => Ok(hmac::sign(key, message).as_ref().to_vec()),
        }
    }
}

fn new_key_bytes(
    algorithm: JwtAlgorithm,
) -> Result<Zeroizing<Vec<u8>>, aws_lc_rs::error::Unspecified> {
    let random = SystemRandom::new();
    let bytes = match algorithm {
        JwtAlgorithm::EdDsa => Ed25519KeyPair::generate_pkcs8(&random)?.as_ref().to_vec(),
        JwtAlgorithm::Es256 => {
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)?
                .as_ref()
                .to_vec()
        }
        JwtAlgorithm::Rs256 => return new_rsa_key_bytes(KeySize::Rsa3072),
        JwtAlgorithm::Hs256 => {
            let mut secret = vec![0; SigningKey::MIN_SECRET_BYTES];
            rand::fill(&mut secret)?;
            secret
        }
    };
    Ok(Zeroizing::new(bytes))
}

fn new_rsa_key_bytes(size: KeySize) -> Result<Zeroizing<Vec<u8>>, aws_lc_rs::error::Unspecified> {
    let der: Pkcs8V1Der<'_> = RsaKeyPair::generate(size)?.as_der()?;
    Ok(Zeroizing::new(der.as_ref().to_vec()))
}

fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_key_is_read_back() {
        for algorithm in JwtAlgorithm::ALL {
            let key = SigningKey::generate(algorithm).unwrap();
            let again = SigningKey::from_stored(algorithm, &key.to_stored()).unwrap();
            assert_eq!(key.kid(), again.kid(), "{algorithm}");
            assert_eq!(key.public_jwk(), again.public_jwk(), "{algorithm}");
            let other = SigningKey::generate(algorithm).unwrap();
            assert_ne!(key.kid(), other.kid(), "{algorithm}");
        }
    }

    #[test]
    fn the_key_id_is_the_thumbprint_of_the_public_key() {
        // RFC 8037, appendix A.1 to A.3, wrapped in PKCS#8 (RFC 8410 §7).
        let mut pkcs8 = vec![
            0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22,
            0x04, 0x20,
        ];
        pkcs8.extend(
            URL_SAFE_NO_PAD
                .decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
                .unwrap(),
        );
        let key = SigningKey::from_stored(JwtAlgorithm::EdDsa, &pkcs8).unwrap();
        assert_eq!(key.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        assert_eq!(
            key.public_jwk().unwrap(),
            &json!({
                "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig",
                "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
                "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
            })
        );
    }

    #[test]
    fn a_public_key_contains_nothing_of_the_private_key() {
        for algorithm in JwtAlgorithm::ALL {
            let key = SigningKey::generate(algorithm).unwrap();
            let Some(jwk) = key.public_jwk() else {
                assert_eq!(algorithm, JwtAlgorithm::Hs256);
                continue;
            };
            let allowed = ["kty", "crv", "x", "y", "n", "e", "alg", "use", "kid"];
            for name in jwk.as_object().unwrap().keys() {
                assert!(allowed.contains(&name.as_str()), "{algorithm}: {name}");
            }
        }
    }

    #[test]
    fn a_key_of_another_algorithm_is_refused() {
        for made in JwtAlgorithm::ALL {
            let stored = SigningKey::generate(made).unwrap().to_stored();
            for read in [
                JwtAlgorithm::EdDsa,
                JwtAlgorithm::Es256,
                JwtAlgorithm::Rs256,
            ] {
                let key = SigningKey::from_stored(read, &stored);
                assert_eq!(key.is_ok(), made == read, "{made} as {read}");
            }
        }
    }

    #[test]
    fn a_secret_that_is_too_short_is_refused() {
        let error = SigningKey::from_secret(&[7; 31]).err().unwrap();
        assert_eq!(
            error.to_string(),
            "a secret for HS256 needs at least 32 bytes, this one has 31"
        );
        assert!(SigningKey::from_secret(&[7; 32]).is_ok());
    }
}
