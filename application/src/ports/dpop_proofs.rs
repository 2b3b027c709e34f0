//! Proofs that a client holds a key, to which its tokens are bound (DPoP, RFC 9449).

use std::time::Duration;

use authlog_domain::{ClientId, KeyThumbprint, Timestamp, UserId};

/// Verifies proofs, and remembers which were used.
pub trait DpopProofs: Send + Sync {
    /// Verifies that the holder of the key in the proof made it for this request at about `now` (RFC 9449 §4.3). Whether it was
    /// used before is not looked at, so a proof that is refused for another reason takes no memory.
    ///
    /// # Errors
    /// Why it is refused.
    fn verify(
        &self,
        proof: &str,
        request: ProvedRequest<'_>,
        now: Timestamp,
    ) -> Result<VerifiedProof, ProofRefusal>;

    /// Marks the proof as used by `holder`, until it expires.
    ///
    /// Each node remembers the proofs that were used there. So a proof can be used once on each node within its two minutes, or
    /// three if the clock of the client is ahead. An attacker who replays one has to have read a request inside its TLS connection, and needs the token of the request as
    /// well.
    ///
    /// # Errors
    /// [`ProofRefusal::Used`] and [`ProofRefusal::TooMany`]; [`ProofRefusal::Time`] if it has expired since it was verified,
    /// because what has expired is not remembered.
    fn mark_used(
        &self,
        holder: ProofHolder<'_>,
        proof: &VerifiedProof,
        now: Timestamp,
    ) -> Result<(), ProofRefusal>;
}

/// Who takes memory for a proof.
#[derive(Clone, Copy, Debug)]
pub struct ProofHolder<'a> {
    /// The client that sent it.
    pub client: &'a ClientId,
    /// The account in whose grant or token a public client acts. Every program can act as such a client, so each account has a
    /// small share of its own.
    pub account: Option<UserId>,
}

/// The request for which a proof has to be.
#[derive(Clone, Copy)]
pub struct ProvedRequest<'a> {
    /// The method, such as `POST`.
    pub method: &'a str,
    /// The URL, as the discovery document has it.
    pub url: &'a str,
    /// The access token that the request presents, if any.
    pub access_token: Option<&'a str>,
}

/// What a valid proof says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedProof {
    /// The key that signed it.
    pub key: KeyThumbprint,
    /// Its id (`jti`).
    pub id: String,
    /// From when on it is refused.
    pub expires_at: Timestamp,
}

/// Why a proof is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofRefusal {
    /// The request has none, and needs one.
    #[error("the proof is missing")]
    Missing,
    /// The request has several.
    #[error("there are several proofs")]
    Several,
    /// It is no token in the form of RFC 7519, or a required member is missing or has another type.
    #[error("the proof is malformed")]
    Malformed,
    /// Its type is not `dpop+jwt`.
    #[error("the type of the proof is not dpop+jwt")]
    Type,
    /// Its algorithm is none of ES256, EdDSA and RS256.
    #[error("the algorithm of the proof is not supported")]
    Algorithm,
    /// Its key has a private member, or is no key of this algorithm.
    #[error("the key of the proof is not a public key of its algorithm")]
    Key,
    /// Its key has not signed it.
    #[error("the signature of the proof is wrong")]
    Signature,
    /// It is for another method.
    #[error("the proof is for another method")]
    Method,
    /// It is for another URL.
    #[error("the proof is for another URL")]
    Url,
    /// It was not made within the last minutes.
    #[error("the proof was not made at this time")]
    Time,
    /// It is for another access token, or for none.
    #[error("the proof is for another access token")]
    AccessToken,
    /// It was used before.
    #[error("the proof was used before")]
    Used,
    /// Too many proofs are remembered. They are forgotten within minutes.
    #[error("too many proofs are remembered")]
    TooMany,
}

impl ProofRefusal {
    /// After which time a retry makes sense if too many proofs are remembered. Some expire in every moment.
    pub const RETRY_AFTER: Duration = Duration::from_secs(2);
}
