//! Proofs of possession of a key (DPoP, RFC 9449).
//!
//! | file | contents |
//! |---|---|
//! | `verify` | the verification of one proof, a pure function |
//! | `key` | the public key in a proof, and its thumbprint |

mod key;
mod verify;

use authlog_application::ports::{
    DpopProofs, ProofHolder, ProofRefusal, ProvedRequest, VerifiedProof,
};
use authlog_domain::Timestamp;

use super::used_ids::{IdRefusal, Owner, UsedIds};

/// Proofs in the form of JSON Web Tokens. A node remembers in memory which were used.
pub struct JwtDpopProofs {
    used: UsedIds,
}

/// How many proofs are remembered, in about 35 MB: 3,300 a second for two minutes, and half of that from one client that is alone.
const CAPACITY: usize = 400_000;

/// How many proofs one account has with a public client. A program sends a few in a minute.
const MOST_OF_ACCOUNT: usize = 500;

impl Default for JwtDpopProofs {
    fn default() -> Self {
        Self {
            used: UsedIds::with_capacity(CAPACITY),
        }
    }
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
        holder: ProofHolder<'_>,
        proof: &VerifiedProof,
        now: Timestamp,
    ) -> Result<(), ProofRefusal> {
        if now >= proof.expires_at {
            return Err(ProofRefusal::Time);
        }
        let (name, most) = match holder.account {
            None => (holder.client.to_string(), CAPACITY),
            // The id of a client has no space.
            Some(account) => (format!("{} {account}", holder.client), MOST_OF_ACCOUNT),
        };
        let owner = Owner { name: &name, most };
        let (key, end) = (proof.key.as_str(), proof.expires_at);
        let noted = self.used.note(owner, key, &proof.id, end, now);
        noted.map_err(|refusal| match refusal {
            IdRefusal::Used => ProofRefusal::Used,
            IdRefusal::TooMany => ProofRefusal::TooMany,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use authlog_domain::{ClientId, KeyThumbprint, UserId};
    use uuid::Uuid;

    use super::*;

    fn proof(key: usize, id: usize, expires_at: Timestamp) -> VerifiedProof {
        VerifiedProof {
            key: KeyThumbprint::parse(&format!("{key:042}0")).unwrap(),
            id: id.to_string(),
            expires_at,
        }
    }

    #[test]
    fn many_keys_of_one_account_leave_room_for_others() {
        let proofs = JwtDpopProofs::default();
        let client = ClientId::from_stored("app");
        let now = Timestamp::from_unix_millis(1_700_000_000_000);
        let end = now.plus(Duration::from_secs(120));
        let of = |number| ProofHolder {
            client: &client,
            account: Some(UserId::new(Uuid::from_u128(number))),
        };
        for number in 0..MOST_OF_ACCOUNT {
            let used = proofs.mark_used(of(1), &proof(number, number, end), now);
            assert_eq!(used, Ok(()));
        }
        let more = proof(MOST_OF_ACCOUNT, 0, end);
        let used = proofs.mark_used(of(1), &more, now);
        assert_eq!(used, Err(ProofRefusal::TooMany));
        assert_eq!(proofs.mark_used(of(2), &more, now), Ok(()));
        // The proof is the same for every account.
        assert_eq!(proofs.mark_used(of(3), &more, now), Err(ProofRefusal::Used));
    }

    #[test]
    fn a_proof_that_expired_before_its_use_is_refused() {
        let proofs = JwtDpopProofs::default();
        let client = ClientId::from_stored("app");
        let holder = ProofHolder {
            client: &client,
            account: None,
        };
        let end = Timestamp::from_unix_millis(1_700_000_000_000);
        for _ in 0..2 {
            let used = proofs.mark_used(holder, &proof(1, 1, end), end);
            assert_eq!(used, Err(ProofRefusal::Time));
        }
    }
}
