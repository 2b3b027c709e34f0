//! Proofs of possession of a key: which tokens are bound to it, and who may use them (DPoP, RFC 9449).

use std::sync::OnceLock;

use authlog_domain::client::{ClientAuthMethod, RegisteredClient};
use authlog_domain::{KeyThumbprint, UserId};

use super::AuthenticatedClient;
use crate::ports::{ProofHolder, ProofRefusal, ProvedRequest, VerifiedProof};
use crate::{Authlog, GrantRefusal};

/// Proof that a request was sent by the holder of a key. Only [`Authlog::verify_proof`] creates it.
pub struct DpopProof {
    proof: VerifiedProof,
    /// The outcome of its first use. A request can be decided several times, and uses its proof once.
    used: OnceLock<Result<(), ProofRefusal>>,
}

impl DpopProof {
    /// The thumbprint of the key.
    pub fn key(&self) -> &KeyThumbprint {
        &self.proof.key
    }
}

impl Authlog {
    /// Verifies the proof of a request, which the use case marks as used once nothing else is wrong with the request.
    ///
    /// # Errors
    /// See [`ProofRefusal`].
    pub fn verify_proof(
        &self,
        proof: &str,
        request: ProvedRequest<'_>,
    ) -> Result<DpopProof, ProofRefusal> {
        let now = self.parts.clock.now();
        let verified = self.parts.dpop_proofs.verify(proof, request, now);
        Ok(DpopProof {
            proof: verified?,
            used: OnceLock::new(),
        })
    }

    /// Uses the proof of a request of `client`.
    ///
    /// Call it last: only what holds a valid grant or token may take memory. A confidential client has one share of the memory,
    /// however many keys it makes. Of a public client, each account has a small one, so that no person who uses the client takes
    /// the memory of the others. `account` is the one of the grant or the token; a client's own token has none.
    ///
    /// # Errors
    /// [`ProofRefusal::Used`] and [`ProofRefusal::TooMany`].
    pub(crate) fn use_proof(
        &self,
        client: &RegisteredClient,
        account: Option<UserId>,
        proof: &DpopProof,
    ) -> Result<(), ProofRefusal> {
        let verified = &proof.proof;
        let is_public = client.settings.auth_method == ClientAuthMethod::None;
        let holder = ProofHolder {
            client: &client.id,
            account: account.filter(|_| is_public),
        };
        let now = self.parts.clock.now();
        let mark = || self.parts.dpop_proofs.mark_used(holder, verified, now);
        *proof.used.get_or_init(mark)
    }

    /// The key to which the tokens of a token request are bound; `None` for bearer tokens. `bound` is the key to which the grant is
    /// bound, if it is. Every grant calls this, after its other checks: the proof counts as used from then on.
    ///
    /// # Errors
    /// [`GrantRefusal::InvalidProof`] without a proof that the client is registered for, and for a proof that was used before;
    /// [`GrantRefusal::InvalidGrant`] without a proof of the key to which the grant is bound.
    pub(crate) fn key_of_tokens(
        &self,
        by: &AuthenticatedClient,
        account: Option<UserId>,
        proof: Option<&DpopProof>,
        bound: Option<&KeyThumbprint>,
    ) -> Result<Option<KeyThumbprint>, GrantRefusal> {
        if by.client().settings.dpop_bound && proof.is_none() {
            return Err(ProofRefusal::Missing.into());
        }
        let key = proof.map(DpopProof::key);
        if bound.is_some_and(|bound| key != Some(bound)) {
            return Err(GrantRefusal::InvalidGrant);
        }
        if let Some(proof) = proof {
            self.use_proof(by.client(), account, proof)?;
        }
        Ok(key.cloned())
    }
}

impl AuthenticatedClient {
    /// The key to which the refresh tokens of a new session are bound, if its first tokens are bound to `key`. A client that
    /// authenticates itself can change its keys: its refresh tokens are useless to others without a key (RFC 9449 §5).
    pub(crate) fn key_of_session(&self, key: Option<&KeyThumbprint>) -> Option<KeyThumbprint> {
        key.filter(|_| !self.is_confidential()).cloned()
    }
}
