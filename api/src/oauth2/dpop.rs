//! Proofs of possession of a key, as requests present them (DPoP, RFC 9449 §4.1).

use authlog_application::DpopProof;
use authlog_application::ports::{ProofRefusal, ProvedRequest};
use axum::http::{HeaderMap, HeaderName};

use crate::Api;

/// The header with the proof.
const DPOP: HeaderName = HeaderName::from_static("dpop");

/// The algorithms of proofs: `dpop_signing_alg_values_supported`.
pub(crate) const ALGORITHMS: [&str; 3] = ["ES256", "EdDSA", "RS256"];

/// The proof of a `POST` to the endpoint at `path`; `None` if the request has none. Every grant takes it, and its tokens are bound to
/// the key.
///
/// # Errors
/// Why it is refused.
pub(super) fn proof_of_post(
    api: &Api,
    headers: &HeaderMap,
    path: &str,
) -> Result<Option<DpopProof>, ProofRefusal> {
    let Some(proof) = presented(headers)? else {
        return Ok(None);
    };
    let url = format!("{}{path}", api.settings.public_url);
    let request = ProvedRequest {
        method: "POST",
        url: &url,
        access_token: None,
    };
    api.authlog.verify_proof(proof, request).map(Some)
}

/// The proof of a request with this access token.
///
/// # Errors
/// Why it is refused. Without one, [`ProofRefusal::Missing`].
pub(super) fn proof_for_token(
    api: &Api,
    headers: &HeaderMap,
    (method, path): (&str, &str),
    access_token: &str,
) -> Result<DpopProof, ProofRefusal> {
    let proof = presented(headers)?.ok_or(ProofRefusal::Missing)?;
    let url = format!("{}{path}", api.settings.public_url);
    let request = ProvedRequest {
        method,
        url: &url,
        access_token: Some(access_token),
    };
    api.authlog.verify_proof(proof, request)
}

/// The only proof of a request.
fn presented(headers: &HeaderMap) -> Result<Option<&str>, ProofRefusal> {
    let mut values = headers.get_all(DPOP).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(ProofRefusal::Several);
    }
    let text = value.to_str().map_err(|_| ProofRefusal::Malformed)?;
    Ok(Some(text.trim()))
}

/// A sentence for the developer of the client.
pub(super) const fn sentence(refusal: ProofRefusal) -> &'static str {
    match refusal {
        ProofRefusal::Missing => "A DPoP proof is required.",
        ProofRefusal::Several => "The header DPoP occurs more than once.",
        ProofRefusal::Malformed => {
            "The DPoP proof is malformed, or one of typ, alg, jwk, jti, htm, htu and iat is missing."
        }
        ProofRefusal::Type => "The member typ of the DPoP proof must be dpop+jwt.",
        ProofRefusal::Algorithm => "The DPoP proof must be signed with ES256, EdDSA or RS256.",
        ProofRefusal::Key => {
            "The member jwk of the DPoP proof must be a public key of its algorithm: P-256, Ed25519, or RSA with 2048 to 4096 bits."
        }
        ProofRefusal::Signature => "The key in the DPoP proof has not signed it.",
        ProofRefusal::Method => {
            "The member htm of the DPoP proof is not the method of the request."
        }
        ProofRefusal::Url => {
            "The member htu of the DPoP proof is not the URL of the endpoint in the discovery document."
        }
        ProofRefusal::Time => "The member iat of the DPoP proof must be the current time.",
        ProofRefusal::AccessToken => {
            "The member ath of the DPoP proof is not the digest of the access token."
        }
        ProofRefusal::Used => "The DPoP proof was used before. Each request needs a new one.",
        ProofRefusal::TooMany => "Too many attempts.",
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_request_has_one_proof_at_most() {
        let found = |values: &[&[u8]]| {
            let values = values
                .iter()
                .map(|it| (DPOP, HeaderValue::from_bytes(it).unwrap()));
            presented(&values.collect()).map(|proof| proof.map(str::to_owned))
        };
        assert_eq!(found(&[]), Ok(None));
        assert_eq!(found(&[b" a.b.c "]), Ok(Some("a.b.c".to_owned())));
        assert_eq!(found(&[b""]), Ok(Some(String::new())));
        assert_eq!(found(&[b"\xe4"]), Err(ProofRefusal::Malformed));
        assert_eq!(found(&[b"a", b"a"]), Err(ProofRefusal::Several));
    }

    #[test]
    fn each_sentence_can_stand_in_a_header() {
        for refusal in [
            ProofRefusal::Missing,
            ProofRefusal::Several,
            ProofRefusal::Malformed,
            ProofRefusal::Type,
            ProofRefusal::Algorithm,
            ProofRefusal::Key,
            ProofRefusal::Signature,
            ProofRefusal::Method,
            ProofRefusal::Url,
            ProofRefusal::Time,
            ProofRefusal::AccessToken,
            ProofRefusal::Used,
            ProofRefusal::TooMany,
        ] {
            let sentence = sentence(refusal);
            let is_allowed = |letter: char| matches!(letter, ' '..='~') && !"\"\\".contains(letter);
            assert!(sentence.chars().all(is_allowed), "{sentence}");
        }
    }
}
