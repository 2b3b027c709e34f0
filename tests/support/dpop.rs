//! A program that holds a key and proves it with each request (DPoP, RFC 9449).

use authlog_application::ports::Clock as _;
use authlog_infrastructure::system::SystemClock;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::random::random_text;

/// A key of a client.
pub enum DpopKey {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
}

/// The parts of a proof, which a test can change before they are signed.
#[derive(Clone)]
pub struct Proof {
    pub header: Value,
    pub claims: Value,
}

impl DpopKey {
    pub fn new() -> Self {
        Self::Es256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub fn of_ed25519() -> Self {
        Self::EdDsa(Ed25519KeyPair::generate().unwrap())
    }

    /// The public key.
    pub fn jwk(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Es256(key) => {
                // 4, x, y.
                let (x, y) = key.public_key().as_ref()[1..].split_at(32);
                json!({ "kty": "EC", "crv": "P-256", "x": text(x), "y": text(y) })
            }
            Self::EdDsa(key) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": text(key.public_key().as_ref()) })
            }
        }
    }

    /// The thumbprint of the key. Members of a JSON object are in the order of their names here.
    pub fn thumbprint(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.jwk().to_string()))
    }

    /// The parts of a proof for this request.
    pub fn parts(&self, method: &str, url: &str) -> Proof {
        let alg = match self {
            Self::Es256(_) => "ES256",
            Self::EdDsa(_) => "EdDSA",
        };
        Proof {
            header: json!({ "typ": "dpop+jwt", "alg": alg, "jwk": self.jwk() }),
            claims: json!({
                "jti": random_text(20), "htm": method, "htu": url, "iat": SystemClock.now().unix_seconds(),
            }),
        }
    }

    pub fn sign(&self, proof: &Proof) -> String {
        let [header, claims] =
            [&proof.header, &proof.claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let message = format!("{header}.{claims}");
        let signature = match self {
            Self::Es256(key) => {
                let signed = key.sign(&SystemRandom::new(), message.as_bytes());
                signed.unwrap().as_ref().to_vec()
            }
            Self::EdDsa(key) => key.sign(message.as_bytes()).as_ref().to_vec(),
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// A new proof for this request.
    pub fn proof(&self, method: &str, url: &str) -> String {
        self.sign(&self.parts(method, url))
    }

    /// A new proof for this request with this access token.
    pub fn proof_with(&self, method: &str, url: &str, access: &str) -> String {
        self.sign(&self.parts(method, url).with_token(access))
    }
}

impl Proof {
    /// With the digest of this access token.
    pub fn with_token(self, access: &str) -> Self {
        self.with("ath", &json!(digest_of(access)))
    }

    /// With this claim.
    pub fn with(mut self, name: &str, value: &Value) -> Self {
        self.claims[name] = value.clone();
        self
    }

    /// With this member of the header.
    pub fn with_header(mut self, name: &str, value: &Value) -> Self {
        self.header[name] = value.clone();
        self
    }

    /// Without a claim.
    pub fn without(mut self, name: &str) -> Self {
        self.claims.as_object_mut().unwrap().remove(name);
        self
    }
}

/// `ath` of an access token.
pub fn digest_of(access: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(access))
}
