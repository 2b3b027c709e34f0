//! Proofs of possession of a key (DPoP, RFC 9449).
//!
//! | file | contents |
//! |---|---|
//! | `verify` | the verification of one proof, a pure function |
//! | `key` | the public key in a proof, and its thumbprint |

mod key;
mod verify;

use authlog_application::ports::{DpopProofs, ProofRefusal, ProvedRequest, VerifiedProof};
use authlog_domain::Timestamp;

use super::used_ids::{IdRefusal, UsedIds};

/// Proofs in the form of JSON Web Tokens. A node remembers in memory which were used.
#[derive(Default)]
pub struct JwtDpopProofs {
    used: UsedIds,
}

impl DpopProofs for JwtDpopProofs {
    fn verify(
        &self,
        proof: &str,
        request: ProvedRequest<'_>,
        now: Timestamp,
    ) -> Result<VerifiedProof, ProofRefusal> {
        verify::verify(proof, request, now)
    }

    fn mark_used(
        &self,
        holder: &str,
        proof: &VerifiedProof,
        now: Timestamp,
    ) -> Result<(), ProofRefusal> {
        let noted = self.used.note(holder, &proof.id, proof.expires_at, now);
        noted.map_err(|refusal| match refusal {
            IdRefusal::Used => ProofRefusal::Used,
            IdRefusal::TooMany => ProofRefusal::TooMany,
        })
    }
}
