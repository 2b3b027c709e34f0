//! Tests of the verifier: the vectors of WebAuthn Level 3 §16, and mutations of right answers.

mod authenticator;
mod mutations;
mod vectors;

use authlog_application::ports::{Ceremony, RelyingParty};

fn relying_party(id: &str) -> RelyingParty {
    RelyingParty {
        id: id.to_owned(),
        origin: format!("https://{id}"),
    }
}

fn ceremony<'a>(
    relying_party: &'a RelyingParty,
    challenge: &'a str,
    requires_verification: bool,
) -> Ceremony<'a> {
    Ceremony {
        relying_party,
        challenge,
        requires_verification,
    }
}
